"""The call of a training, checked before any volume is opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from leuda_core.config import RULES, RunConfig, make_config
from leuda_core.data.dataset import load_dataset
from leuda_core.methods import find_method


def make_run_config(
    dataset: Path | str, method: str, *, settings: Mapping[str, Any] | None = None, **options: Any
) -> RunConfig:
    """Check a call and return the config of its run; an option that is ``None`` takes its default.

    Raises:
        InputError: the method, a setting, an option or the dataset file is wrong. Volumes are not opened.
    """
    kind = find_method(method)
    values = {
        "dataset": str(load_dataset(dataset).path),
        "method": method,
        "settings": msgspec.to_builtins(make_config(kind.Config, settings or {})),
        "steps": kind.default_steps,
        "rules": RULES,
        **{name: value for name, value in options.items() if value is not None},
    }
    return make_config(RunConfig, values, where="train")
