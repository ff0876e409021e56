"""What the logic of LEUDASegmentation cannot segment, and the errors that say so: wrong input, worker, full disk."""

from __future__ import annotations

import numpy as np
import pytest

from leuda_core.errors import DeviceError, InputError, LeudaError
from segmentation_jobs import Outcome
from segmentation_scene import add_volume, segment_names

pytestmark = pytest.mark.slow


def test_wrong_input_volumes_say_what_to_do(slicer_app, logic):
    import slicer

    scene = slicer_app.scene
    colours = slicer.util.addVolumeFromArray(np.zeros((3, 4, 5, 3), np.uint8), nodeClassName="vtkMRMLVectorVolumeNode")
    label_volume = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    removed = add_volume("gone")
    scene.RemoveNode(removed)
    cases = [
        (None, "no input volume"),
        (colours, "components"),
        (label_volume, "label map"),
        (scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow"), "no voxels"),
        (scene.AddNewNodeByClass("vtkMRMLModelNode", "model"), "is not a scalar volume"),
        (removed, "no longer in the scene"),
    ]
    for node, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            logic.segment(node, "Herz CT")
        assert caught.value.remedy
    assert not logic.worker.fields


def test_unknown_model_and_segment_name_what_there_is(logic):
    with pytest.raises(InputError, match="no model “Leber”") as caught:
        logic.segment(add_volume(), "Leber")
    assert "Herz CT" in caught.value.remedy
    with pytest.raises(InputError, match="no segment “liver”") as caught:
        logic.segment(add_volume(), "Herz CT", segments=["liver"])
    assert "spleen" in caught.value.remedy
    with pytest.raises(InputError, match="no segment is chosen"):
        logic.segment(add_volume(), "Herz CT", segments=[])


def test_output_that_is_no_segmentation(logic):
    volume = add_volume()
    with pytest.raises(InputError, match="is not a segmentation"):
        logic.segment(volume, "Herz CT", volume)


def test_full_disk_is_an_error_that_says_so(slicer_app, logic, monkeypatch):
    import errno
    import io

    from LEUDASegmentationLib.scene import volume_files

    class FullDisk(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(volume_files, "open_private", lambda *_: FullDisk())
    with pytest.raises(LeudaError, match="no space left") as caught:
        logic.segment(add_volume(), "Herz CT")
    assert caught.value.remedy
    monkeypatch.undo()
    assert segment_names(logic.segment(add_volume(), "Herz CT"))


def test_error_of_the_worker_is_raised_and_told(logic):
    outcome = Outcome()

    def fail(_fields):
        raise DeviceError("no kernel runs on cuda:0", "choose the CPU")

    logic.worker.draw = fail
    with pytest.raises(DeviceError, match="no kernel runs"):
        logic.segment(add_volume(), "Herz CT", onError=outcome.errors.append)
    assert isinstance(outcome.error, DeviceError)
