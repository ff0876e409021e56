"""One file that crashes a parser and one that never lets it return: the others are checked, scored and segmented."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench_scale import BROKEN
from leuda_core.cli import main
from worker_process import WorkerProcess
from worker_requests import call, failure

CRASHES, HANGS = "endian.nrrd", "matrix.mha"  # in ITK's parsers


def write(folder: Path, kind: str, name: str = "") -> Path:
    path = folder / (name or kind)
    path.write_bytes(BROKEN[kind])
    return path


def test_check_reports_them_and_opens_the_other_cases(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(tiny_dataset.parent, folder)
    document = json.loads((folder / "dataset.json").read_text())
    for case, kind in zip(document["target"]["cases"], (CRASHES, HANGS), strict=True):
        case["image"] = write(folder, kind).name
    (folder / "dataset.json").write_text(json.dumps(document))
    assert main(["check", str(folder / "dataset.json"), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert [kind in problem for problem, kind in zip(found["problems"], (CRASHES, HANGS), strict=True)] == [True, True]
    assert {row["id"] for row in found["summary"]["volumes"]} == {"s0", "s1", "s2", "test_t", "test_s"}


def test_evaluate_lists_them_and_scores_the_other_pairs(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in ("predicted", "expected"):
        (tmp_path / side).mkdir()
        for name in ("a.nii.gz", "b.nii.gz", "c.nii.gz"):
            shutil.copy(tiny_dataset.parent / "test_t_label.nii.gz", tmp_path / side / name)
    for name, kind in (("a", CRASHES), ("b", HANGS)):
        (tmp_path / "predicted" / f"{name}.nii.gz").unlink()
        write(tmp_path / "predicted", kind, name + Path(kind).suffix)
    words = ["evaluate", "--prediction", str(tmp_path / "predicted"), "--reference", str(tmp_path / "expected")]
    assert main([*words, "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert [case["case"] for case in found["failed"]] == ["a", "b"]
    assert [case["name"] for case in found["cases"]] == ["c"] and found["overall"]["dice"] == 1.0


@pytest.mark.slow
def test_the_worker_answers_and_takes_the_next(untrained_bundle: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    fields = {"model": untrained_bundle, "device": "cpu"}
    source, target = tiny_dataset.parent / "t0.nii.gz", tmp_path / "t0.nrrd"
    with WorkerProcess() as worker:
        for kind in (CRASHES, HANGS):
            path = write(tmp_path, kind)
            answer = failure(worker, "segment_file", input=path, output=tmp_path / "out.nrrd", **fields)
            assert answer["kind"] == "input" and kind in answer["message"]
        assert call(worker, "segment_file", input=source, output=target, **fields)["volumes_ml"]
    assert target.exists() and not (tmp_path / "out.nrrd").exists()
