"""The checks of ``bundle.json`` that need only the standard library: importing, listing and opening all make them.

Numbers are limited before any of them is used as a size. The ranges include everything that the settings of a training
allow. Unknown keys are rejected, except within the task, where versions before 0.2.0 had more of them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from leuda_core.io.streams import has_control_characters

SCHEMA_VERSION = 1
PLANES = ("acquisition", "axial", "coronal", "sagittal")
MOST_NEIGHBOURS = 4  # of a slice, on each side

LARGEST_COUNT = 2**53
"""Larger whole numbers are not exact in every JSON reader."""

_LONGEST_NUMBER = 40  # characters

Check = Callable[[str, Any], None]


def parse_json(data: bytes) -> Any:
    """Parse JSON that every reader understands in the same way.

    Raises:
        ValueError: not UTF-8, not JSON, nested too deeply, a key given twice, a number that is not finite or absurdly
            long, or half a surrogate pair.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_float,
            parse_int=_int,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair cannot be encoded
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except UnicodeEncodeError as error:
        raise ValueError("a text contains half a surrogate pair") from error
    return value


def parse_document(data: bytes) -> dict[str, Any]:
    """Parse ``bundle.json`` and check every value of it, except the checksum.

    Raises:
        ValueError: names the problem and the value.
    """
    document = parse_json(data)
    version = document.get("schema_version") if isinstance(document, dict) else None
    if type(version) is not int or version != SCHEMA_VERSION:
        raise ValueError(f"schema_version {_shown(version)} is unknown; this version reads {SCHEMA_VERSION}")
    _DOCUMENT("", document)
    values = [label["value"] for label in document["task"]["labels"]]
    if len(set(values)) != len(values):
        raise ValueError(f"label values {_shown(values)} are not unique")
    for name in ("normalization", "source_normalization"):
        _check_order(document["task"].get(name) or {})
    classes = document["predictor"]["n_classes"]
    if classes != len(values) + 1:
        raise ValueError(f"n_classes {classes} is not labels + 1 = {len(values) + 1}")
    channels, context = document["predictor"].get("in_channels", 1), document["task"].get("context", 0)
    if channels != 2 * context + 1:
        raise ValueError(f"in_channels {channels} is not 2 * context + 1 = {2 * context + 1}")
    return document


def _check_order(normalization: Mapping[str, Any]) -> None:
    low, high = (normalization.get(key, at) for key, at in _PERCENTILES.items())
    if not low < high:
        raise ValueError(f"percentiles {low} and {high} are not a range within 0 to 100")
    low, high = normalization.get("window") or (0, 1)
    if not low < high:
        raise ValueError(f"window {low} to {high} is not a range")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {_shown(key)} is given twice")
        found[key] = value
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {_shown(text)} is out of range")
    return value


def _int(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"the number {text[:10]}... has {len(text)} characters")
    return int(text)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:100]}..."


def _require(condition: bool, place: str, value: object, wanted: str) -> None:
    if not condition:
        raise ValueError(f"{place.removeprefix('.') or 'the document'} {_shown(value)} is not {wanted}")


def _text(place: str, value: Any) -> None:
    _require(isinstance(value, str), place, value, "a text")


def _name(place: str, value: Any) -> None:
    _text(place, value)
    _require(not has_control_characters(value), place, value, "a name without control characters")


def _anything(place: str, value: Any) -> None:
    pass


def _number(low: float, high: float, *, above: bool = False) -> Check:
    def check(place: str, value: Any) -> None:
        _require(isinstance(value, int | float) and not isinstance(value, bool), place, value, "a number")
        _require(low <= value <= high and not (above and value == low), place, value, f"within {low:g} to {high:g}")

    return check


def _whole(low: int, high: int) -> Check:
    def check(place: str, value: Any) -> None:
        _require(type(value) is int, place, value, "a whole number")
        _require(low <= value <= high, place, value, f"within {low} to {high}")

    return check


def _one_of(*values: object) -> Check:
    def check(place: str, value: Any) -> None:
        known = any(type(value) is type(one) and value == one for one in values)  # 1 is not True
        _require(known, place, value, f"one of {', '.join(map(str, values))}")

    return check


def _optional(inner: Check) -> Check:
    return lambda place, value: inner(place, value) if value is not None else None


def _list(inner: Check, least: int = 0, most: int = LARGEST_COUNT) -> Check:
    def check(place: str, value: Any) -> None:
        _require(isinstance(value, list), place, value, "a list")
        name = place.rpartition(".")[2]
        if not least <= len(value) <= most:
            raise ValueError(f"{place.removeprefix('.')}: {len(value)} {name}; {least} to {most} are allowed")
        for index, item in enumerate(value):
            inner(f"{place}[{index}]", item)

    return check


def _table(inner: Check) -> Check:
    def check(place: str, value: Any) -> None:
        _require(isinstance(value, dict), place, value, "an object")
        for key, item in value.items():
            inner(f"{place}[{_shown(key)}]", item)

    return check


def _record(required: Mapping[str, Check], optional: Mapping[str, Check], *, closed: bool = True) -> Check:
    known = {**required, **optional}

    def check(place: str, value: Any) -> None:
        _require(isinstance(value, dict), place, value, "an object")
        for key in required:
            if key not in value:
                raise ValueError(f"{place.removeprefix('.') or 'the document'} has no {key!r}")
        for key, item in value.items():
            if closed and key not in known:
                raise ValueError(f"{place.removeprefix('.') or 'the document'} has the unknown key {_shown(key)}")
            known.get(key, _anything)(f"{place}.{key}", item)

    return check


_COUNT = _whole(0, LARGEST_COUNT)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PERCENTILES = {"lower_percentile": 0.5, "upper_percentile": 99.5}


def _hash(place: str, value: Any) -> None:
    _require(isinstance(value, str) and bool(_SHA256.fullmatch(value)), place, value, "a sha256")


def _isotropic(place: str, value: Any) -> None:
    _text(place, value)
    axes = sorted(next((axis for axis, ends in enumerate(("RL", "AP", "SI")) if letter in ends), 3) for letter in value)
    known = value in ("", "stored") or axes == [0, 1, 2]
    _require(known, place, value, "empty, stored or three directions such as SPL")


_LABEL = _record(
    {"value": _whole(1, 65535), "name": _name},
    {"color": _list(_number(0, 1), 3, 3), "terminology": _text},
    closed=False,
)
_NORMALIZATION = _record(
    {},
    {
        **dict.fromkeys(_PERCENTILES, _number(0, 100)),
        "ignores_padding": _one_of(True, False),
        "window": _optional(_list(_number(-1e5, 1e5), 2, 2)),
    },
    closed=False,
)
_ANATOMY = _record(
    {"name": _name, "cases": _COUNT, "of": _COUNT},
    {"low_ml": _number(0, math.inf), "high_ml": _number(0, math.inf), "largest": _number(0, 1)},
    closed=False,
)
_TASK = _record(
    {
        "labels": _list(_LABEL, 1, 254),
        "spacing_mm": _number(0, 20, above=True),
        "patch_size": _whole(16, 1024),
    },
    {
        "plane": _one_of(*PLANES),
        "normalization": _NORMALIZATION,
        "source_normalization": _optional(_NORMALIZATION),
        "isotropic": _isotropic,
        "context": _whole(0, MOST_NEIGHBOURS),
        "context_mm": _number(0, math.inf),
        "zoom": _number(1, 8),
        "anatomy": _list(_ANATOMY, 0, 254),
    },
    closed=False,
)
_PREDICTOR = _record(
    {"n_classes": _whole(2, 255), "base_channels": _whole(1, 128)},
    {
        "in_channels": _one_of(*range(1, 2 * MOST_NEIGHBOURS + 2, 2)),
        "translator_channels": _whole(0, 128),
        "translator_blocks": _whole(0, 32),
        "translator_form": _one_of("change", "sum"),
        "norm": _one_of("group", "batch"),
        "reference": _one_of(True, False),
    },
)
_DOMAIN = _record(
    {"name": _text, "modality": _text}, dict.fromkeys(("cases", "labelled_cases", "labelled_slices"), _COUNT)
)
_CASE = _record({"image": _hash}, {"label": _optional(_hash), "labelled_slices": _optional(_list(_COUNT))})
_TRAINING = _record(
    {"source": _list(_CASE), "target": _list(_CASE), "device": _text}, {"threads": _COUNT, "rules": _COUNT}
)
_INFO = _record(
    {"name": _text, "method": _text, "source": _DOMAIN, "target": _DOMAIN},
    {
        "citation": _text,
        "settings": _table(_anything),
        "reasons": _table(_text),
        "steps": _COUNT,
        "seed": _COUNT,
        "metrics": _table(_optional(_number(-math.inf, math.inf))),
        "limits": _list(_text),
        "warnings": _list(_text),
        "software": _table(_text),
        "created": _text,
        "training": _TRAINING,
        "adapted_from": _hash,
    },
)
_DOCUMENT = _record(
    {
        "schema_version": _one_of(SCHEMA_VERSION),
        "task": _TASK,
        "predictor": _PREDICTOR,
        "info": _INFO,
        "files": _table(_record({"size": _COUNT, "sha256": _hash}, {})),
    },
    {"checksum": _hash},
)
