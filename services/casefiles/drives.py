"""A drive that is a folder of this machine. Nothing outside of the folder is reached, by no pattern and no link."""

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from contracts.evidence import File
from saga.action import Refused, Unavailable
from services.casefiles.bounds import fitting


class FolderDrive:
    """The files below a folder. Those whose names begin with a dot are not there."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    async def files(self, pattern: str, limit: int) -> tuple[tuple[File, ...], bool]:
        return await asyncio.to_thread(self._files, pattern, limit)

    def _files(self, pattern: str, limit: int) -> tuple[tuple[File, ...], bool]:
        try:
            return fitting((self._file(path) for path in self.located(pattern)), limit)
        except OSError as error:
            raise Unavailable("drive.unreachable", f"{pattern}: {error.strerror}") from error

    def located(self, pattern: str) -> Iterator[Path]:
        """The files that fit, by path. Raises Refused if it is no pattern, Unavailable without the folder."""
        if ".." in PurePosixPath(pattern).parts:
            raise Refused("drive.pattern", f"{pattern!r} leads out of the drive")
        if not self._root.is_dir():
            raise Unavailable("drive.unreachable", "the drive's folder is not there")
        try:
            found = sorted(self._root.glob(pattern))
        except (ValueError, NotImplementedError) as error:
            raise Refused("drive.pattern", f"{pattern!r} is no pattern: {error}") from error
        return (path for path in found if self._is_ours(path))

    def name(self, path: Path) -> str:
        """A located file's path as it is stated; what of it is no Unicode becomes a question mark."""
        return path.relative_to(self._root).as_posix().encode("utf-8", "replace").decode()

    def _is_ours(self, path: Path) -> bool:
        hidden = any(part.startswith(".") for part in path.relative_to(self._root).parts)
        return not hidden and path.is_file() and path.resolve().is_relative_to(self._root)

    def _file(self, path: Path) -> File:
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        found = path.stat()
        return File(
            path=self.name(path),
            size_bytes=found.st_size,
            modified_at=datetime.fromtimestamp(found.st_mtime, UTC),
            sha256=digest,
        )
