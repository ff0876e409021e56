"""What a folder holds: DICOM images by series, other DICOM objects, and files that should be images but are not.

Only files directly in the folder count. Hidden ones are left out: ``._…`` files of macOS, and unfinished files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from leuda_core.errors import COPY_AGAIN, InputError, reason_of
from leuda_core.io.dicom import values
from leuda_core.io.dicom.header import Header, has_preamble, is_blank, is_dicom, read_header, understood

_EXTENSIONS = (".dcm", ".ima")
_CUT = "is a damaged DICOM image (its size or its pixels are missing)"
_NOT_IMAGES = {"SEG", "RTDOSE"}  # modalities whose pixels are not those of an image


@dataclass(frozen=True)
class _Other:
    what: str
    sop_class: str = ""  # of an object without size and pixels


@dataclass(frozen=True)
class _Doubtful:
    """A file that is no DICOM but named like the images: damaged if there are images, else another file."""

    why: str


@dataclass
class Contents:
    """DICOM files of a folder. ``images``: by series UID. ``others``: what they are. ``damaged``: why."""

    images: dict[str, list[Header]] = field(default_factory=dict)
    others: dict[Path, str] = field(default_factory=dict)
    damaged: dict[Path, str] = field(default_factory=dict)


def visible(folder: Path) -> list[Path]:
    """Return the entries of a folder that are not hidden, sorted by name.

    Raises:
        InputError: the folder cannot be listed.
    """
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"folder '{folder}' cannot be listed: {reason_of(error)}", "check its permissions") from error


def has_series(folder: Path) -> bool:
    """Return whether a folder directly contains a DICOM image; reads no further than the first one.

    Raises:
        InputError: the folder cannot be listed.
    """
    return any(isinstance(found, Header) for _, found in _files(folder))


def contents(folder: Path) -> Contents:
    """Read the headers of all DICOM files of a folder.

    Raises:
        InputError: the folder cannot be listed.
    """
    result, doubtful, empty = Contents(), dict[Path, str](), dict[Path, str]()
    for path, found in _files(folder):
        if isinstance(found, _Other):
            result.others[path], empty[path] = found.what, found.sop_class
        elif isinstance(found, str):
            result.damaged[path] = found
        elif isinstance(found, _Doubtful):
            doubtful[path] = found.why
        else:
            series = values.shown(found.dataset.get("SeriesInstanceUID") or "")
            result.images.setdefault(series, []).append(found)
    if result.images:
        known = {file.sop_class for files in result.images.values() for file in files}
        cut = {path: f"it {_CUT}" for path, sop_class in empty.items() if sop_class and sop_class in known}
        result.others = {path: what for path, what in result.others.items() if path not in cut}
        result.damaged |= doubtful | cut
    return result


def series_files(folder: Path) -> list[Header]:
    """Return the files of the only series in a folder.

    Raises:
        InputError: no series, or several (the message names them), or a file that should be part of it is damaged.
    """
    found = contents(folder)
    if found.damaged:
        path, why = next(iter(found.damaged.items()))
        more = f" (and {len(found.damaged) - 1} more)" if len(found.damaged) > 1 else ""
        raise InputError(f"'{path}'{more} cannot be read: {why}", f"{COPY_AGAIN}, or remove it")
    if not found.images:
        remedy = "give a volume file or a folder with one series (subfolders are not searched)"
        kinds = ", ".join(sorted(set(found.others.values())))
        raise InputError(f"folder '{folder}' contains no DICOM series{kinds and f', only {kinds}'}", remedy)
    if len(found.images) > 1:
        names = ", ".join(f"{_name(files[0])} ({len(files)} files)" for files in found.images.values())
        raise InputError(
            f"folder '{folder}' contains {len(found.images)} DICOM series: {names}", "put each into its own folder"
        )
    return next(iter(found.images.values()))


def read_image_header(path: Path) -> Header:
    """Read the header of one image.

    Raises:
        InputError: it cannot be read, or is another DICOM object.
    """
    found = _classified(read_header(path))
    if isinstance(found, _Other):
        raise InputError(f"'{path}' is no image but {found.what}", "give a file or folder with the images")
    return found


def _files(folder: Path) -> Iterator[tuple[Path, Header | _Other | _Doubtful | str]]:
    """Yield the DICOM files of a folder: images, other objects, or the reason why they cannot be read."""
    for path in visible(folder):
        ending = path.suffix.lower()
        named = ending in _EXTENSIONS
        like_images = named or not any(map(str.isalpha, ending))  # also none, or a number as in UIDs
        try:
            if is_dicom(path):
                yield path, _classified(read_header(path))
            elif named and path.is_file():
                yield path, "it is not DICOM"
            elif like_images and (why := _why_lost(path)):
                yield path, _Doubtful(why)
        except InputError as error:
            if named or has_preamble(path):
                yield path, error.message
            elif like_images:
                yield path, _Doubtful(error.message)
        except OSError as error:
            yield path, reason_of(error)


def _why_lost(path: Path) -> str:
    """Return why a file that is no DICOM may have been an image, empty if it is another file."""
    if path.is_symlink() and not path.exists():
        return "it is a link to a file that does not exist"
    return "it is empty or begins with zeros" if path.is_file() and is_blank(path) else ""


def _classified(header: Header) -> Header | _Other:
    """Return an image as it is, and what any other object is.

    Raises:
        InputError: it should be an image but has no size or no pixels.
    """
    with understood(header.path):
        dataset = header.dataset
        modality = values.shown(dataset.get("Modality") or "")
        name, sized = header.sop_class, "Rows" in dataset and "Columns" in dataset
        if header.floating:
            return _Other("DICOM with floating-point pixels")
        what = f"DICOM {modality or values.shown(name) or 'object'}"
        if modality in _NOT_IMAGES:
            return _Other(what)
        if not (sized or name.endswith("Image Storage")):
            return _Other(what, name)
        if not sized or header.pixels is None:
            raise InputError(f"'{header.path}' {_CUT}", COPY_AGAIN)
        _ = dataset.get("SeriesInstanceUID")  # converted here, where an error names the file
        return header


def _name(header: Header) -> str:
    with understood(header.path):
        return values.shown(header.dataset.get("SeriesDescription") or "unnamed")
