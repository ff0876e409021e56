"""A worker clips CT to the window of the model, in volumes, boxes and slices alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leuda_core.prediction.job import OTHER_UNITS
from leuda_core.types import Normalization
from worker_process import WorkerProcess
from worker_requests import AFFINE, call, make_model, segmented, volume_data

NORMALIZATION = Normalization(ignores_padding=True, window=(-175.0, 275.0))


@pytest.mark.slow
@pytest.mark.parametrize(("offset", "notes"), [(-700, []), (200, [OTHER_UNITS])])
def test_slice_and_volume_have_the_same_grey_values_and_notes(
    offset: int, notes: list[str], worker: WorkerProcess, fields: dict, tmp_path: Path
) -> None:
    np.save(fields["volume"], volume_data((3, 256, 256)).clip(-50) + np.int16(offset))
    fields = {**fields, "model": make_model(tmp_path / "model", patch_size=256, normalization=NORMALIZATION)}
    assert call(worker, "segment", **fields)["notes"] == notes
    whole = np.load(fields["output"])
    assert np.array_equal(whole, segmented(fields)) and len(np.unique(whole)) > 1
    box = call(worker, "segment", **{**fields, "output": tmp_path / "box.npy"}, box=[[0, 256], [0, 256], [1, 2]])
    assert box["notes"] == notes and np.array_equal(np.load(tmp_path / "box.npy")[1], whole[1])
    position = (np.array(AFFINE) @ [128, 128, 1, 1])[:3].tolist()
    result = call(worker, "slice", **{**fields, "output": tmp_path / "slice.npy"}, position=position)
    assert result["notes"] == notes and np.array_equal(np.load(tmp_path / "slice.npy"), whole[1])
