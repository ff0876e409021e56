"""The section Structures: a table of names, colours and terminology."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from leuda_core.bundle.store import list_models
from leuda_core.errors import LeudaError
from LEUDASegmentationLib.processes.environment import models_folder
from LEUDASegmentationLib.widgets.layout import column_in, new_button
from LEUDASegmentationLib.widgets.tables import color_icon, empty_state, fit_height, new_table
from LEUDATrainingLib.cases.cases import CaseStore
from LEUDATrainingLib.cases.structures import (
    Structure,
    add_structure,
    merge_structures,
    parse_terminology,
    read_structures,
    rename_structure,
    segments,
    structures_of_labels,
    structures_of_segmentation,
    terminology_text,
    write_structures,
)
from LEUDATrainingLib.labels.segment_names import segments_of

_COLOR, _NAME, _TERMINOLOGY = range(3)
_EDITABLE = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEditable
_MOST_ROWS = 6


class StructuresPanel:
    """Edits the structures of a parameter node.

    Args:
        on_error: called with the error of an invalid entry, and with ``None`` after a valid one.
    """

    def __init__(self, on_error: Callable[[LeudaError | None], None]) -> None:
        self._on_error = on_error
        self._node: Any = None
        self._shown: list[Structure] = []
        self.widget = qt.QWidget()
        layout = column_in(self.widget)
        self._empty = empty_state(
            "structuresEmpty",
            _("Define what to segment: add structures, or copy them from a segmentation or a model."),
        )
        layout.addWidget(self._empty)
        self.table = self._new_table()
        layout.addWidget(self.table)
        layout.addLayout(self._buttons())

    def set_parameter_node(self, node: Any) -> None:
        """Show the structures of another parameter node; ``None`` for none."""
        self._node = node
        self.refresh()

    def refresh(self) -> None:
        """Show the structures of the parameter node."""
        structures = read_structures(self._node) if self._node else []
        self._empty.visible = not structures
        self.table.visible = bool(structures)
        if structures != self._shown:
            self._shown = structures
            self._fill(structures)
        self._update_buttons()

    def _fill(self, structures: Sequence[Structure]) -> None:
        row = self.table.currentRow()
        was_blocked = self.table.blockSignals(True)
        self.table.setRowCount(len(structures))
        for index, structure in enumerate(structures):
            self.table.setItem(index, _COLOR, _color_item(structure))
            self.table.setItem(index, _NAME, _editable_item(structure.name))
            text = terminology_text(structure.terminology)
            self.table.setItem(index, _TERMINOLOGY, _editable_item(text))
        self.table.setCurrentCell(min(row, len(structures) - 1), _NAME)
        self.table.blockSignals(was_blocked)
        fit_height(self.table, most_rows=_MOST_ROWS)

    def _new_table(self) -> Any:
        table = new_table("structuresTable", ("", _("Name"), _("Terminology")), stretch=_NAME)
        table.setEditTriggers(qt.QAbstractItemView.DoubleClicked | qt.QAbstractItemView.EditKeyPressed)
        table.connect("cellChanged(int,int)", self._on_cell_changed)
        table.connect("cellDoubleClicked(int,int)", self._on_cell_double_clicked)
        table.connect("itemSelectionChanged()", self._update_buttons)
        table.setToolTip(_("Double-click a name, a colour or a terminology such as Heart (SCT 80891009) to change it"))
        return table

    def _buttons(self) -> Any:
        rows, by_hand, from_elsewhere = (
            qt.QVBoxLayout(),
            qt.QHBoxLayout(),
            qt.QHBoxLayout(),
        )  # one row is too wide
        rows.addLayout(by_hand)
        rows.addLayout(from_elsewhere)
        self.add_button = new_button(by_hand, "addStructureButton", _("Add"), self._add)
        self.remove_button = new_button(by_hand, "removeStructureButton", _("Remove"), self._remove)
        fill = self._fill_segmentations
        self._add_menu(from_elsewhere, "structuresFromSegmentationButton", _("From segmentation"), fill)
        self._add_menu(from_elsewhere, "structuresFromModelButton", _("From model"), self._fill_models)
        return rows

    def _add_menu(self, layout: Any, name: str, text: str, fill: Callable[[Any], None]) -> None:
        button = new_button(layout, name, text)
        menu = qt.QMenu(button)
        menu.connect("aboutToShow()", lambda: fill(menu))
        button.setMenu(menu)

    def _fill_segmentations(self, menu: Any) -> None:
        menu.clear()
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
            action = menu.addAction(node.GetName())
            action.connect("triggered()", lambda node=node: self._merge(structures_of_segmentation(node)))
        _say_if_empty(menu, _("No segmentation in the scene"))

    def _fill_models(self, menu: Any) -> None:
        menu.clear()
        for entry in list_models(models_folder()):
            if not entry.problem:
                action = menu.addAction(entry.name)
                labels = entry.labels
                action.connect("triggered()", lambda labels=labels: self._merge(structures_of_labels(labels)))
        _say_if_empty(menu, _("No model yet; import one in LEUDASegmentation"))

    def _merge(self, others: Sequence[Structure]) -> None:
        self._write(merge_structures(self._shown, others))

    def _add(self) -> None:
        self._write(add_structure(self._shown, _("structure")))
        row = len(self._shown) - 1
        self.table.setCurrentCell(row, _NAME)
        self.table.editItem(self.table.item(row, _NAME))

    def _remove(self) -> None:
        row = self.table.currentRow()
        if 0 <= row < len(self._shown):
            self._write([*self._shown[:row], *self._shown[row + 1 :]])

    def _write(self, structures: Sequence[Structure]) -> None:
        if self._node:
            self._on_error(None)
            write_structures(self._node, structures)
            self.refresh()

    def _on_cell_changed(self, row: int, column: int) -> None:
        structure, text = self._shown[row], self.table.item(row, column).text()
        try:
            if column == _NAME and text.strip() != structure.name:
                self._rename(structure, text)
            elif column == _TERMINOLOGY and text != terminology_text(structure.terminology):
                changed = replace(structure, terminology=parse_terminology(text))
                self._write([changed if one.value == structure.value else one for one in self._shown])
        except LeudaError as error:
            self._on_error(error)
            self._fill(self._shown)

    def _rename(self, structure: Structure, text: str) -> None:
        """Rename a structure and its segments, because labels are found by the names of the segments."""
        renamed = rename_structure(self._shown, structure.value, text)
        store = CaseStore(self._node, "source")
        for segmentation in [store.segmentation(case) for case in store]:
            if segmentation is not None:
                _rename_segments(segmentation, structure, self._shown, text.strip())
        self._write(renamed)

    def _on_cell_double_clicked(self, row: int, column: int) -> None:
        if column != _COLOR:
            return
        before = self._shown[row]
        color = qt.QColorDialog.getColor(_qcolor(before), self.widget, _("Colour of {name}").format(name=before.name))
        if color.isValid():
            changed = replace(before, color=(color.redF(), color.greenF(), color.blueF()))
            self._write([changed if one.value == before.value else one for one in self._shown])

    def _update_buttons(self) -> None:
        self.add_button.enabled = self._node is not None
        self.remove_button.enabled = 0 <= self.table.currentRow() < len(self._shown)


def _rename_segments(segmentation: Any, structure: Structure, structures: Sequence[Structure], after: str) -> None:
    """Rename the segments of a structure, unless another segment has the new name."""
    mine = [segment_id for segment_id, one in segments_of(segmentation, structures) if one.value == structure.value]
    others = {segment.GetName().strip() for segment_id, segment in segments(segmentation) if segment_id not in mine}
    for segment_id in mine if after not in others else ():
        segmentation.GetSegmentation().GetSegment(segment_id).SetName(after)


def _qcolor(structure: Structure) -> Any:
    return qt.QColor(*(round(255 * part) for part in structure.color))


def _color_item(structure: Structure) -> Any:
    item = qt.QTableWidgetItem()
    item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
    item.setIcon(color_icon(structure.color))
    item.setToolTip(_("Double-click to choose another colour"))
    return item


def _editable_item(text: str) -> Any:
    item = qt.QTableWidgetItem(text)
    item.setFlags(_EDITABLE)
    return item


def _say_if_empty(menu: Any, text: str) -> None:
    if not menu.actions():
        menu.addAction(text).enabled = False
