"""Which of the orientations in a NIfTI header counts: as ITK and Slicer decide, but never silently wrong."""

from __future__ import annotations

import logging

import nibabel as nib
import numpy as np
import pytest

from leuda_core.io.volumes import read_grid, read_volume
from volume_files import SHEARED, itk_affine, make_affine, random_data, save_nifti


def test_sheared_sform_is_read_exactly_with_a_warning(tmp_path, caplog):
    path = save_nifti(tmp_path / "s.nii.gz", random_data(), sform=SHEARED)
    with caplog.at_level(logging.WARNING):
        affine = read_volume(path).affine
    np.testing.assert_allclose(affine, SHEARED, atol=1e-6)
    assert "sheared" in caplog.text
    assert str(path) in caplog.text


def test_sheared_sform_wins_over_a_qform_without_shear(tmp_path):
    path = save_nifti(tmp_path / "s.nii", random_data(), sform=SHEARED, qform=SHEARED, sform_code=2)
    assert not np.allclose(itk_affine(path), SHEARED, atol=1e-2)  # what ITK would make of it
    np.testing.assert_allclose(read_grid(path).affine, SHEARED, atol=1e-6)


@pytest.mark.parametrize("sform_code", [1, 2, 4])
@pytest.mark.parametrize("qform_code", [1, 2])
def test_disagreeing_forms_are_settled_as_itk_does(tmp_path, caplog, sform_code, qform_code):
    sform, qform = make_affine(), make_affine(angles=(0, 0, 0))
    path = save_nifti(tmp_path / "d.nii", random_data(), sform, qform, sform_code, qform_code)
    with caplog.at_level(logging.WARNING):
        affine = read_grid(path).affine
    np.testing.assert_allclose(affine, itk_affine(path), atol=1e-5)
    assert "disagree" in caplog.text


@pytest.mark.parametrize("forms", ["sform", "qform", "both", "neither"])
def test_ordinary_forms_are_read_as_itk_does(tmp_path, caplog, forms):
    affine = make_affine(flip=True)
    given = {form: affine for form in ("sform", "qform") if forms in (form, "both")}
    path = save_nifti(tmp_path / "o.nii", random_data(), **given)
    if forms == "sform":
        image = nib.load(path)
        image.header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
        nib.save(nib.Nifti1Image(random_data(), None, image.header), path)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_allclose(read_grid(path).affine, itk_affine(path), atol=1e-5)
    assert ("no orientation" in caplog.text) == (forms == "neither")


def test_sform_counts_where_pixdim_contradicts_it(tmp_path, caplog):
    affine = make_affine(spacing=(2, 2, 3))
    path = save_nifti(tmp_path / "p.nii", random_data(), sform=affine)
    np.testing.assert_allclose(read_grid(path).affine, affine, atol=1e-6)
    assert "contradict" in caplog.text


def test_singular_sform_gives_way_to_a_sound_qform(tmp_path):
    path = save_nifti(tmp_path / "s.nii", random_data(), sform=np.diag([0.0, 0, 0, 1]), qform=make_affine())
    np.testing.assert_allclose(read_grid(path).affine, make_affine(), atol=1e-5)


def test_units_other_than_millimetres(tmp_path):
    image = nib.Nifti1Image(random_data(), np.diag([0.001, 0.002, 0.003, 1]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "m.nii")
    assert read_volume(tmp_path / "m.nii").spacing_mm == pytest.approx((1, 2, 3))


def test_what_nibabel_repairs_is_not_logged(tmp_path, caplog):
    path = save_nifti(tmp_path / "v.nii", random_data(), sform=np.eye(4))
    content = bytearray(path.read_bytes())
    content[252:254] = (-32768).to_bytes(2, "little", signed=True)  # qform_code
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        read_grid(path)
    assert caplog.text == ""
