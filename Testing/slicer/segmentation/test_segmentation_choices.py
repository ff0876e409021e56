"""What is chosen in the segmentation panel, and its numbers: volumes, segments, devices, what Apply needs."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from host.driving import click
from leuda_core.errors import InputError
from segmentation_panel import HEART, click_check_mark, column_texts, model_entry, row_texts
from segmentation_scene import add_volume

# Volumes


@pytest.fixture
def volume_list(shown):
    from LEUDASegmentationLib.panel.volume_list import VolumeList

    changes = []
    volumes = VolumeList(lambda: changes.append(1))
    volumes.changes = changes
    shown(volumes.widget)
    return volumes


def test_without_volumes_the_list_says_what_to_do(volume_list) -> None:
    assert volume_list._empty.visible and "load" in volume_list._empty.text
    assert not volume_list.all_button.enabled


def test_volumes_are_checked_with_the_mouse(volume_list) -> None:
    a, b = add_volume("a"), add_volume("b", shape=(6, 7, 8))
    volume_list.refresh([a])
    assert row_texts(volume_list.table, 1) == ["b", "8 × 7 × 6", ""]
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
    assert column_texts(volume_list.table) == ["seen"]


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
    assert row_texts(volume_list.table, 0)[2] == "failed"
    assert volume_list.table.item(0, 2).toolTip() == "too small"
    volume_list.forget_states()
    assert row_texts(volume_list.table, 0)[2] == ""


# Statistics


def test_numbers_are_shown_and_copied(shown) -> None:
    import slicer

    from LEUDASegmentationLib.panel.statistics_table import StatisticsTable

    statistics = StatisticsTable()
    shown(statistics.widget)
    assert statistics._empty.visible and not statistics.copy_button.enabled
    statistics.set_rows([("liver", 1523.456, 61.238), ("cyst", 0.0, float("nan"))])
    assert row_texts(statistics.table, 0) == ["liver", "1523", "61.24"]
    assert row_texts(statistics.table, 1) == ["cyst", "0", "–"]
    click(statistics.copy_button)
    assert slicer.app.clipboard().text() == "Segment\tVolume (mL)\tMean intensity\nliver\t1523\t61.24\ncyst\t0\t–"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1234567.0, "1234567"), (12.3456, "12.35"), (-0.5, "-0.5000"), (1e-9, "0.0000")],
)
def test_numbers_have_as_many_digits_as_they_are_worth(slicer_app, value: float, text: str) -> None:
    from LEUDASegmentationLib.panel.statistics_table import number_text

    assert number_text(value) == text


# Segments and devices


def test_segments_are_unchecked_with_the_mouse(shown) -> None:
    from LEUDASegmentationLib.panel.segment_list import SegmentList

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

    from LEUDASegmentationLib.widgets.device_box import DeviceBox

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
    assert missing_inputs(None, model_entry()) == ["The scene is being closed."]
    assert missing_inputs(Parameters(), None) == ["Choose an input volume.", "Choose a model."]
    assert missing_inputs(Parameters(severalVolumes=True), model_entry()) == ["Check at least one volume."]
    assert missing_inputs(Parameters(volume), model_entry(problem="torn")) == [
        "Choose another model: heart is damaged."
    ]
    skipped = Parameters(volume, skippedSegments=("myocardium", "left ventricle"))
    assert missing_inputs(skipped, model_entry()) == ["Check at least one segment under Options."]
    assert missing_inputs(Parameters(volume), model_entry()) == []


def test_segments_that_are_not_skipped_are_wanted(slicer_app) -> None:
    from LEUDASegmentationLib.parameter_node import wanted_segments

    assert wanted_segments(Parameters(), model_entry()) is None
    assert wanted_segments(Parameters(skippedSegments=("myocardium",)), model_entry()) == ["left ventricle"]
    assert wanted_segments(Parameters(skippedSegments=("of another model",)), model_entry()) is None


def test_a_deleted_volume_is_not_chosen(slicer_app) -> None:
    import slicer

    from LEUDASegmentationLib.parameter_node import chosen_volumes

    volume = add_volume("a")
    parameters = Parameters(volume, severalVolumes=True, volumes=(volume, None))
    assert chosen_volumes(parameters) == [volume]
    slicer.mrmlScene.RemoveNode(volume)
    assert chosen_volumes(parameters) == []
