"""Putting a rebuilt SQLite log in the place of the old one, which is kept beside it.

Nobody may have the old log open: a process would go on writing to the file that is no longer the log. SQLite
knows, because a journal cannot leave WAL mode while another connection is open.
"""

import os
import sqlite3
from datetime import datetime
from pathlib import Path

from contracts.failure import Conflict

_PATIENCE_S = 2.0


def swap(log: Path, rebuilt: Path, now: datetime) -> Path | None:
    """Make `rebuilt` the log; where the old one is kept, if there was one.

    Raises Conflict if somebody has one of them open; nothing has changed then.
    """
    kept = log.with_name(f"{log.stem}.before-{now:%Y%m%dT%H%M%S%f}{log.suffix}")
    _alone(rebuilt)
    if not log.exists():
        rebuilt.replace(log)
        return None
    _alone(log)
    # Linked, not moved: there is a log at any moment, whenever the process dies.
    os.link(log, kept)
    rebuilt.replace(log)
    return kept


def _alone(file: Path) -> None:
    """Bring everything into the one file. Raises Conflict if another connection is open."""
    connection = sqlite3.connect(file, timeout=_PATIENCE_S)
    try:
        (mode,) = connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.OperationalError as error:
        mode = str(error)
    except sqlite3.DatabaseError:
        # It is no database any more: nobody can work with it.
        return
    finally:
        connection.close()
    if mode != "delete":
        raise Conflict(
            f"{file} is in use ({mode}): stop the saga log (`saga up`, `saga serve log`) and run this again; "
            "what was rebuilt is kept"
        )
