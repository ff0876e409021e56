"""Batch mode: many files, one model, one worker; whatever happens to one of them."""

from __future__ import annotations

import ast
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench_scale import BROKEN
from leuda_core.io.names import output_names
from repository import ROOT

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "LEUDASegmentation" / "LEUDABatch.py"


@pytest.fixture
def batch(slicer_app):
    import LEUDABatch

    return LEUDABatch


@pytest.fixture
def run(batch, untrained_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable:
    """Run the batch on the CPU; return exit code, summary and what was said."""

    def call(*words: object, out: Path = tmp_path / "out", name: object = untrained_bundle) -> tuple[int, dict, str]:
        arguments = ["--model", name, "--output", out, "--device", "cpu", "--input", *words]
        code = batch.main([str(word) for word in arguments])
        path = out / "summary.json"
        summary = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return code, summary, capsys.readouterr().err

    return call


def write_volume(path: Path, shape: tuple[int, ...] = (20, 18, 3)) -> Path:
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(0).integers(0, 500, shape).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(data, np.diag([1.0, 1.0, 4.0, 1.0])), path)
    return path


def test_one_bad_file_never_stops_the_rest(run, tmp_path: Path) -> None:
    folder = tmp_path / "bilder Größe 1"
    write_volume(folder / "a.nii.gz")
    (folder / "b.nii.gz").write_bytes(b"torn")
    write_volume(folder / "c.nii.gz")
    (folder / "crashes.nrrd").write_bytes(BROKEN["endian.nrrd"])
    (folder / "hangs.mha").write_bytes(BROKEN["matrix.mha"])
    code, summary, said = run(folder, tmp_path / "absent.nrrd")
    states = {Path(row["input"]).name: row["state"] for row in summary["files"]}
    broken = dict.fromkeys(("b.nii.gz", "crashes.nrrd", "hangs.mha", "absent.nrrd"), "failed")
    assert states == {"a.nii.gz": "done", "c.nii.gz": "done", **broken}
    assert code == summary["exit_code"] == 2 and (summary["done"], summary["failed"]) == (2, 4)
    for row in summary["files"]:
        done = row["state"] == "done"
        assert Path(row["output"]).exists() is done and bool(row["message"] and row["remedy"]) is not done
        assert row["seconds"] > 0 and set(row["volumes_ml"]) == ({"ring", "core"} if done else set())
    assert "[2/6] b.nii.gz: failed" in said and "[3/6] c.nii.gz: c.seg.nrrd" in said and "2 of 6 volumes" in said


def test_options_reach_the_worker_and_json_is_all_there_is_on_standard_output(
    batch, untrained_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write_volume(tmp_path / "ct 1.nii.gz"), tmp_path / "out"
    words = ["--model", untrained_bundle, "--input", source, source.parent, "--output", out, "--format", "nii.gz"]
    code = batch.main([*map(str, words), "--device", "cpu", "--probabilities", "--largest-component", "--json"])
    summary = json.loads(capsys.readouterr().out)
    assert code == 0 and [row["state"] for row in summary["files"]] == ["done"], "named twice, segmented once"
    assert sorted(path.name for path in out.iterdir()) == [
        ".leuda-segmented.jsonl",
        "ct 1.nii.gz",
        "ct 1_probabilities.nii.gz",
        "summary.json",
    ]
    assert json.loads((out / "summary.json").read_text()) == summary


def test_equal_names_do_not_overwrite_one_another(run, tmp_path: Path) -> None:
    sources = [write_volume(tmp_path / patient / "image.nii.gz") for patient in ("p1", "p2", "p3")]
    code, summary, _ = run(*sources)
    names = [Path(row["output"]).name for row in summary["files"]]
    assert code == 0 and names == ["image.seg.nrrd", "p2-image.seg.nrrd", "p3-image.seg.nrrd"]
    assert all(Path(row["output"]).exists() for row in summary["files"])


def test_names_differ_from_the_inputs_and_in_more_than_their_case(tmp_path: Path) -> None:
    def names(*paths: str) -> list[str]:
        return [path.name for path in output_names([tmp_path / path for path in paths], tmp_path, "nrrd")]

    assert names("a.nrrd") == [f"{tmp_path.name}-a.nrrd"], "the input would be overwritten"
    assert names("x/A.mha", "y/a.mha", "z/x/a.mha", "x/a.nii") == ["A.nrrd", "y-a.nrrd", "x-a.nrrd", "x-a-2.nrrd"]
    found = output_names([tmp_path / "x/a.mha", tmp_path / "x/a_probabilities.mha"], tmp_path, "nii.gz")
    assert [path.name for path in found] == ["a.nii.gz", "x-a_probabilities.nii.gz"], "a's probabilities have the name"


def test_a_second_batch_skips_what_is_done(run, tmp_path: Path) -> None:
    sources = [write_volume(tmp_path / name) for name in ("a.nii.gz", "b.nii.gz")]
    _, first, _ = run(*sources)
    Path(first["files"][1]["output"]).unlink()
    code, second, said = run(*sources)
    assert code == 0 and [row["skipped"] for row in second["files"]] == [True, False]
    assert second["files"][0]["volumes_ml"] == first["files"][0]["volumes_ml"] and "segmented before" in said


def test_a_model_of_slicers_list_is_known_by_name(run, untrained_bundle: Path, tmp_path: Path) -> None:
    from leuda_core.bundle.store import import_model
    from LEUDASegmentationLib.processes.environment import models_folder

    source = write_volume(tmp_path / "a.nii.gz")
    code, _, said = run(source, name="discs")
    assert code == 2 and "there is no model 'discs'" in said and "none yet" in said
    import_model(untrained_bundle, models_folder(), "discs")
    code, summary, _ = run(source, name="discs")
    assert code == 0 and Path(summary["model"]) == models_folder() / "discs"


def test_a_wrong_model_is_told_before_any_file(run, tmp_path: Path) -> None:
    broken = tmp_path / "model"
    broken.mkdir()
    code, summary, said = run(write_volume(tmp_path / "a.nii.gz"), name=broken)
    assert code == 2 and summary == {} and "error:" in said and "bundle.json" in said


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--input", "a"], "--model"),
        (["--model", "m", "--input", "a", "--output", "o", "--format", "png"], "'png'"),
        (["--model", "m", "--input", "a", "--output", __file__], "file is in the way"),
    ],
)
def test_a_wrong_call_is_one_line(batch, words: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert batch.main(words) == 2
    said = capsys.readouterr().err
    assert named in said and said.count("\n") == 1


def test_missing_packages_are_told_or_installed_and_nobody_is_asked(
    batch, run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slicer_app
) -> None:
    source, installed = write_volume(tmp_path / "a.nii.gz"), []
    monkeypatch.setattr(batch, "missing_packages", lambda: ["torch>=2.4"])
    monkeypatch.setattr(batch, "install", lambda: installed.append(True))
    code, _, said = run(source)
    assert code == 2 and "torch>=2.4" in said and "--install" in said and not installed
    code, _, said = run(source, "--install")
    assert code == 0 and installed == [True] and "installing torch>=2.4" in said


def test_ctrl_c_ends_the_batch_with_a_summary(batch, run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [write_volume(tmp_path / f"{name}.nii.gz") for name in "abc"]
    segment = batch._segment_one

    def interrupted(client, args, outcome, title) -> None:
        if Path(outcome.input).name == "b.nii.gz":
            monkeypatch.setattr(client, "wait", press_ctrl_c(client.wait))
        segment(client, args, outcome, title)

    def press_ctrl_c(wait: Callable) -> Callable:
        def waiting(*words: object) -> object:
            os.kill(os.getpid(), signal.SIGINT)
            return wait(*words)

        return waiting

    monkeypatch.setattr(batch, "_segment_one", interrupted)
    before = signal.getsignal(signal.SIGINT)
    code, summary, _ = run(*sources)
    assert code == summary["exit_code"] == 130 and signal.getsignal(signal.SIGINT) is before
    assert [row["state"] for row in summary["files"]] == ["done", "cancelled", "cancelled"]


def test_a_worker_that_dies_costs_one_file(batch, run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [write_volume(tmp_path / f"{name}.nii.gz") for name in "abc"]
    segment = batch._segment_one

    def murdered(client, args, outcome, title) -> None:
        if Path(outcome.input).name == "b.nii.gz":
            os.kill(client._process.pid, 9)
        segment(client, args, outcome, title)

    monkeypatch.setattr(batch, "_segment_one", murdered)
    code, summary, _ = run(*sources)
    assert [row["state"] for row in summary["files"]] == ["done", "failed", "done"]
    assert code == 1 and "stopped unexpectedly" in summary["files"][1]["message"]


def test_a_batch_without_streams_still_works(batch, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        patch.setattr(sys, "stderr", None)
        assert batch.main(["--help"]) == 0 and batch.main(["--nonsense"]) == 2


def test_a_reader_that_leaves_early_does_not_change_the_exit_code(run, batch, monkeypatch, tmp_path: Path) -> None:
    class Closed(io.StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Closed())
        assert run(write_volume(tmp_path / "a.nii.gz"), "--json")[0] == 0


def test_a_folder_in_place_of_the_summary_is_told_before_the_work(batch, capsys, tmp_path: Path) -> None:
    (tmp_path / "summary.json").mkdir()
    assert batch.main(["--model", "m", "--input", "a", "--output", str(tmp_path)]) == 2
    assert "summary.json' is a folder" in capsys.readouterr().err


def test_names_do_not_control_the_terminal(batch, capsys: pytest.CaptureFixture[str]) -> None:
    batch._say("a\x1b[31m\u202e\n\udcffb")
    assert capsys.readouterr().err == "LE-UDA: a\\x1b[31m\\u202e\\n\\udcffb\n"


def test_a_slow_file_says_how_far_it_is(batch, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    progress = batch._Progress("[1/1] a")
    event = {"stage": "segment", "done": 3, "total": 9, "seconds_left": 12.4}
    progress(event)
    monkeypatch.setattr(batch, "_LINE_EVERY_S", 0.0)
    progress(event)
    assert capsys.readouterr().err == "LE-UDA: [1/1] a: segment 3/9, 12 s left\n"


def test_slicer_takes_the_script_for_a_hidden_module_and_reads_it_in_any_encoding(slicer_app) -> None:
    text = SCRIPT.read_text(encoding="ascii")
    assert any(isinstance(node, ast.ClassDef) and node.name == SCRIPT.stem for node in ast.parse(text).body)
    slicer_app.moduleManager._load(SCRIPT)  # it has no window to open
    import slicer

    assert slicer.modules.leudabatch.hidden


def test_as_slicer_runs_it(slicer_app, untrained_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--python-script`` executes the file in ``__main__`` and sets ``__file__``."""
    source, out = write_volume(tmp_path / "a.nii.gz"), tmp_path / "out"
    words = [SCRIPT, "--model", untrained_bundle, "--input", source, "--output", out, "--device", "cpu"]
    monkeypatch.setattr("sys.argv", [str(word) for word in words])
    exec(SCRIPT.read_text(encoding="ascii"), {"__name__": "__main__", "__file__": str(SCRIPT)})
    assert slicer_app.exitStatus == 0 and (out / "a.seg.nrrd").exists()
