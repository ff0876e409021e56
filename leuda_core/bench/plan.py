"""The runs of a bench: which method is trained on which dataset, with which augmentation and seed.

A method can be given with settings of its own, as in ``le_uda:intra_weight=0``: a variant (an ablation), which has a
row of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from leuda_core.bench.results import run_name
from leuda_core.config import MethodConfig, make_config, parse_settings
from leuda_core.errors import InputError
from leuda_core.methods import METHODS
from leuda_core.methods.controls.source_only import ContrastRandomization
from leuda_core.types import Dataset


@dataclass(frozen=True)
class Job:
    """One training of a bench. ``method`` may be a variant, ``NAME:KEY=VALUE``."""

    dataset: Dataset
    method: str
    augmentation: str
    seed: int

    @property
    def name(self) -> str:
        return run_name(self.dataset.name, self.method, augmentation=self.augmentation, seed=self.seed)


def parse_variant(text: str) -> tuple[str, dict[str, str]]:
    """Return the method's name and its own settings from ``NAME`` or ``NAME:KEY=VALUE:KEY=VALUE``.

    Raises:
        InputError: an unknown name or setting, or a value out of range.
    """
    name, *pairs = text.split(":")
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}", f"choose among {', '.join(METHODS)}, or all")
    own = parse_settings(pairs, where=f"--methods {name}")
    make_config(METHODS[name].Config, own, where=f"--methods {name}")
    if "augmentation" in own:
        raise InputError(f"--methods {text} names an augmentation", "use --augmentation")
    return name, own


def chosen_methods(names: Sequence[str]) -> list[str]:
    """Return the methods and variants without repetition, ``all`` replaced by every method.

    Raises:
        InputError: one of them is wrong, see ``parse_variant``.
    """
    chosen = [name for asked in names for name in (METHODS if asked == "all" else [asked])]
    for name in chosen:
        parse_variant(name)
    return list(dict.fromkeys(chosen))


def known_settings(config: type[MethodConfig], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the settings of a bench that a method has."""
    return {key: value for key, value in settings.items() if key in config.__struct_fields__}


def plan(
    datasets: Iterable[Dataset],
    *,
    methods: Sequence[str],
    augmentations: Sequence[str],
    seeds: Sequence[int],
    settings: Mapping[str, Any] | None = None,
) -> Iterator[Job]:
    """Yield the runs of a bench: each method on the datasets it fits, seed by seed; ``settings`` are those of all."""
    for dataset, seed, augmentation, method in product(datasets, seeds, augmentations, methods):
        name, own = parse_variant(method)
        kind = METHODS[name]
        has_target_labels = any(case.label for case in dataset.target.cases)
        # contrast_randomization is strong by definition: with the other level it would be the same run again.
        fixed = kind.Config().augmentation if kind is ContrastRandomization else augmentation
        chosen = known_settings(kind.Config, settings or {}) | own
        learns = kind.learns_target_labels(make_config(kind.Config, chosen))
        if learns == has_target_labels and fixed == augmentation:
            yield Job(dataset, method, augmentation, seed)
