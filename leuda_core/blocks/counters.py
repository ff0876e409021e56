"""Counters of steps that are part of a module's state and are read in every step."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class Counting(nn.Module):
    """A module whose counters stay on the CPU wherever it is moved: to read one of a GPU, it had to finish all work."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Counting:
        counters = {
            name: buffer
            for name, buffer in self._buffers.items()
            if buffer is not None and not buffer.dim() and not buffer.is_floating_point()
        }
        super()._apply(fn, recurse)
        self._buffers.update(counters)
        return self
