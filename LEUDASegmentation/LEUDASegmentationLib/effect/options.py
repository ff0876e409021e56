"""The options of the effect, as widgets; what they mean is kept in the parameters of the editor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt
import slicer
from slicer.i18n import tr as _

from leuda_core.bundle.store import ModelEntry
from LEUDASegmentationLib.widgets.layout import column_in
from LEUDASegmentationLib.widgets.message_strip import MessageStrip
from LEUDASegmentationLib.widgets.run_progress import RunProgress

SLICE, RANGE, ROI, VOLUME = "slice", "range", "roi", "volume"
SELECTED, ALL = "selected", "all"


class OptionsFrame:
    """The widgets, from the model to Apply.

    Args:
        on_changed: called without arguments when the user has chosen something.
        on_from, on_to: the user takes the shown slice as the first or last one. on_apply, on_cancel: the buttons.
    """

    def __init__(
        self,
        *,
        on_changed: Callable[[], None],
        on_from: Callable[[], None],
        on_to: Callable[[], None],
        on_apply: Callable[[], None],
        on_cancel: Callable[[], None],
    ) -> None:
        self._on_changed = on_changed
        self.widget = qt.QWidget()
        self.widget.objectName = "LEUDAEffectOptions"
        form = qt.QFormLayout(self.widget)
        form.setContentsMargins(0, 0, 0, 0)
        self.model = _box("LEUDAEffectModel", self._changed)
        form.addRow(_("Model:"), self.model)
        regions = [
            (_("This slice"), SLICE),
            (_("From here to there"), RANGE),
            (_("Inside a ROI"), ROI),
            (_("Whole volume"), VOLUME),
        ]
        self.region = _box("LEUDAEffectRegion", self._changed, regions)
        form.addRow(_("Where:"), self.region)
        self.place = qt.QLabel()
        self.place.objectName = "LEUDAEffectPlace"
        self.from_button = _button("LEUDAEffectFrom", _("From Here"), on_from)
        self.to_button = _button("LEUDAEffectTo", _("To Here"), on_to)
        self.roi = self._roi_selector()
        form.addRow("", self._places())
        writes = [(_("Selected segment"), SELECTED), (_("All structures of the model"), ALL)]
        self.segments = _box("LEUDAEffectSegments", self._changed, writes)
        form.addRow(_("Write:"), self.segments)
        self.structure_label = qt.QLabel(_("As structure:"))
        self.structure = _box("LEUDAEffectStructure", self._changed)
        self.structure.toolTip = _("The structure of the model that is written into the selected segment")
        form.addRow(self.structure_label, self.structure)
        self.preview = qt.QCheckBox(_("Preview the slice under the mouse"))
        self.preview.objectName = "LEUDAEffectPreview"
        form.addRow(self.preview)
        self.apply = _button("LEUDAEffectApply", _("Apply"), on_apply)
        form.addRow(self.apply)
        self.progress = RunProgress(on_cancel)
        form.addRow(self.progress.widget)
        self.strip = MessageStrip()
        form.addRow(self.strip.widget)

    def show_models(self, models: Sequence[ModelEntry], chosen: str) -> None:
        """List models, and choose one by its name; none if there is none with it."""
        names = [model.name for model in models]
        _fill(self.model, [(name, name) for name in names] or [(_("none: train or import one"), "")], chosen)
        self.model.enabled = bool(names)

    def show_structures(self, model: ModelEntry | None, chosen: str) -> None:
        """List the structures of a model, and choose one by its name; empty is that with the name of the segment."""
        labels = model.labels if model else ()
        items = [(_("of the same name"), ""), *((label.name, label.name) for label in labels)]
        _fill(self.structure, items, chosen)

    def show_choices(self, region: str, segments: str, preview: bool) -> None:
        """Show what was chosen, and the widgets that belong to it."""
        _choose(self.region, region)
        _choose(self.segments, segments)
        self.preview.checked = preview
        self.from_button.visible = self.to_button.visible = region == RANGE
        self.roi.visible = region == ROI
        self.structure.visible = self.structure_label.visible = segments == SELECTED

    def _changed(self) -> None:
        self._on_changed()

    def _roi_selector(self):
        selector = slicer.qMRMLNodeComboBox()
        selector.objectName = "LEUDAEffectROI"
        selector.nodeTypes = ["vtkMRMLMarkupsROINode"]
        selector.addEnabled, selector.renameEnabled, selector.removeEnabled = True, True, False
        selector.noneEnabled = True
        selector.setMRMLScene(slicer.mrmlScene)
        selector.toolTip = _("The box in which segments are replaced; a new one contains the whole volume")
        selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda _node: self._changed())
        return selector

    def _places(self):
        """Return the row below the region: which slices, and how to choose them."""
        widget = qt.QWidget()
        widget.setSizePolicy(qt.QSizePolicy.Preferred, qt.QSizePolicy.Maximum)
        column = column_in(widget)
        column.addWidget(self.place)
        row = qt.QHBoxLayout()
        row.addWidget(self.from_button)
        row.addWidget(self.to_button)
        column.addLayout(row)
        column.addWidget(self.roi)
        return widget


def _box(name: str, on_chosen: Callable[[], None], items: Sequence[tuple[str, str]] = ()):
    box = qt.QComboBox()
    box.objectName = name
    box.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Preferred)  # long names do not widen the editor
    for text, value in items:
        box.addItem(text, value)
    box.connect("activated(int)", lambda _index: on_chosen())  # by the user alone
    return box


def _button(name: str, text: str, on_click: Callable[[], None]):
    button = qt.QPushButton(text)
    button.objectName = name
    button.connect("clicked()", on_click)
    return button


def _fill(box, items: Sequence[tuple[str, str]], chosen: str) -> None:
    """Replace the items of a box, unless they are the same, and choose one by its value."""
    if [(box.itemText(index), box.itemData(index)) for index in range(box.count)] != list(items):
        box.clear()
        for text, value in items:
            box.addItem(text, value)
    _choose(box, chosen)


def _choose(box, value: str) -> None:
    box.setCurrentIndex(max(0, box.findData(value)))
