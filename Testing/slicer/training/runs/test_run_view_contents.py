"""One run in its window: previews, log and actions."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from leuda_core.runs.lock import RunLock
from run_folders import hold, training_events, write, write_picture
from shown_widgets import child
from training_window import poll, said, seen


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
