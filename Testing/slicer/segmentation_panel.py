"""The panel of LE-UDA Segmentation and its parts on the screen: its fixtures (for conftest), and hands to use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from host import driving
from host.driving import wait_until
from leuda_core.bundle.store import ModelEntry
from leuda_core.types import Label
from repository import ROOT
from segmentation_scene import FakeWorker, add_volume

MODULE = ROOT / "LEUDASegmentation" / "LEUDASegmentation.py"
DISCS = (Label(1, "disc", (0.9, 0.3, 0.2)), Label(2, "ring", (0.2, 0.5, 0.9)))
HEART = (Label(1, "myocardium", (0.8, 0.4, 0.3)), Label(2, "left ventricle", (0.9, 0.2, 0.3)))
SHAPE = (5, 12, 14)  # (K, J, I) of volumes, of 1 mm3 a voxel
PANEL_WIDTH = 420  # about that of Slicer's panel, pixels


def model_entry(name: str = "heart", **changes: Any) -> ModelEntry:
    """Return a model of a list."""
    values = dict(
        path=Path("/models") / name,
        method="le_uda",
        source_modality="MR",
        target_modality="CT",
        labels=HEART,
        created="2026-03-04T10:00:00",
        size_bytes=1_240_000,
        metrics={"dice/myocardium": 0.8, "dice/left ventricle": 0.9, "hd95/myocardium": 5.0},
    )
    return ModelEntry(name=name, **{**values, **changes})


def draw_discs(fields: dict[str, Any]) -> dict[str, Any]:
    """Answer a request for a segmentation: labels 1 and 2 in two halves of a block of the volume."""
    labels = np.zeros(np.load(fields["volume"], mmap_mode="r").shape, np.uint8)
    labels[1:-1, 2:-2, 2:6], labels[1:-1, 2:-2, 6:-2] = 1, 2
    np.save(fields["output"], labels)
    return {"device": "cpu", "notes": [], "seconds": {}, "labels": []}


# Fixtures


@pytest.fixture
def shown(slicer_app) -> Iterator[Any]:
    """Show a widget in a window of the width of Slicer's panel, so that it can be pressed."""
    import qt

    windows = []

    def show(widget):
        window = qt.QWidget()
        qt.QVBoxLayout(window).addWidget(widget)
        window.resize(PANEL_WIDTH, 500)
        window.show()
        windows.append(window)
        QTest.qWait(0)
        return widget

    yield show
    for window in windows:
        window.close()


@pytest.fixture
def worker(exchange) -> FakeWorker:
    """The panel's worker, whose requests the test answers."""
    return FakeWorker(exchange, draw_discs, held=True)


@pytest.fixture
def entries() -> list[ModelEntry]:
    """The models in the panel's list; a test may change it."""
    other = Path("/models/other")
    return [model_entry("discs", labels=DISCS), model_entry("other discs", labels=DISCS, path=other, method="mt_uda")]


@pytest.fixture
def module(slicer_app, worker, entries, monkeypatch):
    """The module's widget, opened, with a worker and a list of models that the test holds; nothing is missing."""
    from LEUDASegmentationLib.logic import LEUDASegmentationLogic
    from LEUDASegmentationLib.processes import installation

    monkeypatch.setattr(installation, "missing_packages", lambda: [])
    monkeypatch.setattr(installation, "ensure_installed", lambda parent=None: True)
    monkeypatch.setattr(LEUDASegmentationLogic, "worker", property(lambda _logic: worker))
    monkeypatch.setattr(LEUDASegmentationLogic, "models", lambda _logic: list(entries))
    widget = slicer_app.loadModule(MODULE)
    settle()
    return widget


@pytest.fixture
def ready(module):
    """The module with a volume and a model chosen."""
    volume = add_patient()
    choose_model(module)
    module._parameterNode.inputVolume = volume
    settle()
    return module


# Hands


def settle(milliseconds: int = 40) -> None:
    """Let the event loop do what waits."""
    QTest.qWait(milliseconds)


def click(widget) -> None:
    """Press a widget with the left mouse button, and let the event loop do what follows."""
    driving.click(widget)
    settle()


def click_row(table, row: int, column: int = 0) -> None:
    """Press a cell of a table."""
    index = table.model().index(row, column)
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(index).center())


def click_check_mark(view, row: int) -> None:
    """Press the check mark of a row: it lies at the row's left end."""
    rect = view.visualRect(view.model().index(row, 0))
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(rect.left() + 9, rect.center().y()))


def row_texts(table, row: int) -> list[str]:
    """Return what stands in a row of a table."""
    return [table.item(row, column).text() for column in range(table.columnCount)]


def column_texts(table, column: int = 0) -> list[str]:
    """Return what stands in a column of a table."""
    return [table.item(row, column).text() for row in range(table.rowCount)]


def choose_model(module, row: int = 0) -> None:
    """Press a row of the panel's list of models."""
    click_row(module.panel.models.table, row)
    settle()


def add_patient(name: str = "patient 1 Größe"):
    """Add a volume of 1 mm3 a voxel, and let the panel see it."""
    node = add_volume(name, np.eye(4), SHAPE)
    settle()
    return node


def apply(module, worker) -> None:
    """Press Apply and wait until the worker was asked."""
    click(module.ui.applyButton)
    wait_until(lambda: worker.asked("segment"))


def apply_to_end(module, worker) -> None:
    """Press Apply, let the worker answer, and wait for the result and its numbers."""
    apply(module, worker)
    worker.answer()
    wait_until(lambda: not module.panel.apply.running)
    settle()


def segmentations() -> list:
    """Return the segmentation nodes that are not hidden."""
    import slicer

    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [node for node in nodes if not node.GetHideFromEditors()]
