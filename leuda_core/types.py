"""The data types of the package: volumes, cases, datasets, tasks, batches, predictions.

All are frozen. Arrays are not copied on construction; treat them as read-only. This module needs only the standard
library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Plane = Literal["acquisition", "axial", "coronal", "sagittal"]

Stream = Literal["source", "source_unlabelled", "target"]
"""Slices of a training step: labelled source slices, any source slices, and target slices, see ``Batch``."""

STREAMS: frozenset[Stream] = frozenset({"source", "source_unlabelled", "target"})

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Half-open ranges of voxels along i, j and k."""

NOWHERE: Box = ((0, 0), (0, 0), (0, 0))
"""A box without voxels."""

IGNORE = 255
"""Class index of an unlabelled pixel, ignored by every loss. A task therefore has at most 254 labels."""


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar 3-D image.

    Shape:
        data: ``(I, J, K)`` in the order of the affine's columns; any real dtype.
        affine: ``(4, 4)``, voxel index to RAS mm.
    """

    data: np.ndarray
    affine: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.data.shape

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance in mm between neighbouring voxels along each array axis."""
        i, j, k = (self.affine[:3, :3] ** 2).sum(axis=0) ** 0.5
        return float(i), float(j), float(k)


@dataclass(frozen=True)
class Label:
    """One structure: its voxel value, name, display colour (RGB in [0, 1]) and terminology in Slicer's notation."""

    value: int
    name: str
    color: tuple[float, float, float] = (0.5, 0.5, 0.5)
    terminology: str = ""


@dataclass(frozen=True, eq=False)
class LabelMap(Volume):
    """A 3-D map of label values (unsigned integers) on a voxel grid, with the meaning of the values."""

    labels: tuple[Label, ...] = ()


@dataclass(frozen=True)
class Case:
    """One volume of a dataset, with its label map if it has one.

    ``labelled_slices`` are the indices of completely labelled slices along the slicing axis; ``None`` means every
    slice that contains any label.
    """

    id: str
    image: Path
    label: Path | None = None
    labelled_slices: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Domain:
    """Volumes of one modality, sequence or scanner."""

    name: str
    modality: str
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Dataset:
    """The training data of a run (``source``, ``target``) and its test data (``test_*``, read only by evaluation).

    ``labels`` excludes the background, which is always value 0.
    """

    name: str
    labels: tuple[Label, ...]
    source: Domain
    target: Domain
    test_target: tuple[Case, ...] = ()
    test_source: tuple[Case, ...] = ()
    path: Path | None = None


@dataclass(frozen=True)
class Anatomy:
    """What the completely labelled volumes of a training have in common for one structure.

    ``cases`` of them show it, out of ``of``; it had ``low_ml`` to ``high_ml``, and its largest connected component at
    least the share ``largest`` of it.
    """

    name: str
    cases: int
    of: int
    low_ml: float = 0.0
    high_ml: float = 0.0
    largest: float = 0.0


@dataclass(frozen=True)
class Normalization:
    """How intensities become network input: clip to two percentiles of the volume, then map linearly to [-1, 1].

    ``ignores_padding``: a constant far below the values of air, with which CT scanners fill what they did not measure,
    does not count for the percentiles. Models of version 0.1 do not have it.

    ``window``: volumes in Hounsfield units are clipped to these two values instead, so that a tissue has the same grey
    in every volume; see ``data.intensities.intensity_range``.
    """

    lower_percentile: float = 0.5
    upper_percentile: float = 99.5
    ignores_padding: bool = False
    window: tuple[float, float] | None = None


@dataclass(frozen=True)
class Task:
    """The task of a segmenter: labels, geometry and intensity normalisation, shared by training and prediction.

    ``labels`` excludes the background, so ``n_classes == len(labels) + 1``; channel ``c`` of the logits is label
    ``labels[c - 1]``. ``spacing_mm`` is the in-plane pixel size of the network's input. ``isotropic`` says how plane
    ``acquisition`` cuts volumes without a clearly largest spacing, see ``data.geometry.plan_slices``. The segmenter
    sees every slice with ``context`` neighbours on each side, about ``context_mm`` apart (0 mm: the next slices).

    With ``zoom`` above 1, whole slices at ``spacing_mm`` only show where the structures are. The labels are those of a
    second look at this part, by the same network, with pixels that are ``zoom`` times smaller.

    ``anatomy`` says what is known of the structures, in the order of the labels, for ``prediction.anatomy``;
    empty if no volume of the training was completely labelled.

    ``normalization`` is that of the target, which models are made for; ``source_normalization`` that of the source in
    training, ``None`` if it is the same.
    """

    labels: tuple[Label, ...]
    spacing_mm: float
    patch_size: int
    plane: Plane = "acquisition"
    isotropic: str = ""
    normalization: Normalization = field(default_factory=Normalization)
    source_normalization: Normalization | None = None
    context: int = 0
    context_mm: float = 0.0
    zoom: float = 1.0
    anatomy: tuple[Anatomy, ...] = ()

    @property
    def n_classes(self) -> int:
        return len(self.labels) + 1

    @property
    def closer(self) -> Task:
        """The same task at the spacing of the second look; itself without one."""
        return replace(self, spacing_mm=self.spacing_mm / self.zoom, zoom=1.0)

    @property
    def for_source(self) -> Task:
        """The same task with the normalisation of the source."""
        return replace(self, normalization=self.source_normalization or self.normalization)

    @property
    def in_channels(self) -> int:
        """Slices that the segmenter sees at once."""
        return 2 * self.context + 1


@dataclass(frozen=True, eq=False)
class Batch:
    """Slices of one training step, geometrically augmented, each in a stack of ``C`` with its neighbours.

    Shape:
        source, source_unlabelled, target: ``(B, C, H, W)`` float32 in [-1, 1]; the central slice is segmented. Those
            that the step does not use have no slices, see ``Method.streams``.
        source_labels: ``(B, H, W)`` int64 class indices of the central slices, ``IGNORE`` in unlabelled pixels.
        target_labels: the same for ``target``; ``None`` for every method but ``target_supervised``.
        source_stack_labels, target_stack_labels: ``(B, C, H, W)``, the class indices of all slices of the stacks.
            ``None``: those of the central slices are all.
        upright: ``(2 B, C, H, W)``, the slices of ``source_unlabelled`` and then of ``target`` as they are stored, not
            turned or scaled; upright_matrices: ``(2 B, 2, 3)``, from the augmented to the upright ones, see
            ``data.batches.views``. ``None`` in runs of earlier versions.
        source_is_labelled: most source slices are labelled, so that ``source_unlabelled`` brings little that is new.
        labelled_target, labelled_target_structures: ``(B, C, H, W)``, labelled target slices and the class indices of
            all slices of the stacks; ``None`` unless the setting ``target_labels`` asks for them.
    """

    source: Tensor
    source_labels: Tensor
    source_unlabelled: Tensor
    target: Tensor
    target_labels: Tensor | None = None
    source_stack_labels: Tensor | None = None
    target_stack_labels: Tensor | None = None
    upright: Tensor | None = None
    upright_matrices: Tensor | None = None
    source_is_labelled: bool = False
    labelled_target: Tensor | None = None
    labelled_target_structures: Tensor | None = None

    @property
    def upright_target(self) -> Tensor:
        """The target slices as they will be segmented: not turned or scaled, where this is known."""
        return self.target if self.upright is None else self.upright[len(self.source_unlabelled) :]

    @property
    def source_structures(self) -> Tensor:
        """The class indices of all source slices, ``(B, C, H, W)``: of the neighbours, too."""
        return self.source_labels.unsqueeze(1) if self.source_stack_labels is None else self.source_stack_labels

    @property
    def target_structures(self) -> Tensor:
        """The same for ``target``, where there are target labels."""
        if self.target_stack_labels is not None:
            return self.target_stack_labels
        assert self.target_labels is not None, "the loader adds them for target_supervised"
        return self.target_labels.unsqueeze(1)


@dataclass(frozen=True)
class SegmentOptions:
    """What a user can choose about the result of a segmentation.

    Every entry point (Python, command line, worker, Slicer) fills one, and it reaches the segmenter unchanged. A new
    option is a field here, its use in the segmenter, and an argument of the entry points that offer it.

    Args:
        probabilities: also return the class probabilities, as they are before ``largest_component``.
        largest_component: keep only the largest connected component of each label.
    """

    probabilities: bool = False
    largest_component: bool = False


@dataclass(frozen=True, eq=False)
class Prediction:
    """A segmentation on exactly the grid of its input volume.

    ``probabilities``, when asked for, is ``(C, I, J, K)`` float16 with the background first. ``notes`` are
    messages for the user, such as a fallback to the CPU. ``seconds`` maps stages to wall time. ``doubt``, when asked
    for, is ``(n_slices, 2)`` in mm2: the expected area of wrong pixels in each slice, and that of all structures.
    """

    label_map: LabelMap
    probabilities: np.ndarray | None = None
    doubt: np.ndarray | None = None
    device: str = "cpu"
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
