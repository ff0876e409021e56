"""The form of a method: presets, settings made of the schema, nothing out of range."""

from __future__ import annotations

import pytest

from shown_widgets import child


@pytest.fixture
def told(form) -> list[str]:
    """What the form told of, in order."""
    found: list[str] = []
    form.on_changed = lambda: found.append(form.method)
    return found


def choose(box, text: str) -> None:
    index = box.findText(text)
    assert index >= 0, text
    box.setCurrentIndex(index)


def type_text(box, text: str) -> None:
    """Type into a spin box as a user does, and press Enter."""
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    box.setFocus()
    box.selectAll()
    QTest.keyClicks(box, text)
    QTest.keyClick(box, Qt.Key.Key_Return)


@pytest.mark.slow
def test_it_begins_with_the_recommended_method_at_its_defaults(form) -> None:
    assert (form.method, form.steps, form.seed, form.device) == ("self_training", 0, 0, "auto")
    assert form.settings == {}
    assert child(form, "methodBox").currentText == "Self-training (recommended)"
    assert child(form, "presetBox").currentText == "25 minutes" and form.budget == 25.0
    assert "combination" in child(form, "methodAbout").text


@pytest.mark.slow
def test_every_method_is_listed_and_explained(form) -> None:
    from leuda_core.methods import METHODS

    box = child(form, "methodBox")
    assert box.itemData(0) == "self_training"
    assert {box.itemData(index) for index in range(box.count)} == set(METHODS)
    for index in range(box.count):
        box.setCurrentIndex(index)
        kind = METHODS[form.method]
        assert kind.summary in child(form, "methodAbout").text and kind.paper in child(form, "methodAbout").text
        assert ("For comparison only" in child(form, "methodAbout").text) == kind.reads_target_labels


@pytest.mark.slow
def test_a_time_or_own_steps(form, told) -> None:
    choose(child(form, "presetBox"), "3 hours")
    assert (form.budget, form.steps, form.settings) == (180.0, 0, {}) and child(
        form, "stepsBox"
    ).text == "as many as fit"
    choose(child(form, "presetBox"), "Own number of steps")
    assert (form.budget, form.steps) == (0, 1500)
    child(form, "stepsBox").setValue(801)
    assert (form.budget, form.steps) == (0, 801) and len(told) == 3
    child(form, "stepsBox").setValue(0)
    assert (form.budget, form.steps) == (25.0, 0) and child(form, "presetBox").currentText == "25 minutes"


@pytest.mark.slow
def test_time_and_steps_stay_when_the_method_changes(form) -> None:
    choose(child(form, "presetBox"), "1 hour")
    choose(child(form, "methodBox"), "Mean teacher")
    assert (form.method, form.budget, form.steps) == ("mean_teacher", 60.0, 0)
    child(form, "stepsBox").setValue(801)
    assert child(form, "presetBox").currentText == "Own number of steps"
    choose(child(form, "methodBox"), "CycleGAN")
    assert (form.budget, form.steps) == (0, 801)


def test_the_words_name_a_time_or_steps(form) -> None:
    assert "--budget 25m" in " ".join(form._training_words()) and "--steps" not in form._training_words()
    form.set_values(steps=12)
    assert "--steps 12" in " ".join(form._training_words()) and "--budget" not in form._training_words()
    form.set_values(steps=0, budget=37.5)
    assert form.budget == 37.5 and "--budget 37.5m" in " ".join(form._training_words())


@pytest.mark.slow
def test_settings_are_those_that_differ(form, told) -> None:
    child(form, "patch_size").setValue(128)
    child(form, "learning_rate").setValue(0.0005)
    choose(child(form, "plane"), "axial")
    assert form.settings == {"patch_size": 128, "learning_rate": 0.0005, "plane": "axial"} and len(told) == 3
    child(form, "learning_rateReset").click()
    assert form.settings == {"patch_size": 128, "plane": "axial"} and len(told) == 4
    child(form, "resetSettingsButton").click()
    assert form.settings == {} and not child(form, "patch_sizeReset").enabled


@pytest.mark.slow
def test_values_of_a_scene_come_back_without_a_word(form, told) -> None:
    values = {"method": "mt_uda", "steps": 123, "seed": 7, "device": "cuda:1", "settings": {"inter_weight": 0.25}}
    form.set_values(**values)
    assert {name: getattr(form, name) for name in values} == values
    form.set_values(settings={})
    assert form.settings == {} and form.steps == 123
    form.set_values(method="from_the_future", settings={"unknown": 3, "batch_size": 2})
    assert form.method == "mt_uda" and form.settings == {"batch_size": 2}
    assert told == []


@pytest.mark.slow
@pytest.mark.parametrize("extreme", ["lowest", "highest"])
def test_whatever_can_be_entered_is_accepted_by_the_core(form, extreme: str) -> None:
    from leuda_core.config import make_config
    from leuda_core.methods import METHODS

    for name, kind in METHODS.items():
        form.set_values(method=name)
        for setting in kind.Config.__struct_fields__:
            push(child(form, setting), extreme)
        make_config(kind.Config, form.settings)  # raises when out of range
        assert form.settings


def push(widget, extreme: str) -> None:
    """Enter the lowest or the highest value that a field takes."""
    if hasattr(widget, "setMinimum"):
        widget.setValue(widget.minimum if extreme == "lowest" else widget.maximum)
    elif hasattr(widget, "setCurrentIndex") and hasattr(widget, "count"):
        widget.setCurrentIndex(0 if extreme == "lowest" else widget.count - 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "typed", "kept"),
    [
        ("patch_size", "99999", range(32, 513, 16)),
        ("patch_size", "200", [192, 208]),
        ("batch_size", "0", range(1, 257)),
        ("ema_decay", "1", [0.99, *(1 - 10.0**-n for n in range(1, 7))]),
        ("learning_rate", "0.002", [0.002]),
        ("learning_rate", "0.00005", [0.00005]),
        ("learning_rate", "-1", [1, 0.001]),
        ("learning_rate", "0,5", [0.001, 0.5]),
    ],
)
def test_what_is_typed_becomes_something_allowed(form, setting: str, typed: str, kept) -> None:
    from leuda_core.config import make_config
    from leuda_core.methods import METHODS

    child(form, "advancedSection").collapsed = False
    type_text(child(form, setting), typed)
    value = form.settings.get(setting, child(form, setting).value)
    assert any(value == pytest.approx(allowed, rel=1e-9) for allowed in kept), value
    make_config(METHODS[form.method].Config, form.settings)


def test_numbers_are_shown_as_people_write_them(form) -> None:
    assert child(form, "learning_rate").text == "0.001"
    assert child(form, "translator_learning_rate").text == "0.0004"
    assert child(form, "cycle_weight").text == "10"


@pytest.mark.slow
def test_a_row_says_what_the_setting_is_and_may_be(form) -> None:
    tip = child(form, "patch_size").toolTip
    for part in (
        "Side length of training slices, in pixels",
        "patch_size",
        "at least 32",
        "at most 512",
        "multiple of 16",
        "96",
    ):
        assert part in tip


@pytest.mark.slow
def test_the_wheel_scrolls_the_panel_and_not_the_numbers(form) -> None:
    from PySide6.QtCore import QPoint, QPointF, Qt
    from PySide6.QtGui import QWheelEvent
    from PySide6.QtWidgets import QApplication

    box = child(form, "stepsBox")
    turn = QWheelEvent(
        QPointF(5, 5), QPointF(5, 5), QPoint(), QPoint(0, 120), Qt.NoButton, Qt.NoModifier, Qt.ScrollUpdate, False
    )
    QApplication.sendEvent(box, turn)
    assert form.steps == 0 and not turn.isAccepted()


# a form for any schema


def test_each_kind_of_setting_has_its_field(slicer_app) -> None:
    from LEUDATrainingLib.method.schema_form import SchemaForm

    form = SchemaForm()
    form.set_properties(
        {
            "count": {"type": "integer", "exclusiveMinimum": 2, "exclusiveMaximum": 6, "default": 3},
            "use_it": {"type": "boolean", "default": True},
            "name": {"type": "string", "default": ""},
            "width_mm": {"type": "number", "minimum": 0, "default": 1.5},
        }
    )
    assert form.values == {"count": 3, "use_it": True, "name": "", "width_mm": 1.5}
    form.set_values({"count": 99, "use_it": False, "name": "Zoë", "width_mm": -4})
    assert form.changed_values == {"count": 5, "use_it": False, "name": "Zoë", "width_mm": 0}
    form.reset()
    assert form.changed_values == {}


def test_names_of_settings_are_readable(slicer_app) -> None:
    from LEUDATrainingLib.method.schema_form import readable

    found = [readable(name) for name in ("patch_size", "spacing_mm", "ema_decay", "ct_window_low", "direct_loss")]
    assert found == ["Patch size", "Spacing (mm)", "EMA decay", "CT window low", "Direct loss"]


def test_an_unknown_kind_of_setting_is_refused(slicer_app) -> None:
    from LEUDATrainingLib.method.setting_fields import make_field

    with pytest.raises(ValueError, match="'array'"):
        make_field({"type": "array"}, lambda: None)
