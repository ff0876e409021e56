"""Which slices of a case count as labelled, and which slice to label next. Pure functions of slice indices."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Marks:
    """The slices of one case.

    ``complete`` are used for training; ``drawn`` contain a label; ``by_structure`` maps the value of a structure to the
    slices that contain it. ``explicit``: the user has marked which slices are complete. ``repeated`` and ``overlaps``
    as in ``LabelReader``.
    """

    n_slices: int
    complete: tuple[int, ...]
    drawn: tuple[int, ...]
    explicit: bool
    by_structure: Mapping[int, tuple[int, ...]]
    repeated: tuple[str, ...] = ()
    overlaps: Mapping[tuple[int, int], int] = field(default_factory=dict)

    @property
    def unmarked(self) -> tuple[int, ...]:
        """Slices that contain labels but are not marked complete: training does not use them."""
        return tuple(index for index in self.drawn if index not in set(self.complete))

    def used(self, value: int) -> tuple[int, ...]:
        """Return the slices that training uses and that contain a structure."""
        return tuple(index for index in self.by_structure.get(value, ()) if index in set(self.complete))


def make_marks(n_slices: int, labelled: Sequence[int] | None, by_structure: Mapping[int, tuple[int, ...]]) -> Marks:
    """Return the marks of a case with labels in ``by_structure``; ``labelled=None``: every drawn slice counts."""
    drawn = tuple(sorted({index for indices in by_structure.values() for index in indices}))
    complete = drawn if labelled is None else tuple(index for index in labelled if 0 <= index < n_slices)
    return Marks(n_slices, complete, drawn, labelled is not None, by_structure)


def neighbour(complete: Collection[int], index: int, step: int) -> int | None:
    """Return the nearest labelled slice before (``step`` -1) or after (+1) ``index``."""
    beyond = [one for one in complete if (one - index) * step > 0]
    return (min(beyond) if step > 0 else max(beyond)) if beyond else None


def suggest_slice(marks: Marks) -> int | None:
    """Return the slice to label next: the one farthest from all labelled slices.

    It is within the range of the slices that contain labels until all of these are labelled, then anywhere in the
    volume; ``None`` if every slice is labelled. This only spaces the slices evenly; no model is used.
    """
    complete = set(marks.complete)
    if not complete and not marks.drawn:
        return (marks.n_slices - 1) // 2 if marks.n_slices else None
    first, last = (marks.drawn[0], marks.drawn[-1]) if marks.drawn else (0, -1)
    choices = [index for index in range(first, last + 1) if index not in complete]
    choices = choices or [index for index in range(marks.n_slices) if index not in complete]
    if not choices or not complete:
        return choices[len(choices) // 2] if choices else None
    return max(choices, key=lambda index: (min(abs(index - one) for one in complete), -index))
