"""Scenes that earlier versions saved still open, with what was chosen in both modules: see Testing/compatibility."""

from __future__ import annotations

from pathlib import Path

import pytest

from repository import ROOT
from segmentation_panel import settle

pytestmark = pytest.mark.slow

VERSIONS = sorted(path for path in (ROOT / "Testing" / "compatibility").iterdir() if path.is_dir())


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def modules(request: pytest.FixtureRequest, slicer_app):
    """Return both module widgets, with the scene of a version loaded."""
    import slicer

    widgets = [slicer_app.loadModule(ROOT / name / f"{name}.py") for name in ("LEUDASegmentation", "LEUDATraining")]
    slicer.util.loadScene(str(request.param / "scene.mrb"))
    for widget in widgets:
        widget.enter()
    settle()
    return widgets


def test_what_was_chosen_and_made_in_segmentation_is_there(modules) -> None:
    import slicer

    node = modules[0]._parameterNode
    assert node.inputVolume.GetName() == "patient t3" and list(node.volumes) == [node.inputVolume]
    assert (node.model, node.device, node.smoothing) == ("discs cyclegan", "cpu", 0.25)
    assert node.largestComponent and node.showIn3D and node.skippedSegments == ["ring"]
    result = slicer.util.getNode("patient t3 discs cyclegan segmentation")
    assert [result.GetSegmentation().GetNthSegment(0).GetName()] == ["disc"]
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(result, result.GetSegmentation().GetNthSegmentID(0))
    assert voxels.any()


def test_what_was_chosen_and_labelled_in_training_is_there(modules, tmp_path: Path) -> None:
    from LEUDATrainingLib.cases.structures import read_structures

    widget = modules[1]
    node = widget._parameterNode
    assert (node.method, node.runName) == ("le_uda", "MR to CT")
    form = widget.panel.form
    assert (node.steps, form.steps, form.budget) == (1500, 1500, 0)  # its steps, not a time
    assert (node.sourceModality, node.targetModality) == ("MR", "CT")
    assert [(one.value, one.name) for one in read_structures(node)] == [(1, "Herz ♥"), (3, "liver")]
    dataset = widget.logic.writeDataset(node, tmp_path / "dataset")
    from leuda_core.data.check import check_dataset

    report = check_dataset(dataset)
    assert report.problems == () and report.summary["labelled_source_slices"] == 2
