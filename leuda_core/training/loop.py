"""The training loop of all methods. It writes everything about a run to its folder.

The random numbers of a step depend only on the seed and the step, so a checkpoint needs no random state: a run that was
killed and resumed ends with the same weights as an uninterrupted one, bit for bit on the same CPU (a different number
of threads changes the order of sums).
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from leuda_core.bundle.files import LIMITS
from leuda_core.bundle.model import save_bundle
from leuda_core.bundle.schema import BundleInfo, DomainSummary
from leuda_core.config import make_config, read_run_config
from leuda_core.data.batches.loaders import SliceLoader
from leuda_core.data.batches.prepared import CachedCase
from leuda_core.data.dataset import load_dataset
from leuda_core.data.fingerprint import DataGuard
from leuda_core.data.tasks import make_task
from leuda_core.devices import autocast, choose_device, peak_memory_mib
from leuda_core.errors import Cancelled, LeudaError
from leuda_core.io.files import atomic_path
from leuda_core.methods import method_of
from leuda_core.methods.adaptation import Adaptation
from leuda_core.methods.base import Losses, Method, Phase
from leuda_core.prediction.anatomy import known_anatomy
from leuda_core.prediction.gauge import with_reference
from leuda_core.runs.control import stop_requested
from leuda_core.runs.events import EventWriter, read_events
from leuda_core.runs.folder import Run
from leuda_core.runs.lock import RunLock
from leuda_core.runs.pace import course
from leuda_core.training.adapting import adapted_info, adapted_task, read_start
from leuda_core.training.ahead import Ahead, threads_for
from leuda_core.training.checkpoints import restore_newest, save_checkpoint
from leuda_core.training.identity import identity, take_state, training_record, without_places
from leuda_core.training.preview import Previewer
from leuda_core.training.watch import Watch, data_warnings, left_out
from leuda_core.types import Batch, Domain, Task

logger = logging.getLogger(__name__)

OnProgress = Callable[[int, int, Mapping[str, float]], None]
LOG_EVERY = 10
MOST_LOGGED = 20_000
"""Steps that are logged in the whole run, so that its events stay a few megabytes."""


class Training:
    """The state of the loop, created from the run folder at every start."""

    def __init__(self, run: Run, events: EventWriter, on_progress: OnProgress | None) -> None:
        events("start", run=str(run.path))
        self.run, self.events, self.on_progress = run, events, on_progress
        self.config = read_run_config(run.config)
        self._tell_plan()
        kind = method_of(self.config)
        self.settings = make_config(kind.Config, self.config.settings, where=run.config.name)
        self.start_model = read_start(run, self.config)
        needs_source = self.start_model is None
        self.dataset = load_dataset(self.config.dataset, needs_source=needs_source)
        self.device = choose_device(self.config.device)
        target_labels = kind.learns_target_labels(self.settings)
        self.guard = DataGuard(run.data, self.dataset, target_labels=target_labels)
        self.dataset = self.guard.dataset
        self.task = self._task(target_labels)
        self.cache = run.cache
        self.loader = SliceLoader(
            self.dataset,
            self.task,
            self.settings,
            self.cache,
            seed=self.config.seed,
            rules=self.config.rules,
            target_labels=target_labels,
            target_only=kind.reads_target_labels,
            needs_source=needs_source,
            episodes=kind.draws_episodes,
            on_case=self._prepared,
            on_unreadable=self.guard.leave_out,
        )
        self.data, self.dataset = self.guard.finish(self.task), self.guard.dataset
        self.identity = identity(self.config, self.settings, self.data.digest())
        self._seed(-1)
        self.method = self._new_method(kind)
        self.method.to(self.device)
        self.phases = self.method.phases(self.config.steps)
        self.total = sum(phase.steps for phase in self.phases)
        self.log_every = max(LOG_EVERY, self.total // MOST_LOGGED)
        self.start = self.saved = self._restore()
        self.watch = Watch(self.loader, self.task, events)
        self.watch.restore(read_events(run.events)[0], self.start)
        self.watch.add(left_out(self.data))
        self.watch.add(data_warnings(self.loader, self.task))

    def loop(self) -> None:
        """Take the remaining steps, then write the bundle."""
        previewer = Previewer(self.run.previews, self.loader.target[0], self.task)
        if all(phase.name in self.config.step_seconds for phase in self.phases):
            steps = {phase.name: phase.steps for phase in self.phases}
            self.events("course", phases=course(steps, self.config.step_seconds))
        self.method.train()
        self.method.teacher.eval()
        lock = RunLock(self.run)
        threads = threads_for(self.device) if self.loader.pure else 0
        pinned = self.device.type == "cuda"
        with Ahead(self._draw, self.total, threads=threads, pinned=pinned) as batches:
            self._take_steps(batches, previewer, lock)
        self._finish()

    def _take_steps(self, batches: Ahead, previewer: Previewer, lock: RunLock) -> None:
        for step in range(self.start, self.total):
            lock.check()
            self._seed(step)
            phase, index = self._phase(step)
            with autocast(self.device):
                losses = phase.take(index, to_device(batches.batch(step), self.device))
            done = step + 1
            if done % self.log_every == 0 or done == self.total:
                self._log(done, phase, losses)
            if done % self.config.checkpoint_every == 0 or done == self.total:
                if phase == self.phases[-1] and self.watch.look(self.method, done, (index + 1) / phase.steps):
                    self._keep_good()
                self._save(done)
                if phase == self.phases[-1]:  # before it, the segmenter is untrained
                    picture = previewer.write(self.method, done)
                    self.events("preview", step=done, file=picture.relative_to(self.run.path).as_posix())
            if stop_requested(self.run):
                self._save(done)
                raise Cancelled(f"stopped at step {done} of {self.total}")

    def _task(self, target_labels: bool) -> Task:
        """Return the task: that of the model to go on from, or what the data and the settings say."""
        if self.start_model:
            return adapted_task(self.dataset, self.start_model)
        begun = self.guard.normalizations
        task = make_task(self.dataset, self.settings, self.config.rules, target_labels=target_labels, begun=begun)
        return self.guard.as_begun(task)

    def _new_method(self, kind: type[Method]) -> Method:
        if self.start_model is None:
            return kind(self.task, self.settings)
        assert isinstance(self.settings, Adaptation.Config), "runs with a model to go on from have this method"
        return Adaptation(self.task, self.settings, self.start_model.predictor())

    def _tell_plan(self) -> None:
        """Record once what was chosen for this run, and why."""
        reasons = self.config.reasons
        if not reasons or any(event["event"] == "plan" for event in read_events(self.run.events)[0]):
            return
        known = {**self.config.settings, "steps": self.config.steps}
        values = {name: known.get(name) for name in reasons}
        self.events("plan", values=values, reasons=reasons, budget_minutes=self.config.budget_minutes)
        for name, why in reasons.items():
            logger.info("%s = %s: %s", name, values[name], why)

    def _prepared(self, done: int, total: int) -> None:
        self.guard.prepared(done - 1)
        self.events("progress", stage="prepare", step=done, total=total)

    def _seed(self, step: int) -> None:
        torch.manual_seed((self.config.seed * 1_000_003 + step + 1) % 2**63)

    def _draw(self, step: int) -> Batch:
        phase, index = self._phase(step)
        return self.loader.batch(step, phase.streams(index / phase.steps))

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
            if not self.watch.collapsed:
                self._keep_good()
            raise LeudaError(f"the {bad[0]} loss is not finite at step {done}", "lower learning_rate and train again")
        self.watch.losses(done, metrics)
        self.events("progress", stage=phase.name, step=done, total=self.total, metrics=metrics)
        if self.on_progress:
            self.on_progress(done, self.total, metrics)

    def _save(self, done: int) -> None:
        if done == self.saved:
            return
        save_checkpoint(self.run, {"step": done, "run": self.identity, **self.method.checkpoint()})
        self.saved = done
        self.events("checkpoint", step=done)

    def _keep_good(self) -> None:
        """Keep the last checkpoint before a collapse: the next one replaces it."""
        if self.run.checkpoint.exists():
            with atomic_path(self.run.good_checkpoint, private=True) as temporary:
                shutil.copyfile(self.run.checkpoint, temporary)

    def _restore(self) -> int:
        take = partial(take_state, self.method, belongs_to=self.identity, total=self.total)
        step, problem = restore_newest(self.run, take, self.device)
        if problem:
            self._warn(f"{problem}; the run continues from the checkpoint before it, of step {step}", "check the disk")
        elif step:
            logger.info("continuing from step %d of %d", step, self.total)
        elif any(event["event"] == "checkpoint" for event in read_events(self.run.events)[0]):
            self._warn("the checkpoints of this run are missing; it starts again from the beginning")
        return step

    def _warn(self, message: str, remedy: str = "") -> None:
        logger.warning(message)
        self.events("warning", message=message, remedy=remedy)

    def _finish(self) -> None:
        self.method.write_files(self.run.path)
        if self.run.bundle.is_dir():  # a damaged one, which may lack the file that makes it replaceable
            for name in LIMITS:
                (self.run.bundle / name).unlink(missing_ok=True)
        before = self.start_model.predictor() if self.start_model else None
        predictor = self.method.predictor().cpu()
        predictor = with_reference(predictor, self.loader.target, self.task, str(self.device), before)
        save_bundle(self.run.bundle, predictor, self._informed_task(), self._info())
        shutil.rmtree(self.cache, ignore_errors=True)
        self.events(
            "end",
            state="finished",
            step=self.total,
            bundle=self.run.bundle.name,
            warnings=[asdict(warning) for warning in self.watch.warnings],
            peak_memory_mib=peak_memory_mib(self.device),
        )

    def _informed_task(self) -> Task:
        """Return the task with what is known of the structures; that of the model it began with, if there is one."""
        if self.start_model:
            return self.task
        try:
            return replace(self.task, anatomy=known_anatomy(self.dataset))
        except Exception as error:  # a hint must not cost a model
            logger.warning("structures were not measured: %s", error)
            return self.task

    def _info(self) -> BundleInfo:
        config = self.config
        info = BundleInfo(
            name=f"{self.dataset.name} {config.method}",
            method=config.method,
            citation=self.method.paper,
            settings=without_places(config.settings),
            reasons=config.reasons,
            steps=config.steps,
            seed=config.seed,
            source=_summary(self.dataset.source, self.loader.source),
            target=_summary(self.dataset.target, self.loader.target),
            training=training_record(self.data, self.device, config.rules),
            warnings=tuple(map(str, self.watch.warnings)),
        )
        return adapted_info(info, self.start_model) if self.start_model else info


def _summary(domain: Domain, cached: list[CachedCase]) -> DomainSummary:
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
    moved: dict[str, Any] = {
        name: x.to(device, non_blocking=True) for name, x in vars(batch).items() if isinstance(x, Tensor)
    }
    return replace(batch, **moved)
