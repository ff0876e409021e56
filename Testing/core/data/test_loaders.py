"""Batches are functions of seed and step; what nobody labelled is ignored; target labels stay unread."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from leuda_core.config import MethodConfig
from leuda_core.data.batches import loaders
from leuda_core.data.batches.loaders import BALANCED, SliceLoader, _has_rare_class
from leuda_core.data.batches.prepared import class_indices
from leuda_core.data.batches.views import into_views, random_view
from leuda_core.data.dataset import load_dataset
from leuda_core.data.tasks import make_task
from leuda_core.types import IGNORE, STREAMS, Label

SETTINGS = MethodConfig(patch_size=48, batch_size=4, unlabelled_batch_size=3)


def make_loader(path, folder, **options):
    dataset = load_dataset(path)
    return SliceLoader(dataset, make_task(dataset, SETTINGS), SETTINGS, folder, **options)


def test_a_batch_is_a_function_of_seed_and_step(tiny_dataset, tmp_path):
    def draw(seed, step, folder):
        torch.manual_seed(step)
        return make_loader(tiny_dataset, tmp_path / folder, seed=seed).batch(step)

    first, again, later, other = draw(1, 5, "a"), draw(1, 5, "b"), draw(1, 6, "c"), draw(2, 5, "d")
    assert torch.equal(first.source, again.source) and torch.equal(first.target, again.target)
    assert torch.equal(first.source_labels, again.source_labels)
    assert not torch.equal(first.source, later.source)
    assert not torch.equal(first.source, other.source)


def test_a_batch_has_the_promised_shapes(tiny_dataset, tmp_path):
    batch = make_loader(tiny_dataset, tmp_path).batch(0)
    assert batch.source.shape == (4, 1, 48, 48) and batch.source.dtype == torch.float32
    assert batch.source_labels.shape == (4, 48, 48) and batch.source_labels.dtype == torch.int64
    assert batch.source_unlabelled.shape == batch.target.shape == (3, 1, 48, 48)
    assert batch.target_labels is None
    assert batch.source.abs().max() <= 1
    assert set(batch.source_labels.unique().tolist()) <= {0, 1, 2, IGNORE}


def test_slices_nobody_labelled_are_ignored_not_background(tiny_dataset, tmp_path):
    document = json.loads(tiny_dataset.read_text(encoding="utf-8"))
    document["source"]["cases"][0]["labelled_slices"] = [2]
    document["source"]["cases"][1].pop("label")
    path = tiny_dataset.parent / "one_slice.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    loader = make_loader(path, tmp_path)
    (case,) = loader.labelled
    assert case.labelled == (2,)
    labels = np.load(case.labels.path)
    assert (labels[[0, 1, 3, 4, 5]] == IGNORE).all()
    assert {0, 1, 2} == set(np.unique(labels[2]))
    batch = loader.batch(0)
    assert ((batch.source_labels == 1).flatten(1).any(1)).all()  # every drawn slice is the labelled one


def test_target_labels_are_read_only_on_demand(tiny_dataset, tmp_path):
    document = json.loads(tiny_dataset.read_text(encoding="utf-8"))
    test = document["test"]["target"].pop()
    document["target"]["cases"].append(test)
    path = tiny_dataset.parent / "oracle.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    blind = make_loader(path, tmp_path / "blind")
    assert blind.batch(0).target_labels is None
    assert all(case.labels is None for case in blind.target)
    told = make_loader(path, tmp_path / "told", target_labels=True, target_only=True)
    assert [case.id for case in told.target] == ["test_t"]
    assert told.batch(0).target_labels.shape == (4, 48, 48) and told.batch(0).labelled_target is None


def test_prepared_slices_align_with_their_labels(tiny_dataset, tmp_path):
    case = make_loader(tiny_dataset, tmp_path).labelled[0]
    image, label = case.images.read([3])[0].astype(np.float32), case.labels.read([3])[0]
    assert image.shape == label.shape
    ring, core, outside = (image[label == c].mean() for c in (1, 2, 0))
    assert ring > core > outside  # 500, 300 and 100 in the source's contrast


def test_small_slices_are_padded_and_the_rest_is_unlabelled(tiny_dataset, tmp_path):
    settings = MethodConfig(patch_size=96, batch_size=4, unlabelled_batch_size=1, spacing_mm=1.25)
    dataset = load_dataset(tiny_dataset)
    loader = SliceLoader(dataset, make_task(dataset, settings), settings, tmp_path)
    batch = loader.batch(0)
    outside = batch.source_labels == IGNORE
    assert outside[:, [0, 0, -1, -1], [0, -1, 0, -1]].all() and not outside[:, 46:50, 46:50].any()
    assert (batch.source[:, 0][outside] < 0).all()


def test_patches_of_earlier_rules_are_turned_about_their_centre_and_have_no_upright_slices(tiny_dataset, tmp_path):
    torch.manual_seed(0)
    batch = make_loader(tiny_dataset, tmp_path, rules=2).batch(0)
    assert batch.upright is None and batch.upright_matrices is None
    assert batch.source.shape == batch.source_structures.shape == (4, 1, 48, 48)
    assert (batch.source_labels == 2)[:, 20:28, 20:28].any(-1).any(-1).all()  # the structure is in the middle


def test_unlabelled_slices_come_upright_too(tiny_dataset, tmp_path):
    loader = make_loader(tiny_dataset, tmp_path)
    batch = loader.batch(3)
    assert batch.upright.shape == (6, 1, 48, 48) and batch.upright_matrices.shape == (6, 2, 3)
    stored = {case.images.read([i]).astype(np.float32).tobytes() for case in loader.source for i in range(6)}
    assert all(image.numpy().tobytes() in stored for image in batch.upright[:3, 0])
    seen = into_views(batch.upright + 2, batch.upright_matrices) - 2
    known, shown = seen > -1.9, torch.cat([batch.source_unlabelled, batch.target])
    assert known.float().mean() > 0.4
    assert (seen - shown)[known].abs().max() < 0.01


def test_source_slices_are_new_unless_most_are_labelled(tiny_dataset, tmp_path):
    assert make_loader(tiny_dataset, tmp_path / "all").batch(0).source_is_labelled
    assert not make_loader(tiny_dataset, tmp_path / "before", rules=2).batch(0).source_is_labelled
    document = json.loads(tiny_dataset.read_text(encoding="utf-8"))
    for case in document["source"]["cases"]:  # labelled volumes in which most slices have no label
        if "label" in case:
            case["labelled_slices"] = [2]
    path = tiny_dataset.parent / "few_slices.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    loader = make_loader(path, tmp_path / "few")
    assert loader.labelled and not loader.batch(0).source_is_labelled


def test_rare_structures_are_drawn_as_often_as_common_ones(tiny_dataset, tmp_path):
    loader = make_loader(tiny_dataset, tmp_path)
    loader.labelled = [replace(case, showing=(case.labelled, case.labelled[:1])) for case in loader.labelled]
    assert _has_rare_class(loader.labelled, 2)
    loader._balanced = BALANCED
    rng = np.random.default_rng(0)
    drawn = [loader._choice(rng, loader.labelled, True) for _ in range(2000)]
    assert all(index in case.labelled for case, index in drawn)
    rare = sum(index == case.labelled[0] for case, index in drawn) / len(drawn)
    count = len(loader.labelled[0].labelled)
    assert rare == pytest.approx(1 / count + BALANCED / 2 * (1 - 1 / count), abs=0.05)


def test_common_structures_are_not_drawn_by_class(tiny_dataset, tmp_path):
    loader = make_loader(tiny_dataset, tmp_path)
    assert loader._balanced == 0.0  # both are on the same slices
    case = loader.labelled[0]
    rare, absent = (replace(case, showing=(case.labelled, case.labelled[:n])) for n in (1, 0))
    assert _has_rare_class([rare], 2) and not _has_rare_class([absent], 2)


def test_views_of_slices_that_fit_nearly_are_drawn_anywhere(tiny_dataset, tmp_path, monkeypatch):
    """A slice of 40 pixels and views of 32: structures must not be pushed to the border."""
    drawn = []
    monkeypatch.setattr(loaders, "random_view", lambda *args: drawn.append(args[-1]) or random_view(*args))
    settings = MethodConfig(patch_size=32, batch_size=8, spacing_mm=1.5)
    dataset = load_dataset(tiny_dataset)
    SliceLoader(dataset, make_task(dataset, settings), settings, tmp_path).batch(0)
    assert drawn and all(around is None for around in drawn)


def test_views_of_large_slices_are_drawn_where_structures_are(tiny_dataset, tmp_path):
    settings = MethodConfig(patch_size=32, batch_size=64, unlabelled_batch_size=64, spacing_mm=0.5)
    dataset = load_dataset(tiny_dataset)
    loader = SliceLoader(dataset, make_task(dataset, settings), settings, tmp_path)
    with_structure = [float((loader.batch(step).source_labels > 0).flatten(1).any(1).float().mean()) for step in (0, 1)]
    assert min(with_structure) > 0.7


def test_label_values_become_class_indices():
    labels = (Label(205, "a"), Label(500, "b"))
    assert class_indices(np.array([[0, 205], [500, 0]], np.uint16), labels).tolist() == [[0, 1], [2, 0]]


def test_spacing_fits_the_slice_into_the_patch_within_limits(tiny_dataset):
    dataset = load_dataset(tiny_dataset)  # 48 pixels of 1.25 mm
    sizes = {48: 1.25, 96: 1.25, 32: 1.875}
    assert {size: make_task(dataset, MethodConfig(patch_size=size)).spacing_mm for size in sizes} == sizes


def test_only_the_streams_of_a_step_are_drawn(tiny_dataset, tmp_path):
    loader = make_loader(tiny_dataset, tmp_path)
    whole, source, target = (loader.batch(2, streams) for streams in (STREAMS, {"source"}, {"target"}))
    assert torch.equal(whole.source, source.source) and torch.equal(whole.source_labels, source.source_labels)
    assert not len(source.source_unlabelled) and not len(source.target) and not len(source.upright)
    assert (
        not len(target.source) and not len(target.source_labels) and target.source_stack_labels.shape[1:] == (1, 48, 48)
    )
    assert len(target.target) == len(target.upright_target) == 3


def test_a_file_of_slices_that_became_shorter_is_an_error(tiny_dataset, tmp_path):
    images = make_loader(tiny_dataset, tmp_path).target[0].images
    assert np.array_equal(images.read([4, 1]), np.load(images.path)[[4, 1]])
    images.path.write_bytes(images.path.read_bytes()[:-1])
    with pytest.raises(OSError, match="shorter"):
        images.read([0, 5])
