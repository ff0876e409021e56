"""Settings: what a run is asked to do, checked on the way in. Needs msgspec, not torch.

A method's settings are one flat, frozen struct: the fields below that all methods share, plus the method's own. The
same struct gives ``leuda methods --json`` its schema, the graphical form its fields and ``--set`` its checks.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from leuda_core.errors import InputError

DEFAULT_METHOD = "self_training"
"""What trains when nobody chooses: docs/RESULTS.md says how it compares."""

DEFAULT_STEPS = 500
"""Training steps of the segmenter when nobody chooses, for all methods that need no other number."""

Augmentation = Literal["paper", "strong"]

DEVICE_PATTERN = r"^(auto|cpu|cuda(:\d+)?)$"


class MethodConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that every method has."""

    augmentation: Annotated[
        Augmentation,
        Meta(description="paper: mild rotation, scaling; strong: wide ones, random contrast, bias field, blur, noise"),
    ] = "strong"
    batch_size: Annotated[int, Meta(ge=1, le=256, description="labelled slices in one step")] = 8
    unlabeled_batch_size: Annotated[
        int, Meta(ge=1, le=256, description="unlabelled slices of each domain in one step")
    ] = 4
    learning_rate: Annotated[float, Meta(gt=0, le=1, description="step size of the segmenter's optimiser")] = 1e-3
    ema_decay: Annotated[float, Meta(ge=0, lt=1, description="decay of the moving average of the weights")] = 0.99
    base_channels: Annotated[int, Meta(ge=4, le=128, description="channels of the segmenter's first level")] = 16
    patch_size: Annotated[
        int, Meta(ge=32, le=512, multiple_of=16, description="side of a training slice in pixels")
    ] = 96
    spacing_mm: Annotated[
        float, Meta(ge=0, le=20, description="in-plane pixel size the network works at; 0 chooses it from the data")
    ] = 0.0
    plane: Annotated[
        Literal["acquisition", "axial", "coronal", "sagittal"],
        Meta(description="how volumes are cut into slices; acquisition: across the largest spacing, as stored"),
    ] = "acquisition"


class RunConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides a run. Written to ``run.json``; the same config and seed give the same CPU run."""

    dataset: str
    method: str
    settings: dict[str, Any] = {}
    steps: Annotated[int, Meta(ge=1, description="training steps of the segmenter")] = DEFAULT_STEPS
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    device: Annotated[str, Meta(pattern=DEVICE_PATTERN, description="auto, cpu, cuda or cuda:K")] = "auto"
    checkpoint_every: Annotated[int, Meta(ge=1, description="steps between checkpoints and previews")] = 100


C = TypeVar("C", bound=msgspec.Struct)


def parse_settings(pairs: Iterable[str], *, where: str = "--set") -> dict[str, str]:
    """Return the settings of ``KEY=VALUE`` words.

    Raises:
        InputError: a word without a key, or a key given twice.
    """
    settings: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"{where} {pair!r} is not KEY=VALUE", "write for example batch_size=4")
        if key in settings:
            raise InputError(f"{where} {key} is given twice ({settings[key]} and {value})", "keep one of them")
        settings[key] = value
    return settings


def make_config(kind: type[C], values: Mapping[str, Any], *, where: str = "--set") -> C:
    """Build a config from names and values; strings are converted to the field's type.

    Raises:
        InputError: an unknown name (with the nearest known one) or a value out of range, named.
    """
    names = [field.name for field in msgspec.structs.fields(kind)]
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known settings: {', '.join(sorted(names))}"
            raise InputError(f"{where}: unknown setting {key!r}", hint)
    try:
        return msgspec.convert(dict(values), kind, strict=False)
    except msgspec.ValidationError as error:
        reason, _, key = str(error).partition(" - at `$.")
        key = key.rstrip("`")
        raise InputError(f"{where}: {key}={values.get(key)!r} is not allowed", _allowed(kind, key, reason)) from error


def _allowed(kind: type[msgspec.Struct], key: str, reason: str) -> str:
    """Return what a setting may be; ``reason`` says it well enough for numbers."""
    field = config_schema(kind)["properties"].get(key, {})
    if "enum" in field:
        return f"use one of {', '.join(field['enum'])}"
    return f"use {field['description']}" if "pattern" in field else reason[0].lower() + reason[1:]


def read_run_config(path: Path) -> RunConfig:
    """Read the ``run.json`` of a run.

    Raises:
        InputError: the file has been damaged.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunConfig)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}", "restore the file, or train again") from error


def config_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON schema of a config: per field its type, range, default and description."""
    schema = msgspec.json.schema(kind)
    return schema["$defs"][kind.__name__]
