"""Labelled target slices: every method can learn from them, and none reads them unless asked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from leuda_core.bench.plan import chosen_methods, plan
from leuda_core.bundle.model import load_bundle
from leuda_core.config import MethodConfig, make_config
from leuda_core.data.batches.loaders import SliceLoader
from leuda_core.data.dataset import load_dataset
from leuda_core.data.tasks import make_task
from leuda_core.errors import InputError
from leuda_core.methods import METHODS
from leuda_core.methods.cyclegan import TranslatingMethod
from leuda_core.training.plans.planning import make_plan
from leuda_core.training.reproduce import reproduce
from leuda_core.training.run import train
from leuda_core.types import Batch, Label, Task
from tiny_data import write_case, write_dataset

SMALL = {"base_channels": 4, "patch_size": 48, "batch_size": 2, "unlabelled_batch_size": 2}
TASK = Task(labels=(Label(1, "a"), Label(2, "b")), spacing_mm=1.0, patch_size=32)
OTHERS = [name for name in METHODS if name != "target_supervised"]


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset whose first target case has two labelled slices."""
    path = write_dataset(tmp_path_factory.mktemp("corrected"))
    case = write_case(path.parent, "t0", inverted=True, labelled=True, seed=10)
    document = json.loads(path.read_text(encoding="utf-8"))
    document["target"]["cases"][0] = {**case, "labelled_slices": [1, 4]}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def load(path: Path, folder: Path, **options: bool) -> SliceLoader:
    settings = make_config(MethodConfig, {**SMALL, "labelled_target_batch_size": 3})
    dataset = load_dataset(path)
    return SliceLoader(dataset, make_task(dataset, settings), settings, folder, **options)


def test_batches_have_them_in_addition(corrected: Path, tmp_path: Path) -> None:
    plain, more = load(corrected, tmp_path / "a").batch(3), load(corrected, tmp_path / "b", target_labels=True).batch(3)
    assert plain.labelled_target is None and plain.labelled_target_structures is None
    assert more.labelled_target is not None and more.labelled_target_structures is not None
    assert more.labelled_target.shape == more.labelled_target_structures.shape == (3, 1, 48, 48)
    assert set(more.labelled_target_structures.unique().tolist()) >= {0, 1, 2}
    for one, other in ((plain.source, more.source), (plain.target, more.target)):
        assert torch.equal(one, other)  # what a method draws otherwise is the same


def test_only_the_listed_slices_are_drawn(corrected: Path, tmp_path: Path) -> None:
    loader = load(corrected, tmp_path, target_labels=True)
    assert [(case.id, case.labelled) for case in loader.labelled_target] == [("t0", (1, 4))]
    assert [case.id for case in loader.target] == ["t0", "t1"]


def test_none_is_read_unless_asked(corrected: Path, tmp_path: Path) -> None:
    """The label map does not even exist."""
    document = json.loads(corrected.read_text(encoding="utf-8"))
    document["target"]["cases"][0]["label"] = "nowhere.nii.gz"
    path = corrected.parent / "without.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    run = train(path, "self_training", tmp_path / "run", steps=2, settings=SMALL)
    assert load_bundle(run.bundle).info.target.labelled_cases == 0
    with pytest.raises(InputError, match=r"nowhere\.nii\.gz"):
        train(path, "self_training", tmp_path / "asked", steps=2, settings={**SMALL, "target_labels": True})


def test_a_dataset_without_any_is_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no target slice is labelled"):
        train(tiny_dataset, "source_only", tmp_path / "run", steps=2, settings={**SMALL, "target_labels": True})


def test_a_run_tells_how_many_it_learnt_from_and_is_reproduced(corrected: Path, tmp_path: Path) -> None:
    run = train(corrected, "source_only", tmp_path / "run", steps=3, settings={**SMALL, "target_labels": True})
    target = load_bundle(run.bundle).info.target
    assert (target.cases, target.labelled_cases, target.labelled_slices) == (2, 1, 2)
    found = reproduce(run.bundle, out=tmp_path / "again")
    assert found.equal and not found.data


def test_a_plan_takes_them_into_account(corrected: Path) -> None:
    def seconds_and_slices(**more: bool) -> tuple[int, int]:
        found = make_plan(corrected, "source_only", steps=50, settings={**SMALL, **more}, device="cpu")
        return found.labelled_slices, found.steps["train"]

    assert seconds_and_slices() == (12, 50) and seconds_and_slices(target_labels=True) == (14, 50)


def test_a_bench_compares_them_on_datasets_that_have_them(corrected: Path, tiny_dataset: Path) -> None:
    methods = chosen_methods(["source_only", "self_training:target_labels=true"])
    jobs = plan(
        [load_dataset(corrected), load_dataset(tiny_dataset)], methods=methods, augmentations=["strong"], seeds=[0]
    )
    assert [(job.dataset.path, job.method) for job in jobs] == [
        (corrected, "self_training:target_labels=true"),
        (tiny_dataset, "source_only"),
    ]
    everywhere = plan(
        [load_dataset(corrected), load_dataset(tiny_dataset)],
        methods=["source_only"],
        augmentations=["strong"],
        seeds=[0],
        settings={"target_labels": "true"},
    )
    assert [job.dataset.path for job in everywhere] == [corrected]


def batch(structures: int | None) -> Batch:
    """Return a batch with labelled target slices, which are all of one class, or without."""
    generator = torch.Generator().manual_seed(0)
    images, more = (torch.rand(2, 1, 32, 32, generator=generator) * 2 - 1 for _ in range(2))
    labels = torch.randint(0, 3, (2, 32, 32), generator=generator)
    found = Batch(images, labels, images, more)
    if structures is None:
        return found
    return replace(found, labelled_target=more, labelled_target_structures=torch.full((2, 1, 32, 32), structures))


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_every_method_learns_from_them(name: str) -> None:
    def weights(structures: int | None) -> torch.Tensor:
        torch.manual_seed(0)
        kind = METHODS[name]
        small = {"base_channels": 4, "patch_size": 32, "target_labels": True}
        if issubclass(kind, TranslatingMethod):
            small |= {"translator_channels": 4, "translator_blocks": 1}
        small |= {key: 1 for key in kind.Config.__struct_fields__ if key.endswith("_steps")}
        method = kind(TASK, make_config(kind.Config, small))
        method.train()
        method.teacher.eval()
        for phase in method.phases(2):
            for index in range(phase.steps):
                torch.manual_seed(index)
                losses = phase.take(index, batch(structures))
                if phase.step == method.main_step:
                    assert ("target_segmentation" in losses) == (structures is not None)
        return torch.cat([value.flatten().float() for value in method.final_weights().values()])

    without, first, second = weights(None), weights(1), weights(2)
    assert not torch.equal(without, first) and not torch.equal(first, second)
