"""The phantom in Sample Data: registered, made once in another process, loaded with names and colours."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from leuda_core.errors import Cancelled, InputError, LeudaError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first request makes, kept for the tests that only load it."""
    return tmp_path_factory.mktemp("phantom") / "phantom"


@pytest.fixture
def sample_data(slicer_app, monkeypatch: pytest.MonkeyPatch):
    import slicer

    from LEUDASegmentationLib import sample_data

    monkeypatch.setattr(slicer.modules, "sampleDataSources", {}, raising=False)
    return sample_data


@pytest.fixture
def made(sample_data, phantom: Path) -> Iterator[Path]:
    """The folder of samples, made by the first test that needs it and copied by the others."""
    folder = sample_data.samples_folder()
    if phantom.exists():
        shutil.copytree(phantom, folder)
    else:
        sample_data.make_phantom()
        shutil.copytree(folder, phantom)
    yield folder


def test_three_samples_with_pictures_whose_buttons_load_them(sample_data, made: Path) -> None:
    import slicer

    from host.python_layer.sample_data import press

    sample_data.register_sample_data()
    sample_data.register_sample_data()
    sources = slicer.modules.sampleDataSources["LE-UDA"]
    assert [source.sampleName for source in sources] == ["LE-UDA phantom MR", "LE-UDA phantom CT", "LE-UDA few labels"]
    assert all(Path(source.thumbnailFileName).is_file() for source in sources)
    press("LE-UDA phantom CT")
    assert slicer.util.arrayFromVolume(slicer.util.getNode("LE-UDA phantom CT")).min() < -500


def test_the_console_loads_the_files_once_they_are_made(sample_data, made: Path) -> None:
    """Slicer's own functions know nothing of the button's work."""
    import SampleData

    sample_data.register_sample_data()
    node = SampleData.downloadSample("LE-UDA phantom MR")
    assert node.GetName() == "LE-UDA phantom MR" and min(node.GetImageData().GetDimensions()) > 1
    (made / "test_source_01.nii.gz").unlink()
    with pytest.raises(RuntimeError):
        SampleData.downloadSample("LE-UDA phantom MR")


def test_the_module_registers_them_when_slicer_has_started(sample_data, slicer_app) -> None:
    import slicer

    slicer_app.moduleManager._load(Path(sample_data.__file__).parents[1] / "LEUDASegmentation.py")
    assert len(slicer.modules.sampleDataSources["LE-UDA"]) == 3


def test_the_first_request_makes_the_data_in_another_process_and_later_ones_do_not(
    sample_data, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (made / "dataset.json").is_file()
    monkeypatch.setattr(sample_data, "LeudaCommand", lambda words: pytest.fail("made again"))
    (node,) = sample_data.load_sample("LE-UDA phantom MR")
    matrix = np.array(node.GetImageData().GetDimensions())
    assert (matrix[:2] >= 64).all() and matrix[2] < 30


def test_few_labels_come_with_segmentations_where_there_are_labels(sample_data, made: Path) -> None:
    import slicer

    nodes = sample_data.load_sample("LE-UDA few labels")
    volumes = [node for node in nodes if node.IsA("vtkMRMLScalarVolumeNode")]
    segmentations = [node for node in nodes if node.IsA("vtkMRMLSegmentationNode")]
    assert [node.GetName() for node in volumes] == [f"{kind} {n}" for kind in ("MR", "CT") for n in range(1, 7)]
    assert [node.GetName() for node in segmentations] == [f"MR {n} segmentation" for n in range(1, 4)]
    for segmentation, volume in zip(segmentations, volumes, strict=False):
        segments = [segmentation.GetSegmentation().GetNthSegment(i) for i in range(4)]
        names = [segment.GetName() for segment in segments]
        assert names == ["myocardium", "left atrium", "left ventricle", "ascending aorta"]
        assert segments[2].GetColor() == pytest.approx((221 / 255, 54 / 255, 74 / 255))
        assert "87878005^Left ventricle of heart" in _terminology(segments[2])
        labels = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, _id(segmentation, 2), volume)
        assert labels.shape == slicer.util.arrayFromVolume(volume).shape and 200 < labels.sum() < labels.size / 5


def _id(segmentation, index: int) -> str:
    return segmentation.GetSegmentation().GetNthSegmentID(index)


def _terminology(segment) -> str:
    import vtk

    value = vtk.reference("")
    assert segment.GetTag(segment.GetTerminologyEntryTagName(), value)
    return str(value)


def test_a_half_made_phantom_is_made_again(sample_data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_data, "_COHORT", {"source": 1, "labelled": 1, "target": 1, "test": 0})
    folder = sample_data.samples_folder()
    folder.mkdir(parents=True)
    (folder / "source_01.nii.gz").write_bytes(b"torn")
    (folder / "leftover").touch()
    dataset = sample_data.make_phantom()
    assert dataset.is_file() and not (folder / "leftover").exists()
    assert (folder / "source_01.nii.gz").stat().st_size > 1000


def test_what_is_missing_is_offered_first(sample_data, slicer_app, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer

    from host.python_layer.sample_data import press

    monkeypatch.setattr(sample_data, "ensure_installed", lambda: False)
    with pytest.raises(LeudaError, match="packages are missing"):
        sample_data.load_sample("LE-UDA phantom MR")
    sample_data.register_sample_data()
    slicer_app.answers.add(True)
    press("LE-UDA phantom MR")
    assert "packages are missing" in slicer_app.answers.asked[-1].text
    assert slicer.util.getNodesByClass("vtkMRMLVolumeNode") == []


def test_making_can_be_cancelled(sample_data, slicer_app, monkeypatch: pytest.MonkeyPatch) -> None:
    import qt
    import slicer

    make = slicer.util.createProgressDialog

    def cancelled(**about: object):
        dialog = make(**about)
        (button,) = slicer.util.findChildren(dialog, className="QPushButton")
        qt.QTimer.singleShot(100, button.click)
        return dialog

    monkeypatch.setattr(slicer.util, "createProgressDialog", cancelled)
    with pytest.raises(Cancelled):
        sample_data.make_phantom()
    assert not (sample_data.samples_folder() / "dataset.json").exists()


def test_a_second_request_leaves_the_first_alone(sample_data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_data, "_COHORT", {"source": 1, "labelled": 1, "target": 1, "test": 0})
    refused = []

    class Command(sample_data.LeudaCommand):
        def wait(self, timeout_s: float):
            with pytest.raises(InputError, match="being generated") as caught:
                sample_data.make_phantom()
            refused.append(caught.value.remedy)
            return super().wait(timeout_s)

    monkeypatch.setattr(sample_data, "LeudaCommand", Command)
    folder = sample_data.samples_folder()
    assert sample_data.make_phantom() == folder / "dataset.json" and len(refused) == 1
    assert (folder / "source_01.nii.gz").is_file()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]  # nothing unfinished is left
    assert sample_data.make_phantom().is_file()


def test_what_another_slicer_made_meanwhile_is_kept(sample_data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_data, "_COHORT", {"source": 1, "labelled": 1, "target": 1, "test": 0})
    folder = sample_data.samples_folder()

    class Command(sample_data.LeudaCommand):
        def wait(self, timeout_s: float):
            document = super().wait(timeout_s)
            folder.mkdir(parents=True)
            (folder / "dataset.json").write_text("theirs")
            return document

    monkeypatch.setattr(sample_data, "LeudaCommand", Command)
    assert sample_data.make_phantom().read_text() == "theirs"
