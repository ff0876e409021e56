"""``leuda phantom``, ``segment`` and ``evaluate``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from command_calls import call, call_json
from leuda_core.commands import volumes
from leuda_core.errors import InputError
from leuda_core.io.volumes import read_volume
from leuda_core.types import SegmentOptions

SEGMENT = ("segment", "--device", "cpu")


@pytest.fixture
def folder(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A folder with two volumes."""
    (tmp_path / "in").mkdir()
    for name in ("t0.nii.gz", "t1.nii.gz"):
        shutil.copy(tiny_dataset.parent / name, tmp_path / "in")
    return tmp_path / "in"


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
    untrained_bundle: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from leuda_core.io.volumes import read_grid, read_label_map, same_grid

    source, target = tiny_dataset.parent / "t0.nii.gz", tmp_path / "new folder" / "t0.seg.nrrd"
    words = [*SEGMENT, "--model", untrained_bundle, "--input", source, "--output", target, "--probabilities"]
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
    untrained_bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (folder / "a_torn.nii.gz").write_bytes((folder / "t0.nii.gz").read_bytes()[:500])
    words = [*SEGMENT, "--model", untrained_bundle, "--input", folder, "--output", out, "--format", "nrrd"]
    code, found = call_json(capsys, *words)
    assert code == 2 and found["failed"] == 1
    assert [row["ok"] for row in found["volumes"]] == [False, True, True]
    assert sorted(path.name for path in out.glob("*")) == [".leuda-segmented.jsonl", "t0.nrrd", "t1.nrrd"]
    code, text, err = call(capsys, *words)
    assert code == 2 and "2 of 3 volumes segmented" in text and "a_torn" in err


def test_a_second_call_does_what_is_missing_and_keeps_what_was_corrected(
    untrained_bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = [*SEGMENT, "--model", untrained_bundle, "--input", folder, "--output", out]
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


def test_outputs_never_fall_on_inputs_or_each_other(folder: Path) -> None:
    with pytest.raises(InputError, match="overwritten"):
        volumes.plan_outputs(folder, folder)
    assert [target.name for _, target in volumes.plan_outputs(folder, folder, "nrrd")] == ["t0.nrrd", "t1.nrrd"]
    (folder / "t0.mha").touch()
    with pytest.raises(InputError, match="would both become"):
        volumes.plan_outputs(folder, folder / "out")
    with pytest.raises(InputError, match="one file"):
        volumes.plan_outputs(folder, folder / "out.nii.gz")
    (folder / "t0.mha").unlink()
    (folder / "t0_probabilities.nii.gz").touch()
    volumes.plan_outputs(folder, folder / "out")
    with pytest.raises(InputError, match="would both become"):
        volumes.plan_outputs(folder, folder / "out", options=SegmentOptions(probabilities=True))
    shutil.rmtree(folder / "out", ignore_errors=True)
    with pytest.raises(InputError, match=r"out\.png has an unknown extension"):
        volumes.plan_outputs(folder / "t0.nii.gz", folder / "out.png")
    assert not (folder / "out").exists()


@pytest.mark.slow
def test_evaluate(tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    label = tiny_dataset.parent / "test_t_label.nii.gz"
    code, found = call_json(capsys, "evaluate", "--prediction", label, "--reference", label)
    assert code == 0 and found["overall"]["dice"] == 1.0
    code, text, _ = call(capsys, "evaluate", "--prediction", label, "--reference", label)
    assert code == 0 and "1.00" in text and "Dice" in text
