"""Adds cases as files, without loading them: a folder of volumes, a dataset file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from leuda_core.data.dataset_entries import CasePaths, label_value, read_dataset_bytes
from leuda_core.errors import InputError
from LEUDATrainingLib.cases.cases import ROLES, CaseStore, Role, volume_files
from LEUDATrainingLib.cases.structures import PALETTE, Structure, merge_structures, read_structures, write_structures


def add_folder(store: CaseStore, folder: Path) -> int:
    """Add every volume of a folder as a file, source cases with their labels; return how many.

    Raises:
        InputError: the folder contains no volume.
    """
    known = {case.image for case in store}
    found = [(image, label) for image, label in volume_files(folder) if str(image) not in known]
    for image, label in found:
        store.add_file(image, label if store.role == "source" else None)
    return len(found)


def add_dataset(parameter_node: Any, path: Path) -> int:
    """Add the structures and cases of a dataset file, cases as files; return how many cases.

    The rest of the file is checked when a training starts.

    Raises:
        InputError: it is not a dataset file, or its labels differ from the structures of the scene.
    """
    document = _read_document(path)
    structures = _structures(path, document["labels"])
    paths = CasePaths(path)
    cases = {role: _absolute(paths, f"{role}.cases", document[role]["cases"]) for role in ROLES}
    tests = {role: _absolute(paths, f"test.{role}", found) for role, found in document.get("test", {}).items()}
    present = {structure.name: structure.value for structure in read_structures(parameter_node)}
    if present and present != {structure.name: structure.value for structure in structures}:
        raise InputError(
            _("the structures of {file} differ from those in the table").format(file=path.name),
            _("remove the structures first, or use the same names and order"),
        )
    with slicer.util.NodeModify(parameter_node.parameterNode):
        write_structures(parameter_node, merge_structures([], structures))
        count = sum(_add_domain(parameter_node, role, document[role], cases[role]) for role in ROLES)
        parameter_node.testCases = json.dumps(tests)
    return count


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(read_dataset_bytes(path).decode("utf-8-sig"))
        json.dumps(document, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text for Slicer
        _check_types(document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            _("{file} is not a dataset file ({reason})").format(file=path.name, reason=error),
            _("see the format of dataset files in the documentation, and run `leuda check`"),
        ) from error
    return document


def _check_types(document: dict[str, Any]) -> None:
    """Check the values that are used here.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: one is missing, or of another type than in a dataset file.
    """
    for role in ROLES:
        _check_texts(document[role].get("modality", ""))
    groups = [*(document[role]["cases"] for role in ROLES), *document.get("test", {}).values()]
    for case in (case for group in groups for case in group):
        _check_texts(case["id"], case["image"], case.get("label") or "")
        if not all(type(index) is int for index in case.get("labelled_slices") or ()):
            raise TypeError(f"labelled_slices of {case['id']!r}")
    for entry in document["labels"].values():
        if isinstance(entry, dict):
            _check_texts(entry.get("name", ""), entry.get("terminology", ""))
            color = entry.get("color") or [0, 0, 0]
            if len(color) != 3 or not all(type(part) is int and 0 <= part <= 255 for part in color):
                raise ValueError(f"the colour {str(color)[:40]}")


def _check_texts(*values: object) -> None:
    if other := [value for value in values if not isinstance(value, str)]:
        raise TypeError(f"{str(other[0])[:40]!r} is not a text")


def _structures(path: Path, labels: Mapping[str, Any]) -> list[Structure]:
    found: list[Structure] = []
    for key, entry in labels.items():
        entry = {"name": entry} if isinstance(entry, str) else entry
        if not isinstance(entry, dict) or "name" not in entry:
            raise InputError(_("{file}: label {key!r} is invalid").format(file=path.name, key=key), _("use '1', '2'…"))
        if value := label_value(path.name, key):
            color = entry.get("color")
            color = tuple(part / 255 for part in color) if color else PALETTE[len(found) % len(PALETTE)]
            found.append(Structure(value, entry["name"], color, entry.get("terminology", "")))
    return found


def _add_domain(parameter_node: Any, role: Role, domain: Mapping[str, Any], cases: Sequence[Mapping[str, Any]]) -> int:
    store = CaseStore(parameter_node, role)
    known = {case.image for case in store}
    new = [case for case in cases if case["image"] not in known]
    for case in new:
        label = Path(case["label"]) if case.get("label") else None
        store.add_file(Path(case["image"]), label, case.get("labelled_slices"), name=case["id"])
    if domain.get("modality"):
        setattr(parameter_node, f"{role}Modality", domain["modality"])
    return len(new)


def _absolute(paths: CasePaths, place: str, cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return cases with absolute paths, because they are read from another folder.

    Raises:
        InputError: no file can have one of the paths.
    """
    found = []
    for index, case in enumerate(cases):
        names = [name for name in ("image", "label") if case.get(name)]
        files = {name: str(paths.find(case[name], f"{place}[{index}].{name}")) for name in names}
        found.append({**case, **files})
    return found
