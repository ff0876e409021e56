"""Previews: one fixed target slice, segmented at every checkpoint, to follow the progress of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from skimage.io import imsave
from skimage.segmentation import find_boundaries
from skimage.transform import resize

from leuda_core.data.loaders import CachedCase, read_slice
from leuda_core.methods.base import Method
from leuda_core.types import Task

HEIGHT = 256


class Previewer:
    """Writes ``step-000100.png``: the middle slice of a target case, with the outlines of its current segmentation."""

    def __init__(self, folder: Path, case: CachedCase, task: Task) -> None:
        image = read_slice(case.images, case.n_slices // 2).astype(np.float32)
        rows, columns = (n // 16 * 16 or 16 for n in image.shape)
        self._image = resize(image, (rows, columns), order=1) if image.shape != (rows, columns) else image
        self._colors = np.array([label.color for label in task.labels])
        self._folder = folder

    def write(self, method: Method, step: int) -> Path:
        """Segment the slice with the current weights, write the picture and return its path."""
        device = next(method.parameters()).device
        logits = method.predict(torch.from_numpy(self._image)[None, None].to(device))
        labels = logits[0].argmax(0).cpu().numpy()
        factor = max(1, HEIGHT // self._image.shape[0])
        labels = np.kron(labels, np.ones((factor, factor), labels.dtype))
        grey = resize((self._image + 1) / 2, labels.shape, order=1).clip(0, 1)
        picture = np.repeat(grey[..., None], 3, axis=2)
        outline = find_boundaries(labels, mode="inner") & (labels > 0)
        picture[outline] = self._colors[labels[outline] - 1]
        path = self._folder / f"step-{step:06d}.png"
        path.parent.mkdir(exist_ok=True)
        imsave(path, (picture * 255).round().astype(np.uint8), check_contrast=False)
        return path
