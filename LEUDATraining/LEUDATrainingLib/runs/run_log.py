"""Follows a log file: the lines that were added, however large the file is."""

from __future__ import annotations

from pathlib import Path

from LEUDASegmentationLib.processes.child_process import LineBuffer

_MOST_BYTES = 64 * 1024


class LogTail:
    """Reads the end of a growing text file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._buffer = LineBuffer(b"\n\r")

    def new_lines(self) -> list[str]:
        """Return the lines added since the last call; where that is more than 64 KiB, the last of them.

        A file that cannot be read has no lines.
        """
        try:
            size = self._path.stat().st_size
            if size < self._offset:  # written anew
                self._offset, self._buffer = 0, LineBuffer(b"\n\r")
            start = max(self._offset, size - _MOST_BYTES)
            with open(self._path, "rb") as stream:
                stream.seek(start)
                data = stream.read(_MOST_BYTES)
        except OSError:
            return []
        skipped = start > self._offset
        self._offset = start + len(data)
        if skipped:
            self._buffer = LineBuffer(b"\n\r")
            data = data.partition(b"\n")[2]  # begin with a whole line
        return self._buffer.feed(data)
