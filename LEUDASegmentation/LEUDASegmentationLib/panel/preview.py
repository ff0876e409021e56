"""Live preview: segments the slice of a view while the user scrolls, to show whether a model is suitable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from leuda_core.bundle.store import ModelEntry
from leuda_core.errors import InputError, LeudaError
from leuda_core.types import Label
from LEUDASegmentationLib.run import results
from LEUDASegmentationLib.scene import layers
from LEUDASegmentationLib.scene.geometry import ijk_to_ras, volume_shape
from LEUDASegmentationLib.scene.scene_watch import SceneWatch
from LEUDASegmentationLib.scene.slice_views import centre_of, index_of_slice
from LEUDASegmentationLib.scene.steps import EventLoopWork
from LEUDASegmentationLib.scene.volume_files import content_stamp
from LEUDASegmentationLib.scene.volumes import check_volume

if TYPE_CHECKING:
    from LEUDASegmentationLib.logic import LEUDASegmentationLogic

NODE_NAME = "LE-UDA preview"
UNSURE = (Label(1, "unsure", (1.0, 0.8, 0.0)), Label(2, "very unsure", (0.9, 0.1, 0.1)))
UNSURE_FROM = (0.2, 0.4)
"""Expected shares of wrong pixels from which a pixel counts as unsure and very unsure."""


class LivePreview:
    """Follows a slice view and shows the outlines of what a model finds in the slice at its centre.

    There is one request at a time; when it is done, the next one is for the position of the view at that time.

    Args:
        logic: provides the worker and the copies of volumes.
        on_error: called with a LeudaError if the preview ended by itself.
    """

    def __init__(self, logic: LEUDASegmentationLogic, on_error: Callable[[LeudaError], None] | None = None) -> None:
        self._logic = logic
        self._on_error = on_error
        self._session: _Session | None = None

    @property
    def running(self) -> bool:
        """Whether the preview follows a view."""
        return self._session is not None

    @property
    def segmentation_node(self) -> Any | None:
        """The node with the outlines, hidden from lists and never saved; None if the preview is off."""
        return self._session.outlines.node if self._session else None

    def start(
        self,
        volume_node: Any,
        model: Any,
        slice_node: Any,
        device: str = "auto",
        labels: Sequence[Label] | None = None,
        *,
        doubt: bool = False,
    ) -> None:
        """Follow a slice view (vtkMRMLSliceNode) instead of the previous one.

        Args:
            labels: those to outline; by default all of the model. doubt: also show where the model is unsure.

        Raises:
            InputError: the volume or the model cannot be used, or there is no view.
        """
        self.stop()
        check_volume(volume_node)
        if slice_node is None:
            raise InputError(_("there is no slice view to show a preview in"), _("choose a layout with a slice view"))
        entry = self._logic.modelEntry(model)
        self._session = _Session(self._logic, volume_node, entry, device, labels or entry.labels, doubt, self._end)
        self._session.follow(slice_node)

    def follow(self, slice_node: Any) -> None:
        """Follow another slice view, with the same volume and model."""
        if self._session is not None:
            self._session.follow(slice_node)

    def stop(self) -> None:
        """Remove the outlines and stop following. May be called at any time."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _end(self, error: LeudaError) -> None:
        self.stop()
        if self._on_error is not None:
            self._on_error(error)


class PreviewOutlines:
    """A segmentation node with one slice, on exactly the grid of the volume, that shows outlines, or areas."""

    def __init__(self, volume_node: Any, labels: Sequence[Label], *, filled: bool = False) -> None:
        self._volume, self._filled = volume_node, filled
        self._image = layers.new_layer((0, 0, 0, 0, 0, 0), np.dtype(np.uint8), ijk_to_ras(volume_node))
        layers.layer_array(self._image)[:] = 0
        self.node = self._add_node(volume_node.GetScene())
        layers.put_segments(self.node.GetSegmentation(), self._image, labels)

    def show(self, axis: int, index: int, labels: np.ndarray) -> None:
        """Show the labels of a slice.

        Args:
            axis: axis of the volume that is perpendicular to the slice: 0 is i, 1 is j, 2 is k.
            index: index of the slice along this axis.
            labels: the slice, as ``array[k, j, i]`` without this axis; uint8 or uint16.
        """
        extent = [end for n in volume_shape(self._volume) for end in (0, n - 1)]
        extent[2 * axis : 2 * axis + 2] = index, index
        image = layers.new_layer(extent, labels.dtype, ijk_to_ras(self._volume))
        layers.layer_array(image)[:] = np.expand_dims(labels, 2 - axis)
        self._image.ShallowCopy(image)
        self.node.SetAndObserveTransformNodeID(self._volume.GetTransformNodeID())
        self.node.GetSegmentation().GetNthSegment(0).Modified()  # makes the views draw it

    def remove(self) -> None:
        """Remove the node from the scene."""
        results.remove_node(self.node)

    def _add_node(self, scene: Any) -> Any:
        node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
        node.UnRegister(None)
        node.SetName(NODE_NAME)
        node.SetHideFromEditors(True)  # before it is added, so that no list shows it
        node.SetSaveWithScene(False)
        node = scene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.SetVisibility2DFill(self._filled)
        display.SetVisibility2DOutline(not self._filled)
        display.SetVisibility3D(False)
        return node


class _Session:
    """One volume and one model, from ``start`` to ``stop``."""

    def __init__(
        self,
        logic: LEUDASegmentationLogic,
        volume_node: Any,
        model: ModelEntry,
        device: str,
        labels: Sequence[Label],
        doubt: bool,
        on_end: Callable[[LeudaError], None],
    ) -> None:
        self._worker, self._files = logic.worker, logic.volumeFiles
        self._volume, self._model, self._device, self._on_end = volume_node, model, device, on_end
        self._slice_node: Any = None
        self._observations: list[tuple[Any, int]] = []
        self._watch = SceneWatch(volume_node.GetScene(), self._on_removed, self._on_closing)
        self._copying: EventLoopWork | None = None
        self._copy: str | None = None
        self._stamp: tuple[int, int] | None = None  # of the copied content
        self._request: int | None = None
        self._output = self._worker.new_path("preview.npy")
        self._asked_center = np.zeros(3)
        self._shown: tuple[Any, ...] | None = None
        self._doubt_file = self._worker.new_path("doubt.npy") if doubt else None
        self._doubt = PreviewOutlines(volume_node, UNSURE, filled=True) if doubt else None
        self.outlines = PreviewOutlines(volume_node, labels)

    def follow(self, slice_node: Any) -> None:
        self._stop_observing()
        self._slice_node = slice_node
        for node, event in (
            (slice_node, vtk.vtkCommand.ModifiedEvent),
            (self._volume, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent),
        ):
            self._observations.append((node, node.AddObserver(event, lambda _caller, _event: self._update())))
        self._update()

    def close(self) -> None:
        self._watch.stop()
        self._stop_observing()
        self._slice_node = None
        request, self._request = self._request, None
        if request is not None:
            self._worker.cancel(request)
        self._forget_copy()
        self._worker.discard(self._output)
        self.outlines.remove()
        if self._doubt is not None and self._doubt_file is not None:
            self._worker.discard(self._doubt_file)
            self._doubt.remove()

    def _update(self) -> None:
        """Update copy and outlines, unless a request is running."""
        if self._slice_node is None or self._request is not None:
            return
        if self._stamp != content_stamp(self._volume):
            self._begin_copy()
        elif self._copy is not None and self._is_new():
            self._send()

    def _begin_copy(self) -> None:
        self._forget_copy()
        self._shown = None
        self._stamp = content_stamp(self._volume)
        copying = self._files.acquire(self._volume)
        self._copying = EventLoopWork(copying, self._on_copied, self._on_copy_failed).start()

    def _on_copied(self, path: str) -> None:
        self._copy = path
        self._update()

    def _on_copy_failed(self, error: LeudaError) -> None:
        if self._stamp != content_stamp(self._volume):  # for example while a sequence is played
            self._update()
        else:
            self._on_end(error)

    def _forget_copy(self) -> None:
        if self._copying is not None:
            self._copying.stop()
        copy, self._copy = self._copy, None
        if copy is not None:
            self._files.release(copy)

    def _center(self) -> np.ndarray:
        return centre_of(self._slice_node, self._volume)

    def _is_new(self) -> bool:
        """Return whether the view shows another slice than the outlines."""
        return self._shown is None or self._shown != self._place(self._shown[0], self._center())

    def _place(self, axis: int, center: np.ndarray) -> tuple[Any, ...]:
        """Return what identifies the slice, perpendicular to ``axis``, nearest to a point in node coordinates."""
        index = index_of_slice(self._volume, axis, center)
        return axis, index, ijk_to_ras(self._volume).tobytes(), self._volume.GetTransformNodeID()

    def _send(self) -> None:
        self._asked_center = self._center()
        self._request = self._worker.request(
            "slice",
            self._on_reply,
            self._on_failure,
            model=str(self._model.path),
            device=self._device,
            volume=self._copy,
            affine=ijk_to_ras(self._volume).tolist(),
            position=self._asked_center.tolist(),
            output=self._output,
            doubt=self._doubt_file,
        )

    def _on_reply(self, reply: dict[str, Any]) -> None:
        if self._request is None:
            return  # closed meanwhile
        self._request = None
        if self._stamp == content_stamp(self._volume):
            self.outlines.show(reply["axis"], reply["index"], np.load(self._output))
            if self._doubt is not None and self._doubt_file is not None:
                levels = np.digitize(np.load(self._doubt_file), UNSURE_FROM).astype(np.uint8)
                self._doubt.show(reply["axis"], reply["index"], levels)
            self._shown = self._place(reply["axis"], self._asked_center)  # rounded as in _is_new
        self._update()

    def _on_failure(self, error: LeudaError) -> None:
        if self._request is not None:
            self._request = None
            self._on_end(error)

    def _on_removed(self, node: Any) -> None:
        if node in (self._volume, self._slice_node, self.outlines.node):
            message = _("“{name}” was deleted, and the live preview ended").format(name=node.GetName())
            self._on_end(InputError(message, _("choose a volume and switch the preview on again")))

    def _on_closing(self) -> None:
        self._on_end(InputError(_("the scene was closed, and the live preview ended"), _("switch it on again")))

    def _stop_observing(self) -> None:
        observations, self._observations = self._observations, []
        for node, tag in observations:
            node.RemoveObserver(tag)
