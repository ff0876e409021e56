"""The slices of one volume for a segmenter, and what it returns: labels on the grid of the volume, or a first look."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from leuda_core.data.geometry import LARGEST_SLICE, plan_slices, stack_around
from leuda_core.data.intensities import intensity_range
from leuda_core.data.slices import to_working
from leuda_core.errors import InputError
from leuda_core.types import NOWHERE, Box, Task, Volume

LARGEST_LOGITS = 2**28  # values of one enlarged slice: 1 GiB, reached by 255 classes on 1024 x 1024 pixels
OTHER_UNITS = (
    "the volume does not seem to be in Hounsfield units, as those of the training were: its own range of grey values "
    "was used; check the result"
)
NOTHING_FOUND = "the model found none of its structures in the volume"
CLASSES_AT_ONCE = 8  # interpolated together: limits the memory for a hundred classes


class SliceReader(ABC):
    """Prepares the slices of a volume for a segmenter, in any order and from several threads.

    Args:
        within: the part of the volume that is cut into slices; ``None`` is all of it.
        intensities: the volume's ``intensity_range`` if it is known, for example if slices are segmented one by one.

    Raises:
        InputError: its slices would be too large at the spacing of the task.
    """

    stage = "segment"

    def __init__(
        self,
        volume: Volume,
        task: Task,
        *,
        within: Box | None = None,
        intensities: tuple[float, float] | None = None,
    ) -> None:
        self._within = tuple(slice(*ends) for ends in within) if within else (slice(None),) * 3
        data = volume.data[self._within]
        self.plan = plan_slices(data.shape, volume.affine, task.plane, task.isotropic)
        self.size = self.plan.working_size(task.spacing_mm, min(LARGEST_SLICE, LARGEST_LOGITS // task.n_classes))
        self._range = intensities or intensity_range(volume.data, task.normalization)
        self.notes = (OTHER_UNITS,) if task.normalization.window not in (None, self._range) else ()
        self._offsets = self.plan.offsets(task.context, task.context_mm)
        self.indices = range(self.plan.n_slices)
        self._slices = self.plan.view(data)

    def images(self, indices: list[int]) -> Tensor:
        """Return slices with their neighbours as network input ``(len(indices), C, *size)``, float32 in [-1, 1].

        A slice that several others have as a neighbour is prepared once; a box does not hide neighbours.

        Raises:
            InputError: a voxel is NaN, or so many are infinite that the intensity range is infinite.
        """
        stacks = np.array([stack_around(index, self._offsets, self.plan.n_slices) for index in indices])
        needed, places = np.unique(stacks, return_inverse=True)
        slices = to_working(self._slices[needed], self.size, self._range).squeeze(1)
        if not torch.isfinite(slices).all():
            raise InputError("the volume contains NaN or infinite voxels", "replace them, such as by the background")
        return slices[torch.from_numpy(places.reshape(stacks.shape))]

    def doubt_of(self, logits: Tensor) -> list[float]:
        """Return the row of ``Prediction.doubt`` for a slice."""
        likely = logits.softmax(0)
        pixel_mm2 = math.prod(self.plan.pixel_mm) * math.prod(self.plan.size) / math.prod(self.size)
        return [float((1 - part).sum()) * pixel_mm2 for part in (likely.amax(0), likely[0])]

    @abstractmethod
    def store(self, index: int, logits: Tensor) -> None:
        """Take the logits of a slice, ``(n_classes, *size)``."""


class FirstLook(SliceReader):
    """Notes where the structures of a volume are: ``found`` is ``(n_slices, *size)``, true for all but background."""

    stage = "locate"

    def __init__(
        self, volume: Volume, task: Task, *, doubt: bool = False, intensities: tuple[float, float] | None = None
    ) -> None:
        super().__init__(volume, task, intensities=intensities)
        self.found = np.zeros((self.plan.n_slices, *self.size), bool)
        self.doubt = np.zeros((self.plan.n_slices, 2)) if doubt else None

    def store(self, index: int, logits: Tensor) -> None:
        self.found[index] = (logits[1:] > logits[:1]).any(0).cpu().numpy()
        if self.doubt is not None:
            self.doubt[index] = self.doubt_of(logits)


class SliceJob(SliceReader):
    """Reads prepared slices from a volume and writes labels to ``label_map``, slice by slice in any order.

    Several threads may read and write different slices at the same time. The label map has the memory layout of the
    volume, so that a slice is contiguous in both or in neither.

    Args:
        doubt: also note how unsure each slice is, as ``Prediction`` says; of whole slices, whatever the box.
        box: nothing is computed outside it, and labels there are 0; ``None`` is the whole volume.
        within: the part of the volume whose slices the segmenter sees. Outside it, labels are 0 and all is background.

    Other arguments and errors are those of ``SliceReader``.
    """

    def __init__(
        self,
        volume: Volume,
        task: Task,
        *,
        probabilities: bool = False,
        doubt: bool = False,
        box: Box | None = None,
        within: Box | None = None,
        intensities: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(volume, task, within=None if within == NOWHERE else within, intensities=intensities)
        self._window = self.plan.window(_relative(box, within, volume.shape))
        self.indices = range(*self._window[0].indices(self.plan.n_slices))
        if within == NOWHERE:
            self.notes = (*self.notes, NOTHING_FOUND)
        self._values = np.array([0, *(label.value for label in task.labels)])
        self._values = self._values.astype(np.min_scalar_type(int(self._values.max())))
        like = np.zeros_like if box or within else np.empty_like
        self.label_map = like(volume.data, dtype=self._values.dtype, subok=False)
        self._labels = self.plan.view(self.label_map[self._within])
        self.doubt = np.zeros((self.plan.n_slices, 2)) if doubt else None
        self.probabilities: np.ndarray | None = None
        if probabilities:
            self.probabilities = _stacked_like(volume.data, task.n_classes)
            if within:
                self.probabilities[0][tuple(slice(*ends) for ends in box or ())] = 1
            self._probabilities = [self.plan.view(channel[self._within]) for channel in self.probabilities]

    def store(self, index: int, logits: Tensor) -> None:
        """Write the labels (and probabilities, and doubt) of a slice from its logits ``(n_classes, *size)``."""
        inside = self._window[1:]
        self._labels[index][inside] = self._values.take(most_likely(logits, self.plan.size).cpu().numpy()[inside])
        if self.probabilities is not None:
            probabilities = _resized(logits, self.plan.size).softmax(0).half().cpu().numpy()
            for channel, values in zip(self._probabilities, probabilities, strict=True):
                channel[index][inside] = values[inside]
        if self.doubt is not None:
            self.doubt[index] = self.doubt_of(logits)


def most_likely(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the class of the largest logit on a grid of ``size`` pixels, after linear interpolation of the logits.

    A running maximum over contiguous classes: ``max`` over the first axis is five times slower, ``argmax`` even more.

    Shape:
        logits: ``(n_classes, h, w)`` float32; result ``size``, uint8.
    """
    best = logits.new_full(size, -torch.inf)
    classes = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    for first in range(0, len(logits), CLASSES_AT_ONCE):
        group = _resized(logits[first : first + CLASSES_AT_ONCE].contiguous(), size)
        for index, values in enumerate(group, start=first):
            larger = (values > best).view(torch.uint8)
            torch.maximum(classes, larger * index, out=classes)  # indices increase: the larger one is the newer one
            torch.maximum(best, values, out=best)
    return classes


def _relative(box: Box | None, within: Box | None, shape: tuple[int, int, int]) -> Box:
    """Return the part of a box that is within another one, relative to this one; ``None`` is all of the volume."""
    whole = ((0, shape[0]), (0, shape[1]), (0, shape[2]))
    i, j, k = (
        (max(first, low) - low, max(min(end, high), first, low) - low)
        for (first, end), (low, high) in zip(box or whole, within or whole, strict=True)
    )
    return i, j, k


def _resized(logits: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return interpolate(logits.unsqueeze(0), size=size, mode="bilinear").squeeze(0)


def _stacked_like(data: np.ndarray, count: int) -> np.ndarray:
    """Return a float16 array of zeros ``(count, *data.shape)`` whose volumes have the memory layout of ``data``."""
    order = sorted(range(3), key=lambda axis: -abs(data.strides[axis]))
    stack = np.zeros((count, *(data.shape[axis] for axis in order)), np.float16)
    return stack.transpose(0, *(order.index(axis) + 1 for axis in range(3)))
