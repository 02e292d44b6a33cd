"""Running a command's coroutine: on uvloop where there is one, stopped by a signal, with logs on stderr."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import structlog


def run[Answer](coroutine: Coroutine[Any, Any, Answer], *, log_level: str = "WARNING") -> Answer:
    """Run it to its end; SIGINT and SIGTERM cancel it, and it may clean up.

    `SAGA_LOG_LEVEL` wins over `log_level`.
    """
    _configure_logs(log_level)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_stoppable(coroutine))


async def _stoppable[Answer](coroutine: Coroutine[Any, Any, Answer]) -> Answer:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await coroutine
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _configure_logs(log_level: str) -> None:
    wanted = os.environ.get("SAGA_LOG_LEVEL", log_level).upper()
    level = logging.getLevelNamesMapping().get(wanted, logging.WARNING)
    human = sys.stderr.isatty()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if human else [structlog.processors.format_exc_info]),
            structlog.dev.ConsoleRenderer() if human else structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
