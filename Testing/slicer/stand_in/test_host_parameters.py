"""Parameter nodes of the host: what modules keep in the scene survives saving and loading, and follows its widgets."""

from __future__ import annotations

import operator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest

pytestmark = pytest.mark.slow


class Color(Enum):
    RED = 1
    BLUE = 2


@pytest.fixture
def wrapped(slicer_app) -> Any:
    """A parameter node class with every kind of value, and a node for it."""
    import slicer
    from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper, parameterPack

    members = {"x": Annotated[float, WithinRange(0, 10)], "label": str}
    point = parameterPack(type("Point", (), {"__annotations__": members, "x": 1.0, "label": "p"}))
    namespace = {
        "volume": slicer.vtkMRMLScalarVolumeNode,
        "number": Annotated[int, WithinRange(0, 9), Default(4)],
        "fraction": Annotated[float, WithinRange(0, 1)],
        "on": bool,
        "text": str,
        "folder": Path,
        "color": Color,
        "pick": Annotated[str, Choice(["a", "b"]), Default("b")],
        "names": list[str],
        "pair": tuple[int, str],
        "sizes": dict[str, int],
        "maybe": float | None,
        "volumes": list[slicer.vtkMRMLScalarVolumeNode],
        "point": point,
    }
    cls = parameterNodeWrapper(type("Parameters", (), {"__annotations__": namespace}))
    return cls(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "parameters"))


def _set_all(wrapped: Any, volume: Any) -> dict[str, Any]:
    values = {
        "volume": volume,
        "number": 7,
        "fraction": 0.25,
        "on": True,
        "text": "Größe; a=b",
        "folder": Path("/data/a b"),
        "color": Color.BLUE,
        "pick": "a",
        "names": ["one", "two"],
        "pair": (3, "three"),
        "sizes": {"liver": 1, "spleen": 2},
        "maybe": 2.5,
        "volumes": [volume, volume],
    }
    for name, value in values.items():
        setattr(wrapped, name, value)
    wrapped.point.x = 5.0
    return values


def test_defaults(wrapped):
    assert (wrapped.number, wrapped.fraction, wrapped.on, wrapped.text, wrapped.pick) == (4, 0.0, False, "", "b")
    assert (wrapped.volume, wrapped.maybe, wrapped.names, wrapped.sizes) == (None, None, [], {})
    assert (wrapped.color, wrapped.pair, wrapped.point.x) == (Color.RED, (0, ""), 1.0)


def test_values_come_back_after_saving_and_loading_the_scene(wrapped, tmp_path):
    import numpy as np
    import slicer

    volume = slicer.util.addVolumeFromArray(np.ones((2, 3, 4), np.int16), name="MR 1")
    values = _set_all(wrapped, volume)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    again = type(wrapped)(slicer.util.getNode("parameters"))
    loaded = slicer.util.getNode("MR 1")
    for name, value in values.items():
        expected = {"volume": loaded, "volumes": [loaded, loaded]}.get(name, value)
        assert getattr(again, name) == expected, name
    assert (again.point.x, again.point.label) == (5.0, "p")


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("number", 10, ValueError),
        ("number", "4", TypeError),
        ("pick", "c", ValueError),
        ("text", None, ValueError),
        ("names", ["a", 3], TypeError),
        ("pair", (1,), ValueError),
        ("maybe", "x", TypeError),
    ],
)
def test_a_refused_value_changes_nothing(wrapped, name, value, error):
    before = getattr(wrapped, name)
    with pytest.raises(error):
        setattr(wrapped, name, value)
    assert getattr(wrapped, name) == before


def test_lists_and_dictionaries_write_themselves(wrapped):
    wrapped.names.append("liver")
    wrapped.names += ["spleen"]
    wrapped.names[0] = "Liver"
    wrapped.sizes["a"] = 1
    del wrapped.names[1]
    assert type(wrapped)(wrapped.parameterNode).names == ["Liver"]
    assert type(wrapped)(wrapped.parameterNode).sizes == {"a": 1}
    with pytest.raises(NotImplementedError):
        operator.add(wrapped.names, ["more"])


def test_one_event_for_several_changes(wrapped):
    import vtk

    events = []
    wrapped.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: events.append(1))
    before = wrapped.StartModify()
    wrapped.number, wrapped.text = 5, "x"
    wrapped.EndModify(before)
    assert events == [1]


def test_widgets_and_parameters_follow_each_other(wrapped):
    import qt

    panel = qt.QWidget()
    spin, box = qt.QSpinBox(panel), qt.QComboBox(panel)
    spin.setProperty("SlicerParameterName", "number")
    box.setProperty("SlicerParameterName", "color")
    tag = wrapped.connectGui(panel)
    assert (spin.maximum, spin.value, box.count, box.currentText) == (9, 4, 2, "RED")
    spin.value = 6
    wrapped.color = Color.BLUE
    assert (wrapped.number, box.currentText) == (6, "BLUE")
    wrapped.disconnectGui(tag)
    spin.value = 2
    wrapped.color = Color.RED
    assert (wrapped.number, box.currentText) == (6, "BLUE")


@pytest.mark.parametrize(
    ("widget", "parameter"), [("QRadioButton", "on"), ("QSpinBox", "maybe"), ("QComboBox", "text")]
)
def test_pairs_that_slicer_cannot_connect_are_refused(wrapped, widget, parameter):
    import qt

    panel = qt.QWidget()
    getattr(qt, widget)(panel).setProperty("SlicerParameterName", parameter)
    with pytest.raises(RuntimeError):
        wrapped.connectGui(panel)


def test_a_widget_may_not_name_a_parameter_that_does_not_exist(wrapped):
    import qt

    panel = qt.QWidget()
    qt.QSpinBox(panel).setProperty("SlicerParameterName", "numbr")
    with pytest.raises(ValueError, match="numbr"):
        wrapped.connectGui(panel)
