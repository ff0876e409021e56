"""Messages, log and progress of the segmentation panel, one by one, with real mouse events."""

from __future__ import annotations

import pytest
from PySide6.QtTest import QTest

from host.driving import click
from leuda_core.errors import InputError

pytestmark = pytest.mark.slow

# Message strip


@pytest.fixture
def strip(shown):
    from LEUDASegmentationLib.widgets.message_strip import MessageStrip

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
    from LEUDASegmentationLib.widgets.message_strip import MessageStrip

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
    from LEUDASegmentationLib.widgets.log_panel import LogPanel

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

    begin = time.thread_time()
    for number in range(20_000):
        log.append(f"line {number}")
    assert time.thread_time() - begin < 1.0
    lines = log.text.splitlines()
    assert lines[-1] == "line 19999" and len(lines) <= 5000


def test_the_log_can_be_emptied(log) -> None:
    log.append("x")
    log.clear()
    assert log.text == "" and not log.copy_button.enabled


# Progress


@pytest.fixture
def progress(shown):
    from LEUDASegmentationLib.widgets.run_progress import RunProgress

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
    from LEUDASegmentationLib.widgets.run_progress import time_left

    assert time_left(seconds) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“rigrun” is training", "“rigrun” is training."),
        ("mr01.nii.gz: the header is damaged", "mr01.nii.gz: the header is damaged."),
        ("the volume is torn; load it again", "The volume is torn; load it again."),
        ("/data/run is full", "/data/run is full."),
        ("nothing, really!", "Nothing, really!"),
    ],
)
def test_messages_are_sentences_that_leave_names_alone(slicer_app, text: str, expected: str) -> None:
    from LEUDASegmentationLib.widgets.message_strip import sentence

    assert sentence(text) == expected
