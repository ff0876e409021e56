"""Names of volume files. Standard library only."""

from __future__ import annotations

from pathlib import Path

EXTENSIONS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha")
"""Extensions of the supported files; ``.seg.nrrd`` comes before ``.nrrd``."""


def volume_stem(path: Path) -> str:
    """Return the name of a volume without folder and extension (``ct 1`` for ``a/ct 1.nii.gz``)."""
    name = Path(path).name
    return name[: len(name) - len(volume_extension(Path(name)))]


def volume_extension(path: Path) -> str:
    """Return the extension of a volume file, in lower case; empty if it is not in ``EXTENSIONS``."""
    return next((extension for extension in EXTENSIONS if path.name.lower().endswith(extension)), "")
