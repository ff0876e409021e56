"""The volumes of the scene with check boxes, to segment several at once, and the state of each."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from LEUDASegmentationLib.widgets.layout import column_in, new_button
from LEUDASegmentationLib.widgets.tables import READ_ONLY, empty_state, fit_height, new_table, text_item

_CLASS = "vtkMRMLScalarVolumeNode"  # other classes derive from it
_MOST_ROWS = 6
_CHECKABLE = READ_ONLY | qt.Qt.ItemIsUserCheckable
_NAME, _SIZE, _STATE = range(3)


class VolumeList:
    """A checkable table of the scene's scalar volumes: name, size in voxels, state of the last Apply.

    Args:
        on_changed: called without arguments when the user checks or unchecks a volume.
    """

    def __init__(self, on_changed: Callable[[], None]) -> None:
        self._on_changed = on_changed
        self._ids: list[str] = []
        self._states: dict[str, tuple[str, str]] = {}
        self._filling = False
        self.widget = qt.QWidget()
        self.widget.objectName = "volumeListPlace"
        layout = column_in(self.widget)
        self._empty = empty_state("noVolumeLabel", _("No volume in the scene yet: load some with File > Add Data."))
        layout.addWidget(self._empty)
        self.table = new_table("volumeTable", [_("Volume"), _("Voxels"), _("State")], selectable=False)
        self.table.connect("itemChanged(QTableWidgetItem*)", self._on_item_changed)
        layout.addWidget(self.table)
        layout.addLayout(self._new_buttons())
        self.refresh([])

    def refresh(self, checked) -> None:
        """List the scene's volumes again and check those given."""
        volumes = scalar_volumes()
        wanted = {volume.GetID() for volume in checked}
        self._ids = [volume.GetID() for volume in volumes]
        self._filling = True
        try:
            self.table.setRowCount(len(volumes))
            for row, volume in enumerate(volumes):
                self._fill_row(row, volume, volume.GetID() in wanted)
        finally:
            self._filling = False
        self._empty.visible = not volumes
        self.table.visible = self.all_button.enabled = self.none_button.enabled = bool(volumes)
        fit_height(self.table, most_rows=_MOST_ROWS)

    def checked(self) -> list:
        """Return the checked volumes in the order of the scene."""
        rows = (row for row in range(len(self._ids)) if self.table.item(row, _NAME).checkState() == qt.Qt.Checked)
        nodes = (slicer.mrmlScene.GetNodeByID(self._ids[row]) for row in rows)
        return [node for node in nodes if node is not None]

    def set_state(self, volume, state: str, tooltip: str = "") -> None:
        """Show the state of a volume, such as "done", until another state is set."""
        self._states[volume.GetID()] = (state, tooltip or state)
        if volume.GetID() in self._ids:
            self._fill_state(self._ids.index(volume.GetID()))

    def forget_states(self) -> None:
        """Clear the states of all volumes."""
        self._states.clear()
        for row in range(len(self._ids)):
            self._fill_state(row)

    def check_all(self) -> None:
        """Check every volume."""
        self._check(qt.Qt.Checked)

    def check_none(self) -> None:
        """Uncheck every volume."""
        self._check(qt.Qt.Unchecked)

    def _check(self, state) -> None:
        self._filling = True
        try:
            for row in range(len(self._ids)):
                self.table.item(row, _NAME).setCheckState(state)
        finally:
            self._filling = False
        self._on_changed()

    def _fill_row(self, row: int, volume, checked: bool) -> None:
        name = text_item(volume.GetName() or "")
        name.setFlags(_CHECKABLE)
        name.setCheckState(qt.Qt.Checked if checked else qt.Qt.Unchecked)
        self.table.setItem(row, _NAME, name)
        self.table.setItem(row, _SIZE, text_item(_voxels(volume)))
        self._fill_state(row)

    def _fill_state(self, row: int) -> None:
        state, tooltip = self._states.get(self._ids[row], ("", ""))
        self.table.setItem(row, _STATE, text_item(state, tooltip=tooltip))

    def _on_item_changed(self, item) -> None:
        if not self._filling and item.column() == _NAME:
            self._on_changed()

    def _new_buttons(self):
        layout = qt.QHBoxLayout()
        self.all_button = new_button(layout, "checkAllButton", _("Check all"), self.check_all)
        self.none_button = new_button(layout, "checkNoneButton", _("Check none"), self.check_none)
        layout.addStretch(1)
        return layout


def scalar_volumes() -> list:
    """Return the visible volumes of the scene with one value per voxel; no label maps, no colour images."""
    nodes = slicer.util.getNodesByClass(_CLASS)
    return [node for node in nodes if node.GetClassName() == _CLASS and not node.GetHideFromEditors()]


def shown_volume():
    """Return the volume that the slice views show, in the background or else in the foreground.

    Of volumes that cannot be segmented, none is taken; the first volume of the scene if no view shows one; ``None``
    without any.
    """
    candidates = scalar_volumes()
    known = {volume.GetID(): volume for volume in candidates}
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    shown = [node.GetBackgroundVolumeID() for node in composites]
    shown += [node.GetForegroundVolumeID() for node in composites]
    return next((known[identifier] for identifier in shown if identifier in known), next(iter(candidates), None))


def _voxels(volume) -> str:
    image = volume.GetImageData()
    return " × ".join(str(count) for count in image.GetDimensions()) if image else _("empty")
