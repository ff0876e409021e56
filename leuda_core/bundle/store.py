"""The model store: a folder with one bundle folder per model, for the list of models in Slicer.

Listing reads only names, sizes and ``bundle.json``, of which it checks every value; importing and exporting also check
every hash and the header of the weights. What needs other packages is checked by ``leuda_core.bundle.model`` when a
model is loaded: the checksum of ``bundle.json``, and whether the weights are those of its networks. Standard library
only, so that Slicer can list its models before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

from leuda_core.bundle.document import parse_document
from leuda_core.bundle.files import (
    DOCUMENT,
    check_listed,
    check_size,
    open_files,
    read_document,
    read_others,
)
from leuda_core.errors import InputError, as_leuda_error, reason_of
from leuda_core.io.files import atomic_path, fill_folder, replaceable, write_error
from leuda_core.io.leftovers import OLD_S, remove_leftovers, temporary_folder, temporary_name
from leuda_core.io.names import is_litter
from leuda_core.types import Label

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]+')  # in file names, on at least one system
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³]) *(\..*)?", re.IGNORECASE)  # on Windows
_LONGEST_NAME = 60  # characters: at four bytes each, still below the 255 bytes that file systems allow


@dataclass(frozen=True)
class ModelEntry:
    """A model in a list.

    ``name`` is the name of its folder and therefore unique in a store. ``created`` is a date as text. ``metrics`` maps
    names such as ``dice/liver`` to values (``None``: undefined). ``plane`` and ``isotropic`` say how volumes are cut,
    as in ``Task``. ``labelled_cases``, ``labelled_slices``, ``target_cases``, ``steps`` and ``warnings`` are those of
    the training. ``checksum`` identifies the model, ``adapted_from`` the one that it was adapted from. ``problem`` says
    what is wrong with a damaged model; then only name and path are valid.
    """

    name: str
    path: Path
    method: str = ""
    source_modality: str = ""
    target_modality: str = ""
    labels: tuple[Label, ...] = ()
    created: str = ""
    size_bytes: int = 0
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    plane: str = "acquisition"
    isotropic: str = ""
    labelled_cases: int = 0
    labelled_slices: int = 0
    target_cases: int = 0
    steps: int = 0
    warnings: tuple[str, ...] = ()
    checksum: str = ""
    adapted_from: str = ""
    problem: str = ""


def list_models(folder: Path | str) -> list[ModelEntry]:
    """Return the models of a store, sorted by name; damaged ones have a ``problem``. A missing folder has no models."""
    try:
        paths = [Path(entry) for entry in os.scandir(folder) if _is_shown(entry)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:  # ValueError: no name that the system allows
        raise InputError(
            f"model folder {folder} cannot be read ({reason_of(error)})", "check its permissions"
        ) from error
    found = (_listed(path) for path in sorted(paths, key=lambda path: (path.name.casefold(), path.name)))
    return [model for model in found if not model.problem or model.path.exists()]  # not those deleted meanwhile


def read_model(path: Path | str) -> ModelEntry:
    """Describe one bundle (folder or zip file) from its names, sizes and ``bundle.json``, without computing hashes.

    Raises:
        InputError: it is not a bundle, or these show that it is damaged.
    """
    path = Path(path)
    with closing(open_files(path)) as files:
        document = read_document(files, parse_document)
        records = _records(document)
        check_listed(files, records)
        for name, (size, _) in records.items():
            check_size(files, name, size)
        return _entry(path, document, sum(files.sizes.values()))


def import_model(source: Path | str, folder: Path | str, name: str | None = None) -> ModelEntry:
    """Check a bundle (folder or zip file) and copy it into a store, completely or not at all.

    The copy is named ``name``, by default the name in the bundle; if it is taken, ``name 2`` and so on.

    Raises:
        InputError: the bundle is invalid, or the store cannot be written.
        LeudaError: the disk is full.
    """
    source, folder = Path(source), Path(folder)
    contents, document = _read_contents(source)
    wanted = folder_name(name or document["info"]["name"])
    try:
        remove_leftovers(folder, unknown_s=OLD_S)
        with temporary_folder(folder) as work:
            new = work / "new"
            fill_folder(new, contents)
            if source.is_dir():  # the list shows when a model was created, not when it was copied
                shutil.copystat(source / DOCUMENT, new / DOCUMENT)
            final = _move_in(new, folder, wanted)
    except (OSError, ValueError) as error:
        raise write_error(folder, error) from error
    return read_model(final)


def delete_model(model: ModelEntry, folder: Path | str) -> None:
    """Delete a model of a store; a model that no longer exists is not an error.

    Raises:
        InputError: it is not directly in ``folder``, or is in use.
    """
    path = Path(model.path)
    if path.name in ("", "..") or path.parent.resolve() != Path(folder).resolve():
        what = f"model {model.name!r} is in {path.parent}, not in the model folder {folder}"
        raise InputError(what, "delete it there manually")
    try:
        if path.is_symlink():  # delete the link, not its target
            path.unlink()
        elif path.exists():
            hidden = path.with_name(temporary_name())
            path.rename(hidden)  # first, so that a partly deleted model is never listed
            shutil.rmtree(hidden)
    except OSError as error:
        what = f"model {model.name!r} cannot be deleted ({reason_of(error)})"
        raise InputError(what, "close the programs that use it and check the folder's permissions") from error


def export_model(model: ModelEntry | Path | str, zip_path: Path | str) -> Path:
    """Check a model, or the bundle in a folder, and pack it into one zip file. The same bundle gives the same bytes.

    Raises:
        InputError: the model is damaged, or the file cannot be written or would be in the folder of a model.
        LeudaError: the disk is full.
    """
    folder = replaceable(Path(zip_path)).parent
    if os.path.exists(folder / DOCUMENT):
        raise InputError(f"'{zip_path}' would change the model in '{folder}'", "export to another folder")
    contents, _ = _read_contents(model.path if isinstance(model, ModelEntry) else Path(model))
    with atomic_path(Path(zip_path)) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, contents[name])
    return Path(zip_path)


def folder_name(title: str) -> str:
    """Convert a title to a folder name that is valid on every system."""
    plain = "".join(sign if sign.isprintable() else " " for sign in _FORBIDDEN.sub(" ", title))
    name = " ".join(plain.split())[:_LONGEST_NAME].strip(". ")
    return f"model {name}".rstrip() if not name or _RESERVED.fullmatch(name) or is_litter(name) else name


def _is_shown(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and not is_litter(entry.name) and os.path.isdir(entry.path)


def _listed(path: Path) -> ModelEntry:
    try:
        return read_model(path)
    except Exception as error:  # one folder, whatever is wrong with it, must not hide the others
        return ModelEntry(path.name, path, problem=str(as_leuda_error(error)))


def _move_in(new: Path, folder: Path, name: str) -> Path:
    """Move a finished folder into the store under a free name."""
    names = chain([name], (f"{name} {number}" for number in count(2)))
    while True:
        final = next(path for path in map(folder.joinpath, names) if not os.path.lexists(path))
        try:
            os.rename(new, final)
        except OSError:
            if not os.path.lexists(final):  # else another process was faster
                raise
        else:
            return final


def _read_contents(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return every file of a bundle by name, and the parsed ``bundle.json``, after checking them."""
    with closing(open_files(path)) as files:
        data, document = read_document(files, lambda data: (data, parse_document(data)))
        return {DOCUMENT: data, **read_others(files, _records(document))}, document


def _records(document: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
    """Return the size and the sha256 of each file that ``bundle.json`` lists."""
    return {name: (record["size"], record["sha256"]) for name, record in document["files"].items()}


def _entry(path: Path, document: Mapping[str, Any], size: int) -> ModelEntry:
    info = document["info"]
    return ModelEntry(
        name=path.name if path.is_dir() else path.stem,
        path=path,
        method=info["method"],
        source_modality=info["source"]["modality"],
        target_modality=info["target"]["modality"],
        labels=tuple(_label(label) for label in document["task"]["labels"]),
        created=info.get("created") or _date(path),
        size_bytes=size,
        metrics={name: None if x is None else float(x) for name, x in info.get("metrics", {}).items()},
        plane=document["task"].get("plane", "acquisition"),
        isotropic=document["task"].get("isotropic", ""),
        labelled_cases=info["source"].get("labelled_cases", 0),
        labelled_slices=info["source"].get("labelled_slices", 0),
        target_cases=info["target"].get("cases", 0),
        steps=info.get("steps", 0),
        warnings=tuple(info.get("warnings", ())),
        checksum=document.get("checksum", ""),
        adapted_from=info.get("adapted_from", ""),
    )


def _label(label: Mapping[str, Any]) -> Label:
    red, green, blue = (float(channel) for channel in label.get("color", Label.color))
    return Label(label["value"], label["name"], (red, green, blue), label.get("terminology", ""))


def _date(path: Path) -> str:
    """Return when a bundle was written, in local time. Bundles of runs contain no date, to be reproducible."""
    seconds = (path / DOCUMENT if path.is_dir() else path).stat().st_mtime
    return datetime.fromtimestamp(seconds).isoformat(" ", "minutes")
