"""The list of source cases: volumes, segmentations with their labels, and how many slices are labelled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from leuda_core.errors import LeudaError
from LEUDASegmentationLib.widgets.layout import new_button
from LEUDATrainingLib.cases.cases import Case, CaseStore, missing_volume
from LEUDATrainingLib.cases.structures import read_structures
from LEUDATrainingLib.dataset.dataset_import import add_dataset
from LEUDATrainingLib.dataset.readiness import case_error
from LEUDATrainingLib.labels.label_maps import new_segmentation
from LEUDATrainingLib.sections.cases_table import CasesPanel, Row


class SourceCasesPanel(CasesPanel):
    """The list of source cases: volumes that are labelled, completely or on a few slices."""

    def headers(self) -> tuple[str, ...]:
        return (_("Volume"), _("Segmentation"), _("Labelled"), _("State"))

    def empty_text(self) -> str:
        return _(
            "Add volumes of the modality with labels. A few labelled slices are enough; unlabelled volumes help too."
        )

    def add_dataset(self, path: str = "") -> None:
        """Add the cases of a dataset file; without an argument, ask for the file."""
        path = path or qt.QFileDialog.getOpenFileName(self.widget, _("Dataset file"), "", "Dataset (*.json)")
        if path:
            self.guard(lambda: add_dataset(self._parameter_node, Path(path)))

    def add_file_buttons(self, row: Any) -> None:
        super().add_file_buttons(row)
        button = new_button(row, "sourceDatasetButton", _("Dataset…"), lambda: self.add_dataset())
        button.toolTip = _("Add the structures, source volumes and target volumes of a dataset file")

    def row(self, store: CaseStore, case: Case) -> Row:
        error = case_error(store, case)
        segmentation, found = store.segmentation(case), self._marks.of(store, case)
        labels = segmentation.GetName() if segmentation else Path(case.label).name if case.label else "–"
        count = _("{count} of {total}").format(count=len(found.complete), total=found.n_slices) if found else "–"
        count = "…" if found is None and self._marks.is_counting(case) else count
        state = self.state(store, case, error)
        where = case.image or case.name
        return Row(case.key, (case.name, labels, count, state), (where, labels, count, str(error or state)))

    def state(self, store: CaseStore, case: Case, error: LeudaError | None) -> str:
        state = super().state(store, case, error)
        found = self._marks.of(store, case) if error is None else None
        if found is None and self._marks.is_counting(case):
            return _("Counting")
        if state == _("Ready") and not (found and found.complete):
            return _("No labels")
        return state

    def update_buttons(self) -> None:
        super().update_buttons()
        case = self.current()
        volume = self.store.volume(case) if case else None
        segmentation = self.store.segmentation(case) if case else None
        was_blocked = self.segmentation_selector.blockSignals(True)
        self.segmentation_selector.setCurrentNode(segmentation)
        self.segmentation_selector.blockSignals(was_blocked)
        self.segmentation_selector.enabled = self.new_button.enabled = volume is not None
        self.mark_button.enabled = volume is not None

    def create_segmentation(self) -> None:
        """Create an empty segmentation for the selected case; slices count when they are marked complete."""
        case = self.current()
        if case is not None:
            self.guard(lambda: start_labels(self.store, case, self._parameter_node))

    def add_rows(self, layout: Any) -> None:
        row = qt.QHBoxLayout()
        row.addWidget(qt.QLabel(_("Segmentation:")))
        self.segmentation_selector = _segmentation_selector()
        self.segmentation_selector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_segmentation)
        row.addWidget(self.segmentation_selector, 1)
        self.new_button = new_button(row, "newSegmentationButton", _("New"), self.create_segmentation)
        self.new_button.toolTip = _("Create an empty segmentation with a segment for each structure")
        layout.addLayout(row)
        self.on_mark: Callable[[], None] = lambda: None  # called when the slices of the selected case are to be marked
        self.mark_button = new_button(layout, "markSlicesButton", _("Mark Slices…"), lambda: self.on_mark())
        self.mark_button.toolTip = _("Draw the structures of the selected volume, and say which slices are complete")
        super().add_rows(layout)

    def _on_segmentation(self, node: Any) -> None:
        case = self.current()
        if case is not None:
            self.store.set_segmentation(case.key, node)
            self.refresh()


def start_labels(store: CaseStore, case: Case, parameter_node: Any) -> None:
    """Create an empty segmentation for a case; slices count when they are marked complete.

    Raises:
        InputError: the volume is not in the scene.
    """
    volume = store.volume(case)
    if volume is None:
        raise missing_volume(case)
    name = _("{name} labels").format(name=volume.GetName())
    segmentation = new_segmentation(volume, read_structures(parameter_node), name)
    with slicer.util.NodeModify(store.node):
        store.set_segmentation(case.key, segmentation)
        store.set_labelled(case.key, ())


def _segmentation_selector() -> Any:
    selector = slicer.qMRMLNodeComboBox()
    selector.objectName = "segmentationSelector"
    selector.nodeTypes = ["vtkMRMLSegmentationNode"]
    selector.addEnabled = selector.removeEnabled = False
    selector.renameEnabled = selector.noneEnabled = True
    selector.noneDisplay = _("None")
    selector.toolTip = _("The labels of the selected volume; segments must have the names of the structures")
    selector.setMRMLScene(slicer.mrmlScene)
    return selector
