"""What a second call on the same folder skips, segments again, and never replaces."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from leuda_core.prediction.files import segment_file_once
from leuda_core.prediction.record import NAME, FolderRecord, work_key
from leuda_core.types import SegmentOptions

OPTIONS = SegmentOptions()
RESULT = {"device": "cpu", "seconds": {}, "volumes_ml": {"liver": 1.5}, "notes": []}


@pytest.fixture
def done(tmp_path: Path) -> tuple[Path, str]:
    """A finished output and its key."""
    target = tmp_path / "a.nrrd"
    target.write_bytes(b"labels")
    FolderRecord(tmp_path).add(target, "key", [target], RESULT)
    return target, "key"


def test_input_model_and_options_each_count(tmp_path: Path) -> None:
    first, copy, other = (tmp_path / name for name in ("a.nrrd", "b.nrrd", "c.nrrd"))
    first.write_bytes(b"volume")
    copy.write_bytes(b"volume")
    other.write_bytes(b"Volume")
    key = work_key(first, "model", OPTIONS)
    assert key == work_key(copy, "model", OPTIONS)
    assert key not in {
        work_key(other, "model", OPTIONS),
        work_key(first, "model 2", OPTIONS),
        work_key(first, "model", SegmentOptions(largest_component=True)),
    }


def test_done_only_for_the_same_key_and_while_all_outputs_are_there(done: tuple[Path, str]) -> None:
    target, key = done
    record = FolderRecord(target.parent)
    assert record.state(target, key) == "done" and record.result(target) == RESULT
    target.write_bytes(b"other labels")
    FolderRecord(target.parent).add(target, "newer", [target], RESULT)  # another process
    assert record.state(target, "newer") == "done"
    FolderRecord(target.parent).add(target, key, [target], RESULT)
    assert record.state(target, "another key") == "missing"
    assert record.state(target.with_name("b.nrrd"), key) == "missing"
    target.unlink()
    assert record.state(target, key) == "missing"


def test_a_changed_output_is_known_whatever_the_key(done: tuple[Path, str]) -> None:
    target, key = done
    target.write_bytes(b"corrected labels")
    record = FolderRecord(target.parent)
    assert record.state(target, key) == record.state(target, "another key") == "changed"


def test_a_file_that_the_record_does_not_know_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "a.nrrd"
    record = FolderRecord(tmp_path)
    assert record.state(target, "key") == "missing"
    target.write_bytes(b"labels, perhaps corrected")
    assert record.state(target, "key") == "foreign" and record.result(target)["volumes_ml"] == {}


@pytest.mark.parametrize("torn", [b'{"output":"b.nr', b"\x00\xff\xfe", b"[" * 50_000, b'{"output": 1}', b"null"])
def test_lines_that_are_not_complete_are_skipped_and_do_not_spoil_the_next(done: tuple[Path, str], torn: bytes) -> None:
    target, key = done
    with open(target.parent / NAME, "ab") as stream:
        stream.write(torn)
    second = target.with_name("b.nrrd")
    second.write_bytes(b"more labels")
    FolderRecord(target.parent).add(second, key, [second], RESULT)
    record = FolderRecord(target.parent)
    assert record.state(target, key) == record.state(second, key) == "done"


@pytest.mark.parametrize(
    "change",
    [
        {"result": {}},
        {"result": {**RESULT, "seconds": []}},
        {"result": {**RESULT, "volumes_ml": {"liver": "much"}}},
        {"result": {**RESULT, "volumes_ml": {"liver": 10**400}}},
        {"result": {**RESULT, "volumes_ml": {"liver": math.nan}}},
        {"result": {**RESULT, "notes": [1]}},
        {"result": {**RESULT, "device": None}},
        {"files": {"x" * 70_000: ""}},
    ],
)
def test_a_line_of_which_nothing_can_be_reported_is_skipped(done: tuple[Path, str], change: dict[str, object]) -> None:
    target, key = done
    line = json.dumps({"output": target.name, "key": key, "files": {target.name: ""}, "result": RESULT, **change})
    (target.parent / NAME).write_text(f"{line}\n")
    record = FolderRecord(target.parent)
    assert record.state(target, key) == "foreign" and record.result(target)["volumes_ml"] == {}


def test_a_record_never_names_files_outside_its_folder(done: tuple[Path, str]) -> None:
    target, key = done
    outside = target.parent.parent / "outside"
    outside.write_bytes(b"")
    line = json.dumps({"output": "a.nrrd", "key": key, "files": {"../outside": ""}, "result": RESULT})
    (target.parent / NAME).write_text(f"{line}\n")
    assert FolderRecord(target.parent).state(target, key) == "foreign"


def test_a_folder_that_takes_no_record_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / NAME).mkdir()
    target = tmp_path / "a.nrrd"
    target.write_bytes(b"labels")
    FolderRecord(tmp_path).add(target, "key", [target], RESULT)
    assert "keeps it" in caplog.text


def test_a_changed_segmentation_is_kept_when_its_probabilities_were_deleted(done: tuple[Path, str]) -> None:
    target, key = done
    probabilities = target.with_name("a_probabilities.nii.gz")
    probabilities.write_bytes(b"probabilities")
    record = FolderRecord(target.parent)
    record.add(target, key, [target, probabilities], RESULT)
    probabilities.unlink()
    assert record.state(target, key) == "missing"
    target.write_bytes(b"corrected labels")
    assert record.state(target, key) == "changed"


def test_no_file_of_probabilities_is_reported_that_was_not_written(tmp_path: Path) -> None:
    source, target = tmp_path / "in.nrrd", tmp_path / "a.nrrd"
    source.write_bytes(b"volume")
    target.write_bytes(b"labels")
    record = FolderRecord(tmp_path)
    record.add(target, "key", [target], RESULT)
    target.write_bytes(b"corrected labels")
    options = SegmentOptions(probabilities=True)
    row = segment_file_once(MagicMock(), source, target, options, model="", record=record)
    assert row["skipped"] and "probabilities" not in row
    assert "--overwrite" in row["notes"][-1]


@pytest.mark.parametrize(
    "change",
    [
        {"result": {}},
        {"result": {**RESULT, "volumes_ml": {"liver": "much"}}},
        {"result": {**RESULT, "notes": [1]}},
        {"files": {"other.nrrd": "0"}},
    ],
)
def test_a_line_that_is_no_entry_of_ours_is_passed_over(done: tuple[Path, str], change: dict) -> None:
    target, key = done
    path = target.parent / NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}) + "\n")
    (target.parent / "other.nrrd").touch()
    record = FolderRecord(target.parent)
    assert record.state(target, key) == "foreign" and record.result(target)["volumes_ml"] == {}


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are followed there")
def test_a_link_in_place_of_the_record_is_not_written_to(done: tuple[Path, str], tmp_path: Path) -> None:
    target, key = done
    (tmp_path / NAME).rename(tmp_path / "letter.txt")
    (tmp_path / NAME).symlink_to("letter.txt")
    before = (tmp_path / "letter.txt").read_bytes()
    FolderRecord(tmp_path).add(target, key, [target], RESULT)
    assert (tmp_path / "letter.txt").read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
@pytest.mark.timeout(10)
def test_a_pipe_in_place_of_the_record_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NAME)
    target = tmp_path / "a.nrrd"
    target.write_bytes(b"labels")
    record = FolderRecord(tmp_path)
    record.add(target, "key", [target], RESULT)
    assert record.state(target, "key") == "foreign"
