"""The list of target volumes, and the parts that it shares with the list of source cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from leuda_core.errors import LeudaError
from LEUDASegmentationLib.scene.geometry import volume_shape, world_affine
from LEUDASegmentationLib.widgets.layout import column_in, new_button
from LEUDASegmentationLib.widgets.tables import empty_state, fit_height, new_table, text_item
from LEUDATrainingLib.cases.cases import Case, CaseStore, Role
from LEUDATrainingLib.cases.structures import read_structures
from LEUDATrainingLib.dataset.case_loading import load_case
from LEUDATrainingLib.dataset.dataset_import import add_folder
from LEUDATrainingLib.dataset.readiness import case_error
from LEUDATrainingLib.labels.case_marks import CaseMarks
from LEUDATrainingLib.labels.geometry import slice_axis_of, spacing_mm

_MOST_ROWS = 8


@dataclass(frozen=True)
class Row:
    """How a case is shown: the texts and the tooltips of its cells."""

    key: str
    texts: tuple[str, ...]
    tooltips: tuple[str, ...]


class CasesPanel:
    """A list of volumes: a table, a row to add volumes of the scene, and buttons to add files.

    Args:
        role: "source" or "target".
        marks: counts labelled slices.
        on_error: called with the error of an action that failed, and with ``None`` after one that succeeded.
        on_current: called with the key of the case that was selected.
    """

    def __init__(
        self,
        role: Role,
        marks: CaseMarks,
        on_error: Callable[[LeudaError | None], None],
        on_current: Callable[[str], None] = lambda _key: None,
    ) -> None:
        self._role, self._marks = role, marks
        self._on_error, self._on_current = on_error, on_current
        self._parameter_node: Any = None
        self._rows: list[Row] = []
        self.widget = qt.QWidget()
        layout = column_in(self.widget)
        self._empty = empty_state(f"{role}Empty", self.empty_text())
        layout.addWidget(self._empty)
        self.table = new_table(f"{role}Table", self.headers(), stretch=0)
        self.table.connect("itemSelectionChanged()", self._on_selected)
        layout.addWidget(self.table)
        self.add_rows(layout)

    def headers(self) -> tuple[str, ...]:
        """Return the titles of the columns."""
        return (_("Volume"), _("Voxels"), _("Spacing (mm)"), _("State"))

    def empty_text(self) -> str:
        """Return the text that is shown instead of an empty table."""
        return _("Add volumes of the modality to segment. They need no labels; more volumes give better results.")

    def set_parameter_node(self, node: Any) -> None:
        """Show the cases of another parameter node; ``None`` for none."""
        self._parameter_node = node
        self.refresh()

    @property
    def store(self) -> CaseStore:
        """The cases that are shown."""
        return CaseStore(self._parameter_node, self._role)

    def current(self) -> Case | None:
        """Return the selected case."""
        row = self.table.currentRow()
        return self.store.find(self._rows[row].key) if self._parameter_node and 0 <= row < len(self._rows) else None

    def select(self, key: str) -> None:
        """Select the row of a case."""
        keys = [row.key for row in self._rows]
        if key in keys and self.table.currentRow() != keys.index(key):
            self.table.setCurrentCell(keys.index(key), 0)

    def refresh(self) -> None:
        """Show the cases of the parameter node."""
        rows = [self.row(self.store, case) for case in self.store] if self._parameter_node else []
        self._empty.visible = not rows
        self.table.visible = bool(rows)
        if rows != self._rows:
            self._fill(rows)
        self.update_buttons()

    def row(self, store: CaseStore, case: Case) -> Row:
        """Return how a case is shown."""
        error = case_error(store, case)
        voxels, spacing = _grid_texts(store.volume(case))
        state = self.state(store, case, error)
        where = case.image or case.name
        return Row(case.key, (case.name, voxels, spacing, state), (where, voxels, spacing, str(error or state)))

    def state(self, store: CaseStore, case: Case, error: LeudaError | None) -> str:
        """Return a short text on whether a case can be used."""
        if error is not None:
            return _("Missing") if store.is_missing(case) else _("Unusable")
        return _("File") if store.volume(case) is None else _("Ready")

    def update_buttons(self) -> None:
        """Enable the buttons that can be used now."""
        case = self.current()
        self.add_button.enabled = self._parameter_node is not None and self.selector.currentNode() is not None
        self.remove_button.enabled = case is not None
        self.load_button.enabled = case is not None and bool(case.image) and not self.store.is_missing(case)

    def add_from_scene(self) -> None:
        """Add the volume of the selector."""
        self.guard(lambda: self._select_new(self.store.add_node(self.selector.currentNode())))

    def add_folder(self, folder: str = "") -> None:
        """Add the volumes of a folder; without an argument, ask for the folder."""
        folder = folder or qt.QFileDialog.getExistingDirectory(self.widget, _("Folder of volumes"))
        if folder:
            self.guard(lambda: add_folder(self.store, Path(folder)))

    def load_current(self) -> None:
        """Load the files of the selected case into the scene."""
        case = self.current()
        if case is not None:
            self.guard(lambda: load_case(self.store, case, read_structures(self._parameter_node)))

    def remove_current(self) -> None:
        """Remove the selected case from the list; its nodes and files stay."""
        case = self.current()
        if case is not None:
            self.store.remove(case.key)
            self.refresh()

    def add_rows(self, layout: Any) -> None:
        """Add the widgets below the table."""
        row = qt.QHBoxLayout()
        self.selector = volume_selector(f"{self._role}Selector")
        self.selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda _node: self.update_buttons())
        row.addWidget(self.selector, 1)
        self.add_button = new_button(row, f"{self._role}AddButton", _("Add"), self.add_from_scene)
        layout.addLayout(row)
        row = qt.QHBoxLayout()
        self.add_file_buttons(row)
        self.load_button = new_button(row, f"{self._role}LoadButton", _("Load"), self.load_current)
        self.load_button.toolTip = _("Load the file into the scene, to view it and to mark slices")
        self.remove_button = new_button(row, f"{self._role}RemoveButton", _("Remove"), self.remove_current)
        self.remove_button.toolTip = _("Remove the volume from this list; it stays in the scene and on disk")
        layout.addLayout(row)

    def add_file_buttons(self, row: Any) -> None:
        """Add the buttons that add files."""
        button = new_button(row, f"{self._role}FolderButton", _("Folder…"), lambda: self.add_folder())
        button.toolTip = _("Add every volume of a folder; the files are read when the training starts")

    def _select_new(self, case: Case) -> None:
        self.refresh()
        self.select(case.key)

    def guard(self, work: Callable[[], Any]) -> None:
        """Perform an action of the user, report its error if it fails, and update the list."""
        try:
            work()
            self._on_error(None)
        except LeudaError as error:
            self._on_error(error)
        self.refresh()

    def _fill(self, rows: Sequence[Row]) -> None:
        selected = self.table.currentRow()
        key = self._rows[selected].key if 0 <= selected < len(self._rows) else ""
        self._rows = list(rows)
        was_blocked = self.table.blockSignals(True)
        self.table.setRowCount(len(rows))
        for index, row in enumerate(rows):
            for column, (text, tooltip) in enumerate(zip(row.texts, row.tooltips, strict=True)):
                self.table.setItem(index, column, text_item(text, tooltip=tooltip))
        keys = [row.key for row in rows]
        self.table.setCurrentCell(keys.index(key) if key in keys else len(keys) - 1, 0)
        self.table.blockSignals(was_blocked)
        fit_height(self.table, most_rows=_MOST_ROWS)
        self._on_selected()

    def _on_selected(self) -> None:
        self.update_buttons()
        case = self.current()
        self._on_current(case.key if case else "")


def volume_selector(name: str) -> Any:
    """Return a selector of scalar volumes, without label maps."""
    selector = slicer.qMRMLNodeComboBox()
    selector.objectName = name
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.showChildNodeTypes = False
    selector.addEnabled = selector.removeEnabled = selector.renameEnabled = False
    selector.noneEnabled = True
    selector.noneDisplay = _("Choose a volume in the scene")
    selector.setMRMLScene(slicer.mrmlScene)
    return selector


def _grid_texts(volume: Any | None) -> tuple[str, str]:
    """Return the size in voxels and the spacing of a volume, slicing axis last; dashes for a file."""
    if volume is None or 0 in volume_shape(volume):
        return "–", "–"
    try:
        affine, axis = world_affine(volume), slice_axis_of(volume)
    except LeudaError:
        return " × ".join(map(str, volume_shape(volume))), "–"
    order = [*(one for one in range(3) if one != axis), axis]
    shape, spacing = volume_shape(volume), spacing_mm(affine)
    return " × ".join(str(shape[one]) for one in order), " × ".join(f"{spacing[one]:.3g}" for one in order)
