"""What a step may state: facts hold 256 KiB, so what is found is cut to fit, and whoever asked is told of it."""

from collections.abc import Iterable

from pydantic import BaseModel

MAX_STATED = 50_000


def fitting[T: BaseModel](found: Iterable[T], limit: int) -> tuple[tuple[T, ...], bool]:
    """The first of these, at most `limit` and 50,000 bytes of JSON, and whether there were more."""
    kept: list[T] = []
    left = MAX_STATED
    for one in found:
        left -= len(one.model_dump_json().encode())
        if len(kept) == limit or left < 0:
            return tuple(kept), True
        kept.append(one)
    return tuple(kept), False


def plain(text: str, limit: int) -> str:
    """A text that every database and JSON can hold, cut to a length: no control characters but line ends."""
    shown = text[: limit * 2].replace("\r\n", "\n")
    kept = "".join(one if one.isprintable() or one == "\n" else " " for one in shown)
    kept = kept.encode("utf-8", "replace").decode().strip()
    return kept if len(kept) <= limit else f"{kept[: limit - 1]}…"
