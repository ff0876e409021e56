"""The settings of one segmentation, checked before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from slicer.i18n import tr as _

from leuda_core.bundle.store import ModelEntry
from leuda_core.errors import InputError
from leuda_core.types import Label, SegmentOptions
from LEUDASegmentationLib.run import results
from LEUDASegmentationLib.scene.geometry import RoiMask, ijk_to_ras
from LEUDASegmentationLib.scene.volumes import check_volume


@dataclass(frozen=True)
class Order:
    """What to segment, and how. The fields are explained in ``LEUDASegmentationLogic.segment``."""

    volume_node: Any
    model: ModelEntry
    output: Any | None = None
    roi: RoiMask | None = None
    segments: Sequence[str] | None = None
    device: str = "auto"
    options: SegmentOptions = field(default_factory=SegmentOptions)
    show_in_3d: bool = False
    smoothing: float | None = None
    keep_corrections: bool = True

    def __post_init__(self) -> None:
        results.check_output(self.output, self.volume_node, self.labels)

    @property
    def labels(self) -> list[Label]:
        """The labels to write.

        Raises:
            InputError: one of the requested segments is unknown to the model, or none is requested.
        """
        if self.segments is None:
            return list(self.model.labels)
        known = {label.name: label for label in self.model.labels}
        unknown = [name for name in self.segments if name not in known]
        if unknown or not self.segments:
            cause = (
                _("the model has no segment “{name}”").format(name=unknown[0]) if unknown else _("no segment is chosen")
            )
            raise InputError(cause, _("choose among: {names}").format(names=", ".join(known)))
        return [label for label in self.model.labels if label.name in self.segments]

    def request(self, volume: str, labels: str, probabilities: str) -> dict[str, Any]:
        """Return the fields of the worker's request, given the file of the volume and the files for the results."""
        options = {**asdict(self.options), "probabilities": probabilities if self.options.probabilities else None}
        return dict(
            model=str(self.model.path),
            device=self.device,
            volume=volume,
            affine=ijk_to_ras(self.volume_node).tolist(),
            output=labels,
            box=[list(ends) for ends in self.roi.box] if self.roi else None,
            doubt=self.roi is None,  # in a part of the volume, it would say nothing about whole slices
            **options,
        )


def make_order(
    volumeNode: Any,
    model: ModelEntry,
    output: Any | None = None,
    *,
    segments: Sequence[str] | None = None,
    roiNode: Any | None = None,
    device: str = "auto",
    largestComponent: bool = False,
    probabilities: bool = False,
    showIn3D: bool = False,
    smoothing: float | None = None,
    keepCorrections: bool = True,
) -> Order:
    """Return the order for the arguments of ``LEUDASegmentationLogic.segment``.

    Raises:
        InputError: the volume, the ROI, the output or a segment cannot be used.
    """
    check_volume(volumeNode)
    return Order(
        volumeNode,
        model,
        output,
        roi=RoiMask(volumeNode, roiNode) if roiNode is not None else None,
        segments=segments,
        device=device,
        options=SegmentOptions(probabilities=probabilities, largest_component=largestComponent),
        show_in_3d=showIn3D,
        smoothing=smoothing,
        keep_corrections=keepCorrections,
    )
