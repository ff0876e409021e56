"""The results of a bench on disk: one run per line, unfinished lines, and folders of earlier versions."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from leuda_core.bench.results import Result, rows
from leuda_core.bench.runner import run_bench
from leuda_core.bench.store import RESULTS_FILE, append_result, find_result, read_results
from leuda_core.errors import InputError, LeudaError
from leuda_core.evaluation import Score

OF_AN_EARLIER_VERSION = """{
 "dataset": "discs",
 "method": "source_only:batch_size=2",
 "augmentation": "paper",
 "seed": 0,
 "steps": 2,
 "settings": {
  "augmentation": "paper",
  "batch_size": 2,
  "learning_rate": 0.001
 },
 "scores": [
  {
   "case": "t0",
   "label": 1,
   "name": "disc",
   "dice": 0.7457420776469729,
   "hd95_mm": 4.877379894256592,
   "asd_mm": 1.3097015619277954,
   "state": "scored"
  },
  {
   "case": "t0",
   "label": 2,
   "name": "ring",
   "dice": null,
   "hd95_mm": null,
   "asd_mm": null,
   "state": "absent"
  }
 ],
 "minutes": 8.82,
 "peak_memory_mib": 763
}"""


def result(**changes: object) -> Result:
    scores = (
        Score(case="a", label=1, name="disc", dice=0.1 + 0.2, hd95_mm=4.877379894256592, asd_mm=1.0),
        Score(case="a", label=2, name="ring", dice=0.0, hd95_mm=90.0, asd_mm=90.0, state="missed"),
    )
    fields = {"dataset": "d", "method": "le_uda:intra_weight=0", "augmentation": "paper", "seed": 1, "steps": 5}
    return Result(
        **{**fields, "settings": {"ema_decay": 0.9}, "scores": scores, "minutes": 1.25, "peak_memory_mib": 7, **changes}
    )


def test_a_result_is_one_line_and_comes_back_exactly(tmp_path: Path) -> None:
    append_result(tmp_path, result())
    append_result(tmp_path, result(seed=2))
    assert len((tmp_path / RESULTS_FILE).read_text().splitlines()) == 2
    assert read_results(tmp_path / RESULTS_FILE) == {
        "d-le_uda+intra_weight=0-paper-1": result(),
        "d-le_uda+intra_weight=0-paper-2": result(seed=2),
    }
    assert find_result(tmp_path, "d-le_uda+intra_weight=0-paper-2") == result(seed=2)
    assert find_result(tmp_path, "d-le_uda+intra_weight=0-paper-3") is None


def test_the_last_line_of_a_run_counts(tmp_path: Path) -> None:
    for minutes in (1.0, 2.0):
        append_result(tmp_path, result(minutes=minutes))
    assert find_result(tmp_path, result().name) == result(minutes=2.0)


def test_a_label_that_is_absent_has_no_figures(tmp_path: Path) -> None:
    absent = Score(case="a", label=3, name="gap", dice=math.nan, hd95_mm=math.nan, asd_mm=math.nan, state="absent")
    append_result(tmp_path, result(scores=(absent,)))
    assert b'["a",3,"gap",null,null,null,"absent"]' in (tmp_path / RESULTS_FILE).read_bytes()
    (score,) = read_results(tmp_path / RESULTS_FILE)[result().name].scores
    assert math.isnan(score.dice) and math.isnan(score.hd95_mm) and score.state == "absent"


@pytest.mark.parametrize("kept_bytes", [1, 60, -40, -1])
def test_a_line_whose_writer_was_killed_is_skipped_and_does_not_swallow_the_next(
    tmp_path: Path, kept_bytes: int
) -> None:
    append_result(tmp_path, result())
    path = tmp_path / RESULTS_FILE
    whole = path.read_bytes()
    append_result(tmp_path, result(seed=2))
    path.write_bytes(whole + path.read_bytes()[len(whole) :][:kept_bytes])
    complete = {1, 2} if kept_bytes == -1 else {1}  # without its line end alone, the line is whole
    assert {found.seed for found in read_results(path).values()} == complete
    append_result(tmp_path, result(seed=3))
    assert {found.seed for found in read_results(path).values()} == complete | {3}


@pytest.mark.parametrize(
    "line",
    [
        '{"dataset": "d"}',
        "7",
        json.dumps(json.loads(OF_AN_EARLIER_VERSION) | {"steps": "many"}),
        json.dumps(json.loads(OF_AN_EARLIER_VERSION) | {"scores": [["t0", 1, "disc", 0.5]]}),
        json.dumps(json.loads(OF_AN_EARLIER_VERSION) | {"scores": [["t0", 1, "disc", "good", 1.0, 1.0, "scored"]]}),
    ],
)
def test_a_line_that_is_no_result_is_named(tmp_path: Path, line: str) -> None:
    append_result(tmp_path, result())
    path = tmp_path / RESULTS_FILE
    path.write_bytes(path.read_bytes() + line.encode() + b"\n")
    with pytest.raises(InputError, match=r"results\.jsonl:2 is no result"):
        read_results(path)


def test_a_line_nested_too_deeply_is_skipped_or_named(tmp_path: Path) -> None:
    path = tmp_path / RESULTS_FILE
    path.write_text("[" * 100_000 + "\n")
    assert read_results(path) == {}
    old = json.dumps(json.loads(OF_AN_EARLIER_VERSION) | {"settings": {"a": 0}})
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "x.json").write_text(old.replace('"a": 0', '"a": ' + "[" * 50_000 + "]" * 50_000))
    with pytest.raises(InputError, match=r"x\.json is no result"):
        find_result(tmp_path, "x")


def test_a_run_in_which_every_label_is_absent_has_no_row() -> None:
    absent = Score(case="a", label=3, name="gap", dice=math.nan, hd95_mm=math.nan, asd_mm=math.nan, state="absent")
    assert [row["seeds"] for row in rows([result(), result(seed=2, scores=(absent,))])] == [1]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(LeudaError, match="cannot write"):
        append_result(tmp_path / "missing", result())


def test_a_folder_of_an_earlier_version_still_opens(tiny_dataset: Path, tmp_path: Path) -> None:
    old = tmp_path / "results" / "discs-source_only+batch_size=2-paper-0.json"
    old.parent.mkdir()
    old.write_text(OF_AN_EARLIER_VERSION, encoding="utf-8")
    options = {"out": tmp_path, "methods": ["source_only:batch_size=2"], "augmentations": ["paper"], "seeds": [0]}
    (row,) = run_bench([tiny_dataset], steps=2, **options)["rows"]
    assert (row["dice"], row["minutes"], row["peak_memory_mib"]) == (0.7457420776469729, 8.82, 763)
    assert not (tmp_path / "runs").exists()  # nothing was trained
    assert not (tmp_path / RESULTS_FILE).exists() and old.read_text(encoding="utf-8") == OF_AN_EARLIER_VERSION
    with pytest.raises(InputError, match="measured with steps=2, not 3"):
        run_bench([tiny_dataset], steps=3, **options)


@pytest.mark.slow
def test_a_folder_of_an_earlier_version_goes_on_with_lines(tiny_dataset: Path, tmp_path: Path) -> None:
    old = tmp_path / "results" / "discs-source_only+batch_size=2-paper-0.json"
    old.parent.mkdir()
    old.write_text(OF_AN_EARLIER_VERSION, encoding="utf-8")
    names = [f"source_only:batch_size={size}" for size in (2, 1)]
    options = {"out": tmp_path, "augmentations": ["paper"], "seeds": [0], "settings": {"learning_rate": 1e-3}}
    found = run_bench([tiny_dataset], methods=names, steps=2, **options)
    assert [row["method"] for row in found["rows"]] == names
    assert list(read_results(tmp_path / RESULTS_FILE)) == ["discs-source_only+batch_size=1-paper-0"]
