"""What ends is let go: PythonQt keeps what is connected to a QObject alive as long as the QObject exists."""

from __future__ import annotations

import gc
import os
import weakref
from typing import Any

import pytest

from child_scripts import posix


def handles() -> int:
    return len(os.listdir("/proc/self/fd"))


def alive(found: list[weakref.ref[Any]]) -> int:
    gc.collect()
    return sum(one() is not None for one in found)


@posix
@pytest.mark.slow
def test_two_hundred_commands_leave_nothing_behind(slicer_app) -> None:
    from LEUDASegmentationLib.processes.child_process import ChildProcess

    class Owner:
        """Has the callbacks of a command, as a panel does."""

        def __init__(self) -> None:
            self.codes: list[int] = []
            self.lines: list[str] = []

    def run(word: str, owner: Owner) -> weakref.ref[ChildProcess]:
        process = ChildProcess(
            ["/bin/echo", word], onOutput=owner.lines.append, onLog=owner.lines.append, onEnd=owner.codes.append
        )
        process.start()
        assert process.wait(10)
        return weakref.ref(process)

    owner = Owner()
    run("first", owner)
    before = handles()
    found = [run(str(number), owner) for number in range(200)]
    slicer_app.wait_until(lambda: alive(found) == 0, 5, "commands are kept")
    assert handles() <= before + 2
    assert owner.codes == [0] * 201 and owner.lines == ["first", *map(str, range(200))]


@posix
def test_a_command_that_has_ended_says_so_and_takes_no_more_input(slicer_app) -> None:
    from LEUDASegmentationLib.processes.child_process import ChildProcess

    process = ChildProcess(["/bin/echo"], onOutput=print, onLog=print, onEnd=print)
    process.start()
    assert process.wait(10)
    assert process.ended and not process.running and process.pid == 0
    process.write(b"late")
    process.close(100)
    process.interrupt()
    process.kill()


@posix
def test_a_command_that_cannot_be_started_is_let_go_as_well(slicer_app) -> None:
    from LEUDASegmentationLib.processes.child_process import FAILED_TO_START, ChildProcess

    codes: list[int] = []
    process = ChildProcess(["/nowhere/at/all"], onOutput=print, onLog=print, onEnd=codes.append)
    process.start()
    assert process.wait(10) and codes == [FAILED_TO_START]
    found = [weakref.ref(process)]
    del process
    slicer_app.wait_until(lambda: alive(found) == 0, 5, "the command is kept")


def test_a_timer_that_was_ended_lets_go_of_its_owner(slicer_app) -> None:
    from LEUDASegmentationLib.scene.steps import Pulse

    class Owner:
        def __init__(self) -> None:
            self.turns = 0
            self.pulse = Pulse(self.turn)
            self.pulse.start()

        def turn(self) -> None:
            self.turns += 1

    def start_and_end() -> weakref.ref[Owner]:
        owner = Owner()
        slicer_app.wait_until(lambda: owner.turns > 2, 5)
        owner.pulse.stop()
        assert not owner.pulse.active
        owner.pulse.start()
        assert owner.pulse.active
        owner.pulse.end()
        owner.pulse.end()
        owner.pulse.start()
        assert not owner.pulse.active
        return weakref.ref(owner)

    found = [start_and_end()]
    slicer_app.wait_until(lambda: alive(found) == 0, 5, "the owner is kept")


@pytest.mark.slow
def test_trainings_that_were_cancelled_leave_nothing_behind(slicer_app, tmp_path) -> None:
    from LEUDATrainingLib.runs.training_job import Listeners, TrainingCall, TrainingJob

    errors: list[Any] = []

    def start(number: int) -> weakref.ref[Any]:
        call = TrainingCall(tmp_path / "dataset.json", "source_only", tmp_path / str(number))
        job = TrainingJob(call, lambda *_, **__: None, Listeners(on_error=errors.append))
        job.start()
        job.cancel()
        return weakref.ref(job)

    found = [start(number) for number in range(20)]
    slicer_app.wait_until(lambda: alive(found) == 0, 5, "trainings are kept")
    assert len(errors) == 20
