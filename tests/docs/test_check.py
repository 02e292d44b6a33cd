"""The guide's example is found to be as wrong as the guide says, and every rule is in it."""

import re
from pathlib import Path

from typer.testing import CliRunner

from saga.check.findings import RULES
from saga.cli.main import app

GUIDE = (Path(__file__).parents[2] / "docs/guides/check.md").read_text()


def test_the_example_is_found_to_be_wrong_as_told(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    (told,) = re.findall(r"```text\n(.*?)```", GUIDE, re.DOTALL)
    file = tmp_path / "shop.yaml"
    file.write_text(example)
    result = CliRunner().invoke(app, ["check", str(file), "--schemas", str(tmp_path)])
    assert result.exit_code == 10
    found = [line for line in result.stdout.replace(f"{tmp_path}/", "").splitlines() if " warning " in line]
    for line, wanted in zip(found, told.splitlines(), strict=True):
        assert line.startswith(wanted.removesuffix("..."))


def test_the_guide_names_every_rule_with_its_level() -> None:
    assert dict(re.findall(r"^\| `([a-z_.]+)` \| (\w+) \|", GUIDE, re.MULTILINE)) == {
        rule.name: rule.level.value for rule in RULES.values()
    }
