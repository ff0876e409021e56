"""Room on a disk that can be used up and freed again, for tests of every writer."""

from __future__ import annotations

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

KINDS = ("limited files", "full disk")
_LIMIT = 2000  # bytes that a file may have


class Room(ABC):
    """A folder, and the means to let every writer in it run out of space."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def fill(self) -> None:
        """Leave no space."""

    @abstractmethod
    def free(self) -> None:
        """Give back what ``fill`` took."""

    def fill_before(self, monkeypatch: pytest.MonkeyPatch, place: Any, name: str) -> None:
        """Let the space run out when a function is called for the first time."""
        work: Callable[..., Any] = getattr(place, name)
        called: list[str] = []

        def filled(*args: Any, **options: Any) -> Any:
            if not called:
                called.append(name)
                self.fill()
            return work(*args, **options)

        monkeypatch.setattr(place, name, filled)

    def unfinished(self) -> list[Path]:
        return [path for path in self.folder.rglob(".*") if path.name.startswith((".tmp-", ".bundle-"))]


class _LimitedFiles(Room):
    """The system refuses to make a file larger: works everywhere, and for every user."""

    def fill(self) -> None:
        self._set(_LIMIT)

    def free(self) -> None:
        import resource

        self._set(resource.getrlimit(resource.RLIMIT_FSIZE)[1])

    def _set(self, limit: int) -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


class _FullDisk(Room):
    """A real file system with no byte left on it."""

    def fill(self) -> None:
        with open(self.folder / "fill", "wb", buffering=0) as stream:
            while left := os.statvfs(self.folder).f_bavail * os.statvfs(self.folder).f_frsize:
                stream.write(bytes(left))

    def free(self) -> None:
        (self.folder / "fill").unlink(missing_ok=True)


@contextmanager
def make_room(folder: Path, kind: str, size: str = "32m") -> Iterator[Room]:
    """Give room of a kind; skip the test where it cannot be made."""
    folder.mkdir()
    if kind == "limited files":
        pytest.importorskip("resource")
        room: Room = _LimitedFiles(folder)
    else:
        try:
            mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
            mounted = subprocess.run(mount, capture_output=True).returncode == 0
        except FileNotFoundError:
            mounted = False
        if not mounted:
            pytest.skip("may not mount a small file system here")
        room = _FullDisk(folder)
    try:
        yield room
    finally:
        room.free()
        if kind != "limited files":
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
