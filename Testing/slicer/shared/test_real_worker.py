"""Slicer's side and the real worker together: the same labels as the core's, cancellation, death, live preview."""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from leuda_core.errors import Cancelled, InputError, LeudaError
from repository import ROOT
from segmentation_scene import LEFT_HANDED, OBLIQUE, segment_names, segment_voxels
from timing import allowed

pytestmark = pytest.mark.slow

pytest.importorskip("torch", reason="torch is not installed")

SHAPE, SPACING_MM = (24, 256, 256), 0.8
PREPARE = """
import sys
import numpy as np
import torch
from leuda_core.bundle.model import save_bundle
from leuda_core.bundle.schema import BundleInfo, DomainSummary
from leuda_core.networks.predictor import Predictor, PredictorSpec
from leuda_core.prediction.volumes import segment
from leuda_core.types import Label, Task, Volume

folder, shape = sys.argv[1], tuple(map(int, sys.argv[2:5]))
torch.manual_seed(0)
domain = DomainSummary(name="synthetic", modality="CT")
task = Task(tuple(Label(v, f"organ {v}", (v / 4, 0.5, 0.2)) for v in (1, 2, 3)), spacing_mm=1.6, patch_size=96)
spec = PredictorSpec(n_classes=4, base_channels=16, translator_channels=16, translator_blocks=4)
info = BundleInfo(name="real", method="le_uda", source=domain, target=domain)
bundle = save_bundle(folder + "/models/real", Predictor(spec), task, info)
rng = np.random.default_rng(0)
k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
voxels = 400 * np.sin(j / 40 + k / 9) * np.cos(i / 55) + rng.normal(0, 15, shape)
np.save(folder + "/volume.npy", voxels.astype(np.int16))
for name in ("oblique", "left"):
    affine = np.load(f"{folder}/{name}-affine.npy")
    prediction = segment(Volume(np.load(folder + "/volume.npy").T, affine), bundle, device="cpu")
    np.save(f"{folder}/{name}.npy", prediction.label_map.data.T)
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A folder with a model, a volume, and what the core makes of it; torch stays out of this process."""
    folder = tmp_path_factory.mktemp("prepared")
    for name, affine in (("oblique", OBLIQUE), ("left", LEFT_HANDED)):
        np.save(folder / f"{name}-affine.npy", affine * SPACING_MM)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-c", PREPARE, str(folder), *map(str, SHAPE)], check=True, timeout=110, env=environment
    )
    return folder


@pytest.fixture
def logic(slicer_app, prepared):
    from LEUDASegmentationLib.logic import LEUDASegmentationLogic
    from LEUDASegmentationLib.processes.worker_client import WorkerClient

    worker = WorkerClient()
    yield LEUDASegmentationLogic(worker, prepared / "models")
    worker.stop()


def add_real_volume(folder: Path, name: str = "oblique"):
    """Add the volume to the scene, in one of its two places."""
    import slicer

    return slicer.util.addVolumeFromArray(np.load(folder / "volume.npy"), np.load(folder / f"{name}-affine.npy"), name)


@pytest.mark.parametrize("name", ["oblique", "left"])
def test_labels_are_those_of_the_core(logic, prepared, name):
    volume = add_real_volume(prepared, name)
    node = logic.segment(volume, "real", device="cpu")
    expected = np.load(prepared / f"{name}.npy")
    assert len(np.unique(expected)) > 1
    for value in (1, 2, 3):
        np.testing.assert_array_equal(segment_voxels(node, f"organ {value}", volume), expected == value)


def test_cancel_within_a_second_and_the_next_one_works(slicer_app, logic, prepared):
    volume, errors, progress = add_real_volume(prepared), [], []
    logic.segment(volume, "real", device="cpu")
    job = logic.segment(volume, "real", device="cpu", wait=False, onError=errors.append, onProgress=progress.append)
    slicer_app.wait_until(lambda: any(entry.stage == "segment" for entry in progress), 30)
    began = time.monotonic()
    job.cancel()
    slicer_app.wait_until(lambda: errors, 5)
    assert isinstance(errors[0], Cancelled) and time.monotonic() - began < allowed(1.5)
    assert segment_names(logic.segment(volume, "real", device="cpu", segments=["organ 2"])) == ["organ 2"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_worker_that_is_killed_is_an_error_and_the_next_apply_works(slicer_app, logic, prepared):
    volume, errors, progress = add_real_volume(prepared), [], []
    logic.segment(volume, "real", device="cpu", wait=False, onError=errors.append, onProgress=progress.append)
    slicer_app.wait_until(lambda: any(entry.stage != "copy" for entry in progress), 60)
    os.kill(logic.worker._process.pid, signal.SIGKILL)
    slicer_app.wait_until(lambda: errors, 10)
    assert isinstance(errors[0], LeudaError) and errors[0].remedy
    assert segment_names(logic.segment(volume, "real", device="cpu")) == ["organ 1", "organ 2", "organ 3"]


def test_model_deleted_while_it_is_loaded(slicer_app, logic, prepared, tmp_path):
    from LEUDASegmentationLib.logic import LEUDASegmentationLogic

    shutil.copytree(prepared / "models" / "real", tmp_path / "models" / "real")
    mine, volume = LEUDASegmentationLogic(logic.worker, tmp_path / "models"), add_real_volume(prepared)
    segmentation = mine.segment(volume, "real", device="cpu")
    mine.deleteModel("real")
    with pytest.raises(InputError, match="real") as told:
        mine.segment(volume, "real", segmentation, device="cpu")
    assert told.value.remedy and len(segment_names(segmentation)) == 3, "what was there stays"
    assert len(segment_names(logic.segment(volume, prepared / "models" / "real", device="cpu"))) == 3


def test_frame_of_a_sequence_that_is_shown(slicer_app, logic, prepared):
    """A 4-D image is a sequence in Slicer; what is segmented is the volume that its browser shows."""
    import slicer

    frames, voxels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine"), np.load(prepared / "volume.npy")
    for index, data in enumerate((np.zeros_like(voxels), voxels)):
        frame = slicer.util.addVolumeFromArray(data, np.load(prepared / "oblique-affine.npy"), f"frame {index}")
        frames.SetDataNodeAtValue(frame, str(index))
        slicer.mrmlScene.RemoveNode(frame)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    sequences = slicer.vtkSlicerSequencesLogic()
    sequences.SetMRMLScene(slicer.mrmlScene)
    sequences.AddSynchronizedNode(frames, None, browser)
    browser.SetSelectedItemNumber(1)
    sequences.UpdateProxyNodesFromSequences(browser)
    shown = browser.GetProxyNode(frames)
    segmentation = logic.segment(shown, "real", device="cpu")
    expected = np.load(prepared / "oblique.npy")
    for value in (1, 2, 3):
        np.testing.assert_array_equal(segment_voxels(segmentation, f"organ {value}", shown), expected == value)


def test_live_preview_of_a_warm_model(slicer_app, logic, prepared):
    import slicer

    from LEUDASegmentationLib.panel.preview import LivePreview
    from LEUDASegmentationLib.scene.geometry import ijk_to_ras

    volume, errors, waits = add_real_volume(prepared), [], []
    view = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    live = LivePreview(logic, errors.append)
    live.start(volume, "real", view, device="cpu")
    expected = np.load(prepared / "oblique.npy")
    for k in (3, *range(5, 20)):
        view.JumpSliceByCentering(*(ijk_to_ras(volume) @ [128, 128, k, 1])[:3])
        began = time.monotonic()
        slicer_app.wait_until(lambda k=k: errors or shown_slice(live) == k, 60)
        waits.append(time.monotonic() - began)
    assert not errors
    middle = statistics.median(waits[1:])
    print(f"live preview: {middle * 1e3:.0f} ms a slice (median), {max(waits[1:]) * 1e3:.0f} ms at most")
    node = live.segmentation_node
    found = np.zeros(SHAPE, np.uint8)
    for value in (1, 2, 3):
        found[segment_voxels(node, f"organ {value}", volume)] = value
    np.testing.assert_array_equal(found[19], expected[19])
    assert not found[:19].any()
    live.stop()
    assert middle < allowed(0.6), "about 0.1 s on two free cores"


def shown_slice(live) -> int:
    """Return the index along k of the slice that is shown; -1 before the first."""
    from LEUDASegmentationLib.scene.layers import BINARY

    extent = live.segmentation_node.GetSegmentation().GetNthSegment(0).GetRepresentation(BINARY).GetExtent()
    return extent[4] if extent[1] > 0 else -1
