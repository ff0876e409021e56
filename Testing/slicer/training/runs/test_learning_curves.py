"""Learning curves: what is collected from events, and the plot nodes that show it."""

from __future__ import annotations

import time

import numpy as np
import pytest

from run_folders import training_events
from shown_widgets import child, shown

pytestmark = pytest.mark.slow


@pytest.fixture
def history(slicer_app):
    from LEUDATrainingLib.runs.loss_history import LossHistory

    return LossHistory()


@pytest.fixture
def curves(slicer_app):
    from LEUDATrainingLib.runs.learning_curves import LearningCurves

    with shown(LearningCurves(), 340) as widget:
        yield widget


def take(curves, events) -> None:
    curves.add_events(events)
    curves.draw()


def series_of(chart) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the curves of a chart node by their names, as a plot view reads them."""
    from vtk.util.numpy_support import vtk_to_numpy

    found = {}
    for index in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(index)
        table = series.GetTableNode().GetTable()
        columns = [table.GetColumnByName(name) for name in (series.GetXColumnName(), series.GetYColumnName())]
        found[series.GetName()] = tuple(vtk_to_numpy(column) for column in columns)
    return found


# what is collected


def test_phases_and_losses_in_the_order_of_the_run(history) -> None:
    history.add(training_events(200, 300))
    assert history.phases() == ["translate", "train"]
    assert history.losses("train") == ["segmentation", "intra", "inter"]
    steps, values = history.curve("train", "intra")
    assert steps.tolist() == list(range(210, 501, 10))
    assert values.shape == steps.shape and values[0] > values[-1] > 0
    assert history.span("translate") == (0, 200)


def test_the_last_phase_spans_the_steps_to_come(history) -> None:
    history.add(training_events(200, 300, until=250))
    assert history.span("train") == (200, 500)


def test_steps_taken_again_after_a_crash_replace_the_lost_ones(history) -> None:
    history.add(training_events(100, 200, until=280))
    again = {"event": "progress", "stage": "train", "step": 210, "total": 300, "metrics": {"segmentation": 7.0}}
    history.add([again])
    steps, values = history.curve("train", "segmentation")
    assert steps.tolist() == list(range(110, 211, 10)) and values[-1] == 7.0


def test_a_crash_back_into_the_first_phase_forgets_the_second(history) -> None:
    history.add(training_events(100, 200, until=120))
    history.add([{"event": "progress", "stage": "translate", "step": 60, "total": 300, "metrics": {"cycle": 1.0}}])
    assert history.phases() == ["translate"]


def test_what_is_no_loss_is_passed_over(history) -> None:
    history.add(
        [
            {"event": "progress", "stage": "prepare", "step": 1, "total": 3},
            {
                "event": "progress",
                "stage": "train",
                "step": 10,
                "total": 20,
                "metrics": {"a": "high", "b": float("nan")},
            },
            {"event": "progress", "stage": "train", "step": 20, "total": 20, "metrics": {"a": 0.5}},
            {"event": "metric", "step": 20, "metrics": {"dice": 0.9}},
        ]
    )
    assert history.losses("train") == ["a"] and history.curve("train", "a")[0].tolist() == [20]


def test_long_curves_are_thinned_to_means(slicer_app) -> None:
    from LEUDATrainingLib.runs.loss_history import MOST_POINTS, thin

    values = np.arange(3 * MOST_POINTS + 1, dtype=float)
    thinned = thin(values)
    assert len(thinned) <= MOST_POINTS
    assert thinned[0] == values[:4].mean() and thinned[-1] == values[3000:].mean()
    assert thin(values[:MOST_POINTS]) is not None and len(thin(values[:MOST_POINTS])) == MOST_POINTS
    assert thin(np.array([])).tolist() == []


def test_smoothing_keeps_a_line_and_calms_noise(slicer_app) -> None:
    from LEUDATrainingLib.runs.loss_history import smooth

    line = np.linspace(3, 1, 100)
    assert np.allclose(smooth(line)[5:-5], line[5:-5])
    noise = np.random.default_rng(0).normal(size=400)
    assert smooth(noise).std() < 0.3 * noise.std()
    assert smooth(np.array([2.0])).tolist() == [2.0]


# what is shown


def test_nothing_to_show_says_when_there_will_be(curves) -> None:
    assert curves.chart_node is None
    assert child(curves, "noCurvesLabel").isVisible() and not child(curves, "curveLoss").isVisible()


def test_the_main_loss_of_the_current_phase_is_shown(curves) -> None:
    take(curves, training_events(200, 400, until=500))
    chart = curves.chart_node
    assert chart.GetTitle() == "Adaptation: segmentation loss"
    assert (chart.GetXAxisTitle(), chart.GetYAxisTitle()) == ("Training step", "Loss")
    assert (tuple(chart.GetXAxisRange()), chart.GetXAxisRangeAuto()) == ((200, 600), False)
    assert not chart.GetYAxisLogScale()
    shown = series_of(chart)
    assert list(shown) == ["Single steps", "Running mean"]
    assert shown["Single steps"][0].tolist() == list(range(210, 501, 10))
    assert not child(curves, "noCurvesLabel").isVisible()


def test_another_loss_all_losses_and_the_earlier_phase(curves) -> None:
    take(curves, training_events(200, 400, until=500))
    losses, phases = child(curves, "curveLoss"), child(curves, "curvePhase")
    losses.setCurrentIndex(losses.findText("Inter"))
    assert curves.chart_node.GetTitle() == "Adaptation: inter loss"
    losses.setCurrentIndex(losses.findText("All"))
    assert list(series_of(curves.chart_node)) == ["Segmentation", "Intra", "Inter"]
    assert curves.chart_node.GetLegendVisibility()
    phases.setCurrentIndex(0)
    assert curves.chart_node.GetTitle() == "Image translation: cycle loss"
    assert tuple(curves.chart_node.GetXAxisRange()) == (0, 200)


def test_it_follows_the_run_until_another_phase_is_chosen(curves) -> None:
    events = list(training_events(200, 400))
    early = [event for event in events if event.get("step", 0) <= 150]
    middle = [event for event in events if 150 < event.get("step", 0) <= 400]
    take(curves, early)
    assert curves.chart_node.GetTitle().startswith("Image translation")
    take(curves, middle)
    assert curves.chart_node.GetTitle().startswith("Adaptation")
    child(curves, "curvePhase").setCurrentIndex(0)
    take(curves, events[len(early) + len(middle) :])
    assert curves.chart_node.GetTitle().startswith("Image translation")


def test_the_nodes_are_hidden_not_saved_and_taken_away(curves) -> None:
    import slicer

    before = slicer.mrmlScene.GetNumberOfNodes()
    take(curves, training_events(0, 400))
    kinds = ("vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode", "vtkMRMLPlotViewNode")
    nodes = [node for kind in kinds for node in slicer.util.getNodesByClass(kind)]
    assert len(nodes) == 6 and all(node.GetHideFromEditors() and not node.GetSaveWithScene() for node in nodes)
    view = slicer.util.getNodesByClass("vtkMRMLPlotViewNode")[0]
    assert view.GetParentLayoutNode() is not None, "else the layout manager would make a view for it"
    curves.clear()
    assert slicer.mrmlScene.GetNumberOfNodes() == before and curves.chart_node is None


def test_they_come_back_after_the_scene_was_closed(curves) -> None:
    import slicer

    take(curves, training_events(0, 400))
    slicer.mrmlScene.Clear(0)
    assert curves.chart_node is None
    curves.restore()
    assert list(series_of(curves.chart_node)) == ["Single steps", "Running mean"]


def test_a_very_long_run_is_drawn_in_time(curves) -> None:
    events = list(training_events(100_000, 100_000))
    take(curves, events[:-1])
    begin = time.thread_time()
    take(curves, events[-1:])
    seconds = time.thread_time() - begin
    from LEUDATrainingLib.runs.loss_history import MOST_POINTS

    assert all(len(x) <= MOST_POINTS for x, _y in series_of(curves.chart_node).values())
    assert seconds < 0.1, f"{1000 * seconds:.0f} ms for one more point"
