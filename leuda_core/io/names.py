"""Names of volume files, and of files that are none. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

EXTENSIONS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha")
"""Extensions of the supported files; ``.seg.nrrd`` comes before ``.nrrd``."""

_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX"}


def is_litter(name: str) -> bool:
    """Return whether file browsers created a file: folder settings, and macOS's ``._NAME`` next to every file."""
    return name in _LITTER or name.startswith("._")


def real_path(path: Path) -> Path:
    """Return the absolute path without symbolic links; links that form a circle stay, where ``resolve`` would fail."""
    return Path(os.path.realpath(path))


def volume_stem(path: Path) -> str:
    """Return the name of a volume without folder and extension (``ct 1`` for ``a/ct 1.nii.gz``)."""
    name = Path(path).name
    return name[: len(name) - len(volume_extension(Path(name)))]


def volume_extension(path: Path) -> str:
    """Return the extension of a volume file, in lower case; empty if it is not in ``EXTENSIONS``."""
    return next((extension for extension in EXTENSIONS if path.name.lower().endswith(extension)), "")


def probabilities_path(segmentation: Path) -> Path:
    """Return the file of the class probabilities that is written next to a segmentation."""
    return segmentation.with_name(volume_stem(segmentation) + "_probabilities.nii.gz")


def output_names(volumes: Sequence[Path], folder: Path, extension: str) -> list[Path]:
    """Return an output file for each volume: all different, and none of them an input.

    The same holds for the files of the probabilities. Volumes with the same name get the name of their folder as a
    prefix, and then a number.
    """
    taken = {_key(volume) for volume in volumes}
    found = []
    for volume in volumes:
        for name in _candidates(volume_stem(volume), volume.parent.name):
            path = folder / f"{name}.{extension}"
            keys = {_key(path), _key(probabilities_path(path))}
            if not keys & taken:
                break
        taken |= keys
        found.append(path)
    return found


def _candidates(stem: str, folder: str) -> Iterator[str]:
    yield stem
    yield f"{folder}-{stem}"
    number = 2
    while True:
        yield f"{folder}-{stem}-{number}"
        number += 1


def _key(path: Path) -> str:
    return str(real_path(path)).casefold()  # on some systems, A.nrrd and a.nrrd are the same file
