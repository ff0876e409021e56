"""The training loop of all methods. It writes everything about a run to its folder.

The random numbers of a step depend only on the seed and the step, so a checkpoint needs no random state: a run that was
killed and resumed ends with the same weights as an uninterrupted one, bit for bit on the same CPU (a different number
of threads changes the order of sums).
"""

from __future__ import annotations

import logging
import pickle
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from leuda_core.bundle.model import save_bundle
from leuda_core.bundle.schema import BundleInfo, DomainSummary
from leuda_core.config import make_config, read_run_config
from leuda_core.data.dataset import load_dataset
from leuda_core.data.loaders import CachedCase, SliceLoader, make_task
from leuda_core.devices import autocast, choose_device, is_out_of_memory, peak_memory_mib
from leuda_core.errors import Cancelled, InputError, LeudaError
from leuda_core.io.files import atomic_path
from leuda_core.methods import find_method
from leuda_core.methods.base import Losses, Phase
from leuda_core.runs.control import stop_requested
from leuda_core.runs.events import EventWriter
from leuda_core.runs.folder import Run
from leuda_core.training.preview import Previewer
from leuda_core.types import Batch, Dataset

logger = logging.getLogger(__name__)

OnProgress = Callable[[int, int, Mapping[str, float]], None]
LOG_EVERY = 10


class Training:
    """The state of the loop, created from the run folder at every start."""

    def __init__(self, run: Run, events: EventWriter, on_progress: OnProgress | None) -> None:
        events("start", run=str(run.path))
        self.run, self.events, self.on_progress = run, events, on_progress
        self.config = read_run_config(run.config)
        kind = find_method(self.config.method)
        self.settings = make_config(kind.Config, self.config.settings, where=run.config.name)
        self.dataset = load_dataset(self.config.dataset)
        self.device = choose_device(self.config.device)
        self.task = make_task(self.dataset, self.settings)
        self.cache = run.path / "cache"
        self.loader = SliceLoader(
            self.dataset,
            self.task,
            self.settings,
            self.cache,
            seed=self.config.seed,
            target_labels=kind.reads_target_labels,
            episodes=kind.draws_episodes,
            on_case=lambda done, total: events("progress", stage="prepare", step=done, total=total),
        )
        self._seed(-1)
        self.method = kind(self.task, self.settings)
        self.method.to(self.device)
        self.phases = self.method.phases(self.config.steps)
        self.total = sum(phase.steps for phase in self.phases)
        self.start = self._restore()

    def loop(self) -> None:
        """Take the remaining steps, then write the bundle."""
        previewer = Previewer(self.run.previews, self.loader.target[0], self.task)
        self.method.train()
        self.method.teacher.eval()
        for step in range(self.start, self.total):
            self._seed(step)
            phase, index = self._phase(step)
            with autocast(self.device):
                losses = phase.take(index, to_device(self.loader.batch(step), self.device))
            done = step + 1
            if done % LOG_EVERY == 0 or done == self.total:
                self._log(done, phase, losses)
            if done % self.config.checkpoint_every == 0 or done == self.total:
                self._save(done)
                if phase == self.phases[-1]:  # before it, the segmenter is untrained
                    picture = previewer.write(self.method, done)
                    self.events("preview", step=done, file=picture.relative_to(self.run.path).as_posix())
            if stop_requested(self.run):
                self._save(done)
                raise Cancelled(f"stopped at step {done} of {self.total}")
        self._finish()

    def _seed(self, step: int) -> None:
        torch.manual_seed((self.config.seed * 1_000_003 + step + 1) % 2**63)

    def _phase(self, step: int) -> tuple[Phase, int]:
        """Return the phase of a step and the number of the step within it."""
        for phase in self.phases:
            if step < phase.steps:
                return phase, step
            step -= phase.steps
        raise IndexError(step)

    def _log(self, done: int, phase: Phase, losses: Losses) -> None:
        metrics = {name: round(float(loss), 5) for name, loss in losses.items()}
        bad = [name for name, value in metrics.items() if value != value or abs(value) == float("inf")]
        if bad:
            raise LeudaError(f"the {bad[0]} loss is not finite at step {done}", "lower learning_rate and train again")
        self.events("progress", stage=phase.name, step=done, total=self.total, metrics=metrics)
        if self.on_progress:
            self.on_progress(done, self.total, metrics)

    def _save(self, done: int) -> None:
        with atomic_path(self.run.checkpoint) as temporary:
            torch.save({"step": done, **self.method.checkpoint()}, temporary)
        self.events("checkpoint", step=done)

    def _restore(self) -> int:
        if not self.run.checkpoint.exists():
            return 0
        try:
            state = torch.load(self.run.checkpoint, map_location=self.device, weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
            if is_out_of_memory(error):
                raise
            what = f"checkpoint {self.run.checkpoint} cannot be read"
            raise InputError(what, "restore it, or delete it to restart this run from the beginning") from error
        self.method.restore(state)
        logger.info("continuing from step %d of %d", state["step"], self.total)
        return state["step"]

    def _finish(self) -> None:
        self.method.write_files(self.run.path)
        save_bundle(self.run.bundle, self.method.predictor().cpu(), self.task, self._info())
        shutil.rmtree(self.cache, ignore_errors=True)
        self.events(
            "end",
            state="finished",
            step=self.total,
            bundle=self.run.bundle.name,
            peak_memory_mib=peak_memory_mib(self.device),
        )

    def _info(self) -> BundleInfo:
        config = self.config
        return BundleInfo(
            name=f"{self.dataset.name} {config.method}",
            method=config.method,
            citation=self.method.paper,
            settings=config.settings,
            steps=config.steps,
            seed=config.seed,
            source=_summary(self.dataset, self.loader.source, is_source=True),
            target=_summary(self.dataset, self.loader.target, is_source=False),
        )


def _summary(dataset: Dataset, cached: list[CachedCase], *, is_source: bool) -> DomainSummary:
    domain = dataset.source if is_source else dataset.target
    return DomainSummary(
        name=domain.name,
        modality=domain.modality,
        cases=len(domain.cases),
        labelled_cases=sum(bool(case.labelled) for case in cached),
        labelled_slices=sum(len(case.labelled) for case in cached),
    )


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return a batch on a device."""
    if device.type == "cpu":
        return batch
    moved = {name: x.to(device, non_blocking=True) for name, x in vars(batch).items() if x is not None}
    return replace(batch, **moved)
