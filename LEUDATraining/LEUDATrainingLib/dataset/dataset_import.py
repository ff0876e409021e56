"""Cases from files that stay files: a folder of volumes, a dataset file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from leuda_core.errors import InputError
from LEUDATrainingLib.cases.cases import ROLES, CaseStore, Role, volume_files
from LEUDATrainingLib.cases.structures import PALETTE, Structure, merge_structures, read_structures, write_structures


def add_folder(store: CaseStore, folder: Path) -> int:
    """Add every volume of a folder, source cases with their labels, as files; return how many.

    Raises:
        InputError: the folder holds no volume.
    """
    known = {case.image for case in store}
    found = [(image, label) for image, label in volume_files(folder) if str(image) not in known]
    for image, label in found:
        store.add_file(image, label if store.role == "source" else None)
    return len(found)


def add_dataset(parameter_node: Any, path: Path) -> int:
    """Add the structures and cases that a dataset file names, as files; return how many cases.

    Everything else about the file is checked when a training starts.

    Raises:
        InputError: it is no dataset file, or its labels contradict the structures that are there.
    """
    document = _read_document(path)
    structures = _structures(path, document["labels"])
    present = {structure.name: structure.value for structure in read_structures(parameter_node)}
    if present and present != {structure.name: structure.value for structure in structures}:
        raise InputError(
            _("{file} names other structures than the table").format(file=path.name),
            _("remove the structures first, or give both the same names and order"),
        )
    with slicer.util.NodeModify(parameter_node.parameterNode):
        write_structures(parameter_node, merge_structures([], structures))
        count = sum(_add_domain(parameter_node, path, role, document[role]) for role in ROLES)
        parameter_node.testCases = json.dumps(_absolute_test(path, document.get("test", {})))
    return count


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        for role in ROLES:
            for case in document[role]["cases"]:
                case["id"], case["image"]
        document["labels"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            _("{file} is no dataset file ({reason})").format(file=path.name, reason=error),
            _("see the dataset file format in the documentation, and try `leuda check`"),
        ) from error
    return document


def _structures(path: Path, labels: Mapping[str, Any]) -> list[Structure]:
    found: list[Structure] = []
    for key, entry in labels.items():
        entry = {"name": entry} if isinstance(entry, str) else entry
        if not key.isdecimal() or not isinstance(entry, dict) or "name" not in entry:
            raise InputError(_("{file}: label {key!r} is unusable").format(file=path.name, key=key), _("use '1', '2'…"))
        if int(key):
            color = entry.get("color")
            color = tuple(part / 255 for part in color) if color else PALETTE[len(found) % len(PALETTE)]
            found.append(Structure(int(key), entry["name"], color, entry.get("terminology", "")))
    return found


def _add_domain(parameter_node: Any, path: Path, role: Role, domain: Mapping[str, Any]) -> int:
    store = CaseStore(parameter_node, role)
    known = {case.image for case in store}
    folder, count = path.resolve().parent, 0
    for entry in domain["cases"]:
        image = folder / entry["image"]
        if str(image) in known:
            continue
        label = folder / entry["label"] if entry.get("label") else None
        store.add_file(image, label, entry.get("labelled_slices"), name=entry["id"])
        count += 1
    if domain.get("modality"):
        setattr(parameter_node, f"{role}Modality", domain["modality"])
    return count


def _absolute_test(path: Path, test: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the test cases with absolute paths: they are scored when a run is finished, from another folder."""
    folder = path.resolve().parent

    def absolute(case: Mapping[str, Any]) -> dict[str, Any]:
        files = {name: str(folder / case[name]) for name in ("image", "label") if case.get(name)}
        return {**case, **files}

    return {role: [absolute(case) for case in cases] for role, cases in test.items()}
