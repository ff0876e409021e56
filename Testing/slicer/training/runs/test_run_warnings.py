"""The warnings of a training in the window of its run."""

from __future__ import annotations

import html
from pathlib import Path

import pytest

from run_folders import make_run, training_events, write
from shown_widgets import child, shown


@pytest.fixture
def view(slicer_app):
    from LEUDATrainingLib.runs.run_view import RunView

    with shown(RunView(), 1100) as widget:
        yield widget


def warned(view) -> str:
    strip = child(view, "runWarnings")
    return html.unescape(child(strip, "messageText").text) if strip.isVisible() else ""


def warning(kind: str) -> dict[str, str]:
    return {"kind": kind, "message": f"{kind} vanished", "remedy": "train again"}


def test_warnings_are_shown_until_they_no_longer_hold(view, tmp_path: Path) -> None:
    run = make_run(tmp_path / "knee" / "run")
    write(run, training_events(200, 600, until=400))
    view.set_run(run.path)
    assert warned(view) == ""
    write(run, [{"event": "warning", "step": 400, **warning("liver")}])
    view._watcher.poll()
    assert "Liver vanished." in warned(view) and "Train again." in warned(view)
    write(run, [{"event": "watch", "step": 500, "warnings": [warning("liver"), warning("spleen")]}])
    view._watcher.poll()
    assert "2 warnings" in warned(view) and "(2) spleen vanished; train again" in warned(view)
    write(run, [{"event": "watch", "step": 600, "warnings": []}])
    view._watcher.poll()
    assert warned(view) == ""


def test_a_dismissed_warning_stays_away_and_another_run_has_its_own(view, tmp_path: Path) -> None:
    run, other = make_run(tmp_path / "knee" / "run"), make_run(tmp_path / "hip" / "run")
    write(run, [{"event": "start"}, {"event": "warning", **warning("liver")}])
    view.set_run(run.path)
    child(child(view, "runWarnings"), "messageClose").click()
    write(run, [{"event": "progress", "stage": "train", "step": 10, "total": 20}])
    view._watcher.poll()
    assert warned(view) == ""
    view.set_run(other.path)
    assert warned(view) == ""
    view.set_run(run.path)
    assert "Liver vanished." in warned(view)


def test_the_warnings_of_a_long_run_are_not_forgotten(view, tmp_path: Path) -> None:
    run = make_run(tmp_path / "knee" / "run")
    write(run, [{"event": "start"}, {"event": "watch", "step": 5, "warnings": [warning("liver")]}])
    write(run, [{"event": "progress", "stage": "train", "step": n, "total": 9000} for n in range(10, 7000, 10)])
    view.set_run(run.path)
    for _ in range(20):
        view._watcher.poll()
    assert "Liver vanished." in warned(view)
