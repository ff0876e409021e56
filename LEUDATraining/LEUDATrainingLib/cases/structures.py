"""The structures to segment: value, name, colour and terminology; from a segmentation, a model, or typed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from leuda_core.errors import InputError
from LEUDATrainingLib.parameter_node import read_json

PALETTE = (
    (0.78, 0.35, 0.31), (0.43, 0.72, 0.82), (0.47, 0.71, 0.39),
    (0.85, 0.71, 0.31), (0.59, 0.47, 0.75), (0.87, 0.51, 0.40),
)  # fmt: skip
_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_CATEGORY = "SCT^123037004^Anatomical Structure"
_REGION_CONTEXT = "Anatomic codes - DICOM master list"


@dataclass(frozen=True)
class Structure:
    """One structure: its value in label maps, name, colour (RGB, 0 to 1) and terminology in Slicer's notation."""

    value: int
    name: str
    color: tuple[float, float, float]
    terminology: str = ""


def read_structures(parameter_node: Any) -> list[Structure]:
    """Return the structures of the scene, by value; invalid entries are ignored."""
    found = []
    for entry in read_json(parameter_node.structures, []):
        try:
            red, green, blue = (float(part) for part in entry["color"])
            terminology = str(entry.get("terminology", ""))
            found.append(Structure(int(entry["value"]), str(entry["name"]), (red, green, blue), terminology))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
    return sorted(found, key=lambda structure: structure.value)


def write_structures(parameter_node: Any, structures: Iterable[Structure]) -> None:
    """Store the structures in the scene."""
    parameter_node.structures = json.dumps([asdict(structure) for structure in structures], ensure_ascii=False)


def add_structure(structures: Sequence[Structure], name: str) -> list[Structure]:
    """Return the structures and a new one with the next value and another colour; a used name gets a number."""
    taken = {structure.name for structure in structures}
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name} {number}", number + 1
    value = max((structure.value for structure in structures), default=0) + 1
    return [*structures, Structure(value, unique, PALETTE[(value - 1) % len(PALETTE)])]


def merge_structures(structures: Sequence[Structure], others: Iterable[Structure]) -> list[Structure]:
    """Return the structures and those of ``others`` whose name is new; a value that is in use is replaced."""
    merged = list(structures)
    for other in others:
        if other.name in {structure.name for structure in merged}:
            continue
        values = {structure.value for structure in merged}
        value = other.value if other.value > 0 and other.value not in values else max(values, default=0) + 1
        merged.append(replace(other, value=value))
    return sorted(merged, key=lambda structure: structure.value)


def rename_structure(structures: Sequence[Structure], value: int, name: str) -> list[Structure]:
    """Return the structures with one renamed.

    Raises:
        InputError: the name is empty, or another structure has it.
    """
    name = name.strip()
    if not name:
        raise InputError(_("a structure needs a name"), _("enter a name, or remove the structure"))
    if any(structure.name == name and structure.value != value for structure in structures):
        raise InputError(
            _("two structures cannot have the same name, {name}").format(name=name), _("choose another name")
        )
    return [replace(one, name=name) if one.value == value else one for one in structures]


def structures_of_segmentation(segmentation: Any) -> list[Structure]:
    """Return a structure for every segment, with its name, colour and terminology."""
    return [
        Structure(index, segment.GetName().strip(), tuple(segment.GetColor()), terminology_of(segment))
        for index, (_id, segment) in enumerate(segments(segmentation), start=1)
    ]


def structures_of_labels(labels: Iterable[Any]) -> list[Structure]:
    """Return a structure for every label of a model (``value``, ``name``, ``color``, ``terminology``)."""
    return [Structure(int(one.value), one.name, tuple(one.color), one.terminology) for one in labels]


def segments(segmentation: Any) -> list[tuple[str, Any]]:
    """Return (id, segment) of every segment of a segmentation node."""
    content = segmentation.GetSegmentation()
    ids = [content.GetNthSegmentID(index) for index in range(content.GetNumberOfSegments())]
    return [(segment_id, content.GetSegment(segment_id)) for segment_id in ids]


def terminology_of(segment: Any) -> str:
    """Return the terminology of a segment in Slicer's notation; empty if it has none."""
    text = vtk.reference("")
    found = segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), text)
    return str(text) if found else ""


def terminology_text(terminology: str) -> str:
    """Return a terminology in readable form, such as ``Heart (SCT 80891009)``; empty if there is none."""
    fields = terminology.split("~")
    parts = fields[2].split("^") if len(fields) > 2 else []
    return f"{parts[2]} ({parts[0]} {parts[1]})" if len(parts) == 3 and parts[1] else ""


def parse_terminology(text: str) -> str:
    """Return Slicer's notation for a typed text: an empty text, that notation, or ``Heart (SCT 80891009)``.

    Raises:
        InputError: the text is none of these.
    """
    text = text.strip()
    if not text or text.count("~") >= 2:
        return text
    match = re.fullmatch(r"([^()^~]+?)\s*\(\s*([A-Za-z0-9-]+)\s+([A-Za-z0-9.-]+)\s*\)", text)
    if match is None:
        raise InputError(
            _("{text!r} is not a terminology").format(text=text),
            _("enter a meaning and its code, such as: Heart (SCT 80891009)"),
        )
    meaning, scheme, code = match.groups()
    return f"{_CONTEXT}~{_CATEGORY}~{scheme}^{code}^{meaning}~^^~{_REGION_CONTEXT}~^^~^^"
