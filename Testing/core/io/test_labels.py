"""Which stored label is which wanted one: known names decide, placeholders go by value, everything else is refused."""

from __future__ import annotations

import pytest

from leuda_core.errors import InputError
from leuda_core.io.labels import are_placeholders, match_labels, match_names
from leuda_core.types import Label

LIVER_SPLEEN = {1: "liver", 2: "spleen"}
E_COMPOSED, E_DECOMPOSED = "Herzh\u00f6hle", "Herzho\u0308hle"


def labels(values: dict[int, str]) -> list[Label]:
    return [Label(value, name) for value, name in values.items()]


@pytest.mark.parametrize(
    ("stored", "wanted", "values", "unknown"),
    [
        ({1: "spleen", 2: "liver"}, LIVER_SPLEEN, {1: 2, 2: 1}, []),
        ({7: " liver ", 9: "spleen\t"}, LIVER_SPLEEN, {7: 1, 9: 2}, []),
        ({7: "liver"}, {1: " liver"}, {7: 1}, []),
        ({2: "LIVER"}, LIVER_SPLEEN, {2: 1}, []),
        ({1: E_DECOMPOSED}, {3: E_COMPOSED}, {1: 3}, []),
        ({1: "liver", 2: "Milz"}, LIVER_SPLEEN, {1: 1}, ["Milz"]),
        ({1: "Leber", 2: "Milz"}, LIVER_SPLEEN, {}, ["Leber", "Milz"]),
        ({2: "Milz", 1: "label 1"}, LIVER_SPLEEN, {}, ["Milz", "label 1"]),
        ({2: "liver", 1: "Segment_1"}, LIVER_SPLEEN, {2: 1}, ["Segment_1"]),
        ({1: "label 1", 2: "Segment_2", 3: "Label_3", 4: "segment4"}, LIVER_SPLEEN, {1: 1, 2: 2, 3: 3, 4: 4}, []),
        ({1: "Segment_2", 2: "Segment_1"}, LIVER_SPLEEN, {}, ["Segment_2", "Segment_1"]),
        ({1: "Segment_1_2"}, LIVER_SPLEEN, {}, ["Segment_1_2"]),
        ({1: "label 2"}, {1: "label 1", 2: "label 2"}, {1: 2}, []),
        ({1: "label 1", 2: "label 2"}, {5: "label 1", 6: "tumour"}, {1: 5}, ["label 2"]),
        ({1: "RV", 2: "rv"}, {1: "rv", 2: "RV"}, {1: 2, 2: 1}, []),
        ({1: "RV", 2: "rv"}, {5: "RV"}, {1: 5}, ["rv"]),
        ({1: "RV", 2: "rv"}, {5: "Rv"}, {}, ["RV", "rv"]),
        ({1: "Rv"}, {5: "RV", 6: "rv"}, {}, ["Rv"]),
        ({1: "RV", 2: "Rv"}, {5: "RV", 6: "rv"}, {1: 5}, ["Rv"]),
        ({1: "liver"}, {1: "liver", 2: "liver"}, {}, ["liver"]),
        ({}, LIVER_SPLEEN, {}, []),
    ],
)
def test_known_names_decide_and_nothing_unknown_goes_by_value(stored, wanted, values, unknown) -> None:
    found, left = match_labels(labels(stored), labels(wanted))
    assert (found, [label.name for label in left]) == (values, unknown)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ([Label(1, "liver"), Label(2, "liver ")], "2 segments have the name 'liver'"),
        ([Label(1, "liver"), Label(1, "spleen")], "'liver', 'spleen' have the same label value 1"),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(stored, words) -> None:
    with pytest.raises(InputError, match=words) as error:
        match_labels(stored, labels(LIVER_SPLEEN))
    assert error.value.remedy


def test_equal_names_match_the_same_name() -> None:
    assert match_names(["liver", " liver"], ["liver"]) == {"liver": "liver", " liver": "liver"}


def test_a_placeholder_stands_for_its_own_value_alone() -> None:
    assert are_placeholders(labels({1: "Label 1", 12: "SEGMENT_012"}))
    for value, name in ((1, "label 2"), (1, "label"), (1, "1"), (1, "label 1 left"), (3, "Segment_²")):
        assert not are_placeholders([Label(value, name)])
