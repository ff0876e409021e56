"""A module in the host, used as a person does: opened, clicked, typed into, closed and opened again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parent / "host_example" / "HostExample.py"


@pytest.fixture
def example(slicer_app):
    return slicer_app.loadModule(EXAMPLE)


def _add_volume(name: str = "MR 1"):
    import slicer

    return slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.int16), name=name)


def test_the_module_is_known_and_open(slicer_app, example):
    import slicer

    assert example.calls == ["setup", "enter"]
    assert slicer.util.getModuleWidget("HostExample") is example
    assert slicer.util.getModuleLogic("HostExample") is example.logic
    assert slicer.modules.HostExampleWidget is example
    assert slicer.modules.hostexample.title == "Host example"
    assert slicer.modules.HostExampleInstance.starts == 1
    assert slicer.util.selectedModule() == "HostExample"
    slicer.modules.HostExampleInstance.runTest(msec=1)


def test_mouse_and_keyboard(slicer_app, example):
    ui, parameters = example.ui, example.parameters
    slicer_app.click(ui.applyButton)
    slicer_app.click(ui.invertBox)
    slicer_app.type(ui.titleEdit, "liver")
    slicer_app.choose(ui.modeBox, "SLOW")
    assert example.calls[-1] == "apply"
    assert (parameters.invert, parameters.title, parameters.mode.name) == (True, "liver", "SLOW")
    ui.thresholdSlider.value = 33
    assert parameters.threshold == 33.0


def test_a_person_cannot_use_what_is_hidden_or_disabled(slicer_app, example):
    ui = example.ui
    assert not ui.hiddenLabel.isVisible()
    slicer_app.click(ui.advancedSection, at=(50, 8))
    assert ui.hiddenLabel.isVisible()
    ui.applyButton.enabled = False
    with pytest.raises(AssertionError, match="disabled"):
        slicer_app.click(ui.applyButton)
    slicer_app.click(ui.inputsSection, at=(50, 8))
    with pytest.raises(AssertionError, match="not visible"):
        slicer_app.click(ui.invertBox)


def test_what_is_shown_inside_a_collapsed_section_stays_hidden_until_it_opens(slicer_app, example):
    section, label = example.ui.advancedSection, example.ui.hiddenLabel
    label.hide()
    label.show()
    assert not label.isVisible()
    section.collapsed = False
    assert label.isVisible()


def test_node_selector_follows_the_scene(slicer_app, example):
    import slicer

    selector, seen = example.ui.inputSelector, []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    assert selector.currentNode() is None
    first, second = _add_volume("a"), _add_volume("b")
    assert selector.nodeCount() == 2
    selector.setCurrentNode(second)
    assert example.parameters.inputVolume is second
    second.SetName("renamed")
    assert selector.findChild(type(example.ui.modeBox)).currentText == "renamed"
    slicer.mrmlScene.RemoveNode(second)
    assert selector.currentNode() is first  # as Qt's combo box: the entry before
    slicer.mrmlScene.RemoveNode(first)
    assert selector.currentNode() is None
    assert seen == [second, first, None]


def test_node_selector_without_an_empty_entry_takes_the_first_node_if_nothing_else_is_offered(slicer_app):
    import slicer

    alone, with_actions = slicer.qMRMLNodeComboBox(), slicer.qMRMLNodeComboBox()
    for selector in (alone, with_actions):
        selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        selector.setMRMLScene(slicer.mrmlScene)
    alone.addEnabled = alone.removeEnabled = False
    volume = _add_volume()
    assert (alone.currentNode(), with_actions.currentNode()) == (volume, None)


def test_closing_the_scene_leaves_the_module_with_new_parameters(slicer_app, example):
    import slicer

    example.parameters.title = "old"
    slicer.mrmlScene.Clear(0)
    assert (example.parameters.title, example.ui.titleEdit.text) == ("", "")


def test_a_restart_is_a_new_slicer_with_the_old_settings(slicer_app, example):
    import qt
    import slicer

    slicer.app.userSettings().setValue("Example/Key", "kept")
    folder, old_class = slicer.app.slicerUserSettingsFilePath, type(example)
    _add_volume()
    app = slicer_app.restart()
    assert example.calls[-3:] == ["exit", "quit", "cleanup"]
    again = app.loadModule(EXAMPLE)
    assert type(again) is not old_class
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    assert qt.QSettings().value("Example/Key") == "kept"
    assert slicer.app.slicerUserSettingsFilePath == folder


def test_errors_of_a_module_are_reported_as_slicer_does(slicer_app, example, unhandled_errors):
    example.onApply = None
    example.enter = lambda: 1 / 0
    slicer_app.mainWindow.modulePanel()._leave()
    slicer_app.selectModule("HostExample")
    assert len(unhandled_errors) == 1
    assert "ZeroDivisionError" in unhandled_errors.pop()


def test_an_unknown_widget_in_a_ui_file_is_named(slicer_app, tmp_path):
    import slicer

    path = tmp_path / "wrong.ui"
    path.write_text('<ui version="4.0"><widget class="qMRMLTreeView" name="t"/></ui>', encoding="utf-8")
    with pytest.raises(ValueError, match="qMRMLTreeView"):
        slicer.util.loadUI(str(path))


def test_installations_are_written_down(slicer_app):
    import slicer

    slicer.util.pip_install(["some-package", "other"])
    assert slicer_app.installations.installed == [["some-package", "other"]]
    slicer_app.answers.add(False)
    with pytest.raises(RuntimeError, match="declined"):
        slicer.packaging.pip_ensure("no-such-package-here>=2", requester="Example")
    slicer_app.testing = True
    slicer.packaging.pip_ensure("no-such-package-here>=2")
    assert len(slicer_app.installations.installed) == 1


def test_latency_sees_a_frozen_loop(slicer_app):
    import time

    import qt

    with slicer_app.event_loop_latency() as latency:
        qt.QTimer.singleShot(10, lambda: time.sleep(0.2))
        slicer_app.wait_until(lambda: latency.ticks > 5)
    assert 0.2 <= latency.longest_s < 5
    assert latency.percentile_s(0) < 0.1 < latency.percentile_s(100)


def test_without_a_main_window(slicer_app, tmp_path):
    import slicer

    from host import boot

    slicer_app.close()
    app = boot(tmp_path / "batch", main_window=False)
    assert slicer.util.mainWindow() is None
    assert app.loadModule(EXAMPLE).calls == ["setup"]
    slicer.util.exit(3)
    assert app.exitStatus == 3
