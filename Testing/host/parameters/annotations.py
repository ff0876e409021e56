"""What may stand in ``Annotated[...]`` of a parameter: a default, rules for its value, hints for its widget."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args


class Default:
    """The value of a parameter that was never set; from a generator it is made anew for each node."""

    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None):
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        return self._generator() if self._generator else self._value

    def __eq__(self, other: Any) -> bool:
        same = isinstance(other, Default)
        return same and (self._value, self._generator) == (other._value, other._generator)

    __hash__ = None


class Validator(ABC):
    """A rule for values. Subclasses raise ValueError from `validate`."""

    @abstractmethod
    def validate(self, value: Any) -> None:
        """Check a value."""


def _refuse(bad: bool, text: str) -> None:
    if bad:
        raise ValueError(text)


class NotNone(Validator):
    def validate(self, value: Any) -> None:
        _refuse(value is None, "the value must not be None")


class IsInstance(Validator):
    def __init__(self, classtype: Any):
        self.classtype = classtype

    def validate(self, value: Any) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"the value {value!r} is of type {type(value)}, not {self.classtype}")


class WithinRange(Validator):
    def __init__(self, minimum: float, maximum: float):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        _refuse(not self.minimum <= value <= self.maximum, f"{value} is not within {self.minimum} to {self.maximum}")


class Minimum(Validator):
    def __init__(self, minimum: float):
        self.minimum = minimum

    def validate(self, value: Any) -> None:
        _refuse(value < self.minimum, f"{value} is below {self.minimum}")


class Maximum(Validator):
    def __init__(self, maximum: float):
        self.maximum = maximum

    def validate(self, value: Any) -> None:
        _refuse(value > self.maximum, f"{value} is above {self.maximum}")


class Choice(Validator):
    def __init__(self, choices: Sequence[Any]):
        self.choices = choices

    def validate(self, value: Any) -> None:
        _refuse(value not in self.choices, f"{value!r} is none of {list(self.choices)}")


class Exclude(Validator):
    def __init__(self, excludedValues: Sequence[Any]):
        self.excludedValues = excludedValues

    def validate(self, value: Any) -> None:
        _refuse(value in self.excludedValues, f"{value!r} is one of {list(self.excludedValues)}")


class RangeBounds(Validator):
    """Both ends of a `FloatRange` lie between these."""

    def __init__(self, minimum: float, maximum: float):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        ends = (value.minimum, value.maximum) if hasattr(value, "minimum") else (value, value)
        _refuse(ends[0] < self.minimum or ends[1] > self.maximum, f"{value} leaves {self.minimum} to {self.maximum}")


@dataclass
class Decimals:
    """Digits after the point that the parameter's widget shows."""

    value: int


@dataclass
class SingleStep:
    """What one step of the parameter's widget adds."""

    value: float


def split(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a type without its annotations, and these."""
    plain, *annotations, _ = get_args(Annotated[kind, "end"])
    return plain, tuple(annotations)


def first(annotations: Sequence[Any], cls: type) -> Any:
    """Return the first annotation of a class, or None."""
    return next((a for a in annotations if isinstance(a, cls)), None)
