"""Which method, how much of it, and where: the choices of a training, with an estimate before it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from LEUDASegmentationLib.widgets.device_box import AUTO, DeviceBox
from LEUDASegmentationLib.widgets.layout import column_in
from LEUDATrainingLib.method.estimate_panel import EstimateDataset, EstimatePanel
from LEUDATrainingLib.method.presets import all_presets, matching_preset
from LEUDATrainingLib.method.schema_form import SchemaForm
from LEUDATrainingLib.method.setting_fields import ChoiceBox, WholeBox
from LEUDATrainingLib.method_catalog import RECOMMENDED, MethodInfo, load_methods

_MOST_STEPS, _MOST_SEED = 1_000_000, 2**31 - 1
_CUSTOM = ""


class MethodForm(qt.QWidget):
    """Method, preset, steps, device, every setting of the method, and "Estimate time and memory".

    ``on_changed`` is called without arguments after every change made by hand, not by ``set_values``.
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
        """The method's name, as ``leuda train --method`` takes it."""
        return self._method.itemData(self._method.currentIndex)

    @property
    def steps(self) -> int:
        """Training steps of the segmenter."""
        return self._steps.value

    @property
    def seed(self) -> int:
        """The seed of all random numbers."""
        return self._seed.value

    @property
    def device(self) -> str:
        """``auto``, ``cpu`` or ``cuda:K``."""
        return self._device.current

    @property
    def settings(self) -> dict[str, Any]:
        """The method's settings that differ from their defaults."""
        return self._form.changed_values

    def set_values(
        self,
        method: str | None = None,
        steps: int | None = None,
        seed: int | None = None,
        device: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Show these values; what is None stays. An unknown method, as from another version, is passed over.

        ``settings`` are those that differ from the defaults: all others go back to them.
        """
        self._filling = True
        try:
            if method in self._methods and method != self.method:
                self._method.setCurrentIndex(self._method.findData(method))
                self._show_method()
            if steps is not None:
                self._steps.setValue(steps)
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
        """Say where the dataset for an estimate comes from; ``provider`` may raise a LeudaError."""
        self._estimate.set_provider(provider)

    def fill_devices(self, client: Any) -> None:
        """List this machine's devices, asked of a ``WorkerClient``, once."""
        self._device.fill(client)

    def cleanup(self) -> None:
        """Give up an estimate that is being made."""
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
        self._steps = self._make_number("stepsBox", 1, _MOST_STEPS, _("Training steps of the segmenter"))
        self._steps.setValue(self._info().default_steps)
        form.addRow(_("Steps:"), self._steps)
        combo = ChoiceBox()
        combo.objectName = "trainingDeviceBox"
        self._device = DeviceBox(combo, lambda _device: self._edited())
        form.addRow(_("Device:"), combo)
        form.addRow(self._make_advanced())
        self._estimate = EstimatePanel(self._training_words)
        column.addWidget(self._estimate.widget)  # in a row of the form its longer answers would be cut off

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
            box.addItem(preset.title, preset.key)
            box.setItemData(box.count - 1, preset.description, qt.Qt.ToolTipRole)
        box.addItem(_("Custom"), _CUSTOM)
        box.connect("currentIndexChanged(int)", self._on_preset)
        return box

    def _make_number(self, name: str, least: int, most: int, tip: str) -> Any:
        box = WholeBox()
        box.objectName = name
        box.toolTip = tip
        box.setRange(least, most)
        box.setKeyboardTracking(False)
        box.connect("valueChanged(int)", lambda _value: self._edited())
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
        reset = qt.QPushButton(_("Reset all to the defaults"))
        reset.objectName = "resetSettingsButton"
        reset.connect("clicked()", self._on_reset)
        column.addWidget(reset, 0, qt.Qt.AlignRight)
        return section

    def _info(self) -> MethodInfo:
        return self._methods[self.method]

    def _show_method(self) -> None:
        """Show what the chosen method is, and its settings at their defaults."""
        method = self._info()
        text = f"{method.summary} <i>{method.paper}</i>."
        if method.needs_target_labels:
            why = _("For comparison only: it needs labels on target volumes, which is what adaptation does without.")
            text += f"<br><b>{why}</b>"
        self._about.text = text
        self._form.set_properties(method.properties)

    def _on_method(self, _index: int) -> None:
        if self._filling:
            return
        preset = self._preset.itemData(self._preset.currentIndex)
        self._filling = True
        self._show_method()
        self._filling = False
        self._apply_preset(preset)
        self._edited()

    def _on_preset(self, index: int) -> None:
        if not self._filling:
            self._apply_preset(self._preset.itemData(index))
            self._edited()

    def _apply_preset(self, key: str) -> None:
        """Put a preset's numbers of steps; for Custom the numbers stay."""
        preset = next((preset for preset in all_presets() if preset.key == key), None)
        if preset is None:
            return
        values = preset.values(self._info())
        self._filling = True
        self._steps.setValue(values.pop("steps"))
        self._form.set_values(values)
        self._filling = False

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
        """Let the preset's name and the estimate follow the numbers."""
        names = all_presets()[0].values(self._info())
        values = {"steps": self.steps} | self._form.values
        key = matching_preset({name: values[name] for name in names}, self._info())
        self._filling = True
        self._preset.setCurrentIndex(self._preset.findData(key or _CUSTOM))
        self._filling = False
        self._estimate.set_outdated()

    def _training_words(self) -> list[str]:
        """Return the words that ``leuda train`` and ``leuda plan`` take after the dataset."""
        words = ["--method", self.method, "--steps", str(self.steps), "--device", self.device or AUTO]
        for name, value in self.settings.items():
            words += ["--set", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
        return words


def _title(method: MethodInfo) -> str:
    if method.name == RECOMMENDED:
        return _("{title} (recommended)").format(title=method.title)
    if method.needs_target_labels:
        return _("{title} (comparison)").format(title=method.title)
    return method.title
