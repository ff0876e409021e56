"""Parameter packs: several values that belong together, kept under one name in the parameter node."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from host.parameters.annotations import Default, NotNone, first, split
from host.parameters.containers import modifying
from host.parameters.serializers import serializer_for
from host.parameters.value_serializers import Serializer


@dataclass
class Member:
    """One parameter of a wrapper or a pack."""

    basename: str
    serializer: Serializer
    default: Default
    unalteredType: Any


def members_of(cls: type) -> dict[str, Member]:
    """Return the annotated members of a class, in their order."""
    found = {}
    for name, kind in typing.get_type_hints(cls, include_extras=True).items():
        serializer = serializer_for(kind)
        default = Default(getattr(cls, name)) if hasattr(cls, name) else first(split(kind)[1], Default)
        found[name] = Member(name, serializer, default or Default(generator=serializer.default), kind)
    return found


def member_type(cls: Any, name: str) -> Any:
    """Return the annotated type of "member" or "pack.member".

    Raises:
        ValueError: there is none of that name.
    """
    top, _, rest = name.partition(".")
    if top not in cls.allParameters:
        raise ValueError(f"there is no parameter '{top}'; there are {', '.join(cls.allParameters)}")
    kind = cls.allParameters[top].unalteredType
    return member_type(split(kind)[0], rest) if rest else kind


def isParameterPack(obj: Any) -> bool:
    return getattr(obj, "_is_parameterPack", False)


def nestedParameterNames(pack: Any) -> list[str]:
    """Return the dotted names of all values of a pack."""
    names = []
    for name, member in (pack if isParameterPack(pack) else split(pack)[0]).allParameters.items():
        plain = split(member.unalteredType)[0]
        names += [f"{name}.{inner}" for inner in nestedParameterNames(plain)] if isParameterPack(plain) else [name]
    return names


def parameterPack(cls: type | None = None) -> Any:
    """Class decorator: the annotated members become checked values with defaults."""
    return _make(cls) if cls is not None else _make


def _make(cls: type) -> type:
    members = members_of(cls)
    if not members:
        raise ValueError(f"the parameter pack {cls.__name__} has no members")
    cls.allParameters, cls._is_parameterPack = members, True
    for name, member in members.items():
        setattr(cls, name, _property(name, member.serializer))
    own = cls.__dict__.get("__init__")
    cls.__init__ = _init if own is None else lambda self, *a, **k: (_init(self), own(self, *a, **k))[1]
    cls.__eq__ = cls.__dict__.get("__eq__", _equal)
    cls.__hash__ = None
    cls.__repr__ = cls.__dict__.get("__repr__", _show)
    cls.getValue, cls.setValue = _get, _set
    cls.dataType = classmethod(member_type)
    return cls


def _property(name: str, serializer: Serializer) -> property:
    def write(self: Any, value: Any) -> None:
        serializer.validate(value)
        self.__dict__[f"_value_{name}"] = value
        self.__dict__.get("_save", lambda: None)()

    return property(lambda self: self.__dict__[f"_value_{name}"], write)


def _init(self: Any, *args: Any, **kwargs: Any) -> None:
    given = {**dict(zip(self.allParameters, args, strict=False)), **kwargs}
    unknown = [name for name in given if name not in self.allParameters]
    if unknown or len(args) > len(self.allParameters):
        raise TypeError(f"{type(self).__name__} takes {', '.join(self.allParameters)}, not {unknown or args}")
    for name, member in self.allParameters.items():
        setattr(self, name, given.get(name, member.default.value))


def _equal(self: Any, other: Any) -> bool:
    same = type(other) is type(self)
    return same and all(getattr(self, name) == getattr(other, name) for name in self.allParameters)


def _show(self: Any) -> str:
    return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.allParameters)})"


def _get(self: Any, name: str) -> Any:
    top, _, rest = name.partition(".")
    member_type(type(self), name)
    return getattr(self, top).getValue(rest) if rest else getattr(self, top)


def _set(self: Any, name: str, value: Any) -> None:
    top, _, rest = name.partition(".")
    member_type(type(self), name)
    if rest:
        getattr(self, top).setValue(rest, value)
        self.__dict__.get("_save", lambda: None)()
    else:
        setattr(self, top, value)


class PackSerializer(Serializer):
    """A pack, each member under "name.member". What is read writes itself when a member is set."""

    def __init__(self, kind: Any):
        super().__init__(kind, NotNone())

    def _parts(self, name: str) -> list[tuple[str, Member]]:
        return [(f"{name}.{member.basename}", member) for member in self.kind.allParameters.values()]

    def isIn(self, node: Any, name: str) -> bool:
        full, member = self._parts(name)[0]
        return member.serializer.isIn(node, full)

    def write(self, node: Any, name: str, value: Any) -> None:
        self.validate(value)
        with modifying(node):
            for full, member in self._parts(name):
                member.serializer.write(node, full, getattr(value, member.basename))

    def read(self, node: Any, name: str) -> Any:
        pack = self.kind.__new__(self.kind)
        for full, member in self._parts(name):
            value = member.serializer.read(node, full)
            _observe(value, lambda: self.write(node, name, pack))
            pack.__dict__[f"_value_{member.basename}"] = value
        pack.__dict__["_save"] = lambda: self.write(node, name, pack)
        return pack

    def remove(self, node: Any, name: str) -> None:
        for full, member in self._parts(name):
            member.serializer.remove(node, full)


def _observe(value: Any, save: Callable[[], None]) -> None:
    if isParameterPack(value):
        value.__dict__["_save"] = save


@parameterPack
class FloatRange:
    """Two numbers, the first not above the second."""

    _minimum: float
    _maximum: float

    def __init__(self, minimum: float = 0, maximum: float = 0):
        self.setRange(minimum, maximum)

    def setRange(self, minimum: float, maximum: float) -> None:
        if minimum > maximum:
            raise ValueError(f"the range {minimum} to {maximum} is upside down")
        self._minimum, self._maximum = minimum, maximum

    @property
    def minimum(self) -> float:
        return self._minimum

    @minimum.setter
    def minimum(self, value: float) -> None:
        self.setRange(value, self._maximum)

    @property
    def maximum(self) -> float:
        return self._maximum

    @maximum.setter
    def maximum(self, value: float) -> None:
        self.setRange(self._minimum, value)
