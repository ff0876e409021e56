"""Slices of any size are segmented in training as they are after it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.io import imread

from leuda_core.config import make_config
from leuda_core.data.batches.prepared import CachedCase, SliceFile
from leuda_core.data.slices import in_padding
from leuda_core.io.nifti import write_nifti
from leuda_core.methods import METHODS
from leuda_core.methods.cyclegan import TranslatingMethod
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.training.preview import Previewer
from leuda_core.training.run import train
from leuda_core.types import Label, Task

SIZES = [(30, 30), (1, 40), (40, 1), (1, 1), (17, 33), (31, 200)]
TASK = Task((Label(1, "a"), Label(2, "b")), spacing_mm=1.0, patch_size=32)


def make(name: str):
    torch.manual_seed(0)
    kind = METHODS[name]
    small = {"base_channels": 4, "patch_size": 32}
    if issubclass(kind, TranslatingMethod):
        small |= {"translator_channels": 4, "translator_blocks": 1}
    return kind(TASK, make_config(kind.Config, small))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_predicts_slices_of_any_size_as_its_model_does(name):
    method = make(name)
    segmenter = SliceSegmenter(method.predictor(), TASK, device="cpu", precision="float32")
    for size in SIZES[:3]:
        images = torch.rand(2, 1, *size) * 2 - 1
        found = method.predict(images)
        assert found.shape == (2, 3, *size)
        assert torch.allclose(found, segmenter.logits(images), atol=1e-2)


@pytest.mark.parametrize("size", SIZES)
def test_padding_is_that_of_training_and_is_cut_off_again(size):
    seen = []
    images = torch.rand(1, 1, *size)
    assert torch.equal(in_padding(lambda x: seen.append(x) or x, images, 32), images)
    (padded,) = seen
    assert all(n >= 32 and n % 16 == 0 for n in padded.shape[-2:])
    assert (padded == -1).sum() == padded.numel() - images.numel()


@pytest.mark.parametrize("size", SIZES)
def test_a_preview_of_any_size_is_a_picture_of_moderate_size(size, tmp_path: Path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "image.npy", rng.uniform(-1, 1, (3, *size)).astype(np.float16))
    case = CachedCase("c", SliceFile.at(tmp_path / "image.npy"), None, 3, ())
    picture = imread(Previewer(tmp_path / "previews", case, TASK).write(make("source_only"), 1))
    assert picture.shape[0] % size[0] == 0 and picture.shape[1] % size[1] == 0
    assert max(picture.shape) <= 1024


@pytest.mark.slow
@pytest.mark.parametrize("method", ["source_only", "self_training", "le_uda", "adda", "adabn"])
@pytest.mark.parametrize("size", [(30, 30), (1, 40)])
def test_small_targets_train_to_the_end(tiny_dataset: Path, tmp_path: Path, method: str, size: tuple[int, int]) -> None:
    document = json.loads(tiny_dataset.read_text(encoding="utf-8"))
    for case in document["source"]["cases"]:
        for key in {"image", "label"} & case.keys():
            case[key] = str(tiny_dataset.parent / case[key])
    data = np.random.default_rng(0).normal(size=(*size, 4)).cumsum(0).cumsum(1).astype(np.float32)
    write_nifti(data, np.diag([1.25, 1.25, 8.0, 1.0]), tmp_path / "small.nii.gz")
    document["target"]["cases"] = [{"id": "t", "image": str(tmp_path / "small.nii.gz")}]
    document["test"] = {}
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    settings = {"base_channels": 4, "patch_size": 32, "batch_size": 2, "unlabelled_batch_size": 2}
    if issubclass(METHODS[method], TranslatingMethod):
        settings |= {"translator_channels": 4, "translator_blocks": 1, "translator_steps": 1}
    settings |= {"adda": {"align_steps": 2}}.get(method, {})
    run = train(path, method, tmp_path / "run", steps=2, checkpoint_every=1, settings=settings)
    assert (run.bundle / "bundle.json").exists() and len(list(run.previews.iterdir())) >= 1
