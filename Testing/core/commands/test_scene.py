"""A scene written for Slicer holds exactly the saved data: geometry, voxels, names, colours, terminology, surfaces."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

from leuda_core.demo import scene
from leuda_core.errors import InputError
from leuda_core.types import Label, LabelMap, Volume

HEART = (
    "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure"
    "~SCT^80891009^Heart~^^~Anatomic codes - DICOM master list~^^~^^"
)


def needs_slicer_core() -> None:
    pytest.importorskip("slicer_core", reason="slicer-core is not installed (pip install slicer-core)")


@pytest.fixture(params=[1, -1], ids=["right-handed", "left-handed"])
def oblique(request) -> tuple[Volume, LabelMap]:
    """A volume whose axes are rotated, flipped and unequal, and two labels with a gap between their values."""
    angle = 0.3
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, request.param]])
    affine = np.eye(4)
    affine[:3, :3] = rotation * (0.75, 0.8, 6.5)
    affine[:3, 3] = (-31.25, 17.5, 203.1)
    data = np.random.default_rng(0).normal(100, 30, (32, 28, 9)).astype(np.float32)
    values = np.zeros(data.shape, np.uint8)
    values[4:12, 5:20, 2:7] = 1
    values[18:27, 8:16, 1:6] = 5
    labels = (Label(1, "Myokard äöü", (0.8, 0.1, 0.25), HEART), Label(5, "left ventricle", (0.5, 0.5, 0.5)))
    return Volume(data, affine), LabelMap(values, affine, labels)


def test_round_trip_keeps_everything(oblique, tmp_path):
    needs_slicer_core()
    volume, label_map = oblique
    path = tmp_path / "scene.mrb"
    scene.write_scene(volume, label_map, path, name="p01")
    found = scene.read_scene(path)
    for before, after in ((volume, found.volume), (label_map, found.label_map)):
        flipped = np.linalg.det(before.affine[:3, :3]) < 0  # Slicer has right-handed axes only
        np.testing.assert_array_equal(after.data, before.data[:, :, ::-1] if flipped else before.data)
        for voxel in np.ndindex(2, 2, 2):
            index = np.multiply(voxel, np.subtract(before.shape, 1))
            there = [index[0], index[1], before.shape[2] - 1 - index[2] if flipped else index[2], 1]
            np.testing.assert_allclose(after.affine @ there, before.affine @ [*index, 1], atol=1e-6)
    assert [label.name for label in found.label_map.labels] == ["Myokard äöü", "left ventricle"]
    np.testing.assert_allclose([label.color for label in found.label_map.labels], [(0.8, 0.1, 0.25), (0.5, 0.5, 0.5)])
    assert found.label_map.labels[0].terminology == HEART
    assert min(found.n_surface_points) > 100
    assert found.reference_geometry == "p01"
    assert scene.check_scene(path, volume, label_map) == []


def test_check_names_every_difference(oblique, tmp_path):
    needs_slicer_core()
    volume, label_map = oblique
    path = tmp_path / "scene.mrb"
    scene.write_scene(volume, label_map, path)
    moved = volume.affine.copy()
    moved[0, 3] += 1e-3
    red = dataclasses.replace(label_map.labels[1], color=(1.0, 0.0, 0.0))
    changed = LabelMap(np.roll(label_map.data, 1, 0), moved, (label_map.labels[0], red))
    problems = scene.check_scene(path, Volume(volume.data + 1, moved), changed)
    assert len(problems) == 5
    assert any("colour" in problem for problem in problems)


def test_file_that_is_not_a_scene(tmp_path):
    needs_slicer_core()
    path = tmp_path / "x.mrb"
    with pytest.raises(InputError, match=r"x\.mrb"):
        scene.read_scene(path)


def test_missing_package_is_reported(oblique, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "slicer_core", None)
    with pytest.raises(InputError, match="pip install slicer-core"):
        scene.write_scene(*oblique, tmp_path / "scene.mrb")
