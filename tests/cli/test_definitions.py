"""`saga def`, run as people run it: as a process, against a real system."""

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from saga.cli.system import running
from tests.commands import saga

ORDERS = """
name: orders
category: sales
steps:
  - name: sums
    type: DATA_TRANSFORM
    input: {data: "${input.rows}", operations: [{op: filter, where: item > 1}]}
"""
WHY = ("--reason", "because")


@dataclass
class Cli:
    """Runs `saga` against a running system."""

    api: str
    folder: Path

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        return await saga(
            *arguments, env={**os.environ, "SAGA_API_URL": self.api, "USER": "ada", "COLUMNS": "200"}
        )

    async def told(self, *arguments: str) -> str:
        code, out, err = await self.run("def", *arguments)
        assert code == 0, err
        return out

    async def json(self, *arguments: str) -> Any:
        return json.loads(await self.told(*arguments, "-o", "json"))

    def file(self, text: str) -> str:
        path = self.folder / "workflows.yaml"
        path.write_text(text)
        return str(path)


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncIterator[Cli]:
    environment = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    async with running(["integrations"], tmp_path / "data", environment=environment) as system:
        yield Cli(system.api_url, tmp_path)


async def test_a_workflow_is_kept_in_versions_and_started_by_its_name(cli: Cli) -> None:
    assert (await cli.json("validate", cli.file(ORDERS))) == [{"name": "orders", "definitions": ["orders"]}]
    created = await cli.json("create", cli.file(ORDERS), "--tag", "eu", *WHY)
    assert (created["status"], created["tags"], created["changes"][0]["by"]) == ("DRAFT", ["eu"], "ada")
    started = ("start", "orders", "--input", '{"rows": [1, 2, 3]}', "--wait", "-o", "json")
    assert (await cli.run(*started))[0] == 4
    assert (await cli.json("status", "orders", "active", *WHY))["active"] == [{"version": 1, "weight": 100}]
    code, out, err = await cli.run(*started)
    assert (code, json.loads(out)["definition"]) == (0, "orders@1"), err
    late = ("update", cli.file(ORDERS.replace("> 1", "> 2")), "--if-match", f'"{created["revision"]}"')
    code, _, err = await cli.run("def", *late)
    assert (code, "read it again" in err) == (4, True)
    assert (await cli.json("update", cli.file(ORDERS.replace("> 1", "> 2")), *WHY))["version"] == 2
    (change,) = (await cli.json("diff", "orders"))["items"]
    assert (change["kind"], change["pointer"]) == ("changed", "/steps/0/input/operations")
    assert "changed" in await cli.told("diff", "orders", "2", "1")
    split = await cli.json("split", "orders", "1=90", "2=10", *WHY)
    assert split["active"] == [{"version": 1, "weight": 90}, {"version": 2, "weight": 10}]
    assert [one["weight"] for one in await cli.json("versions", "orders")] == [10, 90]
    figures = await cli.json("metrics", "orders")
    assert figures["total"]["by_status"]["COMPLETED"] >= 1
    assert [one["weight"] for one in figures["versions"]] == [90, 10]
    assert (await cli.json("activate", "orders", "2", *WHY))["active"] == [{"version": 2, "weight": 100}]
    assert (await cli.json("rollback", "orders", *WHY))["active"] == split["active"]
    assert (await cli.json("tag", "orders", "eu", "b2b", *WHY))["tags"] == ["eu", "b2b"]
    assert "orders" in await cli.told("list", "--tag", "b2b", "--search", "ORD", "--status", "ACTIVE")
    assert yaml.safe_load(await cli.told("show", "orders", "--version", "1"))["document"]["name"] == "orders"


async def test_workflows_are_deleted_restored_exported_and_imported(cli: Cli) -> None:
    stream = f"---{ORDERS}---{ORDERS.replace('orders', 'reports')}"
    imported = await cli.json("import", cli.file(stream), "--activate", *WHY)
    assert [(one["name"], one["outcome"], one["version"]) for one in imported] == [
        ("orders", "created", 1),
        ("reports", "created", 1),
    ]
    assert list(yaml.safe_load_all(await cli.told("export"))) == list(yaml.safe_load_all(stream))
    assert await cli.json("export", "--prefix", "rep") == list(yaml.safe_load_all(stream))[1:]
    assert await cli.json("export", "orders", "--version", "1") == yaml.safe_load(ORDERS)
    await cli.told("delete", "orders", *WHY)
    assert [one["name"] for one in await cli.json("list")] == ["reports"]
    assert [one["deleted"] for one in await cli.json("list", "--deleted")] == [True, False]
    assert (await cli.json("restore", "orders", *WHY))["status"] == "ARCHIVED"
    code, out, err = await cli.run("def", "import", cli.file(stream.replace("> 1", "> 2")))
    assert (code, "updated" in out, "refused: orders" in err) == (4, True, True)


async def test_a_template_is_looked_at_and_used(cli: Cli) -> None:
    assert "poll-until-done" in await cli.told("template", "list", "--category", "integration")
    shown = await cli.json("template", "show", "poll-until-done")
    assert shown["parameters"]["required"] == ["jobs_url"]
    made = await cli.json(
        "template", "use", "poll-until-done", "jobs", "--set", "jobs_url=https://jobs.example/jobs",
        "--parameters", '{"every_s": 2}', "--set", "times=9", "--activate", *WHY,
    )  # fmt: skip
    polled = made["document"]["steps"][1]
    assert (made["status"], polled["retry"]["max_attempts"], polled["retry"]["delay_s"]) == ("ACTIVE", 9, 2)
    code, _, err = await cli.run(
        "def", "template", "use", "poll-until-done", "more", "--set", "times=x", *WHY
    )
    assert code == 2
    assert "/parameters/times" in err


TEXTS = {
    "FILE": ORDERS,
    "WRONG": ORDERS.replace("type: DATA_TRANSFORM", "kind: DATA_TRANSFORM"),
    "BROKEN": "name: [",
    "TWO": f"---{ORDERS}---{ORDERS}",
}
REFUSED = [
    (("show", "nobody"), 3, "no workflow nobody"),
    (("update", "FILE"), 3, "no workflow orders"),
    (("create", "no such file"), 3, "no such file"),
    (("validate", "WRONG"), 2, "workflows: /steps/0: Unable"),
    (("validate", "BROKEN"), 2, "YAML"),
    (("create", "TWO"), 2, "takes several"),
    (("split", "orders", "1:90", *WHY), 2, "VERSION=WEIGHT"),
    (("export", "--version", "1"), 2, "name it"),
    (("template", "show", "nothing"), 3, "best-quote"),
    (("template", "use", "best-quote", "mine", "--set", "x", *WHY), 2, "PARAMETER=VALUE"),
]


async def test_what_cannot_be_is_said_once_with_its_exit_code(cli: Cli) -> None:
    for name, text in TEXTS.items():
        (cli.folder / name).write_text(text)
    told = {}
    for arguments, _, word in REFUSED:
        given = (str(cli.folder / one) if one in TEXTS else one for one in arguments)
        code, _, err = await cli.run("def", *given)
        told[arguments] = (code, err.count(word)) if word in err else (code, err)
    assert told == {arguments: (code, 1) for arguments, code, _ in REFUSED}
