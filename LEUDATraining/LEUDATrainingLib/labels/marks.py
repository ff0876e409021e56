"""Which slices of a case count as labelled, and which one to label next. Pure functions of slice indices."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Marks:
    """The slices of one case.

    ``complete`` are those that training learns from; ``drawn`` hold some label; ``by_structure`` maps a structure's
    value to the slices that hold it. ``explicit``: somebody said which slices are complete.
    """

    n_slices: int
    complete: tuple[int, ...]
    drawn: tuple[int, ...]
    explicit: bool
    by_structure: Mapping[int, tuple[int, ...]]

    @property
    def forgotten(self) -> tuple[int, ...]:
        """Slices that hold labels but are not marked complete: nothing is learnt from them."""
        return tuple(index for index in self.drawn if index not in set(self.complete))

    def learnt(self, value: int) -> tuple[int, ...]:
        """Return the slices that training learns a structure from."""
        return tuple(index for index in self.by_structure.get(value, ()) if index in set(self.complete))


def make_marks(n_slices: int, labelled: Sequence[int] | None, by_structure: Mapping[int, tuple[int, ...]]) -> Marks:
    """Return the marks of a case whose labels lie in ``by_structure``; ``labelled=None``: every drawn slice counts."""
    drawn = tuple(sorted({index for indices in by_structure.values() for index in indices}))
    complete = drawn if labelled is None else tuple(index for index in labelled if 0 <= index < n_slices)
    return Marks(n_slices, complete, drawn, labelled is not None, by_structure)


def neighbour(complete: Collection[int], index: int, step: int) -> int | None:
    """Return the labelled slice next to ``index``, before it (``step`` -1) or after it (+1)."""
    beyond = [one for one in complete if (one - index) * step > 0]
    return (min(beyond) if step > 0 else max(beyond)) if beyond else None


def suggest_slice(marks: Marks) -> int | None:
    """Return the slice to label next: the one farthest from all labelled ones.

    It lies within the range of the slices that hold labels as long as that has slices left, else anywhere in the
    volume; ``None`` when every slice is labelled. Even spacing is all there is to it: no model is asked.
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
