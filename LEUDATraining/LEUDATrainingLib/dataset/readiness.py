"""What prevents a training from starting, and what to know before; each with its remedy."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from leuda_core.errors import InputError, LeudaError
from LEUDASegmentationLib.scene.geometry import parent_matrix, volume_shape, world_affine
from LEUDASegmentationLib.scene.volumes import check_volume
from LEUDATrainingLib.cases.cases import Case, CaseStore, missing_volume
from LEUDATrainingLib.cases.structures import Structure, read_structures
from LEUDATrainingLib.labels.case_marks import CaseMarks
from LEUDATrainingLib.labels.conflicts import overlap_warning, repeated_problem
from LEUDATrainingLib.labels.geometry import slice_axis_of, spacing_mm
from LEUDATrainingLib.labels.segment_names import unknown_segments
from LEUDATrainingLib.parameter_node import read_json

FEW_SLICES = 5
"""Fewer labelled slices than this cause a warning."""

PIXEL_RATIO, SLICE_RATIO = 2.0, 4.0
"""The ratios of the pixel sizes, and of the slice distances, of source and target above which a warning is shown."""


@dataclass(frozen=True)
class Readiness:
    """``problems`` disable Start; ``warnings`` do not. Both are (message, remedy), the most severe first."""

    problems: tuple[tuple[str, str], ...]
    warnings: tuple[tuple[str, str], ...]


def examine(parameter_node: Any, marks: CaseMarks) -> Readiness:
    """Check everything that can be checked without reading a file or starting a process."""
    source, target = CaseStore(parameter_node, "source"), CaseStore(parameter_node, "target")
    structures = read_structures(parameter_node)
    problems = [
        *_emptiness(structures, source, target),
        *_case_problems(source, target),
        *_label_problems(source, structures, marks),
        *_plane_problems(parameter_node, source),
    ]
    warnings: list[tuple[str, str]] = []
    if not problems:
        warnings = [*_label_warnings(source, structures, marks), *_spacing_warnings(source, target), *_gpu_warnings()]
    return Readiness(tuple(problems), tuple(warnings))


def _emptiness(structures: Sequence[Structure], source: CaseStore, target: CaseStore) -> Iterable[tuple[str, str]]:
    if not structures:
        yield _("there are no structures"), _("add one in step 1")
    if not len(source):
        yield _("there are no source volumes"), _("add one in step 2")
    if not len(target):
        yield _("there are no target volumes"), _("add one in step 3")


def _case_problems(source: CaseStore, target: CaseStore) -> Iterable[tuple[str, str]]:
    for store in (source, target):
        for case in store:
            if (error := case_error(store, case)) is not None:
                yield error.message, error.remedy
    of_source = {_identity(source, case) for case in source}
    for name in (case.name for case in target if _identity(target, case) in of_source):
        yield _("“{name}” is both a source and a target volume").format(name=name), _("remove it from one of the lists")


def case_error(store: CaseStore, case: Case) -> LeudaError | None:
    """Return why a case cannot be used; ``None`` if it can."""
    if store.is_missing(case):
        return missing_volume(case)
    volume, segmentation = store.volume(case), store.segmentation(case)
    try:
        for node in (volume, segmentation):
            if node is not None:
                _check_node(node)
    except InputError as error:
        return error
    return None


def _check_node(node: Any) -> None:
    if node.IsA("vtkMRMLVolumeNode"):
        check_volume(node)
    parent_matrix(node)


def _identity(store: CaseStore, case: Case) -> str:
    volume = store.volume(case)
    return volume.GetID() if volume is not None else str(Path(case.image).absolute())


def _label_problems(source: CaseStore, structures: Sequence[Structure], marks: CaseMarks) -> Iterable[tuple[str, str]]:
    if not len(source) or not structures:
        return
    uncounted = [case.name for case in source if marks.of(source, case) is None and marks.is_counting(case)]
    if uncounted:
        yield (
            _("the labelled slices of {names} are being counted").format(names=", ".join(uncounted)),
            _("wait until this is done"),
        )
    elif not any(_may_be_labelled(source, case, marks) for case in source):
        yield (
            _("no slice is labelled"),
            _("choose the segmentation of a source volume, or draw on a slice with Mark Slices in step 2"),
        )
    for case in source:
        found = marks.of(source, case)
        if found is not None and found.repeated:
            yield repeated_problem(case.name, found.repeated)


def _may_be_labelled(source: CaseStore, case: Case, marks: CaseMarks) -> bool:
    found = marks.of(source, case)
    return bool(found.complete) if found is not None else bool(case.label and source.volume(case) is None)


def _plane_problems(parameter_node: Any, source: CaseStore) -> Iterable[tuple[str, str]]:
    plane = read_json(parameter_node.settings, {}).get("plane", "acquisition")
    if plane != "acquisition" and any(case.labelled is not None for case in source):
        yield (
            _("slices are marked in the acquisition plane, but the method uses {plane} slices").format(plane=plane),
            _("set Plane in the advanced settings of the method to acquisition"),
        )


def _label_warnings(source: CaseStore, structures: Sequence[Structure], marks: CaseMarks) -> Iterable[tuple[str, str]]:
    found = [(case, one) for case in source if (one := marks.of(source, case)) is not None]
    files = any(case.label and source.volume(case) is None for case in source)
    count = sum(len(one.complete) for _case, one in found)
    if not files and count < FEW_SLICES:
        yield (
            _("only {count} labelled slices").format(count=count),
            _("label at least {few}, distributed over the structure").format(few=FEW_SLICES),
        )
    if not files:
        for structure in structures:
            if not any(one.used(structure.value) for _case, one in found):
                yield (
                    _("no labelled slice contains {name}").format(name=structure.name),
                    _("draw it, rename its segment to this name, or remove the structure"),
                )
    for case, one in found:
        if one.overlaps:
            yield overlap_warning(case.name, one.overlaps, structures)
        yield from _unused_labels(source, case, one.unmarked, structures)


def _unused_labels(
    source: CaseStore, case: Case, unmarked: Sequence[int], structures: Sequence[Structure]
) -> Iterable[tuple[str, str]]:
    if unmarked:
        yield (
            _("{count} slices of {name} contain labels but are not marked complete").format(
                count=len(unmarked), name=case.name
            ),
            _("mark them with Mark Slices in step 2; otherwise they are not used for training"),
        )
    unknown = unknown_segments(source.segmentation(case), structures)
    if unknown:
        yield (
            _("in {name}, these segments count as background: {segments}").format(
                name=case.name, segments=", ".join(unknown)
            ),
            _("add them in step 1, or rename them to the names of structures"),
        )


def _spacing_warnings(source: CaseStore, target: CaseStore) -> Iterable[tuple[str, str]]:
    source_mm, target_mm = _median_spacing(source), _median_spacing(target)
    if source_mm is None or target_mm is None:
        return
    kinds = ((_("pixel size"), PIXEL_RATIO), (_("slice distance"), SLICE_RATIO))
    for (what, most), a, b in zip(kinds, source_mm, target_mm, strict=True):
        if max(a, b) > most * min(a, b):
            yield (
                _("the {what} is {a:.2g} mm in source volumes, {b:.2g} mm in target volumes").format(
                    what=what, a=a, b=b
                ),
                _("resample the volumes of one domain, or expect that details are lost"),
            )


def _median_spacing(store: CaseStore) -> tuple[float, float] | None:
    """Return the median (pixel size, slice distance) in mm of the volumes in the scene; ``None`` if there are none."""
    found = []
    for case in store:
        volume = store.volume(case)
        if volume is None or 0 in volume_shape(volume):
            continue
        spacing, axis = spacing_mm(world_affine(volume)), slice_axis_of(volume)
        found.append((float(np.delete(spacing, axis).mean()), float(spacing[axis])))
    if not found:
        return None
    pixel, distance = np.median(found, axis=0)
    return float(pixel), float(distance)


def _gpu_warnings() -> Iterable[tuple[str, str]]:
    """Look for the NVIDIA driver. This is faster than starting PyTorch, which "Estimate time and memory" does."""
    if sys.platform == "darwin" or not (shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists()):
        yield (
            _("no NVIDIA driver was found: training will run on the CPU"),
            _("estimate the time first, or choose a short one"),
        )
