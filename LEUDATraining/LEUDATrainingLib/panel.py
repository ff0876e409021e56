"""Assembles the sections of the window and keeps them consistent with the parameter node."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from leuda_core.earlier import present_settings
from leuda_core.errors import InputError, LeudaError
from leuda_core.io.leftovers import make_temporary_folder
from leuda_core.runs.folder import Run
from LEUDASegmentationLib.processes.environment import runs_folder
from LEUDASegmentationLib.processes.worker_client import shared_worker
from LEUDASegmentationLib.widgets.message_strip import MessageStrip
from LEUDATrainingLib.cases.structures import read_structures
from LEUDATrainingLib.dataset.dataset_writer import DATASET_FILE, write_dataset
from LEUDATrainingLib.dataset.readiness import examine
from LEUDATrainingLib.dataset.step_states import StepState, preparation_states
from LEUDATrainingLib.labels.case_marks import CaseMarks
from LEUDATrainingLib.logic import LEUDATrainingLogic
from LEUDATrainingLib.method.estimate_panel import EstimateDataset
from LEUDATrainingLib.method.method_form import MethodForm
from LEUDATrainingLib.parameter_node import read_json
from LEUDATrainingLib.runs.model_transfer import use_model
from LEUDATrainingLib.runs.run_facts import state_text
from LEUDATrainingLib.runs.run_list import RunList
from LEUDATrainingLib.runs.run_records import run_name
from LEUDATrainingLib.runs.run_view import RunView
from LEUDATrainingLib.sections.cases_table import CasesPanel
from LEUDATrainingLib.sections.guide import Guide
from LEUDATrainingLib.sections.marking import MarkingPanel
from LEUDATrainingLib.sections.source_cases import SourceCasesPanel
from LEUDATrainingLib.sections.start_panel import StartPanel
from LEUDATrainingLib.sections.structures_panel import StructuresPanel


class TrainingPanel:
    """The content of the window.

    Args:
        ui: the widgets of ``LEUDATraining.ui`` by name.
    """

    def __init__(self, ui: Any, logic: LEUDATrainingLogic) -> None:
        self._ui, self._logic = ui, logic
        self._node: Any = None
        self.messages = {name: MessageStrip() for name in ("structures", "source", "target", "start", "runs")}
        marks = self._marks = CaseMarks(on_counted=self.refresh)
        self.structures = StructuresPanel(self._reporter("structures"))
        self.source = SourceCasesPanel("source", marks, self._reporter("source"), self._on_current_case)
        self.target = CasesPanel("target", marks, self._reporter("target"))
        self.marking = MarkingPanel(marks, on_back=lambda: self.show_marking(False))
        self.form, self.runs, self.view = MethodForm(), RunList(), RunView()
        self.start = StartPanel(logic, marks, self.form, self.messages["start"], self._on_started)
        self._place()
        steps = {name: getattr(ui, f"{name}Section") for name in ("structures", "source", "target", "start", "runs")}
        self.guide = Guide(steps, self._on_step_opened, self._on_step_closed)
        self._connect()
        self.show_marking(False)

    @property
    def parts(self) -> tuple[Any, ...]:
        """The sections that show the parameter node, from top to bottom."""
        return (self.structures, self.source, self.marking, self.target, self.start)

    def set_parameter_node(self, node: Any) -> None:
        """Show another parameter node; ``None`` while the scene is closed."""
        self._node = node
        if node is None:
            self._marks.forget()
        for part in self.parts:
            part.set_parameter_node(node)
        self.refresh()

    def refresh(self) -> None:
        """Update everything that is shown."""
        if self._node is None:
            return
        self._marks.use(read_structures(self._node))
        self._show_method()
        for part in self.parts:
            part.refresh()
        self.source.select(self._node.currentCase)
        self.guide.show(preparation_states(self._node, self._marks, self.start.readiness))
        self._show_run()

    def enter(self) -> None:
        """Called when the module is shown."""
        self.runs.set_folder(runs_folder())
        self.marking.enter()

    def leave(self) -> None:
        """Called when another module is shown."""
        self.marking.leave()

    def cleanup(self) -> None:
        """Called when Slicer quits; trainings continue."""
        self.marking.leave()
        self.form.cleanup()
        self.view.cleanup()
        self._marks.forget()
        self._logic.release()

    def source_segmentations(self) -> list[Any]:
        """Return the segmentation nodes whose slices are counted."""
        if self._node is None:
            return []
        found = [self.source.store.segmentation(case) for case in self.source.store]
        return [segmentation for segmentation in found if segmentation is not None]

    def _place(self) -> None:
        for section, widget in (
            (self._ui.structuresSection, self.structures.widget),
            (self._ui.sourceSection, self.source.widget),
            (self._ui.sourceSection, self.marking.widget),
            (self._ui.targetSection, self.target.widget),
            (self._ui.startSection, self.form),
            (self._ui.startSection, self.start.widget),
            (self._ui.runsSection, self.runs),
            (self._ui.runsSection, self.view),
        ):
            section.layout().addWidget(widget)
        for name, message in self.messages.items():  # each in the section in which the user clicked
            getattr(self._ui, f"{name}Section").layout().addWidget(message.widget)

    def _reporter(self, name: str) -> Callable[[LeudaError | None], None]:
        """Return a function that shows an error in a section, or clears the message if there is none."""
        message = self.messages[name]
        return lambda error: message.show_error(error) if error else message.clear()

    def _connect(self) -> None:
        self.source.on_mark = lambda: self.show_marking(True)
        self.view.on_status = self._show_run
        self.form.on_changed = self._keep_method
        self.form.set_dataset_provider(self._dataset_for_estimate)
        self.runs.on_current_changed = self._on_current_run
        self.view.on_use_model = self._use_model

    def show_marking(self, marking: bool) -> None:
        """Show the tools that mark the slices of the selected case, or the list of labelled cases."""
        for widget in (self._ui.sourceModalityEdit, self._ui.sourceModalityEditLabel, self.source.widget):
            widget.visible = not marking
        self.marking.widget.visible = marking
        if marking:
            self.marking.refresh()
        else:
            self.marking.editor.hide()

    def _on_step_opened(self, name: str) -> None:
        if name == "start":
            self.form.fill_devices(shared_worker())

    def _on_step_closed(self, name: str) -> None:
        if name == "source":
            self.show_marking(False)

    def _show_run(self) -> None:
        path, status = self.view.run_path, self.view.status
        state = StepState(_("nothing yet"))
        if path is not None and status is not None:
            state = StepState(f"{run_name(path)}, {state_text(status)}", status.state == "finished")
        self.guide.show({"runs": state})

    def _on_current_case(self, key: str) -> None:
        if self._node is not None and self._node.currentCase != key:
            self._node.currentCase = key
            self.marking.refresh()

    def _on_current_run(self, *_path: Any) -> None:
        self.view.set_run(self.runs.current_run)
        self._show_run()

    def _on_started(self, run: Run) -> None:
        self.runs.set_folder(run.path.parent.parent)
        self.runs.set_current_run(run.path)
        self.view.set_run(run.path)
        self.guide.open("runs")

    def _use_model(self, bundle: Path) -> None:
        report = self._reporter("runs")
        try:
            use_model(Path(bundle), Path(bundle).parent.parent.name)
            report(None)
        except LeudaError as error:
            report(error)

    def _keep_method(self) -> None:
        """Store the choices of the form in the scene."""
        node, form = self._node, self.form
        if node is None:
            return
        with slicer.util.NodeModify(node.parameterNode):
            node.method, node.steps, node.seed, node.device = form.method, form.steps, form.seed, form.device
            node.budget = form.budget or node.budget
            node.settings = json.dumps(form.settings)

    def _show_method(self) -> None:
        """Show the choices of the scene in the form."""
        node, form = self._node, self.form
        settings = present_settings(read_json(node.settings, {}))
        kept = (node.method, node.steps, node.seed, node.device, settings, 0.0 if node.steps else node.budget)
        if kept != (form.method, form.steps, form.seed, form.device, form.settings, form.budget):
            form.set_values(node.method, node.steps, node.seed, node.device, settings, node.budget)

    def _dataset_for_estimate(self) -> EstimateDataset:
        """Return a dataset for an estimate, to be written first.

        Raises:
            LeudaError: something that a training needs is missing.
        """
        if self._node is None:
            raise InputError(_("the scene is closed"), _("wait until it is open"))
        for message, remedy in examine(self._node, self._marks).problems:
            raise InputError(message, remedy)
        folder = make_temporary_folder(Path(slicer.app.temporaryPath), prefix="leuda-estimate-")
        return EstimateDataset(folder / DATASET_FILE, write_dataset(self._node, folder), folder)
