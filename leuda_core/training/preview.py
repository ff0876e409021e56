"""Previews: one fixed target slice, segmented at every checkpoint, to follow the progress of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from skimage.io import imsave
from skimage.segmentation import find_boundaries
from skimage.transform import resize

from leuda_core.data.batches.prepared import CachedCase, read_stack
from leuda_core.io.files import atomic_path
from leuda_core.methods.base import Method
from leuda_core.types import Task

HEIGHT, WIDTH = 256, 1024
"""Pixels of a picture: small slices are enlarged by a whole number, as far as they fit."""
MOST = 200
"""Pictures that are kept of a run. Beyond that, every second one is removed."""


class Previewer:
    """Writes ``step-000100.png``: the middle slice of a target case, with the outlines of its current segmentation."""

    def __init__(self, folder: Path, case: CachedCase, task: Task) -> None:
        self._stack = read_stack(case, case.n_slices // 2)
        self._image = self._stack[task.context]
        self._colors = np.array([label.color for label in task.labels])
        self._folder = folder

    def write(self, method: Method, step: int) -> Path:
        """Segment the slice with the current weights, write the picture and return its path."""
        device = next(method.parameters()).device
        logits = method.predict(torch.from_numpy(self._stack)[None].to(device))
        labels = logits[0].argmax(0).cpu().numpy()
        rows, columns = self._image.shape
        factor = max(1, min(HEIGHT // rows, WIDTH // columns))
        labels = np.kron(labels, np.ones((factor, factor), labels.dtype))
        grey = resize((self._image + 1) / 2, labels.shape, order=1).clip(0, 1)
        picture = np.repeat(grey[..., None], 3, axis=2)
        outline = find_boundaries(labels, mode="inner") & (labels > 0)
        picture[outline] = self._colors[labels[outline] - 1]
        path = self._folder / f"step-{step:06d}.png"
        with atomic_path(path, private=True) as temporary:
            imsave(temporary, (picture * 255).round().astype(np.uint8), check_contrast=False)
        self._thin_out()
        return path

    def _thin_out(self) -> None:
        """Keep the folder of a long run small, and the whole course of the training in it."""
        pictures = sorted(self._folder.glob("step-*.png"), key=lambda path: (len(path.name), path.name))
        if len(pictures) > MOST:
            for picture in pictures[1:-1:2]:
                picture.unlink(missing_ok=True)
