"""The work behind each request, and what stays loaded between requests: one model, one volume."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from leuda_core.bundle.model import load_bundle
from leuda_core.data.geometry import plan_slices
from leuda_core.devices import release_memory
from leuda_core.doctor import examine
from leuda_core.errors import InputError
from leuda_core.io.finding import find_volumes
from leuda_core.io.names import volume_stem
from leuda_core.prediction.files import segment_file, segment_file_once
from leuda_core.prediction.gauge import gauge
from leuda_core.prediction.record import FolderRecord
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.types import Box, Prediction, SegmentOptions, Volume
from leuda_core.worker.channel import Request
from leuda_core.worker.requests import (
    FileRequest,
    FindRequest,
    GaugeRequest,
    LoadRequest,
    SegmentRequest,
    SliceRequest,
    read_options,
    read_request,
)
from leuda_core.worker.volumes import HeldVolume, clipped_box, file_stamp, save_array, slab_around, slice_at

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _WarmModel:
    """A segmenter, the key of what it was loaded from, and the checksum of its bundle."""

    key: tuple[object, ...]
    segmenter: SliceSegmenter
    device: torch.device
    checksum: str


@dataclass
class _Clock:
    """Sums wall time by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def rounded(self) -> dict[str, float]:
        return {stage: round(value, 4) for stage, value in self.seconds.items()}


class Engine:
    """Answers requests; every public method takes a request and returns its result for JSON."""

    def __init__(self) -> None:
        self._model: _WarmModel | None = None
        self._volume: HeldVolume | None = None
        self._record: FolderRecord | None = None

    def release(self) -> None:
        """Release model and volume and free their memory, also on a GPU."""
        if self._model is None and self._volume is None:
            return
        self._model = self._volume = None
        gc.collect()
        release_memory()
        logger.info("idle: the model was unloaded")

    def devices(self, request: Request) -> dict[str, Any]:
        """Run a kernel on every device and return the devices with their memory."""
        health = examine()
        if not health.devices:
            raise InputError("packages are missing", "; ".join(health.advice))
        return {"devices": [asdict(device) for device in health.devices]}

    def load(self, request: Request) -> dict[str, Any]:
        """Load a model."""
        segmenter = self._load(read_request(request, LoadRequest), request)
        return {
            "device": str(segmenter.device),
            "notes": segmenter.notes,
            "labels": _labels(segmenter),
            "plane": segmenter.task.plane,
        }

    def segment(self, request: Request) -> dict[str, Any]:
        """Segment a volume, or a box of it, into files."""
        wanted, clock = read_request(request, SegmentRequest), _Clock()
        options = read_options(request, probabilities=wanted.probabilities is not None)
        segmenter, volume, known = self._ready(wanted, request, clock)
        prediction = segmenter(
            volume,
            options,
            doubt=wanted.doubt,
            box=clipped_box(wanted.box, volume.shape),
            **known,
            on_progress=request.progress,
            should_stop=request.is_cancelled,
        )
        self._forget_if_moved()
        clock.seconds.update(prediction.seconds)
        with clock("write"):
            _write(prediction, wanted, request)
        with clock("gauge"):
            found = gauge(segmenter, volume, intensities=known["intensities"])
        outcome = _outcome(prediction, clock)
        if found and found.verdict != "like":
            outcome["notes"].append(found.text)
        if prediction.doubt is not None:
            axis = plan_slices(volume.shape, volume.affine, segmenter.task.plane, segmenter.task.isotropic).axis
            outcome["doubt"] = {"axis": axis, "slices": prediction.doubt.round(1).tolist()}
        return {**outcome, "labels": _labels(segmenter), "gauge": found.as_dict() if found else None}

    def slice(self, request: Request) -> dict[str, Any]:
        """Segment one slice into a file, with the intensity range of the whole volume, as ``segment`` does."""
        wanted, clock = read_request(request, SliceRequest), _Clock()
        segmenter, volume, known = self._ready(wanted, request, clock)
        axis, index = slice_at(volume, segmenter.task, wanted.position)
        slab, box = slab_around(volume, segmenter.task, index)
        options = SegmentOptions(probabilities=wanted.doubt is not None)
        prediction = segmenter(slab, options, box=box, in_one_piece=True, should_stop=request.is_cancelled, **known)
        self._forget_if_moved()
        clock.seconds.update(prediction.seconds)
        with clock("write"):
            where = box[axis][0]
            files = [(wanted.output, prediction.label_map.data.take(where, axis).T)]
            if wanted.doubt is not None and prediction.probabilities is not None:
                files.append((wanted.doubt, 1 - prediction.probabilities.take(where, axis + 1).max(0).T))
            for name, array in files:
                save_array(Path(name), array, lambda done, total: request.check())
        return {**_outcome(prediction, clock), "axis": axis, "index": index, "labels": wanted.output}

    def gauge(self, request: Request) -> dict[str, Any]:
        """Say how far a volume is from those of a model's training; ``gauge`` is null if the model remembers none."""
        wanted, clock = read_request(request, GaugeRequest), _Clock()
        segmenter, volume, held = self._prepared(wanted, request, clock)
        with clock("gauge"):
            found = gauge(segmenter, volume, intensities=held.intensities(segmenter.task.normalization))
        return {"gauge": found.as_dict() if found else None, "seconds": clock.rounded()}

    def find_volumes(self, request: Request) -> dict[str, Any]:
        """Return the volumes of each input; an input that is not a folder of volumes is returned unchanged."""
        found = []
        for name in read_request(request, FindRequest).inputs:
            volumes = find_volumes(Path(name)) if Path(name).is_dir() else []
            found += [{"path": str(path), "stem": volume_stem(path)} for path in volumes or [Path(name)]]
        return {"volumes": found}

    def segment_file(self, request: Request) -> dict[str, Any]:
        """Segment a volume file into a segmentation file."""
        wanted, options = read_request(request, FileRequest), read_options(request)
        segmenter = self._load(wanted, request)
        files = Path(wanted.input), Path(wanted.output)
        control: dict[str, Any] = {"on_progress": request.progress, "should_stop": request.is_cancelled}
        if wanted.once:
            assert self._model is not None
            control |= {"model": self._model.checksum, "record": self._record_of(files[1].parent)}
            row = segment_file_once(segmenter, *files, options, **control)
        else:
            row = segment_file(segmenter, *files, options, **control)
        self._forget_if_moved()
        return {key: str(value) if isinstance(value, Path) else value for key, value in row.items()}

    def _record_of(self, folder: Path) -> FolderRecord:
        """Return the record of a folder; that of the last one is kept, since a batch asks for it with every file."""
        if self._record is None or self._record.folder != folder:
            self._record = FolderRecord(folder)
        return self._record

    def _ready(
        self, wanted: SegmentRequest | SliceRequest, request: Request, clock: _Clock
    ) -> tuple[SliceSegmenter, Volume, dict[str, Any]]:
        """Return the segmenter, the volume with the affine of the request, and what is known about the whole volume."""
        _check_outputs(wanted)
        segmenter, volume, held = self._prepared(wanted, request, clock)
        assert self._model is not None
        intensities = held.intensities(segmenter.task.normalization)

        def locate() -> Box | None:
            with clock("locate"):
                return segmenter.locate(
                    volume, intensities=intensities, on_progress=request.progress, should_stop=request.is_cancelled
                )

        where = held.place(self._model.checksum, volume, locate) if segmenter.task.zoom > 1 else None
        return segmenter, volume, {"intensities": intensities, "where": where}

    def _prepared(
        self, wanted: GaugeRequest, request: Request, clock: _Clock
    ) -> tuple[SliceSegmenter, Volume, HeldVolume]:
        """Return the segmenter and the volume with the affine of the request, both loaded if they were not."""
        with clock("load"):
            segmenter = self._load(wanted, request)
        with clock("read"):
            held = self._hold(Path(wanted.volume), request)
            volume = held.at(wanted.affine)
            held.intensities(segmenter.task.normalization)
        request.progress("read", 1, 1)
        return segmenter, volume, held

    def _load(self, wanted: LoadRequest, request: Request) -> SliceSegmenter:
        """Return the segmenter of a model; it is loaded only if it is another model or its files have changed."""
        request.check()
        path = Path(wanted.model)
        stamp = file_stamp(path)
        key = (stamp, wanted.device)
        if self._model is None or not stamp or self._model.key != key:
            self._model = None  # before the next is loaded: two may not fit into memory
            request.progress("load model", 0, 2)
            bundle = load_bundle(path)
            request.progress("load model", 1, 2)
            request.check()
            segmenter = SliceSegmenter(bundle.predictor(), bundle.task, device=wanted.device)
            self._model = _WarmModel(key, segmenter, segmenter.device, bundle.checksum)
            logger.info("loaded %s on %s", path, segmenter.device)
        request.progress("load model", 2, 2)
        request.check()
        return self._model.segmenter

    def _hold(self, path: Path, request: Request) -> HeldVolume:
        if self._volume is None or self._volume.path != path or self._volume.stamp != file_stamp(path):
            self._volume = None
            request.progress("read", 0, 1)
            self._volume = HeldVolume(path)
        request.check()
        return self._volume

    def _forget_if_moved(self) -> None:
        """Load the model again next time if it left its device for lack of memory, which may be free by then."""
        if self._model and self._model.segmenter.device != self._model.device:
            self._model = None


def _labels(segmenter: SliceSegmenter) -> list[dict[str, Any]]:
    return [asdict(label) for label in segmenter.task.labels]


def _outcome(prediction: Prediction, clock: _Clock) -> dict[str, Any]:
    return {"device": prediction.device, "notes": list(prediction.notes), "seconds": clock.rounded()}


def _check_outputs(wanted: SegmentRequest | SliceRequest) -> None:
    """Refuse to write over what is read, twice into one file, and into what is no file."""
    names = [name for name in wanted.outputs if name is not None]
    if len({os.path.realpath(name) for name in names}) < len(names):
        raise InputError(f"output and probabilities are both {wanted.output}", "give two files")
    for name in names:
        if os.path.realpath(name) == os.path.realpath(wanted.volume):
            raise InputError(f"the output {name} is the volume", "give another output")
        if Path(name).exists() and not Path(name).is_file():
            raise InputError(f"cannot write '{name}': it is not a file", "choose the name of a new file")


def _write(prediction: Prediction, wanted: SegmentRequest, request: Request) -> None:
    """Write the results; a cancelled request leaves no files."""
    files: list[tuple[Path, np.ndarray]] = [(Path(wanted.output), prediction.label_map.data.T)]
    if wanted.probabilities is not None and prediction.probabilities is not None:
        files.append((Path(wanted.probabilities), prediction.probabilities.transpose(0, 3, 2, 1)))
    total = sum(len(array) for _, array in files)
    complete: list[Path] = []
    try:
        written = 0
        for path, array in files:
            save_array(path, array, _told(request, written, total))
            complete.append(path)
            written += len(array)
        request.progress("write", total, total)
        request.check()
    except BaseException:
        for path in complete:
            path.unlink(missing_ok=True)
        raise


def _told(request: Request, before: int, total: int) -> Callable[[int, int], None]:
    def told(done: int, _: int) -> None:
        request.check()
        request.progress("write", before + done, total)

    return told
