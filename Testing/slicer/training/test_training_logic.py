"""LEUDATrainingLogic: with commands that answer as told, and once for real."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import unittest
from pathlib import Path

import pytest

from leuda_core.errors import Cancelled, InputError, LeudaError
from leuda_core.runs.folder import Run
from repository import ROOT
from training_scene import Commands, FakeCommand, fill


@pytest.fixture
def logic(slicer_app):
    from LEUDATrainingLib.logic import LEUDATrainingLogic

    return LEUDATrainingLogic()


def test_train_writes_checks_launches_and_waits(logic, tmp_path: Path) -> None:
    commands = logic.commandFactory = Commands()
    node = logic.getParameterNode()
    fill(node)
    stages = []
    run = logic.train(
        node,
        "mean_teacher",
        out=tmp_path / "t" / "run",
        steps=7,
        seed=3,
        device="cpu",
        settings={"batch_size": 2, "some_switch": True},
        onProgress=lambda stage, fraction: stages.append((stage, fraction)),
    )
    assert run.path == tmp_path / "t" / "run"
    check, train = commands.words
    dataset = str(tmp_path / "t" / "dataset.json")
    assert check == ["check", dataset]
    assert train[:2] == ["train", dataset]
    assert " ".join(train[2:]) == (
        f"--method mean_teacher --out {run.path} --seed 3 --device cpu --steps 7 "
        "--set batch_size=2 --set some_switch=true --detach"
    )
    fractions = [fraction for _stage, fraction in stages]
    assert fractions == sorted(fractions)
    assert {stage for stage, _fraction in stages} >= {"Writing Zoë MR", "Checking every volume"}


def test_a_node_found_in_the_scene_will_do(logic, tmp_path: Path) -> None:
    logic.commandFactory = Commands()
    node = logic.getParameterNode()
    fill(node)
    logic.train(node.parameterNode, out=tmp_path / "t" / "run")
    assert (tmp_path / "t/dataset.json").exists()


def test_a_dataset_file_is_used_as_it_is(logic, tmp_path: Path) -> None:
    from LEUDASegmentationLib.processes.environment import runs_folder

    commands = logic.commandFactory = Commands()
    run = logic.train(tmp_path / "my data.json")
    assert commands.words[0] == ["check", str(tmp_path / "my data.json")]
    assert run.path == runs_folder() / "my data self_training" / "run"
    again = logic.train(tmp_path / "my data.json")
    assert again.path.parent.name == "my data self_training 2"  # a run is never written over


def test_all_problems_are_told_at_once_and_nothing_stays(logic, tmp_path: Path) -> None:
    problems = ["case 'a' is cut short; copy it", "case 'b' is constant; look"]
    commands = logic.commandFactory = Commands(problems=problems)
    node = logic.getParameterNode()
    fill(node)
    with pytest.raises(InputError) as caught:
        logic.train(node, out=tmp_path / "t" / "run")
    assert "2 problems" in caught.value.message
    assert "'a' is cut short" in caught.value.remedy
    assert "'b' is constant" in caught.value.remedy
    assert [words[0] for words in commands.words] == ["check"]
    assert not (tmp_path / "t").exists()


def test_a_launch_that_fails_tells_why(logic, tmp_path: Path) -> None:
    logic.commandFactory = Commands(launch_error=InputError("--set: batch_size=0 is not allowed", "use 1 or more"))
    node = logic.getParameterNode()
    fill(node)
    with pytest.raises(InputError, match="batch_size=0 is not allowed; use 1 or more"):
        logic.train(node, out=tmp_path / "t" / "run")
    assert not (tmp_path / "t").exists()


def test_what_a_user_kept_beside_the_dataset_is_never_removed(logic, tmp_path: Path) -> None:
    logic.commandFactory = Commands(problems=["bad; fix it"])
    node = logic.getParameterNode()
    fill(node)
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="bad"):
        logic.train(node, out=tmp_path / "t" / "run")
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("end", "kind", "words"),
    [("error", LeudaError, "out of memory; make batch_size smaller"), ("stopped", Cancelled, "stopped"),
     ("", LeudaError, "stopped unexpectedly")],
)  # fmt: skip
def test_a_run_that_does_not_finish_is_an_error_and_stays(logic, tmp_path: Path, end, kind, words) -> None:
    logic.commandFactory = Commands(end=end)
    node = logic.getParameterNode()
    fill(node)
    with pytest.raises(kind, match=words):
        logic.train(node, out=tmp_path / "t" / "run")
    assert (tmp_path / "t" / "dataset.json").exists()  # the run can be resumed
    assert logic.status(tmp_path / "t" / "run").state in ("failed", "stopped", "crashed")


def test_without_waiting_it_returns_at_once_and_tells_in_order(logic, tmp_path: Path) -> None:
    logic.commandFactory = Commands()
    node = logic.getParameterNode()
    fill(node)
    told: list[str] = []
    run = logic.train(
        node,
        out=tmp_path / "t" / "run",
        wait=False,
        onStarted=lambda run: told.append("started"),
        onDone=lambda run: told.append("done"),
        onError=lambda error: told.append(str(error)),
    )
    assert told == []
    assert not run.config.exists()
    with pytest.raises(InputError, match="another training is being started"):
        logic.train(node, out=tmp_path / "other" / "run")
    logic.job.wait()
    assert told == ["started", "done"]


@pytest.mark.parametrize("turns", [0, 2, 40])
def test_cancelling_before_the_start_leaves_nothing(logic, tmp_path: Path, turns: int) -> None:
    import slicer

    def never(words, onDone, onError, onLine=None):
        return FakeCommand(lambda _words: None, words, onDone, onError)

    logic.commandFactory = never
    node = logic.getParameterNode()
    fill(node)
    errors: list[LeudaError] = []
    logic.train(node, out=tmp_path / "t" / "run", wait=False, onError=errors.append)
    for _turn in range(turns):
        slicer.app.processEvents()
    logic.cancel()
    assert [type(error) for error in errors] == [Cancelled]
    assert logic.job.ended
    assert not (tmp_path / "t").exists()
    logic.cancel()  # twice does no harm
    assert len(errors) == 1


def test_a_volume_deleted_while_it_is_written_does_no_harm(logic, tmp_path: Path) -> None:
    import slicer

    logic.commandFactory = Commands()
    node = logic.getParameterNode()
    source, _segmentation, target = fill(node)
    errors: list[LeudaError] = []
    logic.train(node, out=tmp_path / "t" / "run", wait=False, onError=errors.append)
    slicer.app.processEvents()
    slicer.mrmlScene.RemoveNode(source)
    slicer.mrmlScene.RemoveNode(target)
    with pytest.raises(LeudaError, match="was deleted"):
        logic.job.wait()
    assert not (tmp_path / "t").exists()


def test_runs_are_listed_newest_first(logic) -> None:
    assert logic.runs() == []
    logic.commandFactory = Commands()
    for name in ("one", "two"):
        logic.train(Path(name), "tcsm")
        time.sleep(0.02)
    assert [status.path.parent.name for status in logic.runs()] == ["two tcsm", "one tcsm"]
    assert {status.state for status in logic.runs()} == {"finished"}


def test_stop_asks_and_resume_goes_on(logic, tmp_path: Path) -> None:
    commands = logic.commandFactory = Commands(end="stopped")
    with pytest.raises(Cancelled):
        logic.train(tmp_path / "d.json", out=tmp_path / "run")
    run = Run(tmp_path / "run")
    logic.stop(run)
    assert run.stop.exists()
    assert logic.kill(run.path) is False  # nobody holds it
    resumed: list[list[str]] = []
    logic.commandFactory = lambda words, **told: FakeCommand(
        lambda words: resumed.append(words) or {"state": "running"}, words, told["onDone"], told["onError"]
    )
    done: list[Run] = []
    logic.resume(run, wait=True, onDone=done.append)
    assert resumed == [["resume", str(run.path), "--detach"]]
    assert done == [run]
    assert commands.words[-1][0] == "train"


def test_run_names_are_folder_names_everywhere(logic) -> None:
    assert logic.newRunFolder("a/b:c?").parent.name == "a_b_c_"
    assert logic.newRunFolder("Zoë (2)").parent.name == "Zoë (2)"
    assert logic.newRunFolder(" .. ").parent.name == "training"


def self_test(slicer_app):
    """Return the self-test of the module, as Slicer finds it."""
    for name in ("LEUDASegmentation", "LEUDATraining"):
        slicer_app.loadModule(ROOT / name / f"{name}.py")
    import LEUDATraining

    return LEUDATraining.LEUDATrainingTest()


@pytest.mark.slow
def test_the_self_test_trains_for_real_and_uses_the_model(slicer_app) -> None:
    import slicer

    self_test(slicer_app).runTest()
    names = [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")]
    assert any("self-test target" in name for name in names)


def test_the_self_test_never_passes_when_nothing_ran(slicer_app, monkeypatch) -> None:
    from LEUDASegmentationLib.processes import installation

    test = self_test(slicer_app)
    monkeypatch.setattr(installation, "missing_packages", lambda: ["torch"])
    with pytest.raises(unittest.SkipTest, match="nothing was tested: torch missing"):
        test.runTest()


IMPORT = """
import sys, time
from host import boot
app = boot(sys.argv[1], main_window=False)
for name in ("LEUDASegmentation", "LEUDATraining"):
    sys.path.insert(0, f"{sys.argv[2]}/{name}")
import LEUDASegmentationLib.logic
begin = time.process_time()
import LEUDATraining
seconds = time.process_time() - begin
heavy = {"torch", "SimpleITK", "scipy", "msgspec", "nibabel"} & set(sys.modules)
print(f"{seconds:.3f} {sorted(heavy)}")
app.close()
"""


@pytest.mark.slow
def test_the_module_imports_quickly_and_nothing_heavy(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "Testing"), str(ROOT)])}
    command = [sys.executable, "-c", IMPORT, str(tmp_path), str(ROOT)]
    seconds = []
    for _attempt in range(3):  # the first attempt may read from a cold disk
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        took, heavy = done.stdout.strip().splitlines()[-1].split(" ", 1)
        assert heavy == "[]"
        seconds.append(float(took))
        if seconds[-1] < 0.3:
            return
    assert min(seconds) < 0.3
