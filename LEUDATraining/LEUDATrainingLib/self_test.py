"""The training data of the self-test: discs of two brightnesses, as volumes and segmentations of the scene."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from LEUDATrainingLib.cases.cases import CaseStore
from LEUDATrainingLib.cases.structures import Structure, write_structures
from LEUDATrainingLib.labels.label_maps import new_segmentation, set_labels

DISC = Structure(1, "disc", (0.8, 0.4, 0.3))
_SIZE, _SLICES = 48, 6
_SPACING = (1.5, 1.5, 6.0)


def add_phantom(name: str, *, bright: bool, seed: int) -> tuple[Any, np.ndarray]:
    """Add a volume of a disc to the scene; return its node and the disc as labels (K, J, I) uint8."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:_SIZE, :_SIZE]
    centre, radius = random.uniform(18, 30, 2), random.uniform(8, 12)
    disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
    labels = np.repeat(disc[None].astype(np.uint8), _SLICES, axis=0)
    voxels = np.where(labels, 200.0 if bright else 60.0, 110.0) + random.normal(0, 8, labels.shape)
    volume = slicer.util.addVolumeFromArray(voxels.astype(np.float32), name=name)
    volume.SetSpacing(*_SPACING)
    return volume, labels


def fill_parameter_node(parameter_node: Any) -> Any:
    """Put a training of two volumes into the scene; return the target volume."""
    write_structures(parameter_node, [DISC])
    parameter_node.runName = "self-test"
    source, labels = add_phantom("self-test source", bright=True, seed=1)
    target, _labels = add_phantom("self-test target", bright=False, seed=2)
    segmentation = new_segmentation(source, [DISC], "self-test labels")
    set_labels(segmentation, source, labels, [DISC])
    CaseStore(parameter_node, "source").add_node(source, segmentation)
    CaseStore(parameter_node, "target").add_node(target)
    return target
