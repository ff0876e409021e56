"""Structures as the scene keeps them: named, coloured, taken from segmentations."""

from __future__ import annotations

import pytest

from leuda_core.errors import InputError
from training_scene import add_labels, add_volume, labels_of, structures

pytestmark = pytest.mark.slow


def test_structures_survive_the_scene(node) -> None:
    from LEUDATrainingLib.cases.structures import read_structures, write_structures

    write_structures(node, structures())
    assert read_structures(node) == structures()
    node.structures = '[{"name": "no value"}, 3, {"value": 2, "name": "b", "color": [0, 0, 1]}]'
    assert [structure.name for structure in read_structures(node)] == ["b"]
    for text in ("not json", "[" * 100_000, '[{"value": 1e999, "name": "b", "color": [0, 0, 1]}]'):
        node.structures = text
        assert read_structures(node) == []


def test_added_structures_get_values_names_and_colours_of_their_own(slicer_app) -> None:
    from LEUDATrainingLib.cases.structures import add_structure

    found = structures()
    for _number in range(3):
        found = add_structure(found, "structure")
    assert [structure.name for structure in found[2:]] == ["structure", "structure 2", "structure 3"]
    assert [structure.value for structure in found] == [1, 3, 4, 5, 6]
    assert len({structure.color for structure in found}) == 5


def test_renaming_refuses_what_would_be_ambiguous(slicer_app) -> None:
    from LEUDATrainingLib.cases.structures import rename_structure

    assert rename_structure(structures(), 3, " spleen ")[1].name == "spleen"
    with pytest.raises(InputError, match="cannot have the same name"):
        rename_structure(structures(), 3, "Herz ♥")
    with pytest.raises(InputError, match="needs a name"):
        rename_structure(structures(), 3, "  ")


def test_structures_of_a_segmentation_keep_name_colour_and_terminology(slicer_app) -> None:
    from LEUDATrainingLib.cases.structures import merge_structures, structures_of_segmentation, terminology_text

    found = structures_of_segmentation(add_labels(add_volume(), labels_of()))
    assert [structure.name for structure in found] == ["Herz ♥", "liver"]
    assert found[0].color == pytest.approx(structures()[0].color, abs=1e-6)
    assert terminology_text(found[0].terminology) == "Heart (SCT 80891009)"
    merged = merge_structures(structures()[:1], found)
    assert [(structure.value, structure.name) for structure in merged] == [(1, "Herz ♥"), (2, "liver")]


def test_terminology_is_typed_as_people_read_it(slicer_app) -> None:
    from LEUDATrainingLib.cases.structures import parse_terminology, terminology_text

    text = "Left ventricle (SCT 87878005)"
    assert terminology_text(parse_terminology(text)) == text
    assert parse_terminology("  ") == ""
    with pytest.raises(InputError, match="Heart"):
        parse_terminology("heart")
