"""Finds the volumes in a folder, and says what it leaves out."""

from __future__ import annotations

import logging
from pathlib import Path

from leuda_core.errors import InputError
from leuda_core.io.dicom.folder import Contents, contents, has_series, visible
from leuda_core.io.dicom.frames import slice_count
from leuda_core.io.dicom.values import shown
from leuda_core.io.names import volume_extension

logger = logging.getLogger(__name__)

_NAMED = 8


def find_volumes(folder: Path) -> list[Path]:
    """Return the volumes directly in a folder, sorted by name: known files, and subfolders with DICOM images.

    The folder itself is the only volume if it contains DICOM images; single slices beside volumes do not count.
    A warning names what is left out, except hidden entries.

    Raises:
        InputError: not a folder, or it cannot be listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"'{folder}' is not a folder", "give a folder with volumes")
    entries, here = visible(folder), contents(folder)
    volumes = [entry for entry in entries if (_has_series(entry) if entry.is_dir() else volume_extension(entry))]
    images = {header.path for headers in here.images.values() for header in headers}
    is_series = bool(images) and not (volumes and _are_single_slices(here))
    found, used = ([folder], images) if is_series else (volumes, set(volumes))
    left = {entry: _what(entry, here, is_series) for entry in entries if entry not in used}
    if found and left:
        named = [f"'{shown(entry.name)}' ({what})" for entry, what in left.items()]
        more = [f"{len(named) - _NAMED} more"] if len(named) > _NAMED else []
        logger.warning("'%s': left out: %s", folder, ", ".join(named[:_NAMED] + more))
    return found


def _are_single_slices(here: Contents) -> bool:
    """Return whether no series of a folder has more than one slice."""
    return all(len(files) == 1 and slice_count(files[0]) == 1 for files in here.images.values())


def _has_series(folder: Path) -> bool:
    try:
        return has_series(folder)
    except InputError:
        return False  # it is left out, and named


def _what(entry: Path, here: Contents, is_series: bool) -> str:
    """Return why an entry is left out."""
    if entry in here.others:
        return here.others[entry]
    if entry in here.damaged:
        return "damaged DICOM"
    if entry.is_dir():
        return "a folder beside a DICOM series" if is_series else _why_not(entry)
    if volume_extension(entry):
        return "a volume beside a DICOM series"
    return "a single DICOM slice" if any(entry == files[0].path for files in here.images.values()) else "not a volume"


def _why_not(folder: Path) -> str:
    try:
        inside = contents(folder)
    except InputError:
        return "a folder that cannot be listed"
    if inside.damaged:
        return "a folder with damaged DICOM"
    return f"a folder without DICOM images{', only ' if inside.others else ''}{', '.join(set(inside.others.values()))}"
