"""What is chosen in the effect: parameters of the editor node, which is saved with the scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from leuda_core.bundle.store import ModelEntry
from leuda_core.errors import InputError
from leuda_core.types import Label
from LEUDASegmentationLib.effect.options import ALL, RANGE, ROI, SELECTED, SLICE, VOLUME
from LEUDASegmentationLib.effect.region import Region, inside_roi, slice_axis, slices_between, whole_volume
from LEUDASegmentationLib.parameter_node import is_alive
from LEUDASegmentationLib.scene.geometry import volume_shape
from LEUDASegmentationLib.scene.slice_views import centre_of, first_view, index_of_slice, views_parallel_to
from LEUDASegmentationLib.scene.volumes import check_volume

_NONE = "-1"  # a slice that was not chosen: parameters are texts
_DEFAULTS = {"Region": SLICE, "First": _NONE, "Last": _NONE, "Segments": SELECTED, "Preview": "1"}


@dataclass(frozen=True)
class Order:
    """What Apply is pressed for; the editor may show something else when the answer comes."""

    volume: Any
    segmentation: Any
    segment: str
    model: ModelEntry
    region: Region
    labels: tuple[Label, ...]
    all_structures: bool


class Choices:
    """The parameters ``Model``, its name in the list; ``Region``, one of ``slice``, ``range``, ``roi``, ``volume``;
    ``First`` and ``Last``, slices of a range; ``Segments``, ``selected`` or ``all``; ``Structure``, empty for that with
    the name of the segment; ``Preview``, 0 or 1; and the node ``ROI``.

    Attributes:
        models: those that can be chosen.
        view: the slice node that was used last.
    """

    def __init__(self, effect: Any) -> None:
        self._effect = effect
        self.models: Sequence[ModelEntry] = ()
        self.view: Any = None

    def __getitem__(self, name: str) -> str:
        """Return a parameter, or its default: a scene that was saved without the effect takes them away."""
        return self._effect.parameter(name) if self._effect.parameterDefined(name) else _DEFAULTS.get(name, "")

    def __setitem__(self, name: str, value: str) -> None:
        self._effect.setParameter(name, value)

    def set_defaults(self) -> None:
        """Give every parameter that is not set its default."""
        for name, value in _DEFAULTS.items():
            self._effect.setParameterDefault(name, value)

    @property
    def model(self) -> ModelEntry | None:
        """The chosen model; the first one if the chosen one is no longer in the list."""
        named = {model.name: model for model in self.models}
        return named.get(self["Model"]) or next(iter(self.models), None)

    @property
    def volume(self) -> Any | None:
        """The source volume of the editor, if it can be segmented."""
        node = self._effect.parameterSetNode().GetSourceVolumeNode()
        try:
            check_volume(node)
        except InputError:
            return None
        return node

    @property
    def roi(self) -> Any | None:
        """The chosen ROI."""
        node = self._effect.nodeReference("ROI")
        return node if is_alive(node) else None

    @roi.setter
    def roi(self, node: Any | None) -> None:
        self._effect.setNodeReference("ROI", node)

    @property
    def all_structures(self) -> bool:
        """Whether all structures of the model are written, and not only one into the selected segment."""
        return self["Segments"] == ALL

    def labels(self) -> tuple[Label, ...]:
        """Return the labels that are written.

        Raises:
            InputError: there is no model, no segment is selected, or the model has no structure of its name.
        """
        model = self._some_model()
        if self.all_structures:
            return tuple(model.labels)
        wanted = self["Structure"]
        if not wanted:
            node = self._effect.parameterSetNode()
            segmentation = node.GetSegmentationNode().GetSegmentation() if node.GetSegmentationNode() else None
            segment = segmentation.GetSegment(node.GetSelectedSegmentID() or "") if segmentation else None
            if segment is None:
                raise InputError(_("no segment is selected"), _("select one, or write all structures of the model"))
            wanted = segment.GetName().strip()
        found = tuple(label for label in model.labels if label.name == wanted)
        if not found:
            raise InputError(
                _("the model “{model}” has no structure “{name}”").format(model=model.name, name=wanted),
                _("choose which structure is written into the segment"),
            )
        return found

    def shown_slice(self) -> tuple[int, int] | None:
        """Return axis and index of "this slice"; ``None`` without a volume, a model or a view.

        It is that of the view that was used last; if this one is not parallel to the slices of the model, that of the
        first view that is.
        """
        volume, model = self.volume, self.model
        if volume is None or model is None:
            return None
        axis = slice_axis(volume, model)
        try:
            parallel = views_parallel_to(volume, axis)
        except InputError:  # under a warp, no view is parallel to the slices everywhere
            parallel = []
        used = self.view if is_alive(self.view) else None
        view = used if used in parallel or not parallel else parallel[0]
        view = view or first_view()
        return None if view is None else (axis, index_of_slice(volume, axis, centre_of(view, volume)))

    def take_slice(self, name: str) -> None:
        """Take "this slice" as ``First`` or ``Last``, and also as the other one if that was not chosen."""
        shown = self.shown_slice()
        if shown is None:
            return
        self[name] = str(shown[1])
        other = "Last" if name == "First" else "First"
        if self[other] == _NONE:
            self[other] = str(shown[1])

    def forget_slices(self) -> None:
        """Forget ``First`` and ``Last``."""
        self["First"] = self["Last"] = _NONE

    def range(self) -> tuple[int, int] | None:
        """Return ``First`` and ``Last`` in ascending order; ``None`` if they were not chosen, or lie outside."""
        shown = self.shown_slice()
        low, high = sorted(int(self[name]) for name in ("First", "Last"))
        return (low, high) if shown is not None and low >= 0 and high < volume_shape(self.volume)[shown[0]] else None

    def order(self) -> Order:
        """Return what Apply is pressed for.

        Raises:
            InputError: something is missing or does not fit.
        """
        node = self._effect.parameterSetNode()
        check_volume(node.GetSourceVolumeNode())
        model, labels = self._some_model(), self.labels()
        return Order(
            self.volume,
            node.GetSegmentationNode(),
            node.GetSelectedSegmentID() or "",
            model,
            self._region(),
            labels,
            self.all_structures,
        )

    def _some_model(self) -> ModelEntry:
        model = self.model
        if model is None:
            raise InputError(_("there is no model"), _("train one, or import one in LE-UDA Segmentation"))
        return model

    def _region(self) -> Region:
        kind = self["Region"]
        if kind == ROI:
            if self.roi is None:
                raise InputError(_("no ROI is chosen"), _("choose one, or create one in the same list"))
            return inside_roi(self.volume, self.roi)
        if kind == VOLUME:
            return whole_volume(self.volume)
        shown = self.shown_slice()
        if shown is None:
            raise InputError(_("there is no slice view"), _("choose a layout with a slice view"))
        axis, index = shown
        first_and_last = self.range() if kind == RANGE else (index, index)
        if first_and_last is None:
            raise InputError(_("no slices are chosen"), _("press From Here at the first one and To Here at the last"))
        return slices_between(self.volume, axis, *first_and_last)
