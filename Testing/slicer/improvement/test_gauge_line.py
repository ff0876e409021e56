"""The line that says whether a volume looks like those of the model's training."""

from __future__ import annotations

from typing import Any

import pytest

from host.driving import wait_until
from leuda_core.errors import Cancelled, InputError
from segmentation_panel import add_patient, choose_model, settle


def found(verdict: str) -> dict[str, Any]:
    return {"gauge": {"distance": 1.43, "verdict": verdict, "text": f"It is {verdict} <them>."}, "seconds": {}}


@pytest.fixture
def asking(module, worker):
    """The module with a running worker, a volume and a model, about which the worker is asked."""
    worker.is_running = True
    volume = add_patient()
    choose_model(module)
    module._parameterNode.inputVolume = volume
    wait_until(lambda: worker.asked("gauge"))
    return module


@pytest.mark.parametrize("verdict", ["like", "unlike", "far"])
def test_the_line_tells_what_the_worker_found(asking, worker, verdict: str) -> None:
    line = asking.panel.gauge.widget
    assert line.isHidden()
    (fields,) = worker.asked("gauge")
    assert fields["model"].endswith("discs") and len(fields["affine"]) == 4
    worker.finish(found(verdict))
    settle()
    assert not line.isHidden() and f"It is {verdict} &lt;them&gt;." in line.text and "1.43" in line.toolTip


def test_it_is_asked_once_for_the_same_choice(asking, worker) -> None:
    worker.finish(found("like"))
    asking.panel.update()
    asking.panel.enter()
    settle()
    assert not worker.asked("gauge") and not asking.panel.gauge.widget.isHidden()


def test_another_choice_asks_again_and_drops_the_first_answer(asking, worker) -> None:
    first = next(iter(worker.open))
    choose_model(asking, 1)
    wait_until(lambda: [fields for fields in worker.asked("gauge") if fields["model"].endswith("other")])
    assert first in worker.cancelled
    worker.finish(found("unlike"))
    settle()
    assert "unlike" in asking.panel.gauge.widget.text
    asking._parameterNode.inputVolume = None
    settle()
    assert asking.panel.gauge.widget.isHidden()


def test_an_answer_that_crossed_its_cancellation_is_ignored(asking, worker) -> None:
    """The real worker may have answered already, and its client says that it was cancelled a second later."""
    (first,) = worker.open.values()
    worker.open.clear()  # the cancellation finds no request any more
    choose_model(asking, 1)
    wait_until(lambda: worker.asked("gauge"))
    first.onDone(found("far"))
    settle()
    assert asking.panel.gauge.widget.isHidden()
    first.onError(Cancelled())
    worker.finish(found("like"))
    settle()
    assert "like" in asking.panel.gauge.widget.text


def test_nothing_is_shown_for_models_that_remember_nothing_and_after_errors(asking, worker) -> None:
    worker.finish({"gauge": None, "seconds": {}})
    settle()
    assert asking.panel.gauge.widget.isHidden()
    choose_model(asking, 1)
    wait_until(lambda: worker.asked("gauge"))
    worker.fail(InputError("no", "such luck"))
    settle()
    assert asking.panel.gauge.widget.isHidden() and not asking.panel.message_strip.cause


def test_choosing_starts_no_worker(ready, worker) -> None:
    assert not worker.asked("gauge") and ready.panel.gauge.widget.isHidden()


def test_a_closed_scene_ends_it(asking, worker) -> None:
    import slicer

    slicer.mrmlScene.Clear(0)
    settle()
    assert worker.cancelled and asking.panel.gauge.widget.isHidden()
    assert len(worker.files) <= 1  # the copy of the volume may be used again
