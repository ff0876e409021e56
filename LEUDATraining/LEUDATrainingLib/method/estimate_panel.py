"""Estimates the duration and the memory of a training with a few probe steps, and shows warnings."""

from __future__ import annotations

import html
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from leuda_core.durations import estimated_duration
from leuda_core.errors import Cancelled, LeudaError
from LEUDASegmentationLib.processes.commands import LeudaCommand
from LEUDASegmentationLib.processes.installation import ensure_installed
from LEUDASegmentationLib.scene.steps import EventLoopWork
from LEUDASegmentationLib.widgets.layout import column_in, new_button
from LEUDASegmentationLib.widgets.message_strip import MessageStrip
from LEUDASegmentationLib.widgets.run_progress import RunProgress
from LEUDATrainingLib.dataset.dataset_writer import WriteProgress
from LEUDATrainingLib.method.schema_form import readable, shown


def _nothing_to_write() -> Generator[WriteProgress, None, None]:
    yield from ()


@dataclass(frozen=True)
class EstimateDataset:
    """The dataset of an estimate.

    ``path`` is the dataset file; ``writing`` writes it first if it does not exist yet; ``temporary`` is a folder that
    is deleted after the estimate.
    """

    path: Path
    writing: Generator[WriteProgress, None, Any] = field(default_factory=_nothing_to_write)
    temporary: Path | None = None


class EstimatePanel:
    """The button "Estimate time and memory" and its result.

    ``words()`` returns the arguments of ``leuda plan`` after the dataset.
    """

    def __init__(self, words: Callable[[], Sequence[str]]) -> None:
        self._words = words
        self._provider: Callable[[], EstimateDataset] | None = None
        self._dataset: EstimateDataset | None = None
        self._writing: EventLoopWork | None = None
        self._command: LeudaCommand | None = None
        self._answer = ""
        self.widget = qt.QWidget()
        column = column_in(self.widget)
        self._button = new_button(column, "estimateButton", _("Estimate time and memory"), self.start)
        self._progress = RunProgress(on_cancel=self.cancel)
        column.addWidget(self._progress.widget)
        self._message = MessageStrip()
        column.addWidget(self._message.widget)
        self._result = qt.QLabel()
        self._result.objectName = "estimateResult"
        self._result.setWordWrap(True)
        column.addWidget(self._result)
        self._update()

    def set_provider(self, provider: Callable[[], EstimateDataset]) -> None:
        """Set what provides the dataset; ``provider`` may raise a LeudaError."""
        self._provider = provider
        self._update()

    def set_outdated(self) -> None:
        """Mark the result as outdated."""
        if self._answer:
            note = _("The settings have changed: estimate again.")
            self._result.text = f"<i>{note}</i><br>{self._answer}"
            self._result.enabled = False

    def start(self) -> None:
        """Write the dataset, and run the probe steps in another process."""
        self._message.clear()
        self._show("")
        try:
            if self._provider is None or not ensure_installed(self.widget):
                return
            dataset = self._provider()
        except LeudaError as error:
            self._message.show_error(error)
            return
        self._dataset = dataset
        self._progress.start(_("Writing the volumes"))
        self._writing = EventLoopWork(
            self._write(dataset), on_done=lambda _written: self._probe(dataset), on_error=self._failed
        ).start()
        self._update()

    def cancel(self) -> None:
        """Cancel the estimate."""
        if self._command is not None:
            self._command.cancel()
        elif self._writing is not None:
            self._writing.stop()
            self._end()

    def cleanup(self) -> None:
        """Cancel immediately and delete temporary files; called when Slicer quits."""
        self.cancel()
        if self._dataset is not None:
            self._end()

    def _write(self, dataset: EstimateDataset) -> Generator[None, None, None]:
        """Write the dataset piece by piece and show the progress."""
        with closing(dataset.writing) as writing:
            for progress in writing:
                self._progress.update(progress.stage, progress.fraction)
                yield

    def _probe(self, dataset: EstimateDataset) -> None:
        words = ["plan", dataset.path, *self._words()]
        self._command = LeudaCommand(words, onDone=self._done, onError=self._failed)
        self._progress.update(_("Running a few probe steps…"), None)
        self._command.start()

    def _done(self, plan: Mapping[str, Any]) -> None:
        if self._dataset is None:
            return  # cancelled by cleanup
        self._end()
        self._show(plan_html(plan))

    def _failed(self, error: LeudaError) -> None:
        if self._dataset is None:
            return  # cancelled by cleanup
        self._end()
        if not isinstance(error, Cancelled):
            self._message.show_error(error)

    def _end(self) -> None:
        dataset, self._dataset, self._writing, self._command = self._dataset, None, None, None
        if dataset is not None and dataset.temporary is not None:
            shutil.rmtree(dataset.temporary, ignore_errors=True)
        self._progress.finish()
        self._update()

    def _show(self, answer: str) -> None:
        self._answer = answer
        self._result.text = answer
        self._result.enabled = True
        self._result.visible = bool(answer)

    def _update(self) -> None:
        self._button.visible = self._dataset is None
        self._button.enabled = self._provider is not None
        self._button.toolTip = _("Runs a few steps of each phase on the chosen device, in another process")


def plan_html(plan: Mapping[str, Any]) -> str:
    """Return the result of ``leuda plan`` as rich text: time, memory, labels, what was chosen, and the warnings."""
    time = estimated_duration(plan["seconds"])
    facts = [_("about {time} on {device}").format(time=time, device=html.escape(plan["device"]))]
    if plan.get("peak_memory_mib"):
        facts.append(_("{gigabytes:.1f} GB of memory").format(gigabytes=plan["peak_memory_mib"] / 1024))
    if plan.get("labelled_slices") is not None:
        facts.append(_("{count} labelled slices").format(count=plan["labelled_slices"]))
    lines = [f"<b>{_sentence(', '.join(facts))}</b>"]
    values = {**plan.get("settings", {}), "steps": plan.get("segmenter_steps")}
    for name, why in plan.get("reasons", {}).items():
        lines.append(html.escape(f"{readable(name)}: {shown(values.get(name))} ({why})"))
    for warning in plan.get("warnings", []):
        message, remedy = (html.escape(_sentence(str(warning.get(key, "")))) for key in ("message", "remedy"))
        lines.append(f"⚠ {message} {remedy}".rstrip())
    return "<br>".join(lines)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if not text or text[-1] in ".!?" else ".")
