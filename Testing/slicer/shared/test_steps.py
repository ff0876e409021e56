"""Work in pieces: the event loop runs between any two, and it can be stopped at any time."""

from __future__ import annotations

import pytest

from leuda_core.errors import InputError


class Recorder:
    """A generator of three pieces, and what became of it."""

    def __init__(self, fail: Exception | None = None) -> None:
        self.pieces, self.closed, self.done, self.errors = 0, False, [], []
        self._fail = fail

    def steps(self):
        try:
            for self.pieces in (1, 2, 3):
                yield self.pieces / 3
            if self._fail:
                raise self._fail
            return "result"
        finally:
            self.closed = True

    def start(self):
        from LEUDASegmentationLib.scene.steps import EventLoopWork

        return EventLoopWork(self.steps(), self.done.append, self.errors.append).start()


@pytest.mark.slow
def test_all_at_once(slicer_app) -> None:
    from LEUDASegmentationLib.scene.steps import finish

    assert finish(Recorder().steps()) == "result"


@pytest.mark.slow
def test_events_come_between_the_pieces(slicer_app) -> None:
    import qt

    recorder, seen = Recorder(), []

    def look() -> None:
        seen.append(recorder.pieces)
        if len(seen) < 3:
            qt.QTimer.singleShot(0, look)

    work = recorder.start()
    qt.QTimer.singleShot(0, look)
    assert recorder.pieces == 0 and work.running
    slicer_app.wait_until(lambda: recorder.done)
    assert seen == [1, 2, 3] and recorder.done == ["result"] and not work.running


def test_stopped_work_tells_nobody(slicer_app) -> None:
    import qt

    recorder = Recorder()
    work = recorder.start()

    def stop_at_two() -> None:
        if recorder.pieces < 2:
            qt.QTimer.singleShot(0, stop_at_two)
        else:
            work.stop()
            work.stop()

    stop_at_two()
    slicer_app.wait_until(lambda: recorder.closed)
    slicer_app.processEvents()
    assert recorder.pieces == 2 and not (recorder.done or recorder.errors or work.running)


def test_work_that_stops_itself_ends_there(slicer_app) -> None:
    from LEUDASegmentationLib.scene.steps import EventLoopWork

    done, pieces = [], []

    def steps():
        work.stop()  # such as a node that is deleted by what a piece does
        pieces.append(1)
        yield 0.5
        pieces.append(2)

    work = EventLoopWork(steps(), done.append).start()
    slicer_app.wait_until(lambda: pieces)
    slicer_app.processEvents()
    assert pieces == [1] and done == []


def test_an_error_is_told(slicer_app) -> None:
    recorder = Recorder(InputError("no voxels", "load the volume again"))
    work = recorder.start()
    slicer_app.wait_until(lambda: recorder.errors)
    assert recorder.errors[0].remedy == "load the volume again" and not recorder.done and not work.running


@pytest.mark.parametrize("listened", [True, False])
def test_an_error_is_never_swallowed(slicer_app, unhandled_errors, listened: bool) -> None:
    from LEUDASegmentationLib.scene.steps import EventLoopWork

    recorder = Recorder(ValueError("a fault of ours") if listened else InputError("a fault", "a remedy"))
    work = EventLoopWork(recorder.steps(), on_error=recorder.errors.append if listened else None).start()
    slicer_app.wait_until(lambda: unhandled_errors)
    assert "a fault" in unhandled_errors.pop() and not recorder.errors and not work.running


@pytest.mark.slow
def test_parts_of_something_larger(slicer_app) -> None:
    from LEUDASegmentationLib.scene.steps import within

    steps = within(0.5, 1.0, Recorder().steps())
    assert [next(steps) for _piece in range(3)] == pytest.approx([2 / 3, 5 / 6, 1.0])
    with pytest.raises(StopIteration, match="result"):
        next(steps)
