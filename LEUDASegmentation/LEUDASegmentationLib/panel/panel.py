"""The panel of LE-UDA Segmentation: its parts, and what they show for the current parameters."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from leuda_core.errors import InputError, LeudaError
from leuda_core.types import Label
from LEUDASegmentationLib.panel.apply_control import ApplyControl
from LEUDASegmentationLib.panel.gauge_line import GaugeLine
from LEUDASegmentationLib.panel.improve_control import ImproveControl
from LEUDASegmentationLib.panel.model_table import ModelTable
from LEUDASegmentationLib.panel.preview_control import PreviewControl
from LEUDASegmentationLib.panel.result_panel import ResultPanel, reference_volume
from LEUDASegmentationLib.panel.segment_list import SegmentList
from LEUDASegmentationLib.panel.volume_list import VolumeList
from LEUDASegmentationLib.parameter_node import chosen_volumes, is_alive, missing_inputs
from LEUDASegmentationLib.processes import installation
from LEUDASegmentationLib.run.results import MODEL_ATTRIBUTE
from LEUDASegmentationLib.scene.geometry import enclose
from LEUDASegmentationLib.widgets.device_box import DeviceBox
from LEUDASegmentationLib.widgets.log_panel import LogPanel
from LEUDASegmentationLib.widgets.message_strip import MessageStrip

logger = logging.getLogger(__name__)


class SegmentationPanel:
    """Fills the widgets of the ``.ui`` file and synchronises them with the parameter node.

    Args:
        widget: the whole panel. ui: its named children. logic: a ``LEUDASegmentationLogic``.
    """

    def __init__(self, widget, ui, logic) -> None:
        self._widget, self._ui, self._logic = widget, ui, logic
        self._parameters: Any = None
        self._shown_labels: tuple[Sequence[Label], Sequence[str]] | None = None
        self._last_input: Any = None  # volume, and whether several are segmented
        self._make_parts()
        self._place_parts()
        self._connect()

    def _make_parts(self) -> None:
        self.install_strip = MessageStrip(action=_("Install…"), on_action=self.install, closable=False)
        self.message_strip = MessageStrip()
        self.volumes = VolumeList(self._on_volumes_checked)
        self.models = ModelTable(self._logic, on_selected=self._on_model_selected, on_message=self.say)
        self.segments = SegmentList(self._on_segments_checked)
        self.device = DeviceBox(self._ui.deviceSelector, self._on_device_chosen)
        self.log = LogPanel()
        self.apply = ApplyControl(
            self._logic, self.message_strip, self.volumes, on_state=self.update, on_result=self._on_result
        )
        self.result = ResultPanel(self._ui, self._logic, self.say)
        self.gauge = GaugeLine(self._logic)
        self.improve = ImproveControl(
            self._logic, on_message=self.say, on_improved=self._on_improved, on_state=self.update
        )
        self.preview = PreviewControl(self._ui.livePreviewCheckBox, self._logic, self.say, self._ui.doubtCheckBox)

    def _place_parts(self) -> None:
        ui, layout = self._ui, self._widget.layout()
        layout.insertWidget(0, self.install_strip.widget)
        ui.inputSection.layout().addRow(self.volumes.widget)
        ui.modelSection.layout().addWidget(self.gauge.widget)
        ui.modelSection.layout().insertWidget(0, self.models.widget)
        ui.optionsSection.layout().insertRow(0, _("Segments:"), self.segments.widget)
        ui.resultSection.layout().addWidget(self.improve.widget)
        below_apply = layout.indexOf(ui.applyButton) + 1
        layout.insertWidget(below_apply, self.apply.progress.widget)
        layout.insertWidget(below_apply + 1, self.message_strip.widget)
        layout.insertWidget(layout.indexOf(ui.resultSection) + 1, self.log.widget)

    def _connect(self) -> None:
        ui = self._ui
        ui.applyButton.connect("clicked()", self.on_apply)
        ui.optionsSection.connect("contentsCollapsed(bool)", self._on_options_collapsed)
        ui.roiSelector.connect("nodeAddedByUser(vtkMRMLNode*)", self._on_roi_added)

    # Called by the module's widget

    def set_parameter_node(self, parameters) -> None:
        """Show another parameter node; ``None`` if the scene is closed, which ends all work."""
        self._parameters = parameters
        if parameters is None:
            self._last_input = None
            self._stop()
        self.refresh()

    def enter(self) -> None:
        """Refresh everything that may have changed while another module was open."""
        self._logic.worker.onLog = self.log.append
        self.models.refresh()
        self._show_missing_packages()
        self.refresh()
        self.result.refresh()
        self._count_corrections()

    def leave(self) -> None:
        """Stop the live preview; a running segmentation continues."""
        self.preview.stop()

    def cleanup(self) -> None:
        """End all work: the widgets are about to be deleted."""
        self._stop()
        self.apply.close()
        self.improve.close()
        self.result.close()
        if self._logic.worker.onLog == self.log.append:
            self._logic.worker.onLog = None

    def refresh(self) -> None:
        """Show the current nodes of the scene."""
        if self._parameters is not None:
            self.volumes.refresh(filter(is_alive, self._parameters.volumes))
        self.update()

    def select_model(self, name: str) -> None:
        """Choose a model from the list.

        Raises:
            InputError: there is no model with this name.
        """
        self.models.refresh()
        if not self.models.select(name):
            raise InputError(_("there is no model {name}").format(name=name), _("import it, or train it again"))
        self._on_model_selected(self.models.selected)

    def update(self) -> None:
        """Update every part; called whenever a parameter has changed."""
        parameters = self._parameters
        self._widget.enabled = parameters is not None
        if parameters is None:
            self.result.show(None)
            self.improve.show_result(None)
            self.gauge.stop()
            return
        self._follow_input()
        if self.models.selected_name != parameters.model:
            self.models.select(parameters.model)
        self._show_segments()
        self.device.select(parameters.device)
        self._show_choices()
        self.result.show_changed(parameters.outputSegmentation)
        self.improve.show_result(parameters.outputSegmentation)
        self.improve.update(parameters.device, blocked=self.apply.running)
        self.result.allow_undo(not self.improve.running)
        self._show_readiness()
        volume = next(iter(chosen_volumes(parameters)), None)
        self.preview.update(volume, self.models.selected, parameters.device)
        one = None if parameters.severalVolumes else volume
        self.gauge.update(one, self.models.selected, parameters.device)

    def on_apply(self) -> None:
        """Segment."""
        self._ui.applyButton.enabled = False  # packages may have to be installed first, which processes events
        self.apply.start(self._parameters, self.models.selected)
        self._show_readiness()
        self._show_missing_packages()

    def install(self) -> None:
        """Install missing packages after asking."""
        try:
            installation.ensure_installed(slicer.util.mainWindow())
        except LeudaError as error:
            self.message_strip.show_error(error)
        self._show_missing_packages()

    def say(self, message: LeudaError | str) -> None:
        """Show an error, or a text that says what was done."""
        if isinstance(message, LeudaError):
            logger.error("%s", message)
            self.message_strip.show_error(message)
        else:
            self.message_strip.show_info(message)

    def _stop(self) -> None:
        self.preview.stop()
        self.apply.cancel()
        self.improve.cancel()
        self.gauge.stop()

    # Called by the parts

    def _on_volumes_checked(self) -> None:
        self._parameters.volumes = self.volumes.checked()

    def _on_model_selected(self, entry) -> None:
        self._parameters.model = entry.name if entry else ""
        self.update()  # the list may have changed under the same name
        self._count_corrections()

    def _on_segments_checked(self) -> None:
        self._parameters.skippedSegments = self.segments.skipped()

    def _on_device_chosen(self, device: str) -> None:
        self._parameters.device = device

    def _on_result(self, segmentation) -> None:
        """Show a segmentation; the next Apply on the same volume writes into it, too."""
        if self._parameters is None:
            return
        self.result.show(segmentation)
        self.improve.show_result(segmentation)
        self._parameters.outputSegmentation = segmentation
        self._count_corrections()

    def _on_improved(self, new, before) -> None:
        """Choose the new model, unless another one was chosen meanwhile."""
        if self._parameters is not None and self.models.selected_name == before.name:
            self.select_model(new.name)
        else:
            self.models.refresh()

    def _count_corrections(self) -> None:
        self.improve.refresh(self.models.selected if self._parameters is not None else None)

    def _on_options_collapsed(self, collapsed: bool) -> None:
        if not collapsed and not installation.missing_packages():
            self.device.fill(self._logic.worker)

    def _on_roi_added(self, roi) -> None:
        """Place a new box around the input volume, since an empty box is invisible."""
        roi.CreateDefaultDisplayNodes()
        if is_alive(self._parameters.inputVolume):
            enclose(roi, self._parameters.inputVolume)

    # Display

    def _follow_input(self) -> None:
        """After a change of the input, do not overwrite the result of the previous input."""
        volume, several = self._parameters.inputVolume, self._parameters.severalVolumes
        last, now = self._last_input, (volume, several)
        if volume is None or now == last or several:
            self._last_input = now if several else last
            return
        self._last_input = now
        output = self._parameters.outputSegmentation
        made_here = is_alive(output) and output.GetAttribute(MODEL_ATTRIBUTE)
        if last is not None and made_here and reference_volume(output) is not volume:
            self._parameters.outputSegmentation = None

    def _show_segments(self) -> None:
        entry = self.models.selected
        labels = entry.labels if entry else ()
        wanted = (labels, tuple(self._parameters.skippedSegments))
        if wanted != self._shown_labels:
            self._shown_labels = wanted
            self.segments.set_labels(*wanted)

    def _show_choices(self) -> None:
        ui, several = self._ui, self._parameters.severalVolumes
        self.volumes.widget.visible = several
        ui.inputSelector.visible = ui.inputLabel.visible = not several
        ui.outputLabel.text = _("Show result:") if several else _("Segmentation:")
        ui.outputSelector.noneDisplay = _("None") if several else _("New segmentation")
        ui.eachOutputLabel.visible = several
        ui.smoothingSlider.enabled = ui.smoothingLabel.enabled = self._parameters.showIn3D

    def _show_readiness(self) -> None:
        missing = missing_inputs(self._parameters, self.models.selected)
        if installation.is_installing():
            missing = [_("Wait until the Python packages are installed.")]
        if self.improve.running:
            missing = [_("Wait until the model is improved, or cancel that.")]
        if self.apply.running:
            missing = [_("Wait until the running segmentation is done, or cancel it.")]
        self._ui.applyButton.enabled = not missing
        self._ui.applyButton.toolTip = "\n".join(missing) or _("Segment with the chosen model")

    def _show_missing_packages(self) -> None:
        missing = installation.missing_packages()
        if missing:
            names = ", ".join(missing)
            self.install_strip.show_warning(
                _("Python packages are missing"), _("Install them to segment: {names}").format(names=names)
            )
        else:
            self.install_strip.clear()
