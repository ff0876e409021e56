"""Labels of a segmentation on the voxel grid of a volume, read from its layers a few slices at a time.

Segments share layers: arrays in which each segment has another value. A layer on the grid of the volume, the usual
case, is read without a copy, whatever part of the volume it covers; a layer on another grid is sampled at the voxels
of the volume. Labels that are drawn during reading may or may not be in the result.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from slicer.i18n import tr as _

from leuda_core.errors import InputError
from LEUDASegmentationLib.scene.geometry import image_to_world, parent_matrix, volume_shape, world_affine
from LEUDASegmentationLib.scene.layers import BINARY, layer_array
from LEUDASegmentationLib.scene.volume_files import slabs
from LEUDATrainingLib.cases.structures import Structure
from LEUDATrainingLib.labels.segment_names import segments_of

_SAMPLING_COST = 16  # the time to sample a voxel, relative to reading it
_TIE = 1e-6  # of a voxel: centres midway between two others are rounded consistently despite rounding errors


class _Piece(NamedTuple):
    """Some slices: ``values`` (n, J', I') begin at voxel ``first`` (i, j, k). ``labels`` are pairs of a value in
    ``values`` and the value of the structure that it represents.
    """

    first: tuple[int, int, int]
    values: np.ndarray
    labels: Sequence[tuple[int, int]]


class LabelReader:
    """The labels of the segments that have the name of a structure. If they overlap, the later structure wins.

    Attributes:
        shape: voxels along i, j and k of the volume.
        cost: of reading everything, in bytes that are processed.
        repeated: the names of structures that have several segments; their voxels are united.
        overlaps: found by ``read`` or ``count_slices``: the number of voxels in two structures, by the values of the
            structure that loses them and of the one that wins.

    Raises:
        InputError: volume or segmentation has a non-linear transform, or no label maps can be created.
    """

    def __init__(self, segmentation: Any, volume: Any, structures: Sequence[Structure]) -> None:
        self.shape = volume_shape(volume)
        self._type = np.uint8 if max((one.value for one in structures), default=0) < 256 else np.uint16
        chosen = segments_of(segmentation, structures)
        counts = Counter(structure.name for _id, structure in chosen)
        self.repeated = tuple(name for name, count in counts.items() if count > 1)
        self.overlaps: Counter[tuple[int, int]] = Counter()
        self._layers = list(_layers_of(segmentation, volume, chosen))
        reached = [layer.box[2] for layer in self._layers]
        self._slices = min((k for k, _end in reached), default=0), max((end for _k, end in reached), default=0)
        self._voxel_cost = sum(layer.voxel_cost for layer in self._layers)
        self.cost = (self._slices[1] - self._slices[0]) * self.shape[1] * self.shape[0] * self._voxel_cost

    def read(self) -> Generator[float, None, np.ndarray]:
        """Yield the completed fraction; return the label map (K, J, I), uint8 if the values allow it."""
        self.overlaps.clear()
        labels = np.zeros(self.shape[::-1], self._type)
        for slab in self._slabs():
            self._paint(labels[slab], slab.start)
            yield slab.stop / self.shape[2]
        return labels

    def count_slices(self, axis: int) -> Generator[None, None, dict[int, tuple[int, ...]]]:
        """Count piece by piece; return the slices along ``axis`` (0 = i) that contain each structure that is drawn."""
        self.overlaps.clear()
        found: dict[int, np.ndarray] = {}
        for piece in self._pieces():
            for inside, value in piece.labels:
                marks = found.setdefault(value, np.zeros(self.shape[axis], bool))
                here = _slices_with(piece.values == inside, axis)
                marks[piece.first[axis] : piece.first[axis] + len(here)] |= here
            yield
        drawn = {value: np.flatnonzero(marks) for value, marks in found.items()}
        return {value: tuple(map(int, indices)) for value, indices in sorted(drawn.items()) if len(indices)}

    def _pieces(self) -> Iterator[_Piece]:
        """Yield the labels: a single layer as it is, several layers combined."""
        for slab in self._slabs():
            if len(self._layers) == 1:
                yield self._layers[0].piece(slab.start, slab.stop)
                continue
            labels = np.zeros((slab.stop - slab.start, *self.shape[1::-1]), self._type)
            self._paint(labels, slab.start)
            values = [value for layer in self._layers for _inside, value in layer.labels]
            yield _Piece((0, 0, slab.start), labels, [(value, value) for value in values])

    def _paint(self, labels: np.ndarray, k: int) -> None:
        """Write the structures into ``labels`` (n, J, I), the slices that start at ``k``."""
        for layer in self._layers:
            first, values, pairs = layer.piece(k, k + len(labels))
            box = tuple(slice(o, o + n) for o, n in zip((first[2] - k, first[1], first[0]), values.shape, strict=True))
            for inside, value in pairs:
                here = values == inside
                if layer is not self._layers[0]:
                    self._count_overlaps(labels[box][here], value)
                np.copyto(labels[box], value, where=here)

    def _count_overlaps(self, hidden: np.ndarray, value: int) -> None:
        """Count the voxels that get ``value`` and have that of another structure."""
        counts = np.bincount(hidden)
        for other in np.flatnonzero(counts):
            if other not in (0, value):
                self.overlaps[int(other), value] += int(counts[other])

    def _slabs(self) -> Iterator[slice]:
        """Yield ranges along k, each processed in a few milliseconds, from the first labelled slice to the last."""
        begin, end = self._slices
        for slab in slabs((end - begin, *self.shape[1::-1]), self._voxel_cost):
            yield slice(begin + slab.start, begin + slab.stop)


class _Layer:
    """The values of a layer at the voxels of a volume.

    Args:
        voxels: (K', J', I') of the layer.
        to_layer: (4, 4), from a voxel index (i, j, k) of the volume to one of ``voxels``.
        shape: voxels along i, j and k of the volume.
        labels: (value in the layer, value of the structure) for each structure to read from it.

    Attributes:
        box: half-open ranges along i, j and k of the volume; the layer is empty outside of them.
    """

    def __init__(
        self,
        voxels: np.ndarray,
        to_layer: np.ndarray,
        shape: tuple[int, int, int],
        labels: Sequence[tuple[int, int]],
    ) -> None:
        self._voxels, self._to_layer, self.labels = voxels, to_layer, labels
        self._shift = _whole_shift(to_layer, shape)
        self.box = tuple((min(a, n), min(max(a, b), n)) for (a, b), n in zip(self._reach(), shape, strict=True))

    @property
    def voxel_cost(self) -> int:
        """The number of bytes that are processed per voxel of the volume."""
        reading = len(self.labels) if self._shift is not None else len(self.labels) + _SAMPLING_COST
        return self._voxels.itemsize * reading

    def piece(self, k: int, end: int) -> _Piece:
        """Return the part of the slices from ``k`` to ``end`` that the layer covers."""
        (i0, i1), (j0, j1), (k0, k1) = self.box
        k0 = max(k, k0)
        box = (i0, i1), (j0, j1), (k0, max(k0, min(end, k1)))
        values = self._sampled(box) if self._shift is None else self._shifted(box, self._shift)
        return _Piece((i0, j0, k0), values, self.labels)

    def _reach(self) -> list[tuple[int, int]]:
        """Return half-open ranges of voxel indices, not below 0, that contain every voxel of the layer."""
        sizes = self._voxels.shape[::-1]
        if self._shift is not None:
            return [(max(0, -by), max(0, n - by)) for n, by in zip(sizes, self._shift, strict=True)]
        ends = [(-0.5, n - 0.5) for n in sizes]
        corners = np.array([(*corner, 1.0) for corner in itertools.product(*ends)]).T
        reached = np.linalg.solve(self._to_layer, corners)[:3]
        low, high = np.floor(reached.min(axis=1)), np.ceil(reached.max(axis=1)) + 1
        return [(max(0, int(a)), max(0, int(b))) for a, b in zip(low, high, strict=True)]

    def _shifted(self, box: Sequence[tuple[int, int]], shift: Sequence[int]) -> np.ndarray:
        """Return the voxels of a box of a layer that is shifted by whole voxels, without a copy."""
        ranges = [slice(a + by, b + by) for (a, b), by in zip(box, shift, strict=True)]
        return self._voxels[tuple(reversed(ranges))]

    def _sampled(self, box: Sequence[tuple[int, int]]) -> np.ndarray:
        """Return the nearest voxel of the layer at each voxel of a box, 0 outside the layer."""
        i, j, k = (np.arange(a, b, dtype=float) for a, b in box)
        inside, indices = np.ones((len(k), len(j), len(i)), bool), []
        for row, n in zip(self._to_layer[:3], self._voxels.shape[::-1], strict=True):
            place = (row[2] * k)[:, None, None] + (row[1] * j)[:, None] + (row[0] * i + row[3] + 0.5 + _TIE)
            index = np.floor(place).astype(np.intp)
            inside &= (index >= 0) & (index < n)
            indices.append(np.clip(index, 0, n - 1))
        return np.where(inside, self._voxels[tuple(reversed(indices))], 0)


def _layers_of(segmentation: Any, volume: Any, chosen: Sequence[tuple[str, Structure]]) -> Iterator[_Layer]:
    """Yield the layers in the order in which they are combined, without those that are empty in the volume."""
    if not chosen or 0 in volume_shape(volume):
        return
    _ensure_label_maps(segmentation)
    content = segmentation.GetSegmentation()
    pairs = [(content.GetSegment(segment_id), structure) for segment_id, structure in chosen]
    for image, sharing in itertools.groupby(pairs, lambda pair: pair[0].GetRepresentation(BINARY)):
        labels = [(segment.GetLabelValue(), structure.value) for segment, structure in sharing]
        voxels = layer_array(image)
        if voxels.size:
            to_layer = np.linalg.solve(parent_matrix(segmentation) @ image_to_world(image), world_affine(volume))
            to_layer[:3, 3] -= image.GetExtent()[::2]
            layer = _Layer(voxels, to_layer, volume_shape(volume), labels)
            if all(end > first for first, end in layer.box):
                yield layer


def _ensure_label_maps(segmentation: Any) -> None:
    content = segmentation.GetSegmentation()
    if not content.ContainsRepresentation(BINARY) and not content.CreateRepresentation(BINARY):
        raise InputError(
            _("no label map can be created from {name}").format(name=segmentation.GetName()),
            _("open it in the Segmentations module and create the representation Binary labelmap"),
        )


def _whole_shift(to_layer: np.ndarray, shape: tuple[int, int, int]) -> tuple[int, ...] | None:
    """Return by how many voxels a layer on the grid of the volume is shifted; ``None`` if it is on another grid.

    It is on the same grid if the shift leads to the nearest voxel of the layer everywhere. Because the mapping is
    linear, the deviation is largest in a corner of the volume.
    """
    corners = np.array([(*corner, 1.0) for corner in itertools.product(*((0, n - 1) for n in shape))]).T
    away = (to_layer @ corners - corners)[:3]
    shift = np.rint(away.mean(axis=1))
    return tuple(map(int, shift)) if np.abs(away - shift[:, None]).max() < 0.5 - _TIE else None


def _slices_with(mask: np.ndarray, axis: int) -> np.ndarray:
    """Return which slices along ``axis`` (0 = i) of a mask (n, J, I) contain a voxel."""
    if axis == 2:
        return np.logical_or.reduce(mask.reshape(len(mask), -1), axis=1)
    flat = np.bitwise_or.reduce(mask, axis=0)
    return np.logical_or.reduce(flat, axis=1 if axis == 1 else 0)
