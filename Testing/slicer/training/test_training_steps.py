"""The steps in the window of LEUDATraining: one is open at a time, and each says how far it is."""

from __future__ import annotations

import pytest

from run_folders import make_run
from training_scene import add_volume, fill, source_store
from training_window import open_section, settle

pytestmark = pytest.mark.slow


def test_one_step_is_open_at_a_time(slicer_app, widget, find) -> None:
    steps = ("structures", "source", "target", "start", "runs")
    assert widget.panel.guide.opened == "structures"
    for name in steps:
        open_section(slicer_app, find(f"{name}Section"))
        assert [one for one in steps if not find(f"{one}Section").collapsed] == [name]
    find("runsSection").collapsed = True
    assert widget.panel.guide.opened == ""


def test_each_step_says_how_far_it_is(slicer_app, widget, find, node) -> None:
    def titles() -> list[str]:
        return [find(f"{name}Section").text for name in ("structures", "source", "target", "start", "runs")]

    assert titles() == [
        "1. What to segment: nothing yet",
        "2. Labelled cases: none yet",
        "3. Cases to adapt to: none yet",
        "4. Train: 3 things are missing",
        "5. Watch: nothing yet",
    ]
    fill(node)
    settle(slicer_app, widget)
    assert titles()[:4] == [
        "1. What to segment: 2 structures  ✓",
        "2. Labelled cases: 1 of 1, 2 slices  ✓",
        "3. Cases to adapt to: 1 volume  ✓",
        "4. Train: ready",
    ]
    source_store(node).add_node(add_volume("without labels"))
    settle(slicer_app, widget)
    assert titles()[1] == "2. Labelled cases: 1 of 2, 2 slices  ✓"


def test_the_last_step_says_how_the_run_is(slicer_app, widget, find, tmp_path) -> None:
    run = make_run(tmp_path / "Knie links" / "run")
    widget.panel.view.set_run(run.path)
    slicer_app.wait_until(lambda: widget.panel.view.status, 5)
    slicer_app.processEvents()
    assert find("runsSection").text.startswith("5. Watch: Knie links, ")
