"""What labelled volumes tell of structures, and what about a result differs from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leuda_core.bundle.model import load_bundle
from leuda_core.bundle.store import read_model
from leuda_core.data.dataset import load_dataset
from leuda_core.prediction.anatomy import anatomy_of, implausible, known_anatomy, shapes_of
from leuda_core.types import Anatomy, Label, LabelMap

LIVER, SPLEEN = Label(1, "liver"), Label(4, "spleen")
AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])  # 0.02 mL a voxel


def organs(liver: int = 10, *, spleen: bool = True, islands: int = 0) -> LabelMap:
    """A liver of 10 x 10 x ``liver`` voxels, a spleen of 100, and pieces of liver of 100 voxels far from it."""
    data = np.zeros((60, 40, 30), np.uint8)
    data[5:15, 5:15, 5 : 5 + liver] = 1
    if spleen:
        data[30:35, 30:35, 10:14] = 4
    for number in range(islands):
        data[40:45, 2 + 8 * number : 7 + 8 * number, 10:14] = 1
    return LabelMap(data, AFFINE, (LIVER, SPLEEN))


def known(*volumes: LabelMap) -> tuple[Anatomy, ...]:
    return anatomy_of([shapes_of(volume) for volume in volumes], (LIVER, SPLEEN))


def test_structures_are_measured_in_millilitres_and_pieces() -> None:
    shapes = shapes_of(organs(islands=1))
    assert shapes[1].ml == pytest.approx(22.0)
    assert shapes[1].largest == pytest.approx(1000 / 1100) and not shapes[1].cut
    assert shapes[4].ml == pytest.approx(2.0) and shapes[4].largest == 1
    assert set(shapes_of(organs(spleen=False))) == {1}


def test_a_structure_at_the_edge_is_cut_but_not_that_of_a_single_slice() -> None:
    data = np.zeros((20, 20, 1), np.uint8)
    data[5:9, 5:9] = 1
    assert not shapes_of(LabelMap(data, AFFINE, (LIVER,)))[1].cut
    data[0, 5:9] = 1
    assert shapes_of(LabelMap(data, AFFINE, (LIVER,)))[1].cut


def test_what_volumes_have_in_common() -> None:
    liver, spleen = known(organs(8), organs(12, spleen=False, islands=1))
    assert (liver.cases, liver.of, liver.low_ml, liver.high_ml) == (2, 2, 16.0, 26.0)
    assert liver.largest == pytest.approx(1200 / 1300, abs=1e-3)
    assert (spleen.cases, spleen.of) == (1, 2)
    assert known() == ()


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (organs(), []),
        (organs(19), []),
        (organs(24), ["liver is unusually large: 48 mL; in the labelled volumes, it has 16 to 20 mL"]),
        (organs(3), ["liver is unusually small: 6 mL; in the labelled volumes, it has 16 to 20 mL"]),
        (organs(8, islands=3), ["liver is in pieces: the largest is 73% of it"]),
        (organs(spleen=False), ["spleen was not found, although every labelled volume of the training shows it"]),
    ],
)
def test_what_differs_is_said(result: LabelMap, said: list[str]) -> None:
    assert list(implausible(result, known(organs(8), organs(10)))) == said


def test_a_small_structure_at_the_edge_is_not_doubted() -> None:
    cut = organs(3)
    cut.data[...] = np.roll(cut.data, -5, axis=2)
    assert list(implausible(cut, known(organs(8), organs(10)))) == []


def test_nothing_is_said_without_labelled_volumes_or_without_a_result() -> None:
    assert list(implausible(organs(1), ())) == []
    empty = LabelMap(np.zeros((4, 4, 4), np.uint8), AFFINE, (LIVER, SPLEEN))
    assert list(implausible(empty, known(organs()))) == []  # the segmenter says that nothing was found
    assert list(implausible(organs(spleen=False), known(organs(), organs(spleen=False)))) == []


def test_volumes_with_some_labelled_slices_tell_nothing(tiny_dataset: Path) -> None:
    dataset = load_dataset(tiny_dataset)
    whole = known_anatomy(dataset)
    assert [one.name for one in whole] == [label.name for label in dataset.labels] and whole[0].of > 0
    cases = tuple(replace(case, labelled_slices=(0,)) if case.label else case for case in dataset.source.cases)
    assert known_anatomy(replace(dataset, source=replace(dataset.source, cases=cases))) == ()


def test_a_model_keeps_it_and_the_list_of_models_opens(untrained_bundle: Path, tmp_path: Path) -> None:
    from leuda_core.bundle.model import save_bundle

    bundle = load_bundle(untrained_bundle)
    assert bundle.task.anatomy == ()
    anatomy = tuple(Anatomy(label.name, 2, 2, 1.5, 3.25, 0.9) for label in bundle.task.labels)
    saved = save_bundle(tmp_path / "model", bundle.predictor(), replace(bundle.task, anatomy=anatomy), bundle.info)
    assert load_bundle(saved).task.anatomy == anatomy
    assert not read_model(saved).problem
    assert f"| {anatomy[0].name} | 2 of 2 | 1.5 to 3.25 |" in (saved / "README.md").read_text(encoding="utf-8")


def test_a_training_writes_it_and_segmenting_tells(tiny_dataset: Path, tmp_path: Path) -> None:
    from leuda_core import segment
    from leuda_core.training.run import train

    run = train(tiny_dataset, "source_only", tmp_path / "run", steps=1, device="cpu", settings={"base_channels": 4})
    bundle = load_bundle(run.bundle)
    assert bundle.task.anatomy == known_anatomy(load_dataset(tiny_dataset))
    tiny = tuple(replace(one, low_ml=1e-9, high_ml=1e-8, largest=0.0) for one in bundle.task.anatomy)
    strange = replace(bundle, task=replace(bundle.task, anatomy=tiny))
    volume = load_dataset(tiny_dataset).target.cases[0].image
    found = segment(volume, strange, device="cpu")
    assert any("is unusually large" in note for note in found.notes) or not found.label_map.data.any()
