"""What to say of segments that contradict each other: several of one structure, and voxels of two structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slicer.i18n import tr as _

from LEUDATrainingLib.cases.structures import Structure


def repeated_problem(case: str, repeated: Sequence[str]) -> tuple[str, str]:
    """Return (message, remedy) for the structures that have several segments with voxels in a case."""
    return (
        _("in {case}, several segments have the name {names}").format(case=case, names=", ".join(repeated)),
        _("unite them, delete those that are not needed, or rename them"),
    )


def overlap_warning(
    case: str, overlaps: Mapping[tuple[int, int], int], structures: Sequence[Structure]
) -> tuple[str, str]:
    """Return (message, remedy) for structures that overlap in a case: voxels by the values (hidden, visible)."""
    names = {structure.value: structure.name for structure in structures}
    parts = [
        _("{count} voxels of {hidden} count as {visible}").format(
            count=count, hidden=names[hidden], visible=names[visible]
        )
        for (hidden, visible), count in sorted(overlaps.items())
    ]
    return (
        _("in {case}, segments overlap: {parts}").format(case=case, parts=", ".join(parts)),
        _("erase the overlap in one of them, or order the structures so that the right one is last"),
    )
