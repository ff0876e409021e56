"""The section Method: method, steps, device and settings of a training, and an estimate before it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from leuda_core.durations import DEFAULT_BUDGET
from LEUDASegmentationLib.widgets.device_box import AUTO, DeviceBox
from LEUDASegmentationLib.widgets.layout import column_in
from LEUDATrainingLib.method.estimate_panel import EstimateDataset, EstimatePanel
from LEUDATrainingLib.method.presets import all_presets, preset_of
from LEUDATrainingLib.method.schema_form import SchemaForm
from LEUDATrainingLib.method.setting_fields import ChoiceBox, WholeBox
from LEUDATrainingLib.method_catalog import RECOMMENDED, MethodInfo, load_methods

_MOST_STEPS, _MOST_SEED = 1_000_000, 2**31 - 1
_OWN_STEPS = 0.0


class MethodForm(qt.QWidget):
    """Method, time or steps, device, every setting of the method, and "Estimate time and memory".

    ``on_changed`` is called without arguments after every change by the user, not after ``set_values``.
    """

    def __init__(self, parent: Any = None) -> None:
        qt.QWidget.__init__(self, parent)
        self.on_changed: Callable[[], None] | None = None
        self._methods = load_methods()
        self._filling = True
        self._build()
        self._show_method()
        self._filling = False
        self._after_change()

    @property
    def method(self) -> str:
        """The name of the method, as for ``leuda train --method``."""
        return self._method.itemData(self._method.currentIndex)

    @property
    def steps(self) -> int:
        """The number of training steps of the segmenter; 0 if it is chosen for the time."""
        return self._steps.value

    @property
    def budget(self) -> float:
        """The minutes for which sizes and steps are chosen; 0 if the steps are given."""
        return self._preset.itemData(self._preset.currentIndex)

    @property
    def seed(self) -> int:
        """The seed of all random numbers."""
        return self._seed.value

    @property
    def device(self) -> str:
        """``auto``, ``cpu``, ``cuda:K``, ``xpu:K`` or ``mps``."""
        return self._device.current

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the method that differ from their defaults; the plan chooses among the others."""
        return self._form.changed_values

    def set_values(
        self,
        method: str | None = None,
        steps: int | None = None,
        seed: int | None = None,
        device: str | None = None,
        settings: Mapping[str, Any] | None = None,
        budget: float | None = None,
    ) -> None:
        """Show these values; ``None`` keeps the current one. An unknown method is ignored.

        ``steps`` other than 0 count more than ``budget``. ``settings`` are those that differ from the defaults: all
        others are reset.
        """
        self._filling = True
        try:
            if method in self._methods and method != self.method:
                self._method.setCurrentIndex(self._method.findData(method))
                self._show_method()
            if budget:
                self._show_budget(budget)
            if steps is not None:
                self._steps.setValue(steps)
                self._show_budget(_OWN_STEPS if steps else self.budget or DEFAULT_BUDGET)
            if seed is not None:
                self._seed.setValue(seed)
            if device is not None:
                self._device.select(device)
            if settings is not None:
                self._form.reset()
                self._form.set_values(settings)
        finally:
            self._filling = False
        self._after_change()

    def set_dataset_provider(self, provider: Callable[[], EstimateDataset]) -> None:
        """Set what provides the dataset of an estimate; ``provider`` may raise a LeudaError."""
        self._estimate.set_provider(provider)

    def fill_devices(self, client: Any) -> None:
        """List the devices of this computer, as reported by a ``WorkerClient``; only once."""
        self._device.fill(client)

    def cleanup(self) -> None:
        """Cancel an estimate that is running."""
        self._estimate.cleanup()

    def _build(self) -> None:
        column = column_in(self)
        form = qt.QFormLayout()
        column.addLayout(form)
        form.setFieldGrowthPolicy(qt.QFormLayout.AllNonFixedFieldsGrow)
        self._method = self._make_method_box()
        form.addRow(_("Method:"), self._method)
        self._about = qt.QLabel()
        self._about.objectName = "methodAbout"
        self._about.setWordWrap(True)
        form.addRow(self._about)
        self._preset = self._make_preset_box()
        form.addRow(_("How long:"), self._preset)
        tip = _("Training steps of the segmenter")
        self._steps = self._make_number("stepsBox", 0, _MOST_STEPS, tip, on_changed=self._on_steps)
        self._steps.setSpecialValueText(_("as many as fit"))
        form.addRow(_("Steps:"), self._steps)
        combo = ChoiceBox()
        combo.objectName = "trainingDeviceBox"
        self._device = DeviceBox(combo, lambda _device: self._edited())
        form.addRow(_("Device:"), combo)
        form.addRow(self._make_advanced())
        self._estimate = EstimatePanel(self._training_words)
        column.addWidget(self._estimate.widget)  # in a row of the form, long results would be cut off

    def _make_method_box(self) -> Any:
        box = ChoiceBox()
        box.objectName = "methodBox"
        for method in self._methods.values():
            box.addItem(_title(method), method.name)
            box.setItemData(box.count - 1, f"{method.summary}\n{method.paper}", qt.Qt.ToolTipRole)
        box.connect("currentIndexChanged(int)", self._on_method)
        return box

    def _make_preset_box(self) -> Any:
        box = ChoiceBox()
        box.objectName = "presetBox"
        for preset in all_presets():
            box.addItem(preset.title, preset.minutes)
            box.setItemData(box.count - 1, preset.description, qt.Qt.ToolTipRole)
        box.addItem(_("Own number of steps"), _OWN_STEPS)
        box.setCurrentIndex(box.findData(DEFAULT_BUDGET))
        box.connect("currentIndexChanged(int)", self._on_preset)
        return box

    def _make_number(
        self, name: str, least: int, most: int, tip: str, *, on_changed: Callable[[], None] | None = None
    ) -> Any:
        box = WholeBox()
        box.objectName = name
        box.toolTip = tip
        box.setRange(least, most)
        box.setKeyboardTracking(False)
        box.connect("valueChanged(int)", lambda _value: (on_changed or self._edited)())
        return box

    def _make_advanced(self) -> Any:
        section = ctk.ctkCollapsibleButton()
        section.objectName = "advancedSection"
        section.text = _("Advanced settings")
        section.collapsed = True
        column = qt.QVBoxLayout(section)
        row = qt.QFormLayout()
        tip = _("Seed of all random numbers: the same seed gives the same training on the same machine")
        self._seed = self._make_number("seedBox", 0, _MOST_SEED, tip)
        row.addRow(_("Seed:"), self._seed)
        column.addLayout(row)
        self._form = SchemaForm()
        self._form.on_changed = self._edited
        column.addWidget(self._form)
        reset = qt.QPushButton(_("Reset all to defaults"))
        reset.objectName = "resetSettingsButton"
        reset.connect("clicked()", self._on_reset)
        column.addWidget(reset, 0, qt.Qt.AlignRight)
        return section

    def _info(self) -> MethodInfo:
        return self._methods[self.method]

    def _show_method(self) -> None:
        """Show the description of the chosen method, and its settings with their defaults."""
        method = self._info()
        text = f"{method.summary} <i>{method.paper}</i>."
        if method.needs_target_labels:
            why = _("For comparison only: it needs labels of target volumes, which adaptation does not need.")
            text += f"<br><b>{why}</b>"
        self._about.text = text
        self._form.set_properties(method.properties)

    def _on_method(self, _index: int) -> None:
        if self._filling:
            return
        self._filling = True
        self._show_method()
        self._filling = False
        self._edited()

    def _on_preset(self, _index: int) -> None:
        if self._filling:
            return
        self._filling = True
        self._steps.setValue(0 if self.budget else self._info().default_steps)
        self._filling = False
        self._edited()

    def _on_steps(self) -> None:
        """Steps of one's own replace the time."""
        if self._filling:
            return
        self._filling = True
        self._show_budget(_OWN_STEPS if self.steps else self.budget or DEFAULT_BUDGET)
        self._filling = False
        self._edited()

    def _show_budget(self, minutes: float) -> None:
        """Select a time, which is added to the list if it is another one."""
        if self._preset.findData(minutes) < 0:
            self._preset.addItem(preset_of(minutes).title, minutes)
        self._preset.setCurrentIndex(self._preset.findData(minutes))

    def _on_reset(self) -> None:
        self._form.reset()
        self._edited()

    def _edited(self) -> None:
        if self._filling:
            return
        self._after_change()
        if self.on_changed:
            self.on_changed()

    def _after_change(self) -> None:
        """Mark the estimate as outdated."""
        self._estimate.set_outdated()

    def _training_words(self) -> list[str]:
        """Return the arguments of ``leuda plan`` after the dataset."""
        words = ["--method", self.method, "--device", self.device or AUTO]
        words += ["--budget", f"{self.budget:g}m"] if self.budget else ["--steps", str(self.steps)]
        for name, value in self.settings.items():
            words += ["--set", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
        return words


def _title(method: MethodInfo) -> str:
    if method.name == RECOMMENDED:
        return _("{title} (recommended)").format(title=method.title)
    if method.needs_target_labels:
        return _("{title} (comparison)").format(title=method.title)
    return method.title
