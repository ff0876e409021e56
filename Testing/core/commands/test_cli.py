"""The command line: exit codes, one-line errors, clean JSON, and what the subcommands write."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from leuda_core import cli
from leuda_core.cli import main
from leuda_core.commands import output, volumes
from leuda_core.config import parse_settings
from leuda_core.errors import Cancelled, InputError
from leuda_core.io.volumes import read_volume
from leuda_core.runs.control import kill
from leuda_core.runs.folder import Run
from leuda_core.runs.state import status
from leuda_core.types import SegmentOptions
from repository import ROOT

COMMANDS = [
    "methods",
    "check",
    "plan",
    "train",
    "status",
    "stop",
    "resume",
    "segment",
    "evaluate",
    "phantom",
    "report",
    "doctor",
    "demo",
    "bench",
]
TINY = ["--set", "base_channels=4", "--set", "patch_size=32", "--set", "batch_size=2", "--device", "cpu"]


@pytest.fixture
def bundle(untrained_bundle: Path) -> Path:
    return untrained_bundle


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def call_json(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict]:
    code, out, _ = call(capsys, *words, "--json")
    return code, json.loads(out)


# calls


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "--help")
    assert code == 0 and all(name in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_a_function(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, name, "--help")
    assert code == 0 and out.startswith(f"usage: leuda {name}") and "--json" in out
    actions = cli.build_parser()._subparsers._group_actions[0].choices[name]
    assert callable(cli._command(actions.get_default("run_command")))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "COMMAND"),
        (["frobnicate"], "'frobnicate'"),
        (["train", "d.json"], "--out"),
        (["train", "d.json", "--method", "x", "--out", "r", "--steps", "many"], "'many'"),
        (["segment", "--model", "m", "--input", "i", "--output", "o", "--format", "png"], "'png'"),
        (["status"], "RUN"),
        (["status", "/no/such/run"], "/no/such/run"),
        (["check", "/no/such.json", "--nonsense"], "--nonsense"),
        (["segment", "--model", "m", "--input", "/no/such", "--output", "o"], "/no/such"),
        (["evaluate", "--prediction", "/no/such", "--reference", "/no/such"], "/no/such"),
    ],
)
def test_a_wrong_call_is_one_line_and_2(words: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("leuda: error: ") and err.count("\n") == 1 and named in err


def test_a_wrong_call_with_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["train", "--json"], ["status", "/no/such/run", "--json"]):
        code, out, _ = call(capsys, *words)
        error = json.loads(out)["error"]
        assert code == error["exit_code"] == 2 and error["kind"] == "input" and error["message"] and error["remedy"]


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (InputError("wrong value 7", "give 8"), 2),
        (FileNotFoundError(2, "No such file", "/a/b"), 2),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 2),
        (Cancelled(), 130),
        (KeyboardInterrupt(), 130),
        (ValueError("two\nlines"), 1),
    ],
)
def test_exit_codes(
    raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: argparse.Namespace) -> None:
        print("a library prints")
        raise raised

    monkeypatch.setattr(cli, "_command", lambda place: fail)
    monkeypatch.delenv("LEUDA_DEBUG", raising=False)
    found, out, err = call(capsys, "methods", "--json")
    assert found == code == json.loads(out)["error"]["exit_code"]
    lines = err.splitlines()
    assert lines[0] == "a library prints" and len(lines) == 2 and lines[1].startswith("leuda: ")
    monkeypatch.setenv("LEUDA_DEBUG", "1")
    assert ("Traceback" in call(capsys, "methods")[2]) == (code == 1)


def test_status_starts_without_heavy_libraries(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    code = (
        "import sys; from leuda_core.cli import main; code = main(sys.argv[1:])\n"
        "assert not {'torch', 'monai', 'SimpleITK', 'numpy'} & set(sys.modules); sys.exit(code)"
    )
    words = [sys.executable, "-c", code, "status", str(tmp_path), "--json"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["state"] == "created"


def test_a_reader_that_left_is_no_error() -> None:
    command = f'"{sys.executable}" -m leuda_core --help | true; exit ${{PIPESTATUS[0]}}'
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


# what they tell


def test_methods_tells_papers_and_settings(capsys: pytest.CaptureFixture[str]) -> None:
    code, rows = call_json(capsys, "methods")
    by_name = {row["name"]: row for row in rows}
    assert code == 0 and {"le_uda", "source_only"} <= set(by_name)
    assert "description" in by_name["mean_teacher"]["settings"]["properties"]["consistency_weight"]
    assert "le_uda" in call(capsys, "methods")[1]


def test_check(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = call_json(capsys, "check", tiny_dataset)
    assert code == 0 and found["ok"] and found["summary"]["cases"]["source"] == 3
    document = json.loads(tiny_dataset.read_text())
    document["source"]["cases"][1]["image"] = "gone_1.nii.gz"
    document["target"]["cases"][0]["image"] = "gone_2.nii.gz"
    for path in tiny_dataset.parent.glob("*.nii.gz"):
        shutil.copy(path, tmp_path)
    broken = tmp_path / "dataset.json"
    broken.write_text(json.dumps(document))
    code, out, _ = call(capsys, "check", broken)
    assert code == 2 and "gone_1" in out and "gone_2" in out
    code, found = call_json(capsys, "check", broken)
    assert code == 2 and not found["ok"] and len(found["problems"]) == 2


def test_doctor_runs_a_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = call_json(capsys, "doctor")
    cpu = found["devices"][0]
    assert code == 0 and found["works"] and cpu["device"] == "cpu" and cpu["problem"] == "" and cpu["milliseconds"] > 0
    assert found["versions"]["torch"]
    assert "works" in call(capsys, "doctor")[1]


def test_doctor_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "torch" else find(name, *a))
    code, found = call_json(capsys, "doctor")
    assert code == 2 and not found["works"] and "pip install torch" in found["missing"]["torch"]["get"]


# segmenting and scoring


@pytest.mark.slow
def test_phantom_writes_a_dataset_into_an_empty_folder_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["phantom", "--out", tmp_path / "made", "--source", 2, "--labelled", 1, "--target", 1, "--test", 1]
    code, data = call_json(capsys, *words)
    dataset = json.loads(Path(data["dataset"]).read_text())
    assert code == 0 and ["label" in case for case in dataset["source"]["cases"]] == [True, False]
    code, data = call_json(capsys, *words)
    assert code == 2 and "contains other files" in data["error"]["message"]


@pytest.mark.slow
def test_phantom_in_the_other_direction_and_with_target_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["phantom", "--out", tmp_path, "--source", 1, "--labelled", 1, "--target", 1, "--test", 1]
    _, data = call_json(capsys, *words, "--direction", "ct-to-mr", "--target-labels")
    dataset = json.loads(Path(data["dataset"]).read_text())
    assert (dataset["source"]["modality"], dataset["target"]["modality"]) == ("CT", "MR")
    assert "label" in dataset["target"]["cases"][0]
    lowest = [read_volume(tmp_path / f"{group}_01.nii.gz").data.min() for group in ("source", "target")]
    assert lowest[0] < -500 and lowest[1] >= 0  # Hounsfield units, and magnitudes


def test_segment_one_volume(
    bundle: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from leuda_core.io.volumes import read_grid, read_label_map, same_grid

    source, target = tiny_dataset.parent / "t0.nii.gz", tmp_path / "new folder" / "t0.seg.nrrd"
    words = ["segment", "--model", bundle, "--input", source, "--output", target, "--device", "cpu", "--probabilities"]
    code, found = call_json(capsys, *words, "--largest-component")
    row = found["volumes"][0]
    assert code == 0 and row["ok"] and set(row["volumes_ml"]) == {"ring", "core"}
    label_map = read_label_map(target, None)
    assert same_grid(label_map, read_grid(source)) and [label.name for label in label_map.labels] == ["ring", "core"]
    import nibabel

    probabilities = nibabel.load(row["probabilities"])
    assert probabilities.shape == (48, 48, 6, 3)
    np.testing.assert_allclose(probabilities.affine, read_grid(source).affine, atol=1e-4)
    np.testing.assert_allclose(probabilities.get_fdata().sum(-1), 1, atol=5e-3)


def test_one_bad_volume_never_stops_the_rest(
    bundle: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("t0.nii.gz", "t1.nii.gz"):
        shutil.copy(tiny_dataset.parent / name, folder)
    (folder / "a_torn.nii.gz").write_bytes((folder / "t0.nii.gz").read_bytes()[:500])
    words = ["segment", "--model", bundle, "--input", folder, "--output", out, "--device", "cpu", "--format", "nrrd"]
    code, found = call_json(capsys, *words)
    assert code == 2 and found["failed"] == 1
    assert [row["ok"] for row in found["volumes"]] == [False, True, True]
    assert sorted(path.name for path in out.glob("*")) == [".leuda-segmented.jsonl", "t0.nrrd", "t1.nrrd"]
    code, text, err = call(capsys, *words)
    assert code == 2 and "2 of 3 volumes segmented" in text and "a_torn" in err


def test_a_second_call_does_what_is_missing_and_keeps_what_was_corrected(
    bundle: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("t0.nii.gz", "t1.nii.gz"):
        shutil.copy(tiny_dataset.parent / name, folder)
    words = ["segment", "--model", bundle, "--input", folder, "--output", out, "--device", "cpu"]
    _, first = call_json(capsys, *words)
    assert [row["skipped"] for row in first["volumes"]] == [False, False]
    (out / "t0.nii.gz").unlink()
    corrected = out / "t1.nii.gz"
    corrected.write_bytes(corrected.read_bytes() + b"corrected")
    code, second = call_json(capsys, *words)
    assert code == 0 and [row["skipped"] for row in second["volumes"]] == [False, True]
    assert second["volumes"][0]["volumes_ml"] == first["volumes"][0]["volumes_ml"]
    assert "changed" in second["volumes"][1]["notes"][0] and corrected.read_bytes().endswith(b"corrected")
    _, text, _ = call(capsys, *words, "--largest-component")
    assert "2 of 2 volumes segmented, 1 of them before" in text, "other options, but a correction is kept"
    _, third = call_json(capsys, *words, "--overwrite")
    assert [row.get("skipped", False) for row in third["volumes"]] == [False, False]
    assert not corrected.read_bytes().endswith(b"corrected")


def test_outputs_never_fall_on_inputs_or_each_other(tiny_dataset: Path, tmp_path: Path) -> None:
    for name in ("t0.nii.gz", "t1.nii.gz"):
        shutil.copy(tiny_dataset.parent / name, tmp_path)
    with pytest.raises(InputError, match="overwritten"):
        volumes.plan_outputs(tmp_path, tmp_path)
    assert [target.name for _, target in volumes.plan_outputs(tmp_path, tmp_path, "nrrd")] == ["t0.nrrd", "t1.nrrd"]
    (tmp_path / "t0.mha").touch()
    with pytest.raises(InputError, match="would both become"):
        volumes.plan_outputs(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="one file"):
        volumes.plan_outputs(tmp_path, tmp_path / "out.nii.gz")
    (tmp_path / "t0.mha").unlink()
    (tmp_path / "t0_probabilities.nii.gz").touch()
    volumes.plan_outputs(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="would both become"):
        volumes.plan_outputs(tmp_path, tmp_path / "out", options=SegmentOptions(probabilities=True))
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    with pytest.raises(InputError, match=r"out\.png has an unknown extension"):
        volumes.plan_outputs(tmp_path / "t0.nii.gz", tmp_path / "out.png")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_evaluate(tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    label = tiny_dataset.parent / "test_t_label.nii.gz"
    code, found = call_json(capsys, "evaluate", "--prediction", label, "--reference", label)
    assert code == 0 and found["overall"]["dice"] == 1.0
    code, text, _ = call(capsys, "evaluate", "--prediction", label, "--reference", label)
    assert code == 0 and "1.00" in text and "Dice" in text


# training


@pytest.mark.slow
def test_train_status_stop_and_resume(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    words = ["train", tiny_dataset, "--method", "source_only", "--out", run, "--steps", 3, *TINY]
    code, out, err = call(capsys, *words)
    assert code == 0, err
    assert f"model: {run / 'bundle'}" in out and "next: leuda segment" in out
    assert call_json(capsys, "status", run)[1]["state"] == "finished"
    assert call_json(capsys, "stop", run) == (0, {"running": False})
    assert call(capsys, "resume", run)[0] == 0  # of a finished run: says so again
    code, _, err = call(capsys, *words)
    assert code == 2 and "already contains a run" in err
    code, _, err = call(capsys, "report", run, "--out", tmp_path / "run.pdf")
    assert code == 2 and ".html" in err and not (run / "scores.json").exists()  # before the cases are scored
    page = tmp_path / "run.html"
    assert call_json(capsys, "report", run, "--out", page) == (0, {"report": str(page)})
    assert "test_t" in page.read_text(encoding="utf-8")  # the held-out case was scored


@pytest.mark.slow
def test_a_detached_run_is_watched_stopped_and_resumed(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "a run"
    words = ["train", tiny_dataset, "--method", "source_only", "--out", run, "--steps", 100000, *TINY, "--detach"]
    code, found = call_json(capsys, *words)
    assert code == 0 and found["pid"] != os.getpid()
    try:
        assert status(run).state == "running"
        code, _, err = call(capsys, "resume", run)
        assert code == 2 and f"process {found['pid']}" in err
        _wait_for(lambda: status(run).step > 0)
        assert call(capsys, "stop", run)[0] == 0
        _wait_for(lambda: status(run).state != "running")
    finally:
        kill(run)
    assert status(run).state == "stopped", Run(run).log.read_text()
    assert Run(run).checkpoint.exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_writes_a_checkpoint_and_is_130(tiny_dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["train", tiny_dataset, "--method", "source_only", "--out", run, "--steps", 100000, *TINY]
    command = [sys.executable, "-m", "leuda_core", *map(str, words)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    _wait_for(lambda: (run / "run.json").exists() and status(run).step > 0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "again to stop at once" in err and Run(run).checkpoint.exists()
    assert status(run).state == "stopped"


def test_resume_tells_that_torch_is_missing(tmp_path: Path) -> None:
    """In an event, because a detached process has nobody to tell it to."""
    (tmp_path / "run.json").write_text('{"dataset": "d", "method": "source_only"}')
    code = "import sys; sys.modules['torch'] = None; from leuda_core.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "resume", str(tmp_path)], cwd=ROOT, capture_output=True, check=False
    )
    found = status(tmp_path)
    assert done.returncode == 2 and found.state == "failed" and "torch" in found.message and "doctor" in found.remedy


def _wait_for(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


# small things


def test_settings() -> None:
    assert parse_settings(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    with pytest.raises(InputError, match="twice"):
        parse_settings(["a=1", "a=2"])


def test_json_of_everything_we_say() -> None:
    value = {"path": Path("a") / "b", "nan": float("nan"), "count": np.int64(3), "rows": (np.float32(0.5),)}
    assert json.loads(output.to_json(value)) == {"path": str(Path("a/b")), "nan": None, "count": 3, "rows": [0.5]}


def test_progress_without_a_terminal_is_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with output.Progress() as progress:
        for step in range(1, 101):
            progress(step, 100, {"loss": 0.123456})
    out, err = capsys.readouterr()
    assert (out, err) == ("", "step 100/100 loss=0.1235\n")
