"""Lists and dictionaries that write themselves into the parameter node when they change.

``save`` writes new values and returns them as the node has them: lists in a list are such lists themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, MutableSequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def modifying(node: Any) -> Iterator[None]:
    """One event for several changes of a node."""
    before = node.StartModify()
    try:
        yield
    finally:
        node.EndModify(before)


class ObservedList(MutableSequence):
    """A parameter that is a list. Making a new list of it with + or * is refused, as in Slicer."""

    def __init__(self, save: Callable[[list[Any]], list[Any]], values: list[Any]):
        self._save, self._list = save, values

    def _changed(self, values: list[Any]) -> None:
        self._list = self._save(values)

    def __len__(self) -> int:
        return len(self._list)

    def __getitem__(self, index: Any) -> Any:
        return self._list[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        values = list(self._list)
        values[index] = value
        self._changed(values)

    def __delitem__(self, index: Any) -> None:
        values = list(self._list)
        del values[index]
        self._changed(values)

    def insert(self, index: int, value: Any) -> None:
        values = list(self._list)
        values.insert(index, value)
        self._changed(values)

    def extend(self, values: Any) -> None:
        self._changed([*self._list, *values])

    def clear(self) -> None:
        self._changed([])

    def sort(self, **how: Any) -> None:
        self._changed(sorted(self._list, **how))

    def reverse(self) -> None:
        self._changed(self._list[::-1])

    def __iadd__(self, values: Any) -> ObservedList:
        self.extend(values)
        return self

    def __add__(self, other: Any) -> Any:
        raise NotImplementedError("adding to a parameter's list makes no list; use +=, or list(x) + y")

    __radd__ = __mul__ = __rmul__ = __add__

    def __imul__(self, times: int) -> ObservedList:
        self._changed(self._list * times)
        return self

    def __eq__(self, other: Any) -> bool:
        return self._list == (other._list if isinstance(other, ObservedList) else other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"ObservedList({self._list})"


class ObservedDict(MutableMapping):
    """A parameter that is a dictionary."""

    def __init__(self, save: Callable[[dict[Any, Any]], dict[Any, Any]], values: dict[Any, Any]):
        self._save, self._dict = save, values

    def _changed(self, values: dict[Any, Any]) -> None:
        self._dict = self._save(values)

    def __getitem__(self, key: Any) -> Any:
        return self._dict[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._changed({**self._dict, key: value})

    def __delitem__(self, key: Any) -> None:
        values = dict(self._dict)
        del values[key]
        self._changed(values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._dict)

    def __len__(self) -> int:
        return len(self._dict)

    def popitem(self) -> tuple[Any, Any]:
        """Remove the last entry, as a dictionary does."""
        key = list(self._dict)[-1]
        return key, self.pop(key)

    def clear(self) -> None:
        self._changed({})

    def __eq__(self, other: Any) -> bool:
        return self._dict == (other._dict if isinstance(other, ObservedDict) else other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"ObservedDict({self._dict})"
