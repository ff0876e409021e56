"""One run in its window: followed live, stopped, resumed, ended by force, finished, used."""

from __future__ import annotations

import html
import json
import os
import time
from pathlib import Path

import pytest

from leuda_core.runs.control import stop_requested
from leuda_core.runs.lock import RunLock
from run_folders import hold, make_run, training_events, write, write_picture
from shown_widgets import child, shown


@pytest.fixture
def view(slicer_app):
    from LEUDATrainingLib.runs.run_view import RunView

    with shown(RunView(), 1100) as widget:
        yield widget


@pytest.fixture
def run(tmp_path: Path):
    return make_run(tmp_path / "Knie links" / "run")


def seen(widget) -> set[str]:
    """The buttons that a user can see."""
    names = ("useModelButton", "stopButton", "killButton", "resumeButton", "reportButton", "exportButton")
    return {name.removesuffix("Button") for name in names if child(widget, name).isVisible()}


def said(widget) -> str:
    label = child(widget, "messageText")
    return html.unescape(label.text) if label.isVisible() else ""


def poll(widget) -> None:
    widget._watcher.poll()


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


# preview and log


def test_previews_can_be_scrubbed_back_in_time(view, run) -> None:
    for step in (300, 400, 500):
        write_picture(run.previews / f"step-{step:06d}.png", radius=step / 10)
    events = list(training_events(200, 600, until=500))
    write(run, events)
    with RunLock(run):
        view.set_run(run.path)
        slider, caption = child(view, "previewSlider"), child(view, "previewCaption")
        assert (view._previews.steps, view._previews.current_step) == ([300, 400, 500], 500)
        assert "step 500 (newest)" in caption.text
        slider.setValue(0)
        assert "step 300" in caption.text and "newest" not in caption.text
        write_picture(run.previews / "step-000600.png", radius=60)
        write(run, [{"event": "preview", "step": 600, "file": "previews/step-000600.png"}])
        poll(view)
        assert view._previews.current_step == 300, "whoever looks back is left there"
        slider.setValue(slider.maximum)
        write(run, [{"event": "preview", "step": 700, "file": "previews/step-000700.png"}])
        poll(view)
        assert view._previews.current_step == 700 and "has been deleted" in caption.text


def test_the_legend_names_the_structures_in_their_colours(view, run) -> None:
    labels = {"0": "background", "1": {"name": "core <1>", "color": [200, 60, 60]}}
    (run.path.parent / "dataset.json").write_text(json.dumps({"labels": labels}))
    write(run, training_events(0, 200))
    view.set_run(run.path)
    assert "#c83c3c" in child(view, "previewLegend").text and "core &lt;1>" in child(view, "previewLegend").text


def test_a_picture_never_comes_from_outside_the_run(view, run, tmp_path: Path) -> None:
    write(run, [{"event": "preview", "step": 100, "file": "../../secret.png"}])
    view.set_run(run.path)
    assert view._previews._files == {100: run.previews / "secret.png"}


def test_the_log_follows_the_file(view, run) -> None:
    run.log.write_text("first\nsecond")
    view.set_run(run.path)
    assert view._log.text.splitlines() == ["first"]
    with open(run.log, "a") as stream:
        stream.write(" half\rthird\n")
    view._on_tick()
    assert view._log.text.splitlines() == ["first", "second half", "third"]


def test_a_huge_log_is_shown_from_near_its_end(view, run) -> None:
    run.log.write_text("".join(f"line {number}\n" for number in range(200_000)))
    begin = time.thread_time()
    view.set_run(run.path)
    lines = view._log.text.splitlines()
    assert lines[-1] == "line 199999" and lines[0].startswith("line 19") and len(lines) < 10_000
    assert time.thread_time() - begin < 0.3


# actions


@pytest.mark.slow
def test_an_action_that_fails_says_why(view, run, slicer_app) -> None:
    run.config.write_text(json.dumps({"dataset": "gone.json", "method": "le_uda"}))
    view.set_run(run.path)
    child(view, "resumeButton").click()
    assert not child(view, "resumeButton").enabled, "one action at a time"
    slicer_app.wait_until(lambda: "gone.json" in said(view), 40)
    assert child(view, "resumeButton").enabled


@pytest.mark.slow
def test_a_run_that_another_slicer_resumed_first(view, run, slicer_app) -> None:
    write(run, training_events(20, 100))
    view.set_run(run.path)
    assert "resume" in seen(view)
    other = hold(run)
    try:
        child(view, "resumeButton").click()
        slicer_app.wait_until(lambda: "in use by process" in said(view), 40)
        slicer_app.wait_until(lambda: "stop" in seen(view), 10)  # and it is watched as one that runs
    finally:
        other.kill()
        other.wait()
    events = run.events.read_text()
    assert events.count('"start"') == 1, "nothing was written into the other one's run"


@pytest.mark.alone
def test_a_long_run_is_opened_and_followed_without_a_stutter(view, run, slicer_app) -> None:
    events = list(training_events(100_000, 100_000))  # twenty-five times a thorough one
    write(run, events[:-300])
    busiest = []
    for _attempt in range(3):  # of which the best counts: others may be using this machine
        with RunLock(run), slicer_app.event_loop_latency() as latency:
            view.set_run(run.path)
            slicer_app.wait_until(lambda: view.status is not None, 30)
            write(run, events[-300:])
            slicer_app.wait_until(lambda: view.status.step == 200_000, 30)
        busiest.append(latency.busiest_s)
        view.set_run(None)
    assert min(busiest) < 0.1, busiest


@pytest.mark.timeout(300)
@pytest.mark.alone
def test_a_real_run_from_start_to_its_model(
    view, tiny_dataset: Path, tmp_path: Path, slicer_app, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun, watched, stopped, resumed, finished, reported, exported, used."""
    import qt

    from leuda_core.bundle.store import read_model
    from leuda_core.training.run import create_run

    settings = {"patch_size": 32, "base_channels": 4, "batch_size": 2, "unlabelled_batch_size": 1}
    run = create_run(tiny_dataset, "mean_teacher", tmp_path / "real" / "run", steps=120, settings=settings,
                     device="cpu", checkpoint_every=40)  # fmt: skip
    opened, used = [], []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    view.on_use_model = used.append
    view.set_run(run.path)
    with slicer_app.event_loop_latency() as latency:
        child(view, "resumeButton").click()
        slicer_app.wait_until(lambda: view.status.step >= 40, 100)
        child(view, "stopButton").click()
        slicer_app.wait_until(lambda: view.status.state == "stopped", 30)
        assert "Resume continues exactly from there." in said(view)
        child(view, "resumeButton").click()
        slicer_app.wait_until(lambda: view.status.state == "finished", 100)
    # The training wants the same cores, so the clock says little here; test_training_latency.py holds the limit.
    assert latency.busiest_s < 0.2 and latency.longest_s < 1.0, (latency.busiest_s, latency.longest_s)
    assert seen(view) == {"useModel", "report", "export"}
    assert view._curves.chart_node.GetTitle() == "Adaptation: segmentation loss"
    assert view._previews.current_step == 120 and not view._previews._picture.pixmap.isNull()
    child(view, "useModelButton").click()
    assert used == [run.bundle]
    slicer_app.answers.add(str(tmp_path / "model of Zoë"))
    child(view, "exportButton").click()
    assert read_model(tmp_path / "model of Zoë.zip").method == "mean_teacher"
    child(view, "reportButton").click()
    slicer_app.wait_until(lambda: opened == [str(run.path / "report.html")], 100)
    assert "<svg" in (run.path / "report.html").read_text() or "<img" in (run.path / "report.html").read_text()
