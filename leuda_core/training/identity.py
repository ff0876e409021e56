"""What identifies a training: in its checkpoints, which must agree with it, and in its bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from leuda_core.bundle.schema import CaseDigest, TrainingRecord
from leuda_core.config import MethodConfig, RunConfig
from leuda_core.data.fingerprint import DataRecord
from leuda_core.devices import is_out_of_memory
from leuda_core.errors import InputError
from leuda_core.methods.base import Method

_MOVABLE = {"translator"}
"""Settings that name a place. The checkpoint holds what was read from there."""
_CHANGING = {"lr", "params"}
"""Values of an optimiser that need not be those at the start."""
_ANEW = "train again into a new folder"


def identity(config: RunConfig, settings: MethodConfig, data: str) -> dict[str, Any]:
    """Return what every checkpoint of a run records; ``data`` is the hash of what it learns from."""
    return {
        "method": config.method,
        "seed": config.seed,
        "steps": config.steps,
        "settings": msgspec.to_builtins(settings),
        "data": data,
        **({"start": config.start} if config.start else {}),
    }


def without_places(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings for a bundle, which is passed on: of a place, only the name of the folder."""
    return {name: Path(value).name if name in _MOVABLE else value for name, value in settings.items()}


def with_places(settings: Mapping[str, Any], of_the_run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a bundle with the places that its run names."""
    return {name: of_the_run.get(name, value) if name in _MOVABLE else value for name, value in settings.items()}


def training_record(data: DataRecord, device: torch.device, rules: int) -> TrainingRecord:
    """Return what the bundle of a run records, to reproduce it; ``rules`` as in ``RunConfig``."""
    threads = torch.get_num_threads() if device.type == "cpu" else 0
    source, target = case_digests(data, "source"), case_digests(data, "target")
    return TrainingRecord(source=source, target=target, device=device.type, threads=threads, rules=rules)


def case_digests(data: DataRecord, role: str) -> tuple[CaseDigest, ...]:
    """Return the cases of ``source`` or ``target`` as a bundle records them."""
    return tuple(
        CaseDigest(
            image=case.image.sha256,
            label=case.label.sha256 if case.label else None,
            labelled_slices=case.labelled_slices,
        )
        for case in data.cases
        if case.role == role
    )


def take_state(method: Method, state: Mapping[str, Any], *, belongs_to: Mapping[str, Any], total: int) -> None:
    """Continue from the state of a checkpoint of the run with this identity and this number of steps.

    Checkpoints of version 0.1.0 record no identity; theirs is not compared.

    Raises:
        InputError: the state is of another run, of other settings, or lacks something. The method is then in no
            usable state; another checkpoint may be taken.
    """
    _check_same_run(state.get("run"), belongs_to)
    if not 0 <= state["step"] <= total:
        raise InputError(f"the checkpoint is of step {state['step']}, the run has {total} steps", _ANEW)
    fresh = method.checkpoint()["optimizers"]
    try:
        for tensor in _tensors([state["networks"], state["optimizers"]]):
            _check_ordinary(tensor)
        method.restore(dict(state))
        _check_optimizers(method, fresh)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200]
        what = f"the checkpoint does not fit the networks of {belongs_to['method']!r} with the settings of this run"
        raise InputError(f"{what} ({type(error).__name__}: {reason})", f"restore run.json, or {_ANEW}") from error


def _check_same_run(recorded: object, present: Mapping[str, Any]) -> None:
    if recorded is None:
        return
    if not isinstance(recorded, dict):
        raise InputError("the checkpoint does not name its run", _ANEW)
    before, now = (dict(one) | dict(one.get("settings") or {}) for one in (recorded, present))
    for name in ("method", "seed", "steps", "start", *sorted(present["settings"].keys() - _MOVABLE)):
        plain = isinstance(before.get(name), str | int | float | None)  # a tensor cannot be compared like this
        if name in before and not (plain and before[name] == now.get(name)):
            known = " ".join(repr(before[name]).split())[:80]
            what = f"the checkpoint was written with {name}={known}, the run has {name}={now.get(name)!r}"
            raise InputError(what, f"restore run.json, or {_ANEW}")
    if recorded.get("data") != present["data"]:
        raise InputError("the checkpoint was written with other volumes or labels", f"put them back, or {_ANEW}")


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield all tensors of nested tables and lists."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(item)


def _check_ordinary(tensor: Tensor) -> None:
    """Refuse what PyTorch loads with a warning, or loads and cannot use in the next step.

    Raises:
        ValueError: names the kind of tensor.
    """
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_meta:
        raise ValueError(f"a tensor is {tensor.layout}, {tensor.dtype}, on {tensor.device.type}")
    if not (tensor.is_contiguous() or tensor.is_contiguous(memory_format=torch.channels_last)):
        raise ValueError(f"a tensor of shape {list(tensor.shape)} has the strides {list(tensor.stride())}")


def _check_optimizers(method: Method, fresh: Mapping[str, Any]) -> None:
    """Compare what PyTorch does not compare when it loads an optimiser.

    Raises:
        ValueError: names what is missing or different.
    """
    for name, optimizer in method.optimizers.items():
        for group, expected in zip(optimizer.param_groups, fresh[name]["param_groups"], strict=True):
            for key, value in expected.items():
                same = key in group and type(group[key]) is type(value) and (key in _CHANGING or group[key] == value)
                if not same:
                    raise ValueError(f"optimiser {name!r}: {key!r} is missing or another one")
            if not 0 <= group["lr"] <= 1:
                raise ValueError(f"optimiser {name!r}: 'lr' is {group['lr']}")
            for parameter in group["params"]:
                moments = optimizer.state.get(parameter)
                if moments and any(
                    key not in moments or moments[key].shape != parameter.shape for key in ("exp_avg", "exp_avg_sq")
                ):
                    raise ValueError(f"optimiser {name!r}: moments are missing or of another shape")
                step = torch.as_tensor(moments["step"] if moments else 0).detach()
                if moments and (step.dtype == torch.bool or not float(step) >= 0):
                    raise ValueError(f"optimiser {name!r}: 'step' is {moments['step']}")
