"""`saga demo`: plays a domain's sample through everything and shows what became of it."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from saga.cli.output import say
from saga.cli.system import running
from saga.domains import known_domain


async def demo(domain: str, *, as_json: bool, data: Path | None) -> None:
    """Run the demo of a domain in a folder of its own. Raises NotFound if there is no such domain."""
    play: Any = import_module(f"services.{known_domain(domain)}.demo")
    folder = data or Path(tempfile.mkdtemp(prefix="saga-demo-"))
    try:
        async with running([domain], folder, environment=os.environ) as system:
            result = await play.play(system.parts, system.settings, system.sandbox_url, show=_shower())
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
