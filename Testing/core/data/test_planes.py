"""A data set has one slicing plane, which nearly isotropic volumes follow, in training and in prediction."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leuda_core.bundle.schema import BundleInfo, Document, DomainSummary, FileRecord, content_hash, decode
from leuda_core.config import MethodConfig
from leuda_core.data.batches.loaders import SliceLoader
from leuda_core.data.check import check_dataset
from leuda_core.data.dataset import load_dataset
from leuda_core.data.geometry import AS_STORED, plan_slices
from leuda_core.data.planes import case_plan, disagreement, isotropic_rule, plane_name
from leuda_core.data.tasks import make_task
from leuda_core.io.nifti import write_nifti
from leuda_core.io.volumes import Grid
from leuda_core.networks.predictor import PredictorSpec
from leuda_core.prediction.job import SliceJob
from leuda_core.types import Case, Label, Task, Volume
from leuda_core.worker.volumes import slab_around, slice_at

SHAPE = (20, 24, 22)


def grid(spacing: tuple[float, float, float], codes: str = "LPS", shape: tuple[int, int, int] = SHAPE) -> Grid:
    """Return the grid of a volume whose array axes run towards the given directions."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, letter in enumerate(codes):
        world = next(index for index, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        affine[world, axis] = spacing[axis] * (1 if letter in "RAS" else -1)
    return Grid(shape, affine)


THICK, THIN, NEARLY = (0.7, 0.7, 5.0), (0.98, 0.98, 0.8), (0.977, 0.977, 0.97)


@pytest.mark.parametrize("spacing", [THIN, NEARLY, (1, 1, 1), (1.0, 1.25, 0.9)])
def test_nearly_isotropic_volumes_follow_the_others(spacing):
    rule = isotropic_rule([grid(THICK), grid(THICK), grid(spacing)])
    assert rule == "SPL"
    for codes, axis in (("LPS", 2), ("PSR", 1), ("ASL", 1), ("SRA", 0)):
        assert plan_slices(SHAPE, grid(spacing, codes).affine, isotropic=rule).axis == axis


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PSR", "ASL", "SRA", "IRP"])
def test_their_slices_lie_as_those_of_the_others(codes):
    """One anatomy, stored in any way, gives the slices of the thick volumes; the order of slices does not matter."""
    reference = grid(THIN, "LPS")
    anatomy = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

    turn = ornt_transform(io_orientation(reference.affine), axcodes2ornt(codes))
    stored = apply_orientation(anatomy, turn)
    rule = isotropic_rule([grid(THICK, "LPS"), grid(THICK, "LPS")])
    wanted = anatomy.transpose(2, 1, 0)
    shown = plan_slices(stored.shape, grid(THIN, codes, stored.shape).affine, isotropic=rule).view(stored)
    assert any(np.array_equal(way, wanted) for way in (shown, shown[::-1]))


def test_clearly_thick_slices_stay_as_stored_whatever_the_rule():
    for codes in ("LPS", "PSR", "SRA"):
        affine = grid((5.0, 0.7, 0.7), codes).affine
        assert plan_slices(SHAPE, affine, isotropic="SPL") == plan_slices(SHAPE, affine)


def test_without_thick_slices_or_agreement_the_last_axis_decides():
    assert isotropic_rule([grid(THIN), grid(NEARLY, "PSR")]) == AS_STORED
    mixed = [grid(THICK), grid(THICK, "PSR"), grid(THICK, "LSP"), grid(THIN)]
    assert isotropic_rule(mixed) == AS_STORED
    assert plan_slices(SHAPE, grid(THIN).affine, isotropic=AS_STORED).axis == 2


def test_the_direction_of_most_volumes_decides_however_their_rows_lie():
    across_p, across_s = [grid(THICK, "LSP")] * 2, [grid(THICK, "LPS"), grid(THICK, "PLS")] * 2
    assert isotropic_rule([*across_p, *across_s])[0] == "S"


def test_oblique_volumes_disagree_with_no_plane():
    assert disagreement({"a": "axial", "b": "oblique", "c": "axial"}) is None
    assert "others are not: b coronal" in disagreement({"a": "axial", "b": "coronal", "c": "axial", "d": "oblique"})


def test_a_single_slice_is_cut_across_its_only_voxel():
    for rule in ("", AS_STORED, "SPL"):
        assert plan_slices((1, 30, 30), grid((1, 1, 1), shape=(1, 30, 30)).affine, isotropic=rule).axis == 0


def test_models_of_version_0_1_cut_as_before():
    task = Task((Label(1, "a"),), spacing_mm=1.0, patch_size=32)
    assert task.isotropic == ""
    assert plan_slices(SHAPE, grid(THIN).affine, task.plane, task.isotropic).axis == 1


def test_one_slice_for_a_preview_equals_that_slice_of_the_volume():
    task = Task((Label(1, "a"),), spacing_mm=1.0, patch_size=32, isotropic="SPL")
    stored = grid(THIN, "PSR")
    volume = Volume(np.random.default_rng(0).normal(size=SHAPE), stored.affine)
    axis, index = slice_at(volume, task, (0.0, 0.0, 5.0))
    assert axis == 1
    slab, box = slab_around(volume, task, index)
    assert slab.shape[1] == 1 and box[1] == (0, 1)
    part = SliceJob(slab, task, intensities=(-1, 1)).images([0])
    assert np.array_equal(part, SliceJob(volume, task, intensities=(-1, 1)).images([index]))


def test_marked_slices_keep_the_axis_that_they_were_marked_along():
    case = Case("c", Path("c"), Path("l"), labelled_slices=(3,))
    assert case_plan(case, grid(THIN), "acquisition", "SPL").axis == 1
    assert case_plan(Case("c", Path("c")), grid(THIN), "acquisition", "SPL").axis == 2


def test_planes_have_names():
    assert plane_name(grid(THICK), plan_slices(SHAPE, grid(THICK).affine)) == "axial"
    assert plane_name(grid(THICK, "PSR"), plan_slices(SHAPE, grid(THICK, "PSR").affine)) == "sagittal"
    tilted = grid(THICK).affine.copy()
    turn = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    tilted[:3, :3] = turn @ tilted[:3, :3]
    assert plane_name(Grid(SHAPE, tilted), plan_slices(SHAPE, tilted)) == "oblique"


def test_the_bundle_refuses_a_rule_that_is_none():
    def document(rule: str) -> bytes:
        import msgspec

        task = Task((Label(1, "a"),), spacing_mm=1.0, patch_size=32, isotropic=rule)
        domain = DomainSummary(name="d", modality="MR")
        info = BundleInfo(name="m", method="x", source=domain, target=domain)
        spec = PredictorSpec(n_classes=2, base_channels=4)
        fields = msgspec.to_builtins(
            Document(task=task, predictor=spec, info=info, files={"a": FileRecord(size=0, sha256="0" * 64)}),
            order="deterministic",
        )
        fields["checksum"] = content_hash(fields)
        return msgspec.json.encode(fields)

    for rule in ("", AS_STORED, "SPL", "RAS"):
        assert decode(document(rule)).task.isotropic == rule
    for rule in ("SSL", "SP", "xyz", "SPLS"):
        with pytest.raises(ValueError, match="isotropic"):
            decode(document(rule))


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a dataset of volumes with the given grids, the first of them labelled."""

    def make(source: list[Grid], target: list[Grid], **first: object) -> Path:
        rng = np.random.default_rng(0)
        groups: dict[str, list[dict[str, object]]] = {"source": [], "target": []}
        for role, grids in (("source", source), ("target", target)):
            for number, one in enumerate(grids):
                name = f"{role[0]}{number}"
                smooth = np.add.outer(np.add.outer(*(np.sin(np.arange(n) / 4) for n in one.shape[:2])), np.zeros(22))
                data = smooth + rng.normal(0, 0.05, one.shape)
                write_nifti(data.astype(np.float32), one.affine, tmp_path / f"{name}.nii.gz")
                groups[role].append({"id": name, "image": f"{name}.nii.gz"})
        label = np.zeros(source[0].shape, np.uint8)
        label[4:12, 4:12, 4:12] = 1
        write_nifti(label, source[0].affine, tmp_path / "s0_label.nii.gz")
        groups["source"][0] |= {"label": "s0_label.nii.gz", **first}
        domains = {role: {"cases": cases} for role, cases in groups.items()}
        path = tmp_path / "dataset.json"
        path.write_text(json.dumps({"name": "d", "labels": {"1": "cube"}, **domains}), encoding="utf-8")
        return path

    return make


def test_a_training_prepares_all_volumes_in_one_plane(dataset, tmp_path):
    path = dataset([grid(THICK), grid(THIN)], [grid(NEARLY), grid(NEARLY, "PSR")])
    settings = MethodConfig(patch_size=32)
    task = make_task(load_dataset(path), settings)
    assert task.isotropic == "SPL" and task.normalization.ignores_padding
    loader = SliceLoader(load_dataset(path), task, settings, tmp_path / "cache")
    assert [case.n_slices for case in (*loader.source, *loader.target)] == [22, 22, 22, 24]
    old = make_task(load_dataset(path), settings, rules=1)
    assert old.isotropic == "" and not old.normalization.ignores_padding, "a run of version 0.1 goes on as it began"


def test_check_names_the_planes_and_the_cases_that_disagree(dataset):
    report = check_dataset(dataset([grid(THICK), grid(THIN)], [grid(NEARLY)]))
    assert not report.problems and not report.warnings
    assert {row["plane"] for row in report.summary["volumes"]} == {"axial"}
    report = check_dataset(dataset([grid(THICK), grid(THIN)], [grid(THICK, "LSP")]))
    assert not report.problems, "a dataset that can be trained is not refused"
    assert any("t0 coronal" in warning for warning in report.warnings)
    report = check_dataset(dataset([grid(THIN), grid(THICK)], [grid(THICK)], labelled_slices=[5, 6]))
    assert any("s0 coronal" in warning for warning in report.warnings)
