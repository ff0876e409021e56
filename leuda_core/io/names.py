"""Names of volume files. Standard library only."""

from __future__ import annotations

from pathlib import Path

EXTENSIONS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha")
"""Extensions of the files that are read and written, the longer ones before their endings."""


def volume_stem(path: Path) -> str:
    """Return the name of a volume without folder and extension (``a/ct 1.nii.gz`` gives ``ct 1``)."""
    name = Path(path).name
    return name[: len(name) - len(volume_extension(Path(name)))]


def volume_extension(path: Path) -> str:
    """Return the extension of a volume file, in lower case; empty where it is none of ``EXTENSIONS``."""
    return next((extension for extension in EXTENSIONS if path.name.lower().endswith(extension)), "")
