"""The parts of the segmentation panel, one by one, with real mouse events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from leuda_core.errors import InputError
from leuda_core.models import ModelEntry, ModelLabel

HEART = (ModelLabel(1, "myocardium", (0.8, 0.4, 0.3)), ModelLabel(2, "left ventricle", (0.9, 0.2, 0.3)))


def click(widget) -> None:
    """Press a widget with the left mouse button, as a user does: only what is seen and enabled can be pressed."""
    assert widget.visible, f"{widget.objectName} is not visible"
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton)


def click_row(table, row: int, column: int = 0) -> None:
    """Press a cell of a table."""
    index = table.model().index(row, column)
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(index).center())


def click_check_mark(view, row: int) -> None:
    """Press the check mark of a row: it lies at the row's left end."""
    rect = view.visualRect(view.model().index(row, 0))
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(rect.left() + 9, rect.center().y()))


@pytest.fixture
def shown(slicer_app):
    """Show a widget in a window of the width of Slicer's panel, so that it can be pressed."""
    import qt

    windows = []

    def show(widget, width: int = 420):
        window = qt.QWidget()
        qt.QVBoxLayout(window).addWidget(widget)
        window.resize(width, 500)
        window.show()
        windows.append(window)
        QTest.qWait(0)
        return widget

    yield show
    for window in windows:
        window.close()


def entry(name: str = "heart", **changes) -> ModelEntry:
    values = dict(
        method="le_uda",
        source_modality="MR",
        target_modality="CT",
        labels=HEART,
        created="2026-03-04T10:00:00",
        size_bytes=1_240_000,
        metrics={"dice/myocardium": 0.8, "dice/left ventricle": 0.9, "hd95/myocardium": 5.0},
    )
    return ModelEntry(name=name, path=Path("/models") / name, **{**values, **changes})


# Message strip


@pytest.fixture
def strip(shown):
    from LEUDASegmentationLib.message_strip import MessageStrip

    strip = MessageStrip()
    shown(strip.widget)
    strip.clear()
    return strip


def test_an_error_shows_cause_and_remedy(strip) -> None:
    strip.show_error(InputError("the volume 'a <b>' is empty", "load another one"))
    assert (strip.kind, strip.cause, strip.remedy) == (
        "error",
        "The volume 'a <b>' is empty.",
        "Load another one.",
    )
    assert strip.widget.visible
    assert "&lt;b&gt;" in strip.widget.findChild(type(strip._text), "messageText").text


def test_a_fault_of_ours_names_its_kind_and_asks_for_a_report(strip) -> None:
    strip.show_error(KeyError("volume"))
    assert strip.cause.startswith("KeyError")
    assert "report" in strip.remedy


def test_a_message_is_put_away_with_the_mouse(strip) -> None:
    strip.show_info("done")
    click(strip.close_button)
    assert not strip.widget.visible and strip.kind == ""


def test_the_strip_offers_an_action(shown) -> None:
    from LEUDASegmentationLib.message_strip import MessageStrip

    pressed = []
    strip = MessageStrip(action="Install…", on_action=lambda: pressed.append(1), closable=False)
    shown(strip.widget)
    strip.show_warning("packages are missing")
    click(strip.action_button)
    assert pressed == [1] and strip.close_button is None


def test_a_long_message_wraps_instead_of_widening_the_panel(strip) -> None:
    strip.show_warning("word " * 60, "and so on " * 30)
    assert strip.widget.minimumSizeHint.width() < 420
    assert strip.widget.sizeHint.width() < 420


# Log


@pytest.fixture
def log(shown):
    from LEUDASegmentationLib.log_panel import LogPanel

    panel = LogPanel()
    shown(panel.widget)
    panel.widget.collapsed = False
    return panel


def test_lines_of_the_log_appear_and_can_be_copied(log, slicer_app) -> None:
    import slicer

    assert not log.copy_button.enabled
    log.append("first\n")
    log.append("second")
    QTest.qWait(300)
    assert log.widget.findChild(type(log._lines), "logText").plainText == "first\nsecond"
    click(log.copy_button)
    assert slicer.app.clipboard().text() == "first\nsecond"


def test_a_flood_of_lines_keeps_the_last_ones_and_the_window_quick(log) -> None:
    import time

    begin = time.perf_counter()
    for number in range(20_000):
        log.append(f"line {number}")
    assert time.perf_counter() - begin < 1.0
    lines = log.text.splitlines()
    assert lines[-1] == "line 19999" and len(lines) <= 5000


def test_the_log_can_be_emptied(log) -> None:
    log.append("x")
    log.clear()
    assert log.text == "" and not log.copy_button.enabled


# Progress


@pytest.fixture
def progress(shown):
    from LEUDASegmentationLib.run_progress import RunProgress

    cancelled = []
    progress = RunProgress(lambda: cancelled.append(1))
    progress.cancelled = cancelled
    shown(progress.widget)
    progress.finish()
    return progress


def test_progress_shows_stage_part_and_time_left(progress) -> None:
    progress.start("Starting")
    assert progress.running and progress.bar.maximum == 0  # moves: nobody knows yet
    progress.update("Segmenting", 0.25, 12.4)
    assert progress.bar.value / progress.bar.maximum == 0.25
    assert progress.stage_label.text == "Segmenting"
    assert progress.time_label.text == "about 12 s left"
    progress.finish()
    assert not progress.running


def test_cancel_is_asked_for_once(progress) -> None:
    progress.start("Starting")
    click(progress.cancel_button)
    assert progress.cancelled == [1]
    assert not progress.cancel_button.enabled and progress.cancel_button.text == "Cancelling…"
    progress.start("Again")
    assert progress.cancel_button.enabled and progress.cancel_button.text == "Cancel"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "almost done"),
        (1.4, "about 1 s left"),
        (89.0, "about 89 s left"),
        (95.0, "about 2 min left"),
        (3599.0, "about 60 min left"),
        (7500.0, "about 2 h 5 min left"),
    ],
)
def test_time_left_is_said_as_a_person_would(slicer_app, seconds: float, text: str) -> None:
    from LEUDASegmentationLib.run_progress import time_left

    assert time_left(seconds) == text


# Models


class Store:
    """A list of models in memory, with the logic's interface."""

    def __init__(self, *entries: ModelEntry, folder: Path = Path("/models")) -> None:
        self.entries, self.modelsFolder, self.imported = list(entries), folder, []

    def models(self) -> list[ModelEntry]:
        return list(self.entries)

    def importModel(self, path: Path) -> ModelEntry:
        if path.suffix == ".txt":
            raise InputError(f"{path}: not a model", "choose the folder that holds bundle.json")
        self.entries.append(entry(path.stem))
        return self.entries[-1]

    def deleteModel(self, name: str) -> None:
        self.entries = [kept for kept in self.entries if kept.name != name]


@pytest.fixture
def model_table(shown):
    from LEUDASegmentationLib.model_table import ModelTable

    def make(*entries: ModelEntry, folder: Path = Path("/models")):
        store = Store(*entries, folder=folder)
        seen = SimpleNamespace(store=store, selected=[], messages=[])
        seen.table = ModelTable(store, on_selected=seen.selected.append, on_message=seen.messages.append)
        shown(seen.table.widget)
        return seen

    return make


def texts(table, row: int) -> list[str]:
    return [table.item(row, column).text() for column in range(table.columnCount)]


def test_an_empty_list_says_how_to_get_a_model(model_table) -> None:
    models = model_table().table
    assert models._empty.visible and "LE-UDA Training" in models._empty.text
    assert not models.table.visible
    assert not models.export_button.enabled and not models.delete_button.enabled
    assert models.import_button.enabled


def test_a_row_says_what_a_model_is(model_table) -> None:
    models = model_table(entry()).table
    assert texts(models.table, 0) == ["heart", "MR → CT", "2", "2026-03-04", "1.2 MB"]
    assert models.table.item(0, 2).toolTip() == "myocardium\nleft ventricle"


def test_a_model_is_chosen_with_the_mouse(model_table) -> None:
    seen = model_table(entry("a"), entry("b"))
    assert seen.table.selected is None
    click_row(seen.table.table, 1)
    assert [chosen.name for chosen in seen.selected] == ["b"]
    assert "myocardium, left ventricle" in seen.table._description.text
    assert "Dice 0.85" in seen.table._description.text


def test_refreshing_keeps_the_choice_and_tells_nobody(model_table) -> None:
    seen = model_table(entry("b"))
    seen.table.select("b")
    seen.store.entries.insert(0, entry("a"))
    seen.table.refresh()
    assert seen.table.selected_name == "b" and seen.selected == []


def test_a_damaged_model_says_what_is_wrong(model_table) -> None:
    seen = model_table(entry("broken", problem="model.safetensors is missing", labels=()))
    seen.table.select("broken")
    assert "model.safetensors is missing" in seen.table._description.text
    assert not seen.table.export_button.enabled and seen.table.delete_button.enabled


@pytest.fixture
def answers(slicer_app, monkeypatch):
    """What the user answers in dialogs; questions are kept in ``asked``."""
    import qt
    import slicer

    given = SimpleNamespace(path="", agrees=True, asked=[])

    def answer(*arguments, **_options):
        given.asked.append(arguments)
        return given.path

    def confirm(text, **_options):
        given.asked.append(text)
        return given.agrees

    for name in ("getExistingDirectory", "getOpenFileName", "getSaveFileName"):
        monkeypatch.setattr(qt.QFileDialog, name, answer)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", confirm)
    return given


def test_an_imported_model_is_chosen(model_table, answers) -> None:
    seen = model_table()
    answers.path = "/somewhere/liver.zip"
    seen.table.import_from_zip()
    assert seen.table.selected_name == "liver"
    assert [chosen.name for chosen in seen.selected] == ["liver"]
    assert seen.messages == ["liver was imported."]
    assert seen.table.table.visible


def test_a_file_that_is_no_model_is_refused_with_a_remedy(model_table, answers) -> None:
    seen = model_table(entry("a"))
    answers.path = "/somewhere/notes.txt"
    seen.table.import_from_folder()
    (message,) = seen.messages
    assert "bundle.json" in message.remedy
    assert seen.selected == []


def test_a_dialog_that_is_closed_changes_nothing(model_table, answers) -> None:
    seen = model_table(entry("a"))
    seen.table.import_from_folder()
    assert seen.messages == [] and len(answers.asked) == 1


def test_the_import_button_offers_folder_and_zip(model_table) -> None:
    menu = model_table().table.import_button.menu()
    assert [action.text for action in menu.actions()] == ["From a folder…", "From a zip file…"]


@pytest.mark.parametrize("agrees", [True, False])
def test_a_model_is_deleted_only_after_asking(model_table, answers, agrees: bool) -> None:
    seen = model_table(entry("a"), entry("b"))
    seen.table.select("a")
    answers.agrees = agrees
    click(seen.table.delete_button)
    assert "a" in answers.asked[0]
    assert [kept.name for kept in seen.store.entries] == (["b"] if agrees else ["a", "b"])
    assert seen.selected == ([None] if agrees else [])


@pytest.mark.parametrize("typed", ["/elsewhere/mine", "/elsewhere/mine.zip"])
def test_a_model_is_exported_as_a_zip_file(model_table, answers, monkeypatch, typed: str) -> None:
    from LEUDASegmentationLib import model_table as parts

    exported = []
    monkeypatch.setattr(parts, "export_model", lambda *arguments: exported.append(arguments))
    seen = model_table(entry("a"))
    seen.table.select("a")
    answers.path = typed
    click(seen.table.export_button)
    assert exported == [(entry("a"), Path("/elsewhere/mine.zip"))]
    assert seen.messages == ["a was exported to /elsewhere/mine.zip."]


def test_the_folder_is_revealed(model_table, monkeypatch, tmp_path) -> None:
    import qt

    opened = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    seen = model_table(folder=tmp_path / "models")
    click(seen.table.reveal_button)
    assert opened == [str(tmp_path / "models")]
    assert (tmp_path / "models").is_dir()  # a file manager shows no folder that is not there


@pytest.mark.parametrize(("size", "text"), [(0, "0.0 MB"), (9_940_000, "9.9 MB"), (31_500_000, "32 MB")])
def test_sizes_are_readable(slicer_app, size: int, text: str) -> None:
    from LEUDASegmentationLib.model_table import size_text

    assert size_text(size) == text


# Volumes


def add_volume(name: str, shape=(3, 4, 5)):
    import numpy as np
    import slicer

    return slicer.util.addVolumeFromArray(np.zeros(shape, np.int16), name=name)


@pytest.fixture
def volume_list(shown):
    from LEUDASegmentationLib.volume_list import VolumeList

    changes = []
    volumes = VolumeList(lambda: changes.append(1))
    volumes.changes = changes
    shown(volumes.widget)
    return volumes


def test_without_volumes_the_list_says_what_to_do(volume_list) -> None:
    assert volume_list._empty.visible and "load" in volume_list._empty.text
    assert not volume_list.all_button.enabled


def test_volumes_are_checked_with_the_mouse(volume_list) -> None:
    a, b = add_volume("a"), add_volume("b", (6, 7, 8))
    volume_list.refresh([a])
    assert texts(volume_list.table, 1) == ["b", "8 × 7 × 6", ""]
    click_check_mark(volume_list.table, 1)
    assert volume_list.checked() == [a, b] and volume_list.changes == [1]
    click_check_mark(volume_list.table, 0)
    assert volume_list.checked() == [b]


def test_all_and_none(volume_list) -> None:
    volumes = [add_volume("a"), add_volume("b")]
    volume_list.refresh([])
    click(volume_list.all_button)
    assert volume_list.checked() == volumes
    click(volume_list.none_button)
    assert volume_list.checked() == [] and volume_list.changes == [1, 1]


def test_label_maps_and_hidden_volumes_are_not_offered(volume_list) -> None:
    import slicer

    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    add_volume("hidden").SetHideFromEditors(True)
    add_volume("seen")
    volume_list.refresh([])
    assert [volume_list.table.item(row, 0).text() for row in range(volume_list.table.rowCount)] == ["seen"]


def test_a_volume_that_was_deleted_is_not_among_the_checked(volume_list) -> None:
    import slicer

    a, b = add_volume("a"), add_volume("b")
    volume_list.refresh([a, b])
    slicer.mrmlScene.RemoveNode(a)
    assert volume_list.checked() == [b]


def test_states_stay_when_the_list_is_filled_again(volume_list) -> None:
    a = add_volume("a")
    volume_list.refresh([a])
    volume_list.set_state(a, "failed", "too small")
    add_volume("b")
    volume_list.refresh([a])
    assert texts(volume_list.table, 0)[2] == "failed"
    assert volume_list.table.item(0, 2).toolTip() == "too small"
    volume_list.forget_states()
    assert texts(volume_list.table, 0)[2] == ""


# Statistics


def test_numbers_are_shown_and_copied(shown) -> None:
    import slicer
    from LEUDASegmentationLib.statistics_table import StatisticsTable

    statistics = StatisticsTable()
    shown(statistics.widget)
    assert statistics._empty.visible and not statistics.copy_button.enabled
    statistics.set_rows([("liver", 1523.456, 61.238), ("cyst", 0.0, float("nan"))])
    assert texts(statistics.table, 0) == ["liver", "1523", "61.24"]
    assert texts(statistics.table, 1) == ["cyst", "0", "–"]
    click(statistics.copy_button)
    assert slicer.app.clipboard().text() == "Segment\tVolume (mL)\tMean intensity\nliver\t1523\t61.24\ncyst\t0\t–"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1234567.0, "1234567"), (12.3456, "12.35"), (-0.5, "-0.5000"), (1e-9, "0.0000")],
)
def test_numbers_have_as_many_digits_as_they_are_worth(slicer_app, value: float, text: str) -> None:
    from LEUDASegmentationLib.statistics_table import number_text

    assert number_text(value) == text


# Segments and devices


def test_segments_are_unchecked_with_the_mouse(shown) -> None:
    from LEUDASegmentationLib.segment_list import SegmentList

    changes = []
    segments = SegmentList(lambda: changes.append(1))
    shown(segments.widget)
    assert segments._empty.visible
    segments.set_labels(HEART, ["left ventricle"])
    assert segments.skipped() == ["left ventricle"] and changes == []
    click_check_mark(segments.list, 0)
    assert segments.skipped() == ["myocardium", "left ventricle"] and changes == [1]


class Client:
    """Answers requests when the test says so."""

    def __init__(self) -> None:
        self.requests: list[tuple] = []

    def request(self, name, on_done, on_error) -> int:
        self.requests.append((name, on_done, on_error))
        return len(self.requests)


GPU = {"device": "cuda:0", "name": "NVIDIA H200", "problem": "", "memory_gb": 139.4, "free_gb": 120.2}
CPU = {"device": "cpu", "name": "", "problem": "", "memory_gb": 16.0, "free_gb": 9.6}


@pytest.fixture
def device_box(shown):
    import qt
    from LEUDASegmentationLib.device_box import DeviceBox

    chosen = []
    combo = qt.QComboBox()
    box = DeviceBox(combo, chosen.append)
    box.chosen, box.combo = chosen, combo
    shown(combo)
    return box


def test_devices_are_asked_for_once_and_shown_with_their_memory(device_box) -> None:
    client = Client()
    device_box.fill(client)
    device_box.fill(client)
    ((name, on_done, _on_error),) = client.requests
    assert name == "devices"
    on_done({"devices": [CPU, GPU, {**GPU, "device": "cuda:1", "problem": "no kernel image"}]})
    shown = [device_box.combo.itemText(index) for index in range(device_box.combo.count)]
    assert shown[1:] == [
        "cpu, 10 of 16 GB free",
        "cuda:0: NVIDIA H200, 120 of 139 GB free",
        "cuda:1: NVIDIA H200 (does not work)",
    ]
    assert device_box.current == "auto" and device_box.chosen == []
    device_box.combo.setCurrentIndex(2)
    assert device_box.chosen == ["cuda:0"]


def test_devices_are_asked_for_again_after_a_failure(device_box) -> None:
    client = Client()
    device_box.fill(client)
    client.requests[0][2](InputError("no worker", "install what is missing"))
    assert "install what is missing" in device_box.combo.toolTip
    device_box.fill(client)
    assert len(client.requests) == 2


def test_a_device_of_a_saved_scene_stays_chosen_while_the_list_fills(device_box) -> None:
    device_box.select("cuda:3")
    client = Client()
    device_box.fill(client)
    client.requests[0][1]({"devices": [CPU]})
    assert device_box.current == "cuda:3" and device_box.chosen == []


# What Apply needs


@dataclass
class Parameters:
    """Stands in for the parameter node."""

    inputVolume: object = None
    severalVolumes: bool = False
    volumes: tuple = ()
    skippedSegments: tuple = ()


def test_apply_says_what_it_needs(slicer_app) -> None:
    from LEUDASegmentationLib.parameter_node import missing_inputs

    volume = add_volume("a")
    assert missing_inputs(None, entry()) == ["The scene is being closed."]
    assert missing_inputs(Parameters(), None) == ["Choose an input volume.", "Choose a model."]
    assert missing_inputs(Parameters(severalVolumes=True), entry()) == ["Check at least one volume."]
    assert missing_inputs(Parameters(volume), entry(problem="torn")) == ["Choose another model: heart is damaged."]
    skipped = Parameters(volume, skippedSegments=("myocardium", "left ventricle"))
    assert missing_inputs(skipped, entry()) == ["Check at least one segment under Options."]
    assert missing_inputs(Parameters(volume), entry()) == []


def test_segments_that_are_not_skipped_are_wanted(slicer_app) -> None:
    from LEUDASegmentationLib.parameter_node import wanted_segments

    assert wanted_segments(Parameters(), entry()) is None
    assert wanted_segments(Parameters(skippedSegments=("myocardium",)), entry()) == ["left ventricle"]
    assert wanted_segments(Parameters(skippedSegments=("of another model",)), entry()) is None


def test_a_deleted_volume_is_not_chosen(slicer_app) -> None:
    import slicer
    from LEUDASegmentationLib.parameter_node import chosen_volumes

    volume = add_volume("a")
    parameters = Parameters(volume, severalVolumes=True, volumes=(volume, None))
    assert chosen_volumes(parameters) == [volume]
    slicer.mrmlScene.RemoveNode(volume)
    assert chosen_volumes(parameters) == []
