"""The panel of LE-UDA Segmentation as its users meet it: opening it, models, devices, live preview, log."""

from __future__ import annotations

import pytest

from host.driving import wait_until
from leuda_core.errors import LeudaError
from segmentation_panel import add_patient, choose_model, click, settle

pytestmark = pytest.mark.slow

# Opening


def test_an_empty_scene_says_what_to_do(module, entries) -> None:
    assert not module.ui.applyButton.enabled
    assert module.ui.applyButton.toolTip == "Choose an input volume.\nChoose a model."
    entries.clear()
    module.enter()
    assert module.panel.models._empty.visible
    assert not module.panel.result.statistics.widget.visible


def test_the_first_volume_of_the_scene_is_chosen_on_entering(slicer_app, module) -> None:
    volume = add_patient()
    module.enter()
    assert module.ui.inputSelector.currentNode() is volume
    assert module.ui.applyButton.toolTip == "Choose a model."
    choose_model(module)
    assert module.ui.applyButton.enabled


def test_the_panel_fits_into_a_narrow_dock(module) -> None:
    add_patient("a volume with quite a long name, as hospitals give them, CT thorax 1.0 B31f")
    choose_model(module)
    module.ui.optionsSection.collapsed = False
    module.ui.severalVolumesCheckBox.checked = True
    module.panel.message_strip.show_warning("a long message " * 10, "with a long remedy " * 10)
    settle()
    assert module._uiWidget.minimumSizeHint.width() <= 420


def test_nothing_is_asked_or_started_on_opening(module, worker) -> None:
    add_patient()
    choose_model(module)
    assert worker.open == {}


def test_missing_packages_are_said_with_a_button(module, monkeypatch) -> None:
    from LEUDASegmentationLib.processes import installation

    missing, asked = ["torch", "monai"], []

    def install(parent=None) -> bool:
        asked.append(1)
        missing.clear()
        return True

    monkeypatch.setattr(installation, "missing_packages", lambda: list(missing))
    monkeypatch.setattr(installation, "ensure_installed", install)
    module.enter()
    strip = module.panel.install_strip
    assert strip.widget.visible and "torch, monai" in strip.remedy and asked == []
    click(strip.action_button)
    assert asked == [1] and not strip.widget.visible


def test_a_refused_installation_starts_nothing(ready, worker, monkeypatch) -> None:
    from LEUDASegmentationLib.processes import installation

    monkeypatch.setattr(installation, "ensure_installed", lambda parent=None: False)
    click(ready.ui.applyButton)
    assert worker.open == {}
    assert "missing" in ready.panel.message_strip.cause
    assert ready.ui.applyButton.enabled


def test_a_failed_installation_says_why(ready, worker, monkeypatch) -> None:
    from LEUDASegmentationLib.processes import installation

    def fail(parent=None) -> bool:
        raise LeudaError("pip ended with code 1", "check the network")

    monkeypatch.setattr(installation, "ensure_installed", fail)
    click(ready.ui.applyButton)
    assert (ready.panel.message_strip.kind, ready.panel.message_strip.remedy) == ("error", "Check the network.")


# Models


def test_a_model_is_selected_by_name_from_outside(module, entries) -> None:
    from leuda_core.errors import InputError

    module.selectModel("other discs")
    assert module._parameterNode.model == "other discs"
    assert module.panel.models.selected_name == "other discs"
    with pytest.raises(InputError, match="no model gone"):
        module.selectModel("gone")


def test_a_model_that_is_gone_is_not_chosen_any_more(ready, entries) -> None:
    del entries[0]
    ready.enter()
    settle()
    assert ready.panel.models.selected is None
    assert ready.ui.applyButton.toolTip == "Choose a model."


# Devices, preview, log


def test_devices_are_asked_for_when_the_options_are_opened(module, worker) -> None:
    assert worker.asked("devices") == []
    module.ui.optionsSection.collapsed = False
    settle()
    assert worker.asked("devices") == [{}]


def test_the_log_shows_what_the_worker_writes(module, worker) -> None:
    worker.onLog("leuda: reading weights")
    assert module.panel.log.text == "leuda: reading weights"


def test_the_preview_is_off_and_needs_volume_and_model(module, worker) -> None:
    box = module.ui.livePreviewCheckBox
    assert not box.checked and not box.enabled
    assert box.toolTip == "Choose a volume and a model first"


def test_the_preview_follows_what_is_chosen_and_ends_with_the_panel(ready, worker) -> None:
    click(ready.ui.livePreviewCheckBox)
    assert ready.panel.preview.running
    wait_until(lambda: worker.asked("slice"))
    assert worker.asked("slice")[0]["model"] == "/models/discs"
    choose_model(ready, 1)
    wait_until(lambda: any(fields["model"] == "/models/other" for fields in worker.asked("slice")))
    ready.exit()
    assert not ready.panel.preview.running and not ready.ui.livePreviewCheckBox.checked


def test_the_preview_follows_the_mouse_into_another_view(ready, worker, monkeypatch) -> None:
    import slicer

    click(ready.ui.livePreviewCheckBox)
    followed = []
    monkeypatch.setattr(ready.panel.preview._preview, "follow", followed.append)
    green = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeGreen")
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    for place in ([10.0, 10.0, 0.0], [11.0, 10.0, 0.0]):  # the second is in the same view
        crosshair.SetCursorPositionXYZ(place, green)
    assert followed == [green]
    click(ready.ui.livePreviewCheckBox)
    crosshair.SetCursorPositionXYZ([5.0, 5.0, 0.0], slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed"))
    assert followed == [green]


def test_a_preview_that_fails_is_turned_off_with_a_message(ready, worker) -> None:
    click(ready.ui.livePreviewCheckBox)
    wait_until(lambda: worker.asked("slice"))
    worker.fail(LeudaError("out of memory", "close other programs"))
    settle()
    assert not ready.ui.livePreviewCheckBox.checked and not ready.panel.preview.running
    assert ready.panel.message_strip.remedy == "Close other programs."


@pytest.mark.parametrize("left", ["vtkMRMLSliceNodeYellow", None])
def test_a_layout_without_a_red_view_is_no_hindrance(ready, worker, left: str | None) -> None:
    import slicer

    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        if node.GetID() != left:
            slicer.mrmlScene.RemoveNode(node)
    click(ready.ui.livePreviewCheckBox)
    settle()
    assert ready.panel.preview.running == (left is not None) == ready.ui.livePreviewCheckBox.checked
    if left is None:
        assert "no slice view" in ready.panel.message_strip.cause.lower()
