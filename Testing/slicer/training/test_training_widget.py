"""The window of LEUDATraining, used with mouse and keyboard as its user does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leuda_core.errors import LeudaError
from leuda_core.runs.folder import Run
from training_scene import Commands, add_labels, add_volume, fill, labels_of, source_store, structures
from training_window import REFRESH_S, open_section, settle, texts

pytestmark = pytest.mark.slow


def test_an_empty_window_says_what_to_do_and_that_nothing_leaves(slicer_app, widget, find) -> None:
    assert "Nothing leaves this computer" in find("privacyLabel").text
    for name in ("structuresEmpty", "sourceEmpty", "targetEmpty"):
        assert find(name).isVisible(), name
        assert find(name).text
    assert not find("startButton").enabled
    assert "There are no structures" in find("startButton").toolTip
    assert find("startNotes").text.count("<li>") == 3


def test_structures_are_typed_renamed_and_removed(slicer_app, widget, find, node) -> None:
    import qt

    from LEUDATrainingLib.cases.structures import read_structures

    slicer_app.click(find("addStructureButton"))
    settle(slicer_app, widget)
    table = find("structuresTable")
    editor = slicer_app.wait_until(lambda: table.findChild(qt.QLineEdit), REFRESH_S)
    slicer_app.type(editor, "heart")
    slicer_app.key(editor, qt.Qt.Key_Return)
    settle(slicer_app, widget)
    assert [one.name for one in read_structures(node)] == ["heart"]
    table.item(0, 2).setText("Heart (SCT 80891009)")
    assert "SCT^80891009^Heart" in read_structures(node)[0].terminology
    table.item(0, 2).setText("nonsense")
    settle(slicer_app, widget)
    assert "is not a terminology" in widget.panel.messages["structures"].cause
    assert table.item(0, 2).text() == "Heart (SCT 80891009)"
    slicer_app.click(find("removeStructureButton"))
    settle(slicer_app, widget)
    assert read_structures(node) == []
    assert find("structuresEmpty").isVisible()


def test_renaming_a_structure_keeps_its_labels(slicer_app, widget, find, node) -> None:
    _source, segmentation, _target = fill(node)
    settle(slicer_app, widget)
    find("structuresTable").item(1, 1).setText("Leber")
    settle(slicer_app, widget)
    assert segmentation.GetSegmentation().GetNthSegment(1).GetName() == "Leber"
    assert find("sourceTable").item(0, 2).text() == "2 of 6"
    find("structuresTable").item(1, 1).setText("Herz ♥")
    assert "cannot have the same name" in widget.panel.messages["structures"].cause
    assert find("structuresTable").item(1, 1).text() == "Leber"


def test_structures_from_a_segmentation_through_the_menu(slicer_app, widget, find, node) -> None:
    from LEUDATrainingLib.cases.structures import read_structures

    add_labels(add_volume("MR"), labels_of())
    menu = find("structuresFromSegmentationButton").menu()
    menu.aboutToShow.emit()
    (action,) = menu.actions()
    assert action.text == "MR labels"
    action.trigger()
    assert [one.name for one in read_structures(node)] == ["Herz ♥", "liver"]
    menu = find("structuresFromModelButton").menu()
    menu.aboutToShow.emit()
    (action,) = menu.actions()
    assert not action.enabled


def test_volumes_are_added_counted_and_removed(slicer_app, widget, find, node) -> None:
    from LEUDATrainingLib.cases.structures import write_structures

    write_structures(node, structures())
    volume, target = add_volume("MR"), add_volume("CT")
    segmentation = add_labels(volume, labels_of())
    settle(slicer_app, widget)
    find("sourceSelector").setCurrentNode(volume)
    slicer_app.click(find("sourceAddButton"))
    settle(slicer_app, widget)
    assert texts(find("sourceTable")) == [["MR", "–", "–", "No labels"]]
    find("segmentationSelector").setCurrentNode(segmentation)
    settle(slicer_app, widget)
    assert texts(find("sourceTable")) == [["MR", "MR labels", "2 of 6", "Ready"]]
    slicer_app.click(find("sourceAddButton"))
    assert "already in the list" in widget.panel.messages["source"].cause
    find("targetSelector").setCurrentNode(target)
    slicer_app.click(find("targetAddButton"))
    settle(slicer_app, widget)
    assert texts(find("targetTable")) == [["CT", "20 × 16 × 6", "1 × 1 × 5", "Ready"]]
    assert find("startButton").enabled
    slicer_app.click(find("targetRemoveButton"))
    settle(slicer_app, widget)
    assert find("targetEmpty").isVisible()
    assert not find("startButton").enabled


def test_a_deleted_volume_is_shown_missing_and_is_no_crash(slicer_app, widget, find, node) -> None:
    import slicer

    source, _segmentation, target = fill(node)
    settle(slicer_app, widget)
    assert find("startButton").enabled
    slicer.mrmlScene.RemoveNode(target)
    slicer.mrmlScene.RemoveNode(source)
    settle(slicer_app, widget)
    assert find("sourceTable").item(0, 3).text() == "Missing"
    assert find("targetTable").item(0, 3).text() == "Missing"
    assert not find("startButton").enabled
    assert "was deleted" in find("startButton").toolTip


def test_a_folder_and_a_dataset_bring_files(slicer_app, widget, find, node, tmp_path: Path) -> None:
    import slicer

    fill(node)
    dataset = widget.logic.writeDataset(node, tmp_path / "d")
    slicer.mrmlScene.Clear(0)
    settle(slicer_app, widget)
    slicer_app.answers.add(str(dataset))
    slicer_app.click(find("sourceDatasetButton"))
    settle(slicer_app, widget)
    assert texts(find("sourceTable")) == [["Zoë MR", "source_001_label.nrrd", "–", "File"]]
    assert find("startButton").enabled
    slicer_app.click(find("sourceLoadButton"))
    settle(slicer_app, widget)
    assert texts(find("sourceTable")) == [["Zoë MR", "Zoë MR labels", "2 of 6", "Ready"]]
    slicer_app.answers.add(str(tmp_path / "d" / "volumes"))
    slicer_app.click(find("targetFolderButton"))
    settle(slicer_app, widget)
    assert [row[0] for row in texts(find("targetTable"))] == ["Zoë CT", "source_001"]  # target_001 was there


def test_a_long_estimate_is_shown_whole(slicer_app, widget, find) -> None:
    slicer_app.mainWindow.resize(1400, 960)
    slicer_app.selectModule("LEUDATraining")
    result = find("estimateResult")
    result.setVisible(True)
    result.text = "<br>".join(["Without a GPU this takes about two hours. Take fewer steps, or find a GPU."] * 3)
    settle(slicer_app, widget)
    assert result.height >= result.heightForWidth(result.width) > 3 * result.fontMetrics().height()


def test_choices_of_the_method_live_in_the_scene(slicer_app, widget, find, node, tmp_path: Path) -> None:
    import slicer

    open_section(slicer_app, find("startSection"))
    form = widget.panel.form
    assert form.method == "self_training"
    find("stepsBox").setValue(321)
    find("sourceModalityEdit").text = "MR bSSFP"
    settle(slicer_app, widget)
    assert (node.steps, node.sourceModality) == (321, "MR bSSFP")
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(0)
    settle(slicer_app, widget)
    assert form.steps != 321
    slicer.util.loadScene(str(path))
    settle(slicer_app, widget)
    assert form.steps == 321
    assert find("sourceModalityEdit").text == "MR bSSFP"


def test_start_launches_and_shows_the_run(slicer_app, widget, find, node) -> None:
    from LEUDASegmentationLib.processes.environment import runs_folder

    commands = widget.logic.commandFactory = Commands()
    fill(node)
    node.settings = json.dumps({"batch_size": 3})
    settle(slicer_app, widget)
    slicer_app.click(find("startButton"))
    run = runs_folder() / "MR to CT" / "run"
    slicer_app.wait_until(lambda: widget.panel.view.run_path == run, 20)
    assert "is trained" in widget.panel.messages["start"].cause
    assert "--set batch_size=3" in " ".join(commands.words[-1])
    assert not find("runsSection").collapsed
    assert find("runTable").rowCount == 1
    assert find("startButton").enabled


def test_packages_that_cannot_be_installed_are_told(slicer_app, widget, find, node, monkeypatch) -> None:
    from LEUDASegmentationLib.processes import installation

    def fail(_parent) -> bool:
        raise LeudaError("PyTorch could not be installed", "check the network")

    monkeypatch.setattr(installation, "ensure_installed", fail)
    fill(node)
    settle(slicer_app, widget)
    slicer_app.click(find("startButton"))
    message = widget.panel.messages["start"]
    assert message.kind == "error" and "PyTorch" in message.cause and find("startButton").enabled


def test_a_run_that_has_ended_is_no_longer_said_to_train(slicer_app, widget, tmp_path, monkeypatch) -> None:
    start, message = widget.panel.start, widget.panel.messages["start"]
    monkeypatch.setattr(start, "_on_started", lambda run: None)
    run = Run(tmp_path / "rigrun" / "run")
    start._started(run)
    assert message.cause == "“rigrun” is training."
    start._finished(run)
    assert message.cause == "“rigrun” is trained." and "step 5" in message.remedy
    start._started(run)
    start._failed(LeudaError("the disk is full", "free some"))  # which the run itself shows
    assert message.cause == ""


def test_problems_of_the_dataset_are_shown_and_start_works_again(slicer_app, widget, find, node) -> None:
    widget.logic.commandFactory = Commands(problems=["volume 'a' is constant (every voxel is 0); check it", "b; c"])
    fill(node)
    settle(slicer_app, widget)
    slicer_app.click(find("startButton"))
    slicer_app.wait_until(lambda: widget.panel.messages["start"].kind == "error", 20)
    assert "2 problems" in widget.panel.messages["start"].cause
    assert "'a' is constant" in widget.panel.messages["start"].remedy
    assert find("startButton").enabled
    widget.logic.commandFactory = Commands()
    slicer_app.click(find("startButton"))
    slicer_app.wait_until(lambda: "is trained" in widget.panel.messages["start"].cause, 20)


def test_closing_the_scene_while_a_dataset_is_written_is_no_crash(slicer_app, widget, find, node) -> None:
    import slicer

    widget.logic.commandFactory = Commands()
    fill(node)
    settle(slicer_app, widget)
    slicer_app.click(find("startButton"))
    slicer.mrmlScene.Clear(0)
    slicer_app.wait_until(lambda: widget.logic.job.stage in ("train", "ended"), 20)
    settle(slicer_app, widget)
    assert find("sourceEmpty").isVisible()
    assert not find("startButton").enabled
    fill(widget.logic.getParameterNode())
    settle(slicer_app, widget)
    assert find("startButton").enabled


def test_the_panel_fits_a_narrow_dock(slicer_app, widget, find, node) -> None:
    fill(node)
    settle(slicer_app, widget)
    for name in ("structures", "source", "target", "start", "runs"):
        open_section(slicer_app, find(f"{name}Section"))
        settle(slicer_app, widget)
        assert widget._uiWidget.minimumSizeHint.width() <= 420, name
    slicer_app.click(find("markSlicesButton"))
    settle(slicer_app, widget)
    assert widget._uiWidget.minimumSizeHint.width() <= 420


@pytest.mark.alone
def test_writing_a_large_volume_keeps_the_window_alive(slicer_app, widget, find, node) -> None:
    widget.logic.commandFactory = Commands()
    fill(node)
    source_store(node).add_node(add_volume("large", shape=(256, 256, 200)))
    settle(slicer_app, widget)
    with slicer_app.event_loop_latency() as latency:
        slicer_app.click(find("startButton"))
        slicer_app.wait_until(lambda: "is trained" in widget.panel.messages["start"].cause, 60)
    assert latency.busiest_s < 0.2 and latency.longest_s < 1.0, (latency.busiest_s, latency.longest_s)
