"""Training one run of a bench, in a process of its own; what an interrupted bench left behind is continued.

One CycleGAN per dataset and seed serves all methods that translate.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leuda_core.bench.plan import Job, known_settings, parse_variant
from leuda_core.config import MethodConfig, make_config
from leuda_core.errors import LeudaError
from leuda_core.io.children import UTF8_MODE
from leuda_core.methods import METHODS
from leuda_core.methods.cyclegan import TRANSLATOR_FILE, CycleGan, TranslatingMethod, TranslatorConfig
from leuda_core.runs.folder import Run
from leuda_core.training.plans.rules import side_steps
from leuda_core.training.run import create_run

_TRANSLATOR = set(TranslatorConfig.__struct_fields__) - set(MethodConfig.__struct_fields__)
"""Settings of the translator: a variant that changes one of them cannot use the shared translator."""


@dataclass(frozen=True)
class Bench:
    """What all runs of a bench share. ``settings`` apply to the methods that know them."""

    out: Path
    steps: int
    device: str
    settings: Mapping[str, Any]


def train_job(job: Job, bench: Bench) -> Run:
    """Return the finished run of a job, trained now or continued.

    Raises:
        LeudaError: the training failed.
    """
    run = Run(bench.out / "runs" / job.name)
    if not run.config.exists():
        name, _ = parse_variant(job.method)
        choice: dict[str, Any] = {
            "steps": bench.steps,
            "seed": job.seed,
            "device": bench.device,
            "settings": _settings(job, bench),
        }
        shutil.rmtree(run.path, ignore_errors=True)
        create_run(_file_of(job), name, run.path, checkpoint_every=500, **choice)
    _finish(run)
    return run


def _file_of(job: Job) -> Path:
    assert job.dataset.path is not None, "a bench reads its datasets from files"
    return job.dataset.path


def _settings(job: Job, bench: Bench) -> dict[str, Any]:
    name, own = parse_variant(job.method)
    kind = METHODS[name]
    chosen = known_settings(kind.Config, bench.settings) | {"augmentation": job.augmentation}
    translates = issubclass(kind, TranslatingMethod) and make_config(kind.Config, chosen).translator_steps
    if translates and not own.keys() & _TRANSLATOR:
        chosen["translator"] = str(_shared_translator(job, bench, settings=chosen))
    return chosen | own


def _shared_translator(job: Job, bench: Bench, *, settings: Mapping[str, Any]) -> Path:
    """Return the folder of the CycleGAN of a dataset and seed, trained on first use."""
    run = Run(bench.out / "translators" / f"{job.dataset.name}-{job.seed}")
    if not run.config.exists():
        chosen = known_settings(CycleGan.Config, settings)
        usual = {"translator_steps": make_config(CycleGan.Config, chosen).translator_steps}
        if "translator_steps" not in bench.settings:  # as long as for one of the methods that share it
            chosen |= side_steps(usual, bench.steps).settings
        create_run(_file_of(job), "cyclegan", run.path, steps=1, seed=job.seed, device=bench.device, settings=chosen)
    if not (run.path / TRANSLATOR_FILE).exists():
        _finish(run)
    return run.path


def _finish(run: Run) -> None:
    """Train a run to its end in a process of its own, so that its peak memory is its own too."""
    command = [sys.executable, *UTF8_MODE, "-m", "leuda_core", "resume", str(run.path)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise LeudaError(f"{run.path.name}: {lines[-1]}", f"see {run.log}")
