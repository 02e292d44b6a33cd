"""`saga demo`: plays a domain's sample through everything and shows what became of it."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from contracts.failure import NotFound
from saga.cli.output import say
from saga.cli.system import running
from saga.domains import known_domain


async def demo(domain: str, *, as_json: bool, data: Path | None) -> None:
    """Run the demo of a domain in a folder of its own. Raises NotFound if there is no such domain, or no demo of it."""
    name = f"services.{known_domain(domain)}.demo"
    if find_spec(name) is None:
        raise NotFound(f"domain {domain} has no demo")
    play: Any = import_module(name)
    folder = data or Path(tempfile.mkdtemp(prefix="saga-demo-"))
    try:
        async with (
            play.outside() as outside,
            running(play.DOMAINS, folder, environment={**os.environ, **outside.environment}) as system,
        ):
            result = await play.play(system, outside, show=_shower())
            if not as_json:
                await play.show(result, system.parts)
    finally:
        if data is None:
            await asyncio.to_thread(shutil.rmtree, folder, True)
    if as_json:
        print(json.dumps(play.summary(result)), flush=True)
    else:
        say("\ngo on with:  .venv/bin/saga up")


def _shower() -> Any:
    """Live progress on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty() or os.environ.get("CI"):
        return None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
