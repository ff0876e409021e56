"""Which labels are scored against which: by name where there are names; a pair that fails does not end the others."""

from __future__ import annotations

import json

import numpy as np
import pytest

from leuda_core.cli import main
from leuda_core.errors import Cancelled, InputError
from leuda_core.evaluation import evaluate, evaluate_pair, score_bundle, summarize
from leuda_core.io.volumes import write_label_map
from leuda_core.types import Case, Label, LabelMap


def columns(values: str, names: dict[int, str] | None = None) -> LabelMap:
    """Return a map (3, 3, n) with one slice for each digit."""
    data = np.broadcast_to(np.array([int(value) for value in values], np.uint8), (3, 3, len(values))).copy()
    return LabelMap(data, np.eye(4), tuple(Label(value, name) for value, name in (names or {}).items()))


def dice(result) -> dict[str, float | None]:
    """Return the Dice of each label by name."""
    return {entry["name"]: entry["dice"] for entry in json.loads(json.dumps(result.as_dict()))["labels"]}


def paired(prediction: LabelMap, reference: LabelMap) -> list[tuple]:
    return [(s.label, s.name, s.dice, s.state) for s in evaluate_pair(prediction, reference)]


def test_one_predicted_name_more_shifts_nothing() -> None:
    reference = columns("01122", {1: "liver", 2: "spleen"})
    prediction = columns("31122", {3: "vein", 1: "spleen", 2: "liver"})  # the wrong way round
    assert paired(prediction, reference) == [
        (1, "liver", 0.0, "scored"),
        (2, "spleen", 0.0, "scored"),
        (3, "vein", 0.0, "false"),
    ]
    right = columns("12233", {1: "vein", 2: " liver", 3: "Spleen"})
    assert [row[2:] for row in paired(right, reference)] == [(1.0, "scored"), (1.0, "scored"), (0.0, "false")]
    assert [score.label for score in evaluate_pair(right, reference)] == [1, 2, 3], "its own value is in use"


def test_an_empty_predicted_segment_is_absent_and_shifts_nothing() -> None:
    reference = columns("0122", {1: "liver", 2: "spleen"})
    prediction = columns("0211", {1: "spleen", 2: "liver", 3: "vein", 4: "liver"})
    assert [row[1:] for row in paired(prediction, reference)[:2]] == [
        ("liver", 1.0, "scored"),
        ("spleen", 1.0, "scored"),
    ]
    assert [row[1::2] for row in paired(prediction, reference)[2:]] == [("vein", "absent")]


def test_names_in_capitals_are_two_labels_if_both_are_there() -> None:
    reference = columns("0122", {1: "RV", 2: "rv"})
    assert [row[2] for row in paired(columns("0211", {1: "rv", 2: "RV"}), reference)] == [1.0, 1.0]
    assert [row[3] for row in paired(columns("0111", {1: "Rv"}), reference)] == ["missed", "missed", "false"]


@pytest.mark.parametrize("unnamed", [{}, {1: "label 1", 2: "label 2"}, {1: "Segment_1", 2: "Segment_2"}])
def test_the_names_of_one_side_are_kept(unnamed) -> None:
    named, other = columns("0122", {1: "liver", 2: "spleen"}), columns("0122", unnamed)
    for prediction, reference in ((named, other), (other, named)):
        assert [row[:3] for row in paired(prediction, reference)] == [(1, "liver", 1.0), (2, "spleen", 1.0)]


def test_a_value_without_a_name_is_one_more_label() -> None:
    named, other = columns("0122", {1: "liver", 2: "spleen"}), columns("3122", {n: f"label {n}" for n in (1, 2, 3)})
    assert paired(other, named)[2] == (3, "label 3", 0.0, "false")
    assert paired(named, other)[2] == (3, "label 3", 0.0, "missed")


def test_an_empty_prediction_misses_by_name() -> None:
    reference = columns("0122", {1: "liver", 2: "spleen"})
    rows = paired(columns("0000", {2: "liver", 1: "spleen"}), reference)
    assert [(row[1], row[3]) for row in rows] == [("liver", "missed"), ("spleen", "missed")]


def test_two_segments_of_one_name_are_refused() -> None:
    reference = columns("0122", {1: "liver", 2: "spleen"})
    with pytest.raises(InputError, match="2 segments have the name 'liver'"):
        evaluate_pair(columns("0122", {1: "liver", 2: "liver"}), reference)
    with pytest.raises(InputError, match="2 segments have the name 'liver'"):
        evaluate_pair(reference, columns("0122", {1: "liver", 2: "liver "}))


def test_means_of_cases_with_other_value_tables_go_by_name() -> None:
    first = columns("0122", {1: "liver", 2: "spleen"})
    second = columns("0122", {1: "spleen", 2: "Liver"})
    wrong = columns("0120", {1: "spleen", 2: "liver"})
    scores = [*evaluate_pair(first, first, case="a"), *evaluate_pair(wrong, second, case="b")]
    result = summarize(scores)
    assert dice(result) == {"liver": pytest.approx((1 + 2 / 3) / 2), "spleen": 1.0}


def test_names_that_a_case_tells_apart_have_their_own_means() -> None:
    both, one = columns("0122", {1: "RV", 2: "rv"}), columns("0100", {1: "rv"})
    result = summarize([*evaluate_pair(both, both, case="a"), *evaluate_pair(one, one, case="b")])
    assert [(entry.name, entry.n_scored) for entry in result.labels] == [("RV", 1), ("rv", 2)]


@pytest.fixture
def folders(tmp_path):
    """Two folders with the cases a, b and c, where b is cut short."""
    for folder in ("predictions", "references"):
        (tmp_path / folder).mkdir()
        for case in "abc":
            write_label_map(columns("0122", {1: "liver", 2: "spleen"}), tmp_path / folder / f"{case}.seg.nrrd")
    broken = tmp_path / "predictions" / "b.seg.nrrd"
    broken.write_bytes(broken.read_bytes()[:-10])
    return tmp_path / "predictions", tmp_path / "references"


def test_a_pair_that_cannot_be_read_is_listed_and_the_others_are_scored(folders, capfd) -> None:
    result = evaluate(*folders)
    assert [case.name for case in result.cases] == ["a", "c"]
    assert [(case.case, case.kind) for case in result.failed] == [("b", "input")]
    assert "b.seg.nrrd" in result.failed[0].message and result.failed[0].remedy
    words = ["evaluate", "--prediction", str(folders[0]), "--reference", str(folders[1])]
    assert main(words) == 2
    out, err = capfd.readouterr()
    assert "b: failed: " in out and "liver" in out and "1 of 3 cases could not be scored" in err
    assert main([*words, "--json"]) == 2
    assert [case["case"] for case in json.loads(capfd.readouterr().out)["failed"]] == ["b"]
    with pytest.raises(InputError, match=r"b\.seg\.nrrd"):
        evaluate(folders[0] / "b.seg.nrrd", folders[1] / "b.seg.nrrd")


def test_whatever_a_pair_raises_the_others_are_scored(folders, monkeypatch, capfd) -> None:
    from leuda_core.io import volumes

    read = volumes.read_label_map

    def failing(path, labels):
        if path.name.startswith("a"):
            raise TypeError("unexpected")
        return read(path, labels)

    monkeypatch.setattr(volumes, "read_label_map", failing)
    result = evaluate(*folders)
    assert [(case.case, case.kind) for case in result.failed] == [("a", "fault"), ("b", "input")]
    assert main(["evaluate", "--prediction", str(folders[0]), "--reference", str(folders[1])]) == 1
    capfd.readouterr()
    monkeypatch.setattr(volumes, "read_label_map", lambda path, labels: (_ for _ in ()).throw(Cancelled()))
    with pytest.raises(Cancelled):
        evaluate(*folders)


def test_given_labels_decide_what_is_known(tmp_path) -> None:
    stored = columns("0122", {1: "spleen", 2: "liver"})
    write_label_map(stored, tmp_path / "a.seg.nrrd")
    result = evaluate(tmp_path / "a.seg.nrrd", tmp_path / "a.seg.nrrd", [Label(1, "liver"), Label(2, "spleen")])
    assert [(score.label, score.name) for score in result.scores] == [(1, "liver"), (2, "spleen")]
    with pytest.raises(InputError, match="unknown segment 'spleen'"):
        evaluate(tmp_path / "a.seg.nrrd", tmp_path / "a.seg.nrrd", [Label(1, "liver")])


@pytest.mark.slow
def test_a_case_that_a_bundle_cannot_score_is_listed(tiny_dataset, untrained_bundle) -> None:
    from leuda_core.bundle.model import load_bundle

    good, told = tiny_dataset.parent, []
    cases = [
        Case("missing", good / "missing.nii.gz", good / "test_t_label.nii.gz"),
        Case("test_t", good / "test_t.nii.gz", good / "test_t_label.nii.gz"),
    ]
    bundle = load_bundle(untrained_bundle)
    result = score_bundle(bundle, cases, device="cpu", on_case=told.append)
    assert ([case.name for case in result.cases], told) == (["test_t"], ["test_t"])
    assert [(case.case, case.kind) for case in result.failed] == [("missing", "input")]
    with pytest.raises(InputError, match=r"missing\.nii\.gz"):
        score_bundle(bundle, cases[:1], device="cpu")
