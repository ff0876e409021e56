"""Segmenting one volume file into one segmentation file, or skipping it because that was done before."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from leuda_core.io.files import atomic_path
from leuda_core.io.names import probabilities_path
from leuda_core.io.nifti import write_nifti
from leuda_core.io.volumes import read_volume, write_label_map
from leuda_core.prediction.gauge import gauge
from leuda_core.prediction.record import FolderRecord, work_key
from leuda_core.prediction.runner import OnProgress, ShouldStop
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.types import Prediction, SegmentOptions


def segment_file(
    segmenter: SliceSegmenter,
    source: Path,
    target: Path,
    options: SegmentOptions,
    *,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> dict[str, Any]:
    """Segment a file or DICOM folder and write the labels in the format given by the extension of ``target``.

    Returns:
        ``input``, ``output``, ``device``, ``seconds`` by stage, ``volumes_ml`` by label, ``notes``; with the option
        ``probabilities`` also the file of the probabilities; ``gauge`` if the model remembers its training volumes.

    Raises:
        InputError: the volume cannot be used or the target cannot be written. Cancelled, DeviceError: as the segmenter.
    """
    start = time.perf_counter()
    volume = read_volume(source)
    read = time.perf_counter()
    prediction = segmenter(volume, options, on_progress=on_progress, should_stop=should_stop)
    segmented = time.perf_counter()
    row: dict[str, Any] = {"input": source, "output": target, "device": prediction.device}
    if options.probabilities:
        row["probabilities"] = _write_both(prediction, target)
    else:
        write_label_map(prediction.label_map, target)
    known = gauge(segmenter, volume)
    seconds = {"read": read - start, **prediction.seconds, "write": time.perf_counter() - segmented}
    return {
        **row,
        "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
        "volumes_ml": _volumes_ml(prediction),
        "notes": [*prediction.notes, *([known.text] if known and known.verdict != "like" else [])],
        **({"gauge": known.as_dict()} if known else {}),
    }


def segment_file_once(
    segmenter: SliceSegmenter,
    source: Path,
    target: Path,
    options: SegmentOptions,
    *,
    model: str,
    record: FolderRecord,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> dict[str, Any]:
    """Segment a file as ``segment_file`` does, unless the record of the output folder says that it is done.

    An output that was changed since it was written, or that the record does not know, is kept, also if the model or
    the options are other ones.

    Args:
        model: the checksum of the bundle.

    Returns:
        As ``segment_file``; ``skipped`` is true if nothing was computed.
    """
    try:
        key = work_key(source, model, options)
    except OSError:
        key = ""  # reading the volume explains the problem
    state = record.state(target, key) if key else "missing"
    if state == "missing":
        row = segment_file(segmenter, source, target, options, on_progress=on_progress, should_stop=should_stop)
        if key:
            outputs = [target, *([row["probabilities"]] if options.probabilities else [])]
            record.add(target, key, outputs, {name: row[name] for name in ("device", "seconds", "volumes_ml", "notes")})
        return {**row, "skipped": False}
    row = {"input": source, "output": target, **record.result(target), "skipped": True}
    why = {"changed": "was changed since it was segmented", "foreign": "is there and not in the record of the folder"}
    notes = [f"'{target.name}' {why[state]}: it is kept"] if state in why else []
    if options.probabilities:
        if (path := probabilities_path(target)).is_file():
            row["probabilities"] = path
        else:
            notes.append("its probabilities are not written: --overwrite replaces both")
    return {**row, "notes": notes or row["notes"]}


def _write_both(prediction: Prediction, target: Path) -> Path:
    """Write the label map and ``(I, J, K, C)`` probabilities, background first; return the file of the latter.

    Both are written, or none: the file of the probabilities appears once the label map is complete.
    """
    assert prediction.probabilities is not None
    path = probabilities_path(target)
    data = np.moveaxis(prediction.probabilities, 0, -1).astype(np.float32)  # NIfTI has no float16
    with atomic_path(path) as temporary:
        write_nifti(data, prediction.label_map.affine, temporary)
        write_label_map(prediction.label_map, target)
    return path


def _volumes_ml(prediction: Prediction) -> dict[str, float]:
    label_map = prediction.label_map
    voxel_ml = abs(float(np.linalg.det(label_map.affine[:3, :3]))) / 1000
    n_values = np.iinfo(label_map.data.dtype).max + 1
    # Slab by slab: bincount converts to 64 bits, eight times the memory of the label map.
    counts = np.zeros(n_values, np.int64)
    for slab in label_map.data.T:
        counts += np.bincount(slab.ravel(), minlength=n_values)
    return {label.name: round(int(counts[label.value]) * voxel_ml, 3) for label in label_map.labels}
