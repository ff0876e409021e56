"""Follows a log file and reads the lines that were added, even if the file is large."""

from __future__ import annotations

from pathlib import Path

from leuda_core.io.private import open_file
from LEUDASegmentationLib.processes.child_process import LineBuffer

_MOST_BYTES = 64 * 1024


class LogTail:
    """Reads the end of a growing text file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._buffer = LineBuffer(b"\n\r", _MOST_BYTES)

    def new_lines(self) -> list[str]:
        """Return the lines added since the last call; only the last 64 KiB if there are more.

        A file that cannot be read has no lines.
        """
        try:
            size = self._path.stat().st_size
            if size < self._offset:  # the file was replaced
                self._offset, self._buffer = 0, LineBuffer(b"\n\r", _MOST_BYTES)
            start = max(self._offset, size - _MOST_BYTES)
            with open(self._path, "rb", opener=open_file) as stream:
                stream.seek(start)
                data = stream.read(_MOST_BYTES)
        except OSError:
            return []
        skipped = start > self._offset
        self._offset = start + len(data)
        if skipped:
            self._buffer = LineBuffer(b"\n\r", _MOST_BYTES)
            data = data.partition(b"\n")[2]  # start with a complete line
        return self._buffer.feed(data)
