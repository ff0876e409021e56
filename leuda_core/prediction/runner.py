"""A network on a device that works off the slices of volumes, a few at a time, and makes do with less if it must.

On a CPU, every core processes its own slices, from reading them to writing their labels, with one thread inside the
network: preprocessing, convolution and interpolation all scale, and no core waits for another one within a layer.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import Any, Literal

import torch
from torch import Tensor, nn

from leuda_core.data.slices import in_padding, padding
from leuda_core.devices import (
    KINDS,
    allowed_cores,
    find_device,
    half_precision,
    is_out_of_memory,
    memory_format,
    release_memory,
)
from leuda_core.errors import FREE_MEMORY, Cancelled, MemoryShortage
from leuda_core.networks.predictor import Predictor
from leuda_core.prediction.job import SliceReader
from leuda_core.types import Task

logger = logging.getLogger(__name__)

OnProgress = Callable[[str, int, int], None]
ShouldStop = Callable[[], bool]

PIXELS_AT_ONCE = {"cpu": 256 * 256, **dict.fromkeys(KINDS, 16 * 256 * 256)}
"""Of one batch: fits into CPU caches, fills a GPU."""
DIFFERENCE = 0.05
"""Mean difference of the logits between a GPU and the CPU, as a share of their spread, from which on the GPU is not
believed; our choice. Between bfloat16 and float32 it was 0.002 to 0.005 for 17 models."""
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
PIXELS_IN_FLIGHT = 32 * 256 * 256  # of all batches on the CPU, to limit the memory of the feature maps
POLL_S = 0.1


class SliceRunner:
    """A predictor on a device, for any number of jobs, one at a time.

    If a volume does not fit into memory, smaller batches are used, then the CPU, for this volume and the following
    ones; ``notes`` reports this. Arguments are those of ``SliceSegmenter``.
    """

    def __init__(
        self,
        predictor: nn.Module,
        task: Task,
        *,
        device: str = "auto",
        batch_size: int = 0,
        workers: int = 0,
        precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    ) -> None:
        self.task = task
        self.device, note = find_device(device)
        self.notes: list[str] = [note] if note else []
        self._batch_size, self._workers, self._threads = batch_size, workers, 1
        self._precision, self._in_this_thread = precision, False
        self._predictor = copy.deepcopy(predictor).cpu().eval().requires_grad_(False)
        try:
            self._place()
        except RuntimeError as error:
            if self.device.type == "cpu" or not is_out_of_memory(error):
                raise
            self._move_to_cpu(f"not enough memory on {self.device} for the model: the CPU was used")
        if self._half == torch.float16 and self._differs():
            self._note(f"float16 is too coarse for this model: float32 is used on {self.device}")
            self._precision = "float32"
            self._place()
        if self.device.type != "cpu" and self._differs():
            self._move_to_cpu(f"{self.device} computes something else than the CPU: the CPU was used")

    def _differs(self) -> bool:
        """Return whether the network answers otherwise on the device than on the CPU; an error there shows later.

        Some GPUs compute wrong values in silence, for some sizes and layouts: a general test does not see it.
        """
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(1, self.task.in_channels, *[self.task.patch_size] * 2, generator=generator) * 2 - 1
        with torch.inference_mode():
            expected = in_padding(self._predictor, images, self.task.patch_size).float()
            try:
                gap = self.logits(images).cpu() - expected
            except RuntimeError:
                return False
        return not bool(gap.abs().mean() <= DIFFERENCE * expected.std())  # NaN counts as a difference

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits of slices of any size, padded as in training.

        Shape:
            images: ``(B, C, H, W)`` in [-1, 1]; result ``(B, n_classes, H, W)`` float32, on the device.
        """

        def network(padded: Tensor) -> Tensor:
            return self._network(padded.contiguous(memory_format=self._layout))

        with torch.inference_mode(), self._autocast():
            return in_padding(network, images.to(self.device), self.task.patch_size).float()

    @property
    def remembering(self) -> Predictor | None:
        """The predictor, on the CPU, if it remembers the volumes of its training."""
        known = self._predictor
        return known if isinstance(known, Predictor) and known.spec.reference else None

    def features(self, images: Tensor) -> Tensor:
        """Return what slices of any size look like to the network, as ``Predictor.describe`` does.

        Shape:
            images: ``(B, C, H, W)`` in [-1, 1]; result ``(B, n_features)`` float32, on the CPU.
        """
        found: list[Tensor] = []
        predictor = self._network
        assert isinstance(predictor, Predictor), "only models have features"

        def network(padded: Tensor) -> Tensor:
            found.append(predictor.describe(padded.contiguous(memory_format=self._layout)))
            return padded

        with torch.inference_mode(), self._autocast():
            in_padding(network, images.to(self.device), self.task.patch_size)
        return found[0].cpu()

    def _run(self, job: SliceReader, on_progress: OnProgress, should_stop: ShouldStop) -> None:
        remaining = dict.fromkeys(job.indices)
        while remaining:
            try:
                self._work_off(job, remaining, on_progress, should_stop)
            except (RuntimeError, MemoryError, OSError) as error:
                self._retreat(error, job)

    def _work_off(
        self, job: SliceReader, remaining: dict[int, None], on_progress: OnProgress, should_stop: ShouldStop
    ) -> None:
        """Segment the remaining slices; after an exception, ``remaining`` contains those still to do."""
        batch_size, workers = self._sizes(job)
        indices, total = list(remaining), len(job.indices)
        batches = [indices[at : at + batch_size] for at in range(0, len(indices), batch_size)]
        on_progress(job.stage, total - len(remaining), total)
        work = self._here(job, batches) if self._in_this_thread else self._in_parallel(job, batches, workers)
        with closing(work) as finished:
            while True:
                if should_stop():
                    raise Cancelled
                batch = next(finished, None)
                if batch is None:
                    return
                for index in batch:
                    del remaining[index]
                on_progress(job.stage, total - len(remaining), total)

    def _here(self, job: SliceReader, batches: list[list[int]]) -> Generator[list[int], None, None]:
        for batch in batches:
            self._segment_slices(job, batch)
            yield batch

    def _in_parallel(
        self, job: SliceReader, batches: list[list[int]], workers: int
    ) -> Generator[list[int], None, None]:
        """Yield finished batches; an empty one from time to time, so that the caller can stop."""
        with self._pool(min(workers, len(batches))) as pool:
            pending = {pool.submit(self._segment_slices, job, batch): batch for batch in batches}
            while pending:
                done = wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED).done
                if not done:
                    yield []
                for future in done:
                    batch = pending.pop(future)
                    future.result()
                    yield batch

    @contextmanager
    def _pool(self, count: int) -> Iterator[ThreadPoolExecutor]:
        """Provide a pool of ``count`` workers; work that has not started at the end is dropped.

        On a CPU, each worker has one thread: with several threads, the order of sums in a convolution depends on their
        number, and labels would depend on the number of free cores.
        """
        before = torch.get_num_threads()
        threads = self._threads if self.device.type == "cpu" else max(1, cores() // count)
        pool = ThreadPoolExecutor(count, "segment", torch.set_num_threads, (threads,))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(before)

    def _segment_slices(self, job: SliceReader, batch: list[int]) -> None:
        with torch.inference_mode():
            logits = self.logits(job.images(batch))
            for index, values in zip(batch, logits, strict=True):
                job.store(index, values)

    def _sizes(self, job: SliceReader) -> tuple[int, int]:
        """Return the number of slices per batch and the number of workers."""
        rows, columns = (length + sum(padding(length, self.task.patch_size)) for length in job.size)
        batch = self._batch_size or max(1, PIXELS_AT_ONCE[self.device.type] // (rows * columns))
        if self._workers:
            return batch, self._workers
        if self.device.type != "cpu":
            return batch, 2
        workers = max(1, min(cores(), PIXELS_IN_FLIGHT // (batch * rows * columns)))
        share = -(-len(job.indices) // workers)
        return batch if self._batch_size else min(batch, share), workers

    def _retreat(self, error: Exception, job: SliceReader) -> None:
        """Use smaller batches or move to the CPU for the next attempt; re-raise an error that this cannot solve."""
        batch, workers = self._sizes(job)
        if not is_out_of_memory(error):
            if self.device.type == "cpu" or isinstance(error, OSError):
                raise error
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            self._move_to_cpu(f"{self.device} failed ({reason}): continued on the CPU")
        elif "new thread" in str(error) and not self._in_this_thread:
            self._use_fewer_threads(workers)
        elif batch > 1:
            self._batch_size = batch // 2
            self._note(f"not enough memory on {self.device} for {batch} slices at once: continued with {batch // 2}")
        elif workers > 1:
            self._workers = 1
            self._note(f"not enough memory on {self.device} for {workers} slices in parallel: continued one by one")
        elif self.device.type != "cpu":
            self._move_to_cpu(f"not enough memory on {self.device} for one slice: continued on the CPU")
        else:
            reason = f"not enough memory for one slice of {job.size[0]} x {job.size[1]} pixels"
            raise MemoryShortage(reason, FREE_MEMORY) from error
        release_memory()

    def _use_fewer_threads(self, workers: int) -> None:
        if workers > 1:
            self._workers = 1
            self._note(f"no more threads can be started: continued with one instead of {workers}")
        else:
            self._in_this_thread = True
            self._note("no thread can be started: continued without")

    def _move_to_cpu(self, note: str) -> None:
        self._note(note)
        self.device, self._batch_size, self._workers = torch.device("cpu"), 0, 0
        self._place()
        with suppress(RuntimeError):  # a broken CUDA context cannot even free memory
            release_memory()

    def _place(self) -> None:
        """Put a copy of the predictor on the device, since a predictor on a broken GPU could not be read back."""
        self._layout = memory_format(self.device)
        layout: Any = {"memory_format": self._layout}  # documented, but missing in the annotations of PyTorch
        self._network = copy.deepcopy(self._predictor).to(self.device, **layout)
        # Not chosen by timing: labels must not depend on the load of the machine.
        self._half = half_precision(self.device) if self._precision == "auto" else PRECISIONS[self._precision]
        for module in self._network.modules():
            if self._half and isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.to(self._half)  # rounded once instead of by autocast for every batch
        logger.info("segmenting in %s on %s", self._half or torch.float32, self.device)

    def _autocast(self) -> AbstractContextManager:
        return torch.autocast(self.device.type, self._half or torch.bfloat16, enabled=self._half is not None)

    def _note(self, note: str) -> None:
        logger.warning(note)
        self.notes.append(note)


def cores() -> int:
    """Return the number of cores to segment with: those that this process may use, limited by the threads of torch."""
    return max(1, min(allowed_cores(), torch.get_num_threads()))
