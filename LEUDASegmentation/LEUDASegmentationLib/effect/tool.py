"""The effect itself: what it shows, segments and writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from leuda_core.errors import Cancelled, InputError, LeudaError
from leuda_core.types import Label
from LEUDASegmentationLib.effect.choices import Choices, Order
from LEUDASegmentationLib.effect.options import RANGE, SLICE, OptionsFrame
from LEUDASegmentationLib.effect.region_job import RegionJob
from LEUDASegmentationLib.effect.writing import Written, add_missing_segments, write_answer
from LEUDASegmentationLib.logic import LEUDASegmentationLogic
from LEUDASegmentationLib.panel.preview_control import PreviewControl
from LEUDASegmentationLib.processes import installation
from LEUDASegmentationLib.scene.geometry import enclose, volume_shape
from LEUDASegmentationLib.scene.layers import segment_ids


class ModelTool:
    """A model as a tool of the Segment Editor.

    Args:
        effect: the ``qSlicerSegmentEditorScriptedEffect``, whose options it creates. choices: its parameters.
        logic: by default, one with the user's models.
    """

    def __init__(self, effect: Any, choices: Choices, logic: LEUDASegmentationLogic | None = None) -> None:
        self._effect, self._logic = effect, logic or LEUDASegmentationLogic()
        self._observed: tuple[Any, int] | None = None  # the editor node and the tag of its observer, while active
        self._job: RegionJob | None = None
        self._updating = self._closed = self._installed = False
        self.choices = choices
        self.options = OptionsFrame(
            on_changed=self._on_chosen,
            on_from=lambda: self._take_slice("First"),
            on_to=lambda: self._take_slice("Last"),
            on_apply=self.apply,
            on_cancel=self.cancel,
        )
        effect.addOptionsWidget(self.options.widget)
        self._preview = PreviewControl(self.options.preview, self._logic, self._say)
        self.options.preview.connect("toggled(bool)", self._on_preview_toggled)

    @property
    def active(self) -> bool:
        """Whether the effect is the chosen one."""
        return self._observed is not None

    @property
    def running(self) -> bool:
        """Whether a region is being segmented."""
        return self._job is not None

    def activate(self) -> None:
        """Show the models that there are now, and start the preview."""
        self.choices.models = [model for model in self._logic.models() if not model.problem]
        self._installed = not installation.missing_packages()  # asked once: each slice would ask again
        node = self._effect.parameterSetNode()
        self._observed = node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda _caller, _event: self.update())
        self.update()

    def deactivate(self) -> None:
        """End all work."""
        self.cancel()
        if self._observed is not None:
            node, tag = self._observed
            node.RemoveObserver(tag)
            self._observed = None
        self._preview.update(None, None, "auto")

    def close(self) -> None:
        """End all work and do not use widgets any more: they are about to be deleted."""
        self.deactivate()
        self._closed = True

    def use_view(self, slice_node: Any) -> None:
        """Take a slice node as the one that shows "this slice"."""
        self.choices.view = slice_node
        if self.active and self._effect.parameterSetNode() is not None:
            self._show_place()

    def update(self) -> None:
        """Show what is chosen."""
        if not self.active or self._updating or self._closed or self._effect.parameterSetNode() is None:
            return
        self._updating = True
        try:
            choices, options, model = self.choices, self.options, self.choices.model
            options.show_models(choices.models, model.name if model else "")
            options.show_structures(model, choices["Structure"])
            options.show_choices(choices["Region"], choices["Segments"], choices["Preview"] == "1")
            options.roi.setCurrentNode(choices.roi)
            options.apply.enabled = model is not None and not self.running
            self._show_place()
            self._preview.update(choices.volume if self._installed else None, model, "auto", self._previewed())
        finally:
            self._updating = False

    def apply(self) -> None:
        """Segment the region, and write the result when it is there."""
        if self.running or installation.is_installing():
            return
        self.options.strip.clear()
        try:
            if not installation.ensure_installed(slicer.util.mainWindow()):
                self.options.strip.show_warning(
                    _("Nothing was segmented: Python packages are missing"), _("press Apply again to install them")
                )
                return
            if not self.active:  # left while packages were installed
                return
            self._installed = True
            self.update()
            order = self.choices.order()
            if order.all_structures or self._effect.confirmCurrentSegmentVisible():
                self._start(order)
        except LeudaError as error:
            self._say(error)

    def cancel(self) -> None:
        """Cancel what runs; nothing is written."""
        if self._job is not None:
            self._job.cancel()

    def _previewed(self) -> tuple[Label, ...] | None:
        """Return the labels to outline; ``None`` for all, if none is to be written as it is."""
        try:
            return self.choices.labels()
        except InputError:
            return None

    def _on_chosen(self) -> None:
        if self._updating or not self.active:  # lists also change while the effect is not chosen
            return
        options, choices, roi = self.options, self.choices, self.options.roi.currentNode()
        chosen = {
            "Model": options.model.currentData or "",
            "Region": options.region.currentData,
            "Segments": options.segments.currentData,
            "Structure": options.structure.currentData or "",
        }
        if roi is not None and choices.volume is not None and max(roi.GetSize()) <= 0:
            roi.CreateDefaultDisplayNodes()
            enclose(roi, choices.volume)  # an empty box is invisible
        self._updating = True  # every parameter that is stored is shown at once, and the others as they were
        try:
            for name, value in chosen.items():
                choices[name] = value
            choices.roi = roi
        finally:
            self._updating = False
        options.strip.clear()
        self.update()

    def _on_preview_toggled(self, checked: bool) -> None:
        if not self._updating:
            self.choices["Preview"] = "1" if checked else "0"

    def _take_slice(self, name: str) -> None:
        self.choices.take_slice(name)
        self._show_place()

    def _show_place(self) -> None:
        """Say which slices would be segmented; numbers begin with 1."""
        choices, region, shown = self.choices, self.choices["Region"], None
        if region in (SLICE, RANGE) and self._installed:  # the rule of some models needs packages
            shown = choices.shown_slice()
        if shown is None:
            text = ""
        elif region == SLICE:
            count = volume_shape(choices.volume)[shown[0]]
            text = _("Slice {number} of {count}").format(number=shown[1] + 1, count=count)
        elif (chosen := choices.range()) is not None:
            text = _("Slices {first} to {last}").format(first=chosen[0] + 1, last=chosen[1] + 1)
        else:
            text = _("Scroll to the first slice and press From Here, then to the last one and press To Here.")
        self.options.place.text = text
        self.options.place.wordWrap = text.endswith(".")  # a wrapped label is higher than a short text needs
        self.options.place.visible = bool(text)

    def _start(self, order: Order) -> None:
        self._job = RegionJob(
            order.volume,
            order.model,
            order.region,
            self._logic.worker,
            self._logic.volumeFiles,
            onProgress=self._while_open(self._on_progress),
            onDone=self._while_open(lambda answer: self._on_answer(order, answer)),
            onError=self._while_open(self._on_error),
        )
        self.options.progress.start(_("Starting"))
        self.options.apply.enabled = False
        self._job.start()

    def _while_open(self, callback: Callable[..., None]) -> Callable[..., None]:
        return lambda *arguments: None if self._closed else callback(*arguments)

    def _on_progress(self, progress: Any) -> None:
        self.options.progress.update(progress.text, progress.fraction, progress.secondsLeft)

    def _on_answer(self, order: Order, answer: Any) -> None:
        notes = list(self._job.notes) if self._job else []
        self._end()
        node = self._effect.parameterSetNode()
        if not self.active or node is None:
            return
        if node.GetSegmentationNode() is not order.segmentation:
            self.options.strip.show_warning(_("Nothing was written"), _("another segmentation was chosen meanwhile"))
            return
        slicer.app.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            written = self._write(order, answer)
        except LeudaError as error:
            self._say(error)
            return
        finally:
            slicer.app.restoreOverrideCursor()
        if not written.found:
            emptied = _("segments were emptied in this place; Undo brings them back")
            self.options.strip.show_warning(
                _("The model found nothing here"), emptied if written.removed else _("nothing was changed")
            )
        elif notes:
            self.options.strip.show_warning(notes[0], "; ".join(notes[1:]))

    def _write(self, order: Order, answer: Any) -> Written:
        if not order.all_structures and order.segment not in segment_ids(order.segmentation.GetSegmentation()):
            raise InputError(_("the segment was removed meanwhile"), _("select another one"))
        self._effect.saveStateForUndo()
        targets = {order.segment: order.labels[0].value}
        if order.all_structures:
            targets = add_missing_segments(order.segmentation, order.labels)
        return write_answer(self._effect, answer, order.volume, targets)

    def _on_error(self, error: LeudaError) -> None:
        self._end()
        if not isinstance(error, Cancelled):
            self._say(error)

    def _end(self) -> None:
        self._job = None
        self.options.progress.finish()
        self.options.apply.enabled = self.choices.model is not None

    def _say(self, error: LeudaError) -> None:
        self.options.strip.show_error(error)
