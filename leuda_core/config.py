"""The settings of runs and methods, checked when they are read. Needs msgspec, not torch.

The settings of a method are one flat, frozen struct: the fields below, shared by all methods, plus the method's own.
This struct defines the schema of ``leuda methods --json``, the fields of the graphical form and the checks of
``--set``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from leuda_core.earlier import present_settings, stored_settings
from leuda_core.errors import InputError
from leuda_core.io.private import read_regular

DEFAULT_METHOD = "self_training"
"""The method used by default; docs/RESULTS.md compares it with the others."""

DEFAULT_STEPS = 500
"""Default training steps of the segmenter, for all methods that do not set another number."""

Augmentation = Literal["paper", "strong"]

RULES = 3
"""The rules of new runs; a run keeps those that it began with."""

DEVICE_PATTERN, DEVICES = r"^(auto|cpu|mps|(cuda|xpu)(:\d+)?)$", "auto, cpu, cuda, cuda:K, xpu, xpu:K or mps"


class MethodConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that every method has."""

    augmentation: Annotated[
        Augmentation,
        Meta(
            description="paper: small rotations, scaling; strong: larger ones, random contrast, bias field, blur, noise"
        ),
    ] = "strong"
    batch_size: Annotated[int, Meta(ge=1, le=256, description="labelled slices per step")] = 8
    unlabelled_batch_size: Annotated[
        int, Meta(ge=1, le=256, description="unlabelled slices of each domain per step")
    ] = 4
    target_labels: Annotated[
        bool, Meta(description="also learn from labelled target slices, if the dataset has some")
    ] = False
    labelled_target_batch_size: Annotated[
        int, Meta(ge=1, le=256, description="labelled target slices per step, with target_labels")
    ] = 4
    learning_rate: Annotated[float, Meta(gt=0, le=1, description="learning rate of the segmenter")] = 1e-3
    ema_decay: Annotated[
        float, Meta(ge=0, lt=1, description="decay of the moving average of the segmenter's weights")
    ] = 0.99
    base_channels: Annotated[int, Meta(ge=4, le=128, description="channels in the first level of the segmenter")] = 16
    patch_size: Annotated[
        int, Meta(ge=32, le=512, multiple_of=16, description="side length of training slices, in pixels")
    ] = 96
    spacing_mm: Annotated[
        float, Meta(ge=0, le=20, description="in-plane pixel size of the network's input; 0: chosen from the data")
    ] = 0.0
    zoom: Annotated[
        float,
        Meta(ge=1, le=8, description="pixels of a second look at where structures are: so many times smaller; 1: none"),
    ] = 1.0
    plane: Annotated[
        Literal["acquisition", "axial", "coronal", "sagittal"],
        Meta(description="slicing plane; acquisition: across the axis with the largest spacing, as stored"),
    ] = "acquisition"
    rotation_deg: Annotated[
        float,
        Meta(ge=0, le=180, description="largest rotation in training, in degrees; 0: that of the augmentation level"),
    ] = 0.0
    scaling: Annotated[
        float,
        Meta(ge=0, le=4, description="largest scaling in training, as a factor; 0: that of the augmentation level"),
    ] = 0.0
    context: Annotated[
        int, Meta(ge=0, le=4, description="neighbouring slices on each side that the segmenter sees besides a slice")
    ] = 0
    context_mm: Annotated[
        float, Meta(ge=0, le=100, description="distance of neighbouring slices; 0: chosen from the data")
    ] = 0.0
    ct_window_low: Annotated[
        float,
        Meta(
            ge=-2000, le=20_000, description="CT: Hounsfield units that become black, and all below; both 0: automatic"
        ),
    ] = 0.0
    ct_window_high: Annotated[
        float,
        Meta(
            ge=-1000, le=30_000, description="CT: Hounsfield units that become white, and all above; both 0: automatic"
        ),
    ] = 0.0

    @property
    def ct_window(self) -> tuple[float, float] | None:
        """The given window of CT in Hounsfield units; ``None`` if it is chosen from the data."""
        window = (self.ct_window_low, self.ct_window_high)
        return window if any(window) else None


class RunConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that determines a run. Written to ``run.json``; the same config and seed give the same CPU run.

    ``budget_minutes`` and ``reasons`` say how steps and settings were chosen, ``step_seconds`` what a step took in
    parts of each phase, see ``runs.pace``; they do not influence the run. A run with ``start`` adapts the model of its
    folder ``start``.
    """

    dataset: str
    method: str
    settings: dict[str, Any] = {}
    steps: Annotated[int, Meta(ge=1, description="training steps of the segmenter")] = DEFAULT_STEPS
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    device: Annotated[str, Meta(pattern=DEVICE_PATTERN, description=DEVICES)] = "auto"
    checkpoint_every: Annotated[int, Meta(ge=1, description="steps between checkpoints and previews")] = 100
    rules: Annotated[
        int, Meta(ge=1, le=RULES, description="how volumes become slices and batches: 1 as in version 0.1, 3 as today")
    ] = 1
    start: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$", description="checksum of the model it goes on from")] = ""
    budget_minutes: Annotated[float, Meta(gt=0, description="time for which the steps were chosen")] | None = None
    reasons: dict[str, str] = {}
    step_seconds: dict[str, list[tuple[float, float]]] = {}


C = TypeVar("C", bound=msgspec.Struct)


def parse_settings(pairs: Iterable[str], *, where: str = "--set") -> dict[str, str]:
    """Parse ``KEY=VALUE`` arguments into settings.

    Raises:
        InputError: an argument without a key, or a key given twice.
    """
    settings: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"{where} {pair!r} is not KEY=VALUE", "write, for example, batch_size=4")
        if key in settings:
            raise InputError(f"{where} {key} is given twice ({settings[key]} and {value})", "keep one of them")
        settings[key] = value
    return present_settings(settings)


def make_config(kind: type[C], values: Mapping[str, Any], *, where: str = "--set") -> C:
    """Build a config from names and values; strings are converted to the field's type.

    Raises:
        InputError: an unknown name (suggests the closest known one) or a value out of range.
    """
    names = [field.name for field in msgspec.structs.fields(kind)]
    values = present_settings(values)
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known settings: {', '.join(sorted(names))}"
            raise InputError(f"{where}: unknown setting {key!r}", hint)
    try:
        made = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        reason, _, key = str(error).partition(" - at `$.")
        key = key.rstrip("`")
        raise InputError(f"{where}: {key}={values.get(key)!r} is not allowed", _allowed(kind, key, reason)) from error
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: {error.object!a} is not text", "write it as UTF-8") from error
    if isinstance(made, MethodConfig) and made.ct_window and made.ct_window_low >= made.ct_window_high:
        what = f"ct_window_low={made.ct_window_low:g} is not below ct_window_high={made.ct_window_high:g}"
        raise InputError(f"{where}: {what}", "give a lower and a higher value, or 0 for both to have them chosen")
    return made


def _allowed(kind: type[msgspec.Struct], key: str, reason: str) -> str:
    """Return the allowed values of a setting; for numbers, this is ``reason``."""
    field = config_schema(kind)["properties"].get(key, {})
    if "enum" in field:
        return f"use one of {', '.join(field['enum'])}"
    return f"use {field['description']}" if "pattern" in field else reason[0].lower() + reason[1:]


def read_run_config(path: Path) -> RunConfig:
    """Read the ``run.json`` of a run.

    Raises:
        InputError: the file is damaged.
    """
    try:
        config = msgspec.json.decode(read_regular(path), type=RunConfig)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: {error}", "restore the file, or train again") from error
    return msgspec.structs.replace(config, settings=stored_settings(config.settings))


def config_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON schema of a config: type, range, default and description of each field."""
    schema = msgspec.json.schema(kind)
    return schema["$defs"][kind.__name__]
