"""The host speaks Qt as PythonQt does: what works there works here, and what fails there fails here."""

from __future__ import annotations

import functools
import sys

import pytest


@pytest.mark.slow
def test_properties_are_attributes(slicer_app):
    import qt

    label = qt.QLabel("one")
    assert (label.text, label.enabled, label.isVisible()) == ("one", True, False)
    label.text = "two"
    label.enabled = False
    assert (label.text, label.isEnabled()) == ("two", False)
    label.setText("three")
    assert label.text == "three"
    with pytest.raises(TypeError, match="not callable"):
        label.text()


@pytest.mark.slow
def test_members_of_classes_that_are_no_qobjects_stay_methods(slicer_app):
    import qt

    table = qt.QTableWidget(2, 3)
    table.setItem(0, 0, qt.QTableWidgetItem("cell"))
    assert (table.rowCount, table.columnCount, table.item(0, 0).text()) == (2, 3, "cell")
    assert qt.QSize(3, 4).width() == 3


@pytest.mark.slow
def test_a_property_of_a_base_class_hides_a_getter_of_a_subclass(slicer_app):
    import qt

    assert qt.QTableWidget(1, 1).horizontalHeader().sizeHint.height() > 0


@pytest.mark.slow
def test_a_static_method_may_have_the_name_of_a_property(slicer_app):
    import qt

    fired = []
    qt.QTimer.singleShot(0, lambda: fired.append(1))
    slicer_app.wait_until(lambda: fired)
    timer = qt.QTimer()
    timer.singleShot = True
    assert timer.singleShot is True


@pytest.mark.slow
def test_a_read_only_property_cannot_be_set(slicer_app):
    import qt

    with pytest.raises(AttributeError, match="not writable"):
        qt.QListWidget().count = 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["invented", "setText", "clicked"])
def test_cpp_objects_refuse_new_and_replaced_attributes(slicer_app, name):
    import ctk
    import qt

    for widget in (qt.QPushButton("b"), ctk.ctkPushButton("b")):
        with pytest.raises(AttributeError):
            setattr(widget, name, 1)


@pytest.mark.slow
def test_python_subclasses_take_attributes_and_override_virtuals(slicer_app):
    import qt

    class Wide(qt.QWidget):
        def __init__(self):
            super().__init__()
            self.mine = 7

        def sizeHint(self):
            return qt.QSize(321, 12)

    wide = Wide()
    wide.adjustSize()
    assert (wide.mine, wide.width) == (7, 321)


@pytest.mark.slow
@pytest.mark.parametrize("signature", ["clicked()", "clicked(bool)"])
def test_connect_and_disconnect_by_signature(slicer_app, signature):
    import qt

    button, calls = qt.QPushButton("b"), []
    button.checkable = True

    def slot(*arguments):
        calls.append(arguments)

    button.connect(signature, slot)
    button.click()
    assert calls == ([()] if signature == "clicked()" else [(True,)])
    assert button.disconnect(signature, slot)
    button.click()
    assert len(calls) == 1


@pytest.mark.slow
def test_callbacks_get_as_many_arguments_as_they_take(slicer_app):
    import qt

    button, calls = qt.QPushButton("b"), []
    button.checkable = True
    button.clicked.connect(lambda: calls.append("none"))
    button.clicked.connect(lambda checked: calls.append(checked))
    button.connect("clicked(bool)", lambda checked="default": calls.append(("default", checked)))
    button.connect("clicked(bool)", functools.partial(lambda first, second: calls.append((first, second)), "bound"))
    button.click()
    assert calls == ["none", True, ("default", True), ("bound", True)]


@pytest.mark.slow
def test_an_unknown_signal_is_an_error(slicer_app):
    import qt

    with pytest.raises(ValueError, match="no signal 'clickedd\\(\\)'"):
        qt.QPushButton().connect("clickedd()", print)


@pytest.mark.slow
def test_an_exception_in_a_slot_is_seen_and_the_loop_goes_on(slicer_app, unhandled_errors):
    import qt

    button, calls = qt.QPushButton("b"), []
    button.connect("clicked()", lambda: 1 / 0)
    button.connect("clicked()", lambda: calls.append(1))
    button.click()
    assert calls == [1]
    assert len(unhandled_errors) == 1
    assert "ZeroDivisionError" in unhandled_errors[0]
    unhandled_errors.clear()


@pytest.mark.slow
def test_names_dynamic_properties_and_children(slicer_app):
    import qt

    parent = qt.QWidget()
    child = qt.QLabel("c", parent)
    child.name = "inner"
    parent.setProperty("note", "n")
    assert (child.objectName, parent.note, parent.inner.text, child.className()) == ("inner", "n", "c", "QLabel")


@pytest.mark.slow
def test_a_process_reports_its_end_and_its_output(slicer_app):
    import qt

    process, ended = qt.QProcess(), []
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ended.append((code, status)))
    process.start(sys.executable, ["-c", "import sys; print(sys.stdin.read().upper()); sys.exit(3)"])
    assert process.waitForStarted(20000)
    process.write(b"word")
    process.closeWriteChannel()
    slicer_app.wait_until(lambda: ended, 20)
    assert ended == [(3, qt.QProcess.NormalExit)]
    assert process.readAllStandardOutput().data().strip() == b"WORD"
    assert process.state() == qt.QProcess.NotRunning


def test_none_is_not_used_up(slicer_app):
    import qt

    widget = qt.QWidget()
    for _ in range(1000):
        widget.setObjectName("x")
    assert sys.getrefcount(None) > 1_000_000  # PySide6 takes one too many a call; see host.pythonqt


def test_dialogs_take_prepared_answers(slicer_app):
    import qt
    import slicer

    slicer_app.answers.add(True, False, "/data/volume.nrrd", "Keep")
    assert slicer.util.confirmYesNoDisplay("Go on?") is True
    assert slicer.util.confirmOkCancelDisplay("Sure?") is False
    assert qt.QFileDialog.getOpenFileName(None, "Open", "", "*.nrrd") == "/data/volume.nrrd"
    box = qt.QMessageBox()
    box.text = "What now?"
    keep = box.addButton("Keep", qt.QMessageBox.AcceptRole)
    box.addButton("Drop", qt.QMessageBox.RejectRole)
    box.exec_()
    assert box.clickedButton() is keep
    assert [asked.text for asked in slicer_app.answers.asked] == ["Go on?", "Sure?", "", "What now?"]


def test_a_dialog_without_an_answer_fails(slicer_app):
    import slicer

    with pytest.raises(AssertionError, match="opened without an answer: Go on"):
        slicer.util.confirmYesNoDisplay("Go on?")
