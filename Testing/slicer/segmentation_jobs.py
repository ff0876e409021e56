"""The logic of LEUDASegmentation with a worker that the tests hold: its fixtures (for conftest), and what jobs tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from leuda_core.errors import LeudaError
from segmentation_scene import MODEL, FakeWorker


def make_logic(exchange: Path, **how):
    """Return the logic with one model in its list, and a ``FakeWorker``."""
    from LEUDASegmentationLib.logic import LEUDASegmentationLogic

    class Logic(LEUDASegmentationLogic):
        def models(self):
            return [MODEL]

    return Logic(FakeWorker(exchange, **how), exchange.parent / "models")


@pytest.fixture
def logic(slicer_app, exchange):
    """The logic with a worker that answers by itself, in the event loop."""
    return make_logic(exchange)


@pytest.fixture
def held(slicer_app, exchange):
    """The logic with a worker that answers when the test says so."""
    return make_logic(exchange, held=True)


class Outcome:
    """What a job told: progress, then a segmentation or an error, once."""

    def __init__(self) -> None:
        self.progress, self.done, self.errors = [], [], []

    @property
    def callbacks(self) -> dict:
        return dict(onProgress=self.progress.append, onDone=self.done.append, onError=self.errors.append)

    @property
    def ended(self) -> bool:
        return bool(self.done or self.errors)

    @property
    def error(self) -> LeudaError:
        assert not self.done and len(self.errors) == 1
        return self.errors[0]


def begin(app, logic, volume, **options):
    """Start a job and let it come as far as its request."""
    outcome = Outcome()
    job = logic.segment(volume, "Herz CT", wait=False, **outcome.callbacks, **options)
    app.wait_until(lambda: logic.worker.open, 5, "no request")
    return job, outcome


def segmentations(app) -> int:
    """Return how many segmentation nodes there are."""
    return app.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
