"""The files of a run folder.

Standard library only, so that Slicer can import it before anything is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from leuda_core.errors import InputError


@dataclass(frozen=True)
class Run:
    """A run folder: one training, from its settings to its model."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    @property
    def config(self) -> Path:
        return self.path / "run.json"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def stop(self) -> Path:
        return self.path / "stop"

    @property
    def checkpoint(self) -> Path:
        """The newest checkpoint."""
        return self.path / "checkpoint-last.pt"

    @property
    def checkpoint_before(self) -> Path:
        """The checkpoint before the newest, for the case that the newest is damaged."""
        return self.path / "checkpoint-previous.pt"

    @property
    def good_checkpoint(self) -> Path:
        """The last checkpoint before the training collapsed, if it did."""
        return self.path / "checkpoint-good.pt"

    @property
    def has_checkpoint(self) -> bool:
        return self.checkpoint.exists() or self.checkpoint_before.exists()

    @property
    def data(self) -> Path:
        """What the run was trained on: hashes of all volumes and label maps."""
        return self.path / "data.json"

    @property
    def previews(self) -> Path:
        return self.path / "previews"

    @property
    def cache(self) -> Path:
        """The prepared slices, while a process trains."""
        return self.path / ".prepared"

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"

    @property
    def start(self) -> Path:
        """The model that the run goes on from, if it adapts one."""
        return self.path / "start"

    @property
    def scores(self) -> Path:
        return self.path / "scores.json"

    def check(self) -> Run:
        """Return self, or raise InputError if the folder contains no run."""
        if not self.config.is_file():
            raise InputError(
                f"{self.path}: not a run folder (no run.json)", "give the folder that was passed to train --out"
            )
        return self


def as_run(run: Run | Path | str) -> Run:
    """Return a run from a run or a folder."""
    return run if isinstance(run, Run) else Run(Path(run))
