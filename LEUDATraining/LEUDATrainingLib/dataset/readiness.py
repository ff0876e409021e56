"""What stands between the user and Start, and what to know before pressing it; each with its remedy."""

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
from LEUDATrainingLib.labels.geometry import slice_axis_of, spacing_mm
from LEUDATrainingLib.labels.label_maps import unknown_segments
from LEUDATrainingLib.parameter_node import read_json

FEW_SLICES = 5
"""Fewer labelled slices than this are a warning: the augmentation has too little to vary."""

PIXEL_RATIO, SLICE_RATIO = 2.0, 4.0
"""How many times the source's pixel size, or slice distance, the target's may be before it is worth a warning."""


@dataclass(frozen=True)
class Readiness:
    """``problems`` keep Start disabled; ``warnings`` do not. Both as (message, remedy), the gravest first."""

    problems: tuple[tuple[str, str], ...]
    warnings: tuple[tuple[str, str], ...]


def examine(parameter_node: Any, marks: CaseMarks) -> Readiness:
    """Look at everything that can be seen without reading a file or starting a process."""
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
        yield _("no structure is named"), _("add one under Structures")
    if not len(source):
        yield _("no source volume is chosen"), _("add one under Labelled source volumes")
    if not len(target):
        yield _("no target volume is chosen"), _("add one under Unlabelled target volumes")


def _case_problems(source: CaseStore, target: CaseStore) -> Iterable[tuple[str, str]]:
    for store in (source, target):
        for case in store:
            if (error := case_error(store, case)) is not None:
                yield error.message, error.remedy
    shared = [case.name for case in target if _identity(target, case) in {_identity(source, one) for one in source}]
    for name in shared:
        yield _("{name} is both source and target").format(name=name), _("remove it from one of the lists")


def case_error(store: CaseStore, case: Case) -> LeudaError | None:
    """Return what keeps a case from being used, ``None`` for a usable one."""
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
        yield _("the labelled slices of {names} are being counted").format(names=", ".join(uncounted)), _("wait for it")
    elif not any(_may_be_labelled(source, case, marks) for case in source):
        yield (
            _("no slice is labelled"),
            _("choose a source volume's segmentation, or draw on a slice under Mark labels"),
        )


def _may_be_labelled(source: CaseStore, case: Case, marks: CaseMarks) -> bool:
    found = marks.of(source, case)
    return bool(found.complete) if found is not None else bool(case.label and source.volume(case) is None)


def _plane_problems(parameter_node: Any, source: CaseStore) -> Iterable[tuple[str, str]]:
    plane = read_json(parameter_node.settings, {}).get("plane", "acquisition")
    if plane != "acquisition" and any(case.labelled is not None for case in source):
        yield (
            _("slices are marked across the acquisition plane, the method would cut {plane} ones").format(plane=plane),
            _("set the method's plane back to acquisition"),
        )


def _label_warnings(source: CaseStore, structures: Sequence[Structure], marks: CaseMarks) -> Iterable[tuple[str, str]]:
    found = [(case, one) for case in source if (one := marks.of(source, case)) is not None]
    files = any(case.label and source.volume(case) is None for case in source)
    count = sum(len(one.complete) for _case, one in found)
    if not files and count < FEW_SLICES:
        yield (
            _("only {count} labelled slices").format(count=count),
            _("label at least {few}, spread over the structure").format(few=FEW_SLICES),
        )
    if not files:
        for structure in structures:
            if not any(one.learnt(structure.value) for _case, one in found):
                yield (
                    _("{name} is on no labelled slice").format(name=structure.name),
                    _("draw it, give its segment this name, or remove the structure"),
                )
    for case, one in found:
        yield from _forgotten(source, case, one.forgotten, structures)


def _forgotten(
    source: CaseStore, case: Case, forgotten: Sequence[int], structures: Sequence[Structure]
) -> Iterable[tuple[str, str]]:
    if forgotten:
        yield (
            _("{count} slices of {name} hold labels but are not marked complete").format(
                count=len(forgotten), name=case.name
            ),
            _("mark them under Mark labels, or nothing is learnt from them"),
        )
    unknown = unknown_segments(source.segmentation(case), structures)
    if unknown:
        yield (
            _("in {name}, {segments} counts as background").format(name=case.name, segments=", ".join(unknown)),
            _("add it under Structures, or give the segment the name of a structure"),
        )


def _spacing_warnings(source: CaseStore, target: CaseStore) -> Iterable[tuple[str, str]]:
    source_mm, target_mm = _median_spacing(source), _median_spacing(target)
    if source_mm is None or target_mm is None:
        return
    kinds = ((_("pixels"), PIXEL_RATIO), (_("slices"), SLICE_RATIO))
    for (what, most), a, b in zip(kinds, source_mm, target_mm, strict=True):
        if max(a, b) > most * min(a, b):
            yield (
                _("source {what} are {a:.2g} mm apart, target {what} {b:.2g} mm").format(what=what, a=a, b=b),
                _("resample one side, or expect details to be lost"),
            )


def _median_spacing(store: CaseStore) -> tuple[float, float] | None:
    """Return the median (pixel size, slice distance) in mm of the volumes in the scene, ``None`` without any."""
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
    """Look for NVIDIA's driver: quicker than starting PyTorch, which says more under "Estimate time and memory"."""
    if sys.platform == "darwin" or not (shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists()):
        yield (
            _("no NVIDIA GPU driver was found, training runs on the processor"),
            _("estimate the time first; the quick preset shows whether it works"),
        )
