"""One run in its window: followed live, stopped, ended by force."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from leuda_core.runs.control import stop_requested
from leuda_core.runs.lock import RunLock
from run_folders import hold, make_run, training_events, write
from shown_widgets import child
from training_window import poll, said, seen

# states


def test_without_a_run_it_says_what_to_do(view) -> None:
    assert "start a training" in child(view, "noRunLabel").text and child(view, "noRunLabel").isVisible()
    assert view.run_path is None and view.status is None and seen(view) == set()


def test_a_run_that_has_not_begun(view, run) -> None:
    view.set_run(run.path)
    assert seen(view) == {"resume"} and "not started" in said(view)
    assert "Knie links" in child(view, "runTitle").text and "LE-UDA" in child(view, "runTitle").text


def test_a_running_run_shows_stage_progress_and_time_left(view, run) -> None:
    write(run, training_events(200, 600, until=400))
    with RunLock(run):
        view.set_run(run.path)
        assert seen(view) == {"stop", "report"} and said(view) == ""
        assert child(view, "stageLabel").text == "Adaptation: step 400 of 800"
        assert child(view, "progressBar").value == 500
        assert child(view, "timeLeftLabel").text == "about 3 min left"


def test_reading_the_volumes_is_progress_of_its_own(view, run) -> None:
    write(run, [{"event": "start"}, {"event": "progress", "stage": "prepare", "step": 3, "total": 12}])
    with RunLock(run):
        view.set_run(run.path)
        assert child(view, "stageLabel").text == "Reading volumes: 3 of 12"
        assert child(view, "progressBar").maximum == 0, "moves without an end"


def test_events_are_followed_as_they_come(view, run) -> None:
    events = list(training_events(200, 400))
    with RunLock(run):
        write(run, events[:10])
        view.set_run(run.path)
        title = view._curves.chart_node.GetTitle()
        write(run, events[10:])
        poll(view)
        assert (
            title == "Image translation: cycle loss"
            and view._curves.chart_node.GetTitle() == "Adaptation: segmentation loss"
        )
        assert view.status.step == 600


def test_half_a_line_waits_for_its_end(view, run, slicer_app) -> None:
    events = [json.dumps(event) for event in training_events(0, 100)]
    with RunLock(run):
        run.events.write_text("\n".join(events[:4]) + "\n" + events[4][:20])
        view.set_run(run.path)
        slicer_app.wait_until(lambda: view.status is not None)
        assert view.status.step == 30
        with open(run.events, "a") as stream:
            stream.write(events[4][20:] + "\n")
        poll(view)
        assert view.status.step == 40


def test_a_crash_says_so_and_offers_to_go_on(view, run) -> None:
    write(run, training_events(200, 600, until=350))
    view.set_run(run.path)
    assert seen(view) == {"resume", "report"}
    assert "at step 350" in said(view) and "Press Resume" in said(view)


def test_a_failure_brings_its_remedy(view, run) -> None:
    error = {"event": "error", "kind": "input", "message": "case 'x': no such file", "remedy": "put it back"}
    write(run, [*training_events(200, 600, until=50), error])
    view.set_run(run.path)
    assert "Case 'x': no such file." in said(view) and "Put it back." in said(view)


def test_a_message_that_was_put_away_stays_away(view, run) -> None:
    write(run, training_events(200, 600, until=350))
    view.set_run(run.path)
    child(view, "messageClose").click()
    poll(view)
    view._on_tick()
    assert said(view) == ""


def test_a_run_that_is_deleted_meanwhile(view, run) -> None:
    import shutil

    write(run, training_events(200, 600, until=350))
    view.set_run(run.path)
    shutil.rmtree(run.path)
    poll(view)
    assert "not a run folder" in said(view) and seen(view) == set()


def test_another_run_shows_nothing_of_the_one_before(view, run, tmp_path: Path) -> None:
    write(run, training_events(200, 600))
    run.log.write_text("a line of the first\n")
    view.set_run(run.path)
    view.set_run(make_run(tmp_path / "second").path)
    assert view._curves.chart_node is None and view._previews.steps == []
    assert "a line of the first" not in view._log.text and "second" in child(view, "runTitle").text
    view.set_run(None)
    assert child(view, "noRunLabel").isVisible() and not child(view, "runTitle").isVisible()


def test_the_curves_come_back_after_the_scene_was_closed(view, run) -> None:
    import slicer

    write(run, training_events(200, 600))
    view.set_run(run.path)
    slicer.mrmlScene.Clear(0)
    assert view._curves.chart_node is None
    view._on_tick()
    assert view._curves.chart_node.GetTitle() == "Adaptation: segmentation loss"


@pytest.mark.slow
def test_a_run_that_goes_on_after_slicer_was_restarted_is_shown_again(run, slicer_app) -> None:
    from LEUDATrainingLib.runs.run_list import RunList
    from LEUDATrainingLib.runs.run_view import RunView

    write(run, training_events(200, 600, until=300))
    process = hold(run)
    try:
        first = RunView()
        first.set_run(run.path)
        first.cleanup()
        slicer_app.restart()
        write(run, list(training_events(200, 600, until=400))[-12:])
        runs, view = RunList(), RunView()
        runs.set_folder(run.path.parents[1])
        view.set_run(runs.current_run)
        assert (view.run_path, view.status.state, view.status.step) == (run.path, "running", 400)
        assert view._previews.steps == [300, 400] and view._curves.chart_node is not None
        view.cleanup()
    finally:
        process.kill()
        process.wait()


def test_a_run_made_anew_in_the_same_folder(view, run) -> None:
    write(run, training_events(200, 600))
    view.set_run(run.path)
    run.events.unlink()
    write(run, training_events(200, 600, until=20))
    poll(view)
    assert view.status.step == 20 and view._previews.steps == []
    assert view._curves.chart_node.GetTitle().startswith("Image translation")


# stop and kill


@pytest.mark.slow
def test_stop_asks_and_says_what_happens(view, run) -> None:
    write(run, training_events(200, 600, until=350))
    with RunLock(run):
        view.set_run(run.path)
        child(view, "stopButton").click()
        assert stop_requested(run)
        assert child(view, "stageLabel").text == "Stopping: a checkpoint is written first…"
        assert not child(view, "stopButton").enabled and "kill" not in seen(view)


@pytest.mark.slow
def test_kill_is_offered_only_after_stop_has_not_worked(view, run) -> None:
    from LEUDATrainingLib.runs.run_view import KILL_AFTER_S

    write(run, training_events(200, 600, until=350))
    with RunLock(run):
        view.set_run(run.path)
        child(view, "stopButton").click()
        view._on_tick()
        assert "kill" not in seen(view)
        long_ago = time.time() - KILL_AFTER_S - 1
        os.utime(run.stop, (long_ago, long_ago))  # as after a restart of Slicer, too
        view._on_tick()
        assert "kill" in seen(view) and "has not stopped yet" in said(view)
        child(view, "messageClose").click()
        view._on_tick()
        assert said(view) == "", "said once"
    poll(view)
    assert "kill" not in seen(view)


@pytest.mark.slow
def test_kill_ends_a_process_that_does_not_listen(view, run, slicer_app) -> None:
    write(run, training_events(200, 600, until=350))
    process = hold(run)
    try:
        view.set_run(run.path)
        child(view, "stopButton").click()
        os.utime(run.stop, (1, 1))
        view._on_tick()
        child(view, "killButton").click()
        slicer_app.wait_until(lambda: process.poll() is not None and seen(view) == {"resume", "report"}, 30)
        slicer_app.wait_until(lambda: not stop_requested(run), 30)  # taken back once the process is gone
        assert "stopped unexpectedly" in said(view)
    finally:
        process.kill()
        process.wait()
