"""The panel of LE-UDA Segmentation as its users meet it: real nodes, real widgets, real mouse events."""

from __future__ import annotations

import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from host.driving import wait_until
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from leuda_core.errors import Cancelled, LeudaError
from leuda_core.models import ModelEntry, ModelLabel

MODULE = Path(__file__).parents[2] / "LEUDASegmentation" / "LEUDASegmentation.py"
LABELS = (ModelLabel(1, "disc", (0.9, 0.3, 0.2)), ModelLabel(2, "ring", (0.2, 0.5, 0.9)))


class FakeWorker:
    """A worker whose requests the test answers: labels 1 and 2 in two halves of a block of the volume."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.onLog = None
        self.open: dict[int, tuple[str, Any, Any, Any, dict]] = {}
        self.cancelled: list[int] = []

    def newPath(self, name: str) -> str:
        self._count += 1
        return str(self._folder / f"{self._count}-{name}")

    def discard(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)

    def request(self, name, onDone=None, onError=None, onProgress=None, **fields) -> int:
        self._count += 1
        self.open[self._count] = (name, onDone, onError, onProgress, fields)
        return self._count

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)
        if number in self.open:
            self.fail(Cancelled(), number)

    def asked(self, name: str) -> list[dict]:
        """Return the fields of the open requests of a kind."""
        return [fields for kind, *_rest, fields in self.open.values() if kind == name]

    def progress(self, **event) -> None:
        number = next(reversed(self.open))
        self.open[number][3]({"event": "progress", "id": number, **event})

    def fail(self, error: LeudaError, number: int | None = None) -> None:
        number = number or next(reversed(self.open))
        self.open.pop(number)[2](error)

    def finish(self, notes: tuple[str, ...] = ()) -> None:
        """Answer the last "segment" request."""
        number = next(number for number in reversed(self.open) if self.open[number][0] == "segment")
        _kind, on_done, _on_error, _on_progress, fields = self.open.pop(number)
        labels = np.zeros(np.load(fields["volume"], mmap_mode="r").shape, np.uint8)
        labels[1:-1, 2:-2, 2:6], labels[1:-1, 2:-2, 6:-2] = 1, 2
        np.save(fields["output"], labels)
        on_done({"device": "cpu", "notes": list(notes), "seconds": {}, "labels": []})


@pytest.fixture
def worker(tmp_path) -> FakeWorker:
    folder = tmp_path / "exchange"
    folder.mkdir()
    return FakeWorker(folder)


@pytest.fixture
def entries() -> list[ModelEntry]:
    """The models in the list; a test may change it."""
    common = dict(source_modality="MR", target_modality="CT", labels=LABELS, created="2026-03-04", size_bytes=1_200_000)
    return [
        ModelEntry("discs", Path("/models/discs"), "le_uda", **common),
        ModelEntry("other discs", Path("/models/other"), "mt_uda", **common),
    ]


@pytest.fixture
def module(slicer_app, worker, entries, monkeypatch):
    """The module's widget, opened, with a worker and a list of models that the test holds; nothing is missing."""
    from LEUDASegmentationLib import installation
    from LEUDASegmentationLib.logic import LEUDASegmentationLogic

    monkeypatch.setattr(installation, "missingPackages", lambda: [])
    monkeypatch.setattr(installation, "ensureInstalled", lambda parent=None: True)
    monkeypatch.setattr(LEUDASegmentationLogic, "worker", property(lambda _logic: worker))
    monkeypatch.setattr(LEUDASegmentationLogic, "models", lambda _logic: list(entries))
    widget = slicer_app.loadModule(MODULE)
    settle()
    return widget


def settle(milliseconds: int = 40) -> None:
    """Let the event loop do what waits."""
    QTest.qWait(milliseconds)


def wait_for(condition, seconds: float = 5.0) -> None:
    """Let the event loop run until a condition holds."""
    wait_until(condition, seconds)


def click(widget) -> None:
    assert widget.visible, f"{widget.objectName} is not visible"
    assert widget.enabled, f"{widget.objectName} is not enabled"
    spot = QPoint(10, widget.height // 2)
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=spot)
    settle()


def choose_model(module, row: int = 0) -> None:
    table = module.panel.models.table
    index = table.model().index(row, 0)
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(index).center())
    settle()


def add_volume(name: str = "patient 1 Größe", shape=(5, 12, 14)):
    import slicer

    rng = np.random.default_rng(0)
    node = slicer.util.addVolumeFromArray(rng.integers(0, 500, shape).astype(np.int16), name=name)
    settle()
    return node


@pytest.fixture
def ready(module):
    """The module with a volume and a model chosen."""
    volume = add_volume()
    choose_model(module)
    module._parameterNode.inputVolume = volume
    settle()
    return module


def apply(module, worker) -> None:
    """Press Apply and wait until the worker was asked."""
    click(module.ui.applyButton)
    wait_for(lambda: worker.asked("segment"))


def segmentations() -> list:
    import slicer

    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [node for node in nodes if not node.GetHideFromEditors()]


# Opening


def test_an_empty_scene_says_what_to_do(module, entries) -> None:
    assert not module.ui.applyButton.enabled
    assert module.ui.applyButton.toolTip == "Choose an input volume.\nChoose a model."
    entries.clear()
    module.enter()
    assert module.panel.models._empty.visible
    assert not module.panel.result.statistics.widget.visible


def test_the_first_volume_of_the_scene_is_chosen_on_entering(slicer_app, module) -> None:
    volume = add_volume()
    module.enter()
    assert module.ui.inputSelector.currentNode() is volume
    assert module.ui.applyButton.toolTip == "Choose a model."
    choose_model(module)
    assert module.ui.applyButton.enabled


def test_the_panel_fits_into_a_narrow_dock(module) -> None:
    add_volume("a volume with quite a long name, as hospitals give them, CT thorax 1.0 B31f")
    choose_model(module)
    module.ui.optionsSection.collapsed = False
    module.ui.severalVolumesCheckBox.checked = True
    module.panel.message_strip.show_warning("a long message " * 10, "with a long remedy " * 10)
    settle()
    assert module._uiWidget.minimumSizeHint.width() <= 420


def test_nothing_is_asked_or_started_on_opening(module, worker) -> None:
    add_volume()
    choose_model(module)
    assert worker.open == {}


def test_missing_packages_are_said_with_a_button(module, monkeypatch) -> None:
    from LEUDASegmentationLib import installation

    missing, asked = ["torch", "monai"], []

    def install(parent=None) -> bool:
        asked.append(1)
        missing.clear()
        return True

    monkeypatch.setattr(installation, "missingPackages", lambda: list(missing))
    monkeypatch.setattr(installation, "ensureInstalled", install)
    module.enter()
    strip = module.panel.install_strip
    assert strip.widget.visible and "torch, monai" in strip.remedy and asked == []
    click(strip.action_button)
    assert asked == [1] and not strip.widget.visible


def test_a_refused_installation_starts_nothing(ready, worker, monkeypatch) -> None:
    from LEUDASegmentationLib import installation

    monkeypatch.setattr(installation, "ensureInstalled", lambda parent=None: False)
    click(ready.ui.applyButton)
    assert worker.open == {}
    assert "missing" in ready.panel.message_strip.cause
    assert ready.ui.applyButton.enabled


def test_a_failed_installation_says_why(ready, worker, monkeypatch) -> None:
    from LEUDASegmentationLib import installation

    def fail(parent=None) -> bool:
        raise LeudaError("pip ended with code 1", "check the network")

    monkeypatch.setattr(installation, "ensureInstalled", fail)
    click(ready.ui.applyButton)
    assert (ready.panel.message_strip.kind, ready.panel.message_strip.remedy) == ("error", "Check the network.")


# Apply


def test_apply_writes_segments_and_shows_them(ready, worker) -> None:
    volume = ready._parameterNode.inputVolume
    apply(ready, worker)
    assert not ready.ui.applyButton.enabled and "cancel" in ready.ui.applyButton.toolTip
    worker.progress(stage="segment", done=5, total=10, seconds_left=3.2)
    progress = ready.panel.apply.progress
    assert progress.stage_label.text == "Segmenting" and progress.time_label.text == "about 3 s left"
    worker.finish()
    wait_for(lambda: not ready.panel.apply.running)
    settle()
    (node,) = segmentations()
    names = [node.GetSegmentation().GetNthSegment(i).GetName() for i in range(2)]
    assert names == ["disc", "ring"]
    assert ready.ui.outputSelector.currentNode() is node and ready.ui.resultSelector.currentNode() is node
    statistics = ready.panel.result.statistics.table
    assert [statistics.item(row, 0).text() for row in range(statistics.rowCount)] == names
    voxels = 3 * 8 * 4  # of the label "disc", of 1 mm3 each
    assert float(statistics.item(0, 1).text()) == pytest.approx(voxels / 1000, abs=5e-4)
    assert ready.panel.message_strip.kind == "info" and not progress.running
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume
    assert ready.ui.applyButton.enabled


def test_what_the_user_should_know_is_a_warning(ready, worker) -> None:
    apply(ready, worker)
    worker.finish(notes=("the GPU does not work: the CPU was used",))
    wait_for(lambda: not ready.panel.apply.running)
    assert ready.panel.message_strip.kind == "warning"
    assert "CPU was used" in ready.panel.message_strip.remedy


def test_the_options_reach_the_worker(ready, worker) -> None:
    ready.ui.optionsSection.collapsed = False
    settle()
    click(ready.ui.largestComponentCheckBox)
    click(ready.ui.probabilitiesCheckBox)
    ready._parameterNode.device = "cpu"
    apply(ready, worker)
    (fields,) = worker.asked("segment")
    assert fields["largest_component"] is True and fields["probabilities"] is not None
    assert fields["device"] == "cpu" and fields["box"] is None
    assert fields["model"] == "/models/discs"


def test_only_checked_segments_are_written_and_the_others_kept(ready, worker) -> None:
    apply(ready, worker)
    worker.finish()
    wait_for(lambda: not ready.panel.apply.running)
    ready.ui.optionsSection.collapsed = False
    settle()
    segments = ready.panel.segments.list
    rect = segments.visualRect(segments.model().index(0, 0))
    QTest.mouseClick(segments.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(rect.left() + 9, rect.center().y()))
    assert list(ready._parameterNode.skippedSegments) == ["disc"]
    apply(ready, worker)
    worker.finish()
    wait_for(lambda: not ready.panel.apply.running)
    (node,) = segmentations()
    assert node.GetSegmentation().GetNumberOfSegments() == 2


def test_unchecking_every_segment_disables_apply(ready) -> None:
    ready._parameterNode.skippedSegments = ["disc", "ring"]
    settle()
    assert ready.ui.applyButton.toolTip == "Check at least one segment under Options."
    choose_model(ready, 1)  # of the same labels: they stay unchecked
    assert not ready.ui.applyButton.enabled


def test_cancel_ends_at_once_and_writes_nothing(ready, worker) -> None:
    apply(ready, worker)
    click(ready.panel.apply.progress.cancel_button)
    wait_for(lambda: not ready.panel.apply.running, 1.0)
    assert segmentations() == [] and len(worker.cancelled) == 1
    assert "nothing was written" in ready.panel.message_strip.cause
    apply(ready, worker)  # and the next Apply works


def test_a_failure_shows_cause_and_remedy_and_the_next_apply_works(ready, worker) -> None:
    apply(ready, worker)
    worker.fail(LeudaError("the process was ended from outside (signal 9)", "free memory"))
    wait_for(lambda: not ready.panel.apply.running)
    strip = ready.panel.message_strip
    assert strip.kind == "error" and "signal 9" in strip.cause and strip.remedy == "Free memory."
    apply(ready, worker)
    assert not strip.widget.visible
    worker.finish()
    wait_for(segmentations)


def test_undo_takes_the_result_back(ready, worker) -> None:
    apply(ready, worker)
    worker.finish()
    wait_for(segmentations)
    settle()
    click(ready.ui.undoButton)
    assert segmentations() == []
    assert not ready.ui.undoButton.visible and not ready.panel.result.statistics.widget.visible
    assert ready._parameterNode.outputSegmentation is None


def test_another_volume_gets_a_segmentation_of_its_own(ready, worker) -> None:
    apply(ready, worker)
    worker.finish()
    wait_for(segmentations)
    settle()
    ready.ui.inputSelector.setCurrentNode(add_volume("patient 2"))
    settle()
    assert ready.ui.outputSelector.currentNode() is None
    apply(ready, worker)
    worker.finish()
    wait_for(lambda: len(segmentations()) == 2)


def test_an_output_that_the_user_chose_stays_chosen(ready, worker) -> None:
    import slicer

    chosen = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    ready.ui.outputSelector.setCurrentNode(chosen)
    apply(ready, worker)
    worker.finish()
    wait_for(lambda: chosen.GetSegmentation().GetNumberOfSegments() == 2)
    assert segmentations() == [chosen]


def test_a_new_roi_lies_around_the_volume_and_limits_apply(ready, worker) -> None:
    ready.ui.roiSelector.addNode("vtkMRMLMarkupsROINode")
    settle()
    roi = ready.ui.roiSelector.currentNode()
    bounds, box = [0.0] * 6, [0.0] * 6
    ready._parameterNode.inputVolume.GetRASBounds(bounds)
    roi.GetRASBounds(box)
    assert box == pytest.approx(bounds)
    apply(ready, worker)
    (fields,) = worker.asked("segment")
    assert fields["box"] == [[0, 14], [0, 12], [0, 5]]


# Several volumes


@pytest.fixture
def several(ready):
    add_volume("patient 2")
    click(ready.ui.severalVolumesCheckBox)
    return ready


def test_several_volumes_are_segmented_one_after_another(several, worker) -> None:
    assert not several.ui.inputSelector.visible and not several.ui.outputSelector.visible
    assert several.ui.eachOutputLabel.visible
    assert several.ui.applyButton.toolTip == "Check at least one volume."
    click(several.panel.volumes.all_button)
    apply(several, worker)
    worker.progress(stage="segment", done=1, total=2, seconds_left=None)
    assert several.panel.apply.progress.stage_label.text == "Volume 1 of 2: Segmenting"
    worker.fail(LeudaError("the volume is torn", "load it again"))
    wait_for(lambda: worker.asked("segment"))
    worker.finish()
    wait_for(lambda: not several.panel.apply.running)
    table = several.panel.volumes.table
    assert [table.item(row, 2).text() for row in range(2)] == ["failed", "done"]
    assert "torn" in table.item(0, 2).toolTip()
    strip = several.panel.message_strip
    assert strip.kind == "warning" and strip.cause.startswith("1 of 2 volumes were segmented. patient 1")
    assert several.ui.resultSelector.currentNode() is segmentations()[0]


def test_cancel_ends_the_whole_queue(several, worker) -> None:
    click(several.panel.volumes.all_button)
    apply(several, worker)
    click(several.panel.apply.progress.cancel_button)
    wait_for(lambda: not several.panel.apply.running)
    assert worker.open == {} and segmentations() == []
    assert several.panel.message_strip.cause == "Cancelled; 0 of 2 volumes were segmented."
    assert [several.panel.volumes.table.item(row, 2).text() for row in range(2)] == ["cancelled", "cancelled"]


def test_volumes_that_are_loaded_later_appear(several) -> None:
    add_volume("patient 3")
    assert several.panel.volumes.table.rowCount == 3


# The scene


def test_everything_chosen_survives_saving_and_loading(ready, slicer_app, tmp_path) -> None:
    import slicer

    choose_model(ready, 1)
    node = ready._parameterNode
    node.device, node.largestComponent, node.showIn3D, node.smoothing = "cuda:1", True, True, 0.25
    node.skippedSegments, node.volumes = ["ring"], [node.inputVolume]
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear()
    settle()
    assert ready._parameterNode.model == ""
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    settle()
    loaded = ready._parameterNode
    assert loaded.inputVolume.GetName() == "patient 1 Größe"
    assert list(loaded.volumes) == [loaded.inputVolume]
    assert (loaded.model, loaded.device, loaded.smoothing) == ("other discs", "cuda:1", 0.25)
    assert ready.panel.models.selected_name == "other discs"
    assert ready.ui.largestComponentCheckBox.checked and ready.ui.smoothingSlider.value == 0.25
    assert ready.panel.segments.skipped() == ["ring"]
    assert ready.panel.device.current == "cuda:1"


def test_closing_the_scene_while_running_says_so_and_the_next_apply_works(ready, worker) -> None:
    import slicer

    apply(ready, worker)
    slicer.mrmlScene.Clear()
    settle()
    assert not ready.panel.apply.running and worker.asked("segment") == []
    assert ready.panel.message_strip.kind in ("info", "error")
    assert not ready.ui.applyButton.enabled
    ready._parameterNode.inputVolume = add_volume("next")
    choose_model(ready)
    apply(ready, worker)
    worker.finish()
    wait_for(segmentations)


def test_deleting_the_volume_while_running_says_so(ready, worker) -> None:
    import slicer

    apply(ready, worker)
    slicer.mrmlScene.RemoveNode(ready._parameterNode.inputVolume)
    settle()
    assert not ready.panel.apply.running
    assert "deleted" in ready.panel.message_strip.cause
    assert ready.ui.applyButton.toolTip == "Choose an input volume."


def test_numbers_are_counted_again_after_a_correction(ready, worker) -> None:
    import slicer

    apply(ready, worker)
    worker.finish()
    wait_for(segmentations)
    settle()
    node = segmentations()[0]
    ready.exit()
    node.GetSegmentation().RemoveSegment(node.GetSegmentation().GetNthSegmentID(0))
    ready.enter()
    table = ready.panel.result.statistics.table
    assert [table.item(row, 0).text() for row in range(table.rowCount)] == ["ring"]
    assert slicer.mrmlScene.IsNodePresent(node)


def test_deleting_the_result_empties_the_panel(ready, worker) -> None:
    import slicer

    apply(ready, worker)
    worker.finish()
    wait_for(segmentations)
    settle()
    slicer.mrmlScene.RemoveNode(segmentations()[0])
    settle()
    assert not ready.panel.result.statistics.widget.visible
    apply(ready, worker)
    worker.finish()
    wait_for(segmentations)


def test_work_goes_on_in_another_module(ready, worker, slicer_app) -> None:
    apply(ready, worker)
    ready.exit()
    worker.finish()
    wait_for(segmentations)
    ready.enter()
    settle()
    assert ready.ui.resultSelector.currentNode() is segmentations()[0]


def test_leaving_and_entering_keeps_what_was_chosen(ready) -> None:
    for _turn in range(3):
        ready.exit()
        ready.enter()
    settle()
    assert ready.panel.models.selected_name == "discs" and ready.ui.applyButton.enabled


def test_cleanup_ends_what_runs_and_may_be_followed_by_events(ready, worker) -> None:
    import slicer

    apply(ready, worker)
    ready.cleanup()
    assert worker.asked("segment") == []
    slicer.mrmlScene.Clear()
    settle()


# Models


def test_a_model_is_selected_by_name_from_outside(module, entries) -> None:
    from leuda_core.errors import InputError

    module.selectModel("other discs")
    assert module._parameterNode.model == "other discs"
    assert module.panel.models.selected_name == "other discs"
    with pytest.raises(InputError, match="no model gone"):
        module.selectModel("gone")


def test_a_model_that_is_gone_is_not_chosen_any_more(ready, entries) -> None:
    del entries[0]
    ready.enter()
    settle()
    assert ready.panel.models.selected is None
    assert ready.ui.applyButton.toolTip == "Choose a model."


# Devices, preview, log


def test_devices_are_asked_for_when_the_options_are_opened(module, worker) -> None:
    assert worker.asked("devices") == []
    module.ui.optionsSection.collapsed = False
    settle()
    assert worker.asked("devices") == [{}]


def test_the_log_shows_what_the_worker_writes(module, worker) -> None:
    worker.onLog("leuda: reading weights")
    assert module.panel.log.text == "leuda: reading weights"


def test_the_preview_is_off_and_needs_volume_and_model(module, worker) -> None:
    box = module.ui.livePreviewCheckBox
    assert not box.checked and not box.enabled
    assert box.toolTip == "Choose a volume and a model first"


def test_the_preview_follows_what_is_chosen_and_ends_with_the_panel(ready, worker) -> None:
    click(ready.ui.livePreviewCheckBox)
    assert ready.panel.preview.running
    wait_for(lambda: worker.asked("slice"))
    assert worker.asked("slice")[0]["model"] == "/models/discs"
    choose_model(ready, 1)
    wait_for(lambda: any(fields["model"] == "/models/other" for fields in worker.asked("slice")))
    ready.exit()
    assert not ready.panel.preview.running and not ready.ui.livePreviewCheckBox.checked


def test_the_preview_follows_the_mouse_into_another_view(ready, worker, monkeypatch) -> None:
    import slicer

    click(ready.ui.livePreviewCheckBox)
    followed = []
    monkeypatch.setattr(ready.panel.preview._preview, "follow", followed.append)
    green = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeGreen")
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    for place in ([10.0, 10.0, 0.0], [11.0, 10.0, 0.0]):  # the second is in the same view
        crosshair.SetCursorPositionXYZ(place, green)
    assert followed == [green]
    click(ready.ui.livePreviewCheckBox)
    crosshair.SetCursorPositionXYZ([5.0, 5.0, 0.0], slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed"))
    assert followed == [green]


def test_a_preview_that_fails_is_turned_off_with_a_message(ready, worker) -> None:
    click(ready.ui.livePreviewCheckBox)
    wait_for(lambda: worker.asked("slice"))
    worker.fail(LeudaError("out of memory", "close other programs"))
    settle()
    assert not ready.ui.livePreviewCheckBox.checked and not ready.panel.preview.running
    assert ready.panel.message_strip.remedy == "Close other programs."


# The module itself


def test_the_module_says_what_it_is_for(slicer_app) -> None:
    slicer_app.loadModule(MODULE)
    import slicer

    about = slicer.modules.leudasegmentation
    assert about.title == "LE-UDA Segmentation" and list(about.categories) == ["Segmentation"]
    for words in ("not a medical device", "Nothing leaves this computer", "adapted to their modality"):
        assert words in about.helpText
    assert "TMI" in about.acknowledgementText or "Transactions on Medical Imaging" in about.acknowledgementText


def test_console_users_get_the_logic(module) -> None:
    import slicer

    logic = slicer.util.getModuleLogic("LEUDASegmentation")
    assert logic is module.logic and [model.name for model in logic.models()] == ["discs", "other discs"]


_IMPORT = """
import sys, time
sys.path.insert(0, {testing!r})
from host import boot
boot()
import slicer, qt, ctk, vtk, numpy, slicer.util, slicer.ScriptedLoadableModule, slicer.parameterNodeWrapper, slicer.i18n
sys.path.insert(0, {folder!r})
before = set(sys.modules)
begin = time.perf_counter()
import LEUDASegmentation
seconds = time.perf_counter() - begin
heavy = [name for name in ("torch", "SimpleITK", "scipy", "msgspec", "monai", "skimage") if name in sys.modules]
print(f"RESULT {{seconds:.4f}} {{heavy}}")
"""


def test_importing_the_module_is_quick_and_loads_nothing_heavy() -> None:
    code = _IMPORT.format(testing=str(MODULE.parents[1] / "Testing"), folder=str(MODULE.parent))
    found = min(_import_once(code) for _try in range(3))
    assert found[1] == "[]"
    assert found[0] < 0.3


def _import_once(code: str) -> tuple[float, str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT")), "")
    assert line, done.stderr
    _word, seconds, heavy = line.split(maxsplit=2)
    return float(seconds), heavy


# The self-test that Slicer offers


@pytest.fixture
def self_test(slicer_app):
    slicer_app.loadModule(MODULE)
    return sys.modules["LEUDASegmentation"].LEUDASegmentationTest


@pytest.mark.timeout(600)
def test_the_self_test_runs_and_passes(self_test) -> None:
    case = self_test()
    case.messageDelay = 0
    case.runTest()


def test_the_self_test_never_passes_when_nothing_ran(self_test, monkeypatch) -> None:
    from LEUDASegmentationLib import installation

    monkeypatch.setattr(installation, "missingPackages", lambda: ["torch"])
    with pytest.raises(unittest.SkipTest, match="nothing was tested: torch missing"):
        self_test().runTest()


@pytest.mark.timeout(600)
def test_the_self_test_notices_a_model_that_has_not_learnt(self_test) -> None:
    case = self_test()
    case.messageDelay, case.STEPS = 0, 1
    with pytest.raises(AssertionError):
        case.runTest()
