"""Frames of single-frame and multi-frame files form one grid, or are refused with what differs between them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dicom_files import ORIENTATION, SPACING, enhanced, image_file, item, series, stored_values
from leuda_core.errors import InputError
from leuda_core.io.volumes import read_grid, read_volume, same_grid
from volume_files import LPS, itk_affine

DATA = stored_values()
AFFINE = LPS @ np.array([[0.5, 0, 0, -10], [0, 0.75, 0, 20], [0, 0, 3, 0], [0, 0, 0, 1]])


def turned(degrees: float) -> list[float]:
    """Return the orientation of a slice that is turned in its own plane."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [cosine, sine, 0, -sine, cosine, 0]


@pytest.mark.parametrize("ending", ["", ".IMA", ".dcm"])
def test_series_is_sorted_by_position(tmp_path, ending):
    volume = read_volume(series(tmp_path / "s", DATA, ending=ending))
    np.testing.assert_array_equal(volume.data.T, DATA)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-9)
    assert same_grid(read_grid(tmp_path / "s"), volume)


def test_frames_of_one_file_are_sorted_by_position(tmp_path):
    volume = read_volume(enhanced(tmp_path / "e", DATA, [9, 0, 6, 3]))
    np.testing.assert_array_equal(volume.data.T, DATA[[1, 3, 2, 0]])
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-9)
    assert same_grid(read_grid(tmp_path / "e"), volume)


def test_groups_of_a_frame_come_before_shared_ones(tmp_path):
    own = {"PixelMeasuresSequence": [item(PixelSpacing=[2, 3])]}
    volume = read_volume(enhanced(tmp_path / "e", DATA, [0, 3, 6, 9], [own] * 4))
    np.testing.assert_allclose(volume.spacing_mm, (3, 2, 3))


def test_frames_that_step_backwards_are_turned_round(tmp_path):
    path = image_file(tmp_path / "c", DATA, SpacingBetweenSlices=-3)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data.T, DATA[::-1])
    np.testing.assert_allclose((LPS @ volume.affine)[:3, 3], [-10, 20, -9])


def test_frames_with_a_table_of_offsets(tmp_path):
    volume = read_volume(image_file(tmp_path / "c", DATA, GridFrameOffsetVector=[0, 2, 4, 6]))
    assert volume.spacing_mm == (0.5, 0.75, 2.0)
    with pytest.raises(InputError, match="unevenly spaced slices"):
        read_volume(image_file(tmp_path / "c", DATA, GridFrameOffsetVector=[0, 2, 4, 9]))


def test_positions_of_a_detector(tmp_path):
    detector = item(ImagePositionPatient=[1, 2, 3], ImageOrientationPatient=ORIENTATION)
    own = {"DetectorInformationSequence": [detector], "ImagePositionPatient": None, "ImageOrientationPatient": None}
    path = image_file(tmp_path / "nm", DATA, SpacingBetweenSlices=3, FrameIncrementPointer=0x00540080, **own)
    np.testing.assert_allclose((LPS @ read_volume(path).affine)[:3, 3], [1, 2, 3])


def test_tilted_gantry_keeps_its_shear(tmp_path):
    volume = read_volume(series(tmp_path / "s", DATA, step=(0, 1, 3)))
    np.testing.assert_allclose((LPS @ volume.affine)[:3, 2], [0, 1, 3], atol=1e-9)
    tilted = [{"PlanePositionSequence": [item(ImagePositionPatient=[0, index, 3 * index])]} for index in range(4)]
    volume = read_volume(enhanced(tmp_path / "e", DATA, [0] * 4, tilted))
    np.testing.assert_allclose((LPS @ volume.affine)[:3, 2], [0, 1, 3], atol=1e-9)


@pytest.mark.parametrize("elements", [{}, {"SpacingBetweenSlices": 4, "ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}])
def test_single_slice_is_where_itk_puts_it(tmp_path, elements):
    path = image_file(tmp_path / "one.dcm", DATA[0], **elements)
    volume = read_volume(path)
    assert volume.shape == (5, 6, 1)
    np.testing.assert_allclose(volume.affine, itk_affine(path), atol=1e-9)


def test_picture_without_geometry_is_one_slice(tmp_path):
    bare = dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"))
    np.testing.assert_array_equal(read_volume(image_file(tmp_path / "p", DATA[0], **bare)).affine, LPS)


TWO_TIMES = [{"FrameContentSequence": [item(TemporalPositionIndex=index)]} for index in (1, 1, 2, 2)]
TWO_ECHOES = [{"MREchoSequence": [item(EffectiveEchoTime=time)]} for time in (10, 10, 80, 80)]
TWO_PLANES = [{"PlaneOrientationSequence": [item(ImageOrientationPatient=turned(angle))]} for angle in (0, 0, 0, 90)]
TWO_SIZES = [{"PixelMeasuresSequence": [item(PixelSpacing=[size, size])]} for size in (1, 1, 1, 1.2)]
FRAMES = {
    "missing": ([0, 3, 9, 12], (), "unevenly spaced slices .3 to 6 mm"),
    "times": (
        [0, 3, 0, 3],
        TWO_TIMES,
        r"same position .2 at one, for example in 'e.dcm'., which differ in TemporalPositionIndex 1, 2",
    ),
    "echoes": ([0, 3, 0, 3], TWO_ECHOES, "EffectiveEchoTime 10(.0)?, 80"),
    "twins": ([0, 3, 3, 6], (), "same position"),
    "planes": ([0, 3, 6, 9], TWO_PLANES, "different direction: 1 of 4 differ"),
    "sizes": ([0, 3, 6, 9], TWO_SIZES, "different pixel spacing: 1 of 4 differ, for example 1.2 x 1.2"),
    "number": ([0, 3, 6], (), "NumberOfFrames is 4, but 3 frames are described"),
}


@pytest.mark.parametrize("fault", FRAMES)
def test_frames_that_are_not_one_volume(tmp_path, fault):
    heights, groups, message = FRAMES[fault]
    path = enhanced(tmp_path / "e.dcm", DATA, heights, groups)
    for read in (read_volume, read_grid):
        with pytest.raises(InputError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value) and caught.value.remedy


PLACES = [[-10, 20, height] for height in (0, 3, 0, 3)]
SLICES = {
    "turned": ({"ImageOrientationPatient": [ORIENTATION, ORIENTATION, turned(3), ORIENTATION]}, "direction: 1 of 4"),
    "localizer": ({"ImageOrientationPatient": [[0, 1, 0, 0, 0, -1], *[ORIENTATION] * 3]}, "0 x 1 x 0 x 0 x 0 x -1"),
    "spacing": ({"PixelSpacing": [SPACING, SPACING, SPACING, [0.75, 0.51]]}, "pixel spacing: 1 of 4"),
    "times": (
        {
            "ImagePositionPatient": PLACES,
            "TemporalPositionIdentifier": [1, 1, 2, 2],
            "AcquisitionTime": ["09", "10"] * 2,
        },
        "differ in TemporalPositionIdentifier 1, 2$|differ in TemporalPositionIdentifier 1, 2;",
    ),
    "b-values": ({"ImagePositionPatient": PLACES, "DiffusionBValue": [0, 0, 800, 800]}, "DiffusionBValue 0.0, 800.0"),
    "no place": ({"ImagePositionPatient": None}, "without position or direction"),
    "skewed": ({"ImageOrientationPatient": [[1, 0, 0, 0.5, 1, 0]] * 4}, "not two perpendicular unit vectors"),
    "endless": ({"ImagePositionPatient": [[0, 0, "1e308"]] * 4}, "not 3 usable numbers"),
    "colour": ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "in colour .SamplesPerPixel is 3"),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "in colour .Photometric.* PALETTE COLOR"),
    "high bits": ({"BitsStored": 12, "HighBit": 15}, "HighBit is 15, not 11"),
    "table": ({"ModalityLUTSequence": [[item(LUTExplanation="x")]] * 4}, "by a table"),
    "no factor": ({"RescaleSlope": 0}, "RescaleSlope is 0"),
}


@pytest.mark.parametrize("fault", SLICES)
def test_slices_that_are_not_one_volume(tmp_path, fault):
    elements, message = SLICES[fault]
    with pytest.raises(InputError, match=message) as caught:
        read_volume(series(tmp_path / "s", DATA, **elements))
    assert str(tmp_path / "s") in str(caught.value) and caught.value.remedy


def test_slices_of_another_size_are_refused(tmp_path):
    series(tmp_path / "s", DATA)
    image_file(tmp_path / "s" / "last", stored_values()[0, :4], ImagePositionPatient=[-10, 20, 12])
    with pytest.raises(InputError, match=r"size: 1 of 5 differ, for example 5 x 4 in 'last' instead of 5 x 6"):
        read_volume(tmp_path / "s")


FILMS = {
    "a film": ({"SpacingBetweenSlices": 3, "FrameIncrementPointer": 0x00181063}, "not the slices of one volume"),
    "no distance": ({}, "distance between its 4 frames is not given"),
    "no place": ({"SpacingBetweenSlices": 3, "ImagePositionPatient": None}, "positions of its 4 frames"),
}


@pytest.mark.parametrize("fault", FILMS)
def test_classic_frames_that_are_not_one_volume(tmp_path, fault):
    elements, message = FILMS[fault]
    with pytest.raises(InputError, match=message):
        read_volume(image_file(tmp_path / "c", DATA, **elements))


def test_control_characters_do_not_reach_the_message(tmp_path):
    folder = series(tmp_path / "two", DATA, SeriesDescription="a\x1b[2Jb")
    own = {"SpecificCharacterSet": "ISO_IR 192", "SeriesInstanceUID": "1.2.4", "SeriesDescription": "c\u202ed"}
    image_file(folder / "x", DATA[0], **own)
    with pytest.raises(InputError) as caught:
        read_volume(folder)
    assert str(caught.value).isprintable() and "c?d" in str(caught.value)
