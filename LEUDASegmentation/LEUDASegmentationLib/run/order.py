"""What a segmentation is asked to do, checked before anything begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from slicer.i18n import tr as _

from leuda_core.errors import InputError
from leuda_core.types import Label
from LEUDASegmentationLib.run import results
from LEUDASegmentationLib.scene.geometry import RoiMask, ijk_to_ras
from LEUDASegmentationLib.scene.volume_files import check_volume


@dataclass(frozen=True)
class Order:
    """What is to be segmented, and how. The fields are as in ``LEUDASegmentationLogic.segment``."""

    OPTIONS: ClassVar[tuple[str, ...]] = (
        "segments",
        "device",
        "largestComponent",
        "probabilities",
        "showIn3D",
        "smoothing",
    )

    volumeNode: Any
    modelName: str
    modelPath: Path
    modelLabels: tuple[Label, ...]
    output: Any | None = None
    roi: RoiMask | None = None
    segments: Sequence[str] | None = None
    device: str = "auto"
    largestComponent: bool = False
    probabilities: bool = False
    showIn3D: bool = False
    smoothing: float | None = None

    def __post_init__(self) -> None:
        check_volume(self.volumeNode)
        results.check_output(self.output, self.volumeNode, self.labels)

    @property
    def labels(self) -> list[Label]:
        """The labels to write.

        Raises:
            InputError: a segment is asked for that the model does not know, or none at all.
        """
        if self.segments is None:
            return list(self.modelLabels)
        known = {label.name: label for label in self.modelLabels}
        unknown = [name for name in self.segments if name not in known]
        if unknown or not self.segments:
            asked = (
                _("the model has no segment “{name}”").format(name=unknown[0]) if unknown else _("no segment is chosen")
            )
            raise InputError(asked, _("choose among: {names}").format(names=", ".join(known)))
        return [label for label in self.modelLabels if label.name in self.segments]

    def request(self, volume: str, output: str, probabilities_path: str | None) -> dict[str, Any]:
        """Return the fields of the worker's request."""
        return dict(
            model=str(self.modelPath),
            device=self.device,
            volume=volume,
            affine=ijk_to_ras(self.volumeNode).tolist(),
            output=output,
            probabilities=probabilities_path,
            largest_component=self.largestComponent,
            box=[list(ends) for ends in self.roi.box] if self.roi else None,
        )
