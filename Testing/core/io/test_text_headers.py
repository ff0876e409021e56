"""NRRD files and MetaImages give the same voxels, grid and key/value pairs as through ITK."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from leuda_core.errors import InputError
from leuda_core.io.formats.images import read_header, read_image
from volume_files import LPS, SHEARED, make_affine, random_data

BYTES = bytes(range(24))
NRRD = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 3 4\nencoding: raw\n"
LPS_SPACE = NRRD + "space: left-posterior-superior\n"
FOUR_AXES = NRRD.replace("dimension: 3", "dimension: 4")
TURNED = "space directions: (0,3,0.5) (-2,0,0) (0,0,-4)\nspace origin: (1,-2,3.25)\n"
META = "ObjectType = Image\nNDims = 3\nBinaryData = True\n"
DIM = "DimSize = 2 3 4\n"
END = "ElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
SHORT = "DimSize = 2 3 2\n{}" + END.replace("UCHAR", "SHORT")
TURN = " = 0 1 0 -1 0 0 0 0 1\n"
ZIPPED = zlib.compress(BYTES)

NRRD_CASES: dict[str, tuple[str, bytes]] = {
    "no grid": (NRRD, BYTES),
    "spacings": (NRRD + "spacings: 1.5 2 -3\n", BYTES),
    "edges": (NRRD + "spacings: 1.5 2 3\naxis mins: 10 20 30\n", BYTES),
    "edges of cells": (NRRD + "spacings: 1.5 2 3\naxis mins: 10 20 30\ncenterings: cell cell cell\n", BYTES),
    "edges of nodes": (NRRD + "spacings: 1.5 2 3\naxismins: 10 20 30\ncenters: node cell node\n", BYTES),
    "space alone": (LPS_SPACE, BYTES),
    "space and origin": (LPS_SPACE + "space origin: (1,2,3)\n", BYTES),
    "spaces in vectors": (LPS_SPACE + "space directions: (2, 0, 0) (0, 3,0) ( 0,0,4)\n", BYTES),
    "one direction missing": (LPS_SPACE + "space directions: (2,0,0) none (0,0,4)\n", BYTES),
    **{f"space {space} alone": (NRRD + f"space: {space}\n", BYTES) for space in ("RAS", "LAS")},
    "one direction missing in RAS": (NRRD + "space: RAS\nspace directions: (2,0,0) none (0,0,4)\n", BYTES),
    **{
        f"space {space}": (NRRD + f"space: {space}\n{TURNED}", BYTES)
        for space in ("LPS", "ras", "LAS", "right-anterior-superior", "Left Anterior Superior", "scanner-xyz")
    },
    "space left-handed": (NRRD + f"space: 3D-left-handed\n{TURNED}", BYTES),
    "space dimension": (NRRD + f"space dimension: 3\n{TURNED}", BYTES),
    "frame and units": (
        LPS_SPACE + 'measurement frame: (0,1,0) (1,0,0) (0,0,1)\nspace units: "mm" "mm" "mm"\n' + TURNED,
        BYTES,
    ),
    "capitals": (NRRD.replace("type", "Type").replace("sizes", "SIZES").replace("uchar", "UCHAR"), BYTES),
    "Windows": ((NRRD + "a:=b \n").replace("\n", "\r\n"), BYTES),
    "pairs": (NRRD + "a b:=c: d\\n e\\\\ \n x :=  z \né:=ü\na:=1\na:=2\n# a:=3\n", BYTES),
    "list first": (FOUR_AXES.replace("2 3 4", "1 2 3 4") + "kinds: list domain domain domain\n", BYTES),
    "list last": (
        FOUR_AXES.replace("2 3 4", "2 3 4 1") + "kinds: space space space vector\nspacings: 2 3 4 nan\n",
        BYTES,
    ),
    "kinds unknown": (NRRD + "kinds: ??? none domain\n", BYTES),
    "four axes": (FOUR_AXES.replace("2 3 4", "2 3 4 1") + "spacings: 2 3 4 5\n", BYTES),
    "two axes": (NRRD.replace("dimension: 3", "dimension: 2").replace("2 3 4", "6 4") + "spacings: 2 3\n", BYTES),
    "text": (NRRD.replace("raw", "ascii"), " ".join(map(str, BYTES)).encode()),
    "text in lines": (NRRD.replace("raw", "TXT"), "\n".join(map(str, BYTES)).encode() + b"\n"),
    "byte skip": (NRRD + "byte skip: 2\n", b"ab" + BYTES),
    "byte skip from the end": (NRRD + "byteskip: -1\n", b"ab" + BYTES),
    "line skip": (NRRD + "line skip: 1\n", b"abc\n" + BYTES),
    "longer": (NRRD, BYTES + b"abc"),
    "gzip": (NRRD.replace("raw", "gzip"), gzip.compress(BYTES)),
    "gzip, byte skip": (NRRD.replace("raw", "gz") + "byte skip: 2\n", gzip.compress(b"ab" + BYTES)),
    "gzip, longer": (NRRD.replace("raw", "gz"), gzip.compress(BYTES + b"abc")),
    "gzip in parts": (NRRD.replace("raw", "gz"), gzip.compress(BYTES[:20]) + gzip.compress(BYTES[20:])),
    "version 5": (NRRD.replace("NRRD0004", "NRRD0005"), BYTES),
    "big endian": (NRRD.replace("uchar", "short").replace("3 4", "3 2") + "endian: big\n", BYTES),
    "int64": (NRRD.replace("uchar", "long long int").replace("2 3 4", "1 3 1") + "endian: little\n", BYTES),
    "one file": (NRRD + "data file: s0.raw\n", b""),
    "listed files": (NRRD + "data file: LIST\ns1.raw\ns2.raw\ns3.raw\ns4.raw\n", b""),
    "numbered files": (NRRD + "data file: s%d.raw 1 4 1\n", b""),
}
META_CASES: dict[str, tuple[str, bytes]] = {
    "no grid": (META + DIM + END, BYTES),
    "no type of object": (META[META.index("NDims") :] + DIM + END, BYTES),
    "spacing": (META + DIM + "ElementSpacing = 1.5 2 -3\n" + END, BYTES),
    "size": (META + DIM + "ElementSize = 1.5 2 3\n" + END, BYTES),
    "size and spacing": (META + DIM + "ElementSize = 1.5 2 3\nElementSpacing = 1 1 2\n" + END, BYTES),
    **{name: (META + DIM + name + " = 1 2 3\n" + END, BYTES) for name in ("Offset", "Position", "Origin")},
    "three origins": (META + DIM + "Position = 7 8 9\nOffset = 4 5 6\nOrigin = 1 2 3\n" + END, BYTES),
    "two origins": (META + DIM + "Position = 7 8 9\nOffset = 4 5 6\n" + END, BYTES),
    **{name: (META + DIM + name + TURN + END, BYTES) for name in ("TransformMatrix", "Rotation", "Orientation")},
    "two directions": (META + DIM + "Rotation = 1 0 0 0 1 0 0 0 1\nTransformMatrix" + TURN + END, BYTES),
    "centre": (META + DIM + "CenterOfRotation = 5 5 5\nTransformMatrix" + TURN + END, BYTES),
    **{
        f"{name} {value}": (META + SHORT.format(f"{name} = {value}\n"), BYTES)
        for name in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
        for value in ("True", "False", "true", "1")
    },
    "two byte orders": (
        META + SHORT.format("BinaryDataByteOrderMSB = False\nElementByteOrderMSB = True\n"),
        BYTES,
    ),
    "compressed": (
        META + f"CompressedData = True\nCompressedDataSize = {len(ZIPPED)}\n" + DIM + END,
        ZIPPED + b"junk",
    ),
    "longer": (META + DIM + END, BYTES + b"abc"),
    "header size from the end": (META + "HeaderSize = -1\n" + DIM + END, b"abc" + BYTES),
    "Windows": ((META + DIM + END).replace("\n", "\r\n"), BYTES),
    "colons": ((META + DIM + END).replace(" =", ":"), BYTES),
    "no spaces": ((META + DIM + END).replace(" = ", "="), BYTES),
    "an empty line": (META + "\n" + DIM + END, BYTES),
    "other fields": (META + DIM + "Comment = a = b: c\nFoo é = ü: a\nModality = MET_MOD_CT\n" + END, BYTES),
    "scaling is not applied": (META + DIM + "ElementToIntensityFunctionSlope = 2\n" + END, BYTES),
    "two axes": (
        META.replace("3", "2")
        + "DimSize = 6 4\nElementSpacing = 2 3\nTransformMatrix = 0 1 -1 0\nOffset = 7 8\n"
        + END,
        BYTES,
    ),
    "four axes": (META.replace("3", "4") + "DimSize = 2 3 4 1\nElementSpacing = 2 3 4 5\n" + END, BYTES),
    "LONG has four bytes": (META + "DimSize = 1 3 2\n" + END.replace("UCHAR", "LONG"), BYTES),
    "local": (META + DIM + END.replace("LOCAL", "local"), BYTES),
    "one file": (META + DIM + END.replace("LOCAL", "s0.raw"), b""),
    "one file with a header": (META + "HeaderSize = 3\n" + DIM + END.replace("LOCAL", "s0.raw"), b""),
    "listed files": (META + DIM + END.replace("LOCAL", "LIST") + "s1.raw\ns2.raw\ns3.raw\ns4.raw\n", b""),
    "numbered files": (META + DIM + END.replace("LOCAL", "s%d.raw 1 4 1"), b""),
}


def write_case(folder: Path, extension: str, header: str, content: bytes) -> Path:
    (folder / "s0.raw").write_bytes(BYTES + b"abc")
    for index in range(4):
        (folder / f"s{index + 1}.raw").write_bytes(BYTES[6 * index : 6 * index + 6])
    path = folder / f"v{extension}"
    attached = "data file" not in header and extension == ".nrrd"
    blank = ("\r\n" if "\r\n" in header else "\n") if attached else ""
    path.write_bytes((header + blank).encode() + content)
    return path


def check_like_itk(path: Path) -> None:
    image = sitk.ReadImage(str(path))
    data, affine, pairs = read_image(path)
    expected = sitk.GetArrayFromImage(image).T
    assert data.dtype == expected.dtype and data.flags.f_contiguous
    np.testing.assert_array_equal(data, expected)
    np.testing.assert_allclose(affine, itk_affine_of(image), rtol=0, atol=1e-12)
    stored = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    given = {key: stored[key] for key in stored if not key.startswith(("NRRD_", "ITK_", "Modality"))}
    assert {key: pairs.get(key) for key in given} == given
    shape, again = read_header(path)
    assert shape == data.shape
    np.testing.assert_array_equal(again, affine)


def itk_affine_of(image: sitk.Image) -> np.ndarray:
    count = image.GetDimension()
    full = np.eye(max(count, 3))
    full[:count, :count] = np.reshape(image.GetDirection(), (count, count)) * image.GetSpacing()
    affine = np.eye(4)
    affine[:3, :3] = full[:3, :3]
    affine[: min(count, 3), 3] = image.GetOrigin()[:3]
    return LPS @ affine


@pytest.mark.parametrize("name", NRRD_CASES)
def test_nrrd_as_itk_reads_it(tmp_path, name):
    check_like_itk(write_case(tmp_path, ".nrrd", *NRRD_CASES[name]))


@pytest.mark.parametrize("name", META_CASES)
def test_metaimage_as_itk_reads_it(tmp_path, name):
    check_like_itk(write_case(tmp_path, ".mha", *META_CASES[name]))


@pytest.mark.parametrize("extension", [".nrrd", ".mha", ".seg.nrrd"])
@pytest.mark.parametrize("compressed", [False, True])
def test_files_that_itk_wrote(tmp_path, extension, compressed):
    for index, dtype in enumerate(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]):
        shapes = ((4, 6, 5), (6, 5)) if index else ((4, 6, 5), (6, 5), (1, 4, 6, 5))
        for shape in shapes:
            image = sitk.GetImageFromArray(random_data(shape, dtype), isVector=False)
            image.SetSpacing([0.7, 1 / 3, 5.0, 1.0][: len(shape)])
            image.SetMetaData("Segment0_Name", "Größe")
            path = tmp_path / f"v{extension}"
            sitk.WriteImage(image, str(path), compressed)
            check_like_itk(path)


@pytest.mark.parametrize("extension", [".nrrd", ".mha"])
@pytest.mark.parametrize(
    "affine", [make_affine(), make_affine(flip=True), SHEARED], ids=["oblique", "mirrored", "shear"]
)
def test_grids_that_itk_wrote(tmp_path, extension, affine):
    image = sitk.GetImageFromArray(random_data())
    matrix = LPS @ affine
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    path = tmp_path / f"v{extension}"
    sitk.WriteImage(image, str(path))
    check_like_itk(path)
    np.testing.assert_allclose(read_header(path)[1], affine, atol=1e-12)


@pytest.mark.parametrize("order", ["F", "C"])
def test_files_of_pynrrd(tmp_path, order):
    nrrd = pytest.importorskip("nrrd")
    path = tmp_path / "v.nrrd"
    fields = {"space": "RAS", "space directions": make_affine()[:3, :3].T, "space origin": [1, 2, 3], "note": "n"}
    nrrd.write(str(path), random_data(), fields, index_order=order)
    check_like_itk(path)


def test_compressed_metaimage_without_its_size(tmp_path):
    """ITK fills the volume with what is in memory and says nothing."""
    path = write_case(tmp_path, ".mha", META + "CompressedData = True\n" + DIM + END, ZIPPED)
    assert read_image(path)[0].ravel(order="F").tolist() == list(BYTES)


def test_text_that_is_not_utf8_is_latin1(tmp_path):
    path = tmp_path / "v.nrrd"
    path.write_bytes(NRRD.encode() + b"a:=\xfc\nb:=\xc3\xbc\n\n" + BYTES)
    assert read_image(path)[2] == {"a": "ü", "b": "ü"}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (NRRD + "kinds: domain vector domain\n", r"3 numbers per voxel \(vector of uint8\)"),
        (NRRD + "kinds: RGB-color domain domain\n", r"2 numbers per voxel \(rgb-color"),
        (FOUR_AXES.replace("2 3 4", "2 3 2 2") + "kinds: list domain domain vector\n", "2 axes that are not of space"),
        (FOUR_AXES.replace("2 3 4", "2 3 4 1") + f"space: LPS\n{TURNED}", "4 axes in a space of 3 dimensions"),
        (LPS_SPACE + "spacings: 1 1 2\n", "spacings in addition to a space"),
        (NRRD + "spacings: nan 2 3\n", "spacings"),
        (NRRD + "axis mins: 1 2 3\naxis maxs: 3 4 5\n", "axis mins without spacings"),
        (LPS_SPACE + 'space units: "cm" "cm" "cm"\n', "lengths in cm, not mm"),
        (NRRD + 'units: "m" "m" "m"\nspacings: 1 1 1\n', "lengths in m, not mm"),
        (NRRD.replace("raw", "hex"), "encoding 'hex'"),
        (NRRD.replace("raw", "bzip2"), "encoding 'bzip2'"),
        (NRRD + "spacinqs: 1 1 2\n", "no field of NRRD"),
        (NRRD.replace("uchar", "block"), "voxels of type 'block'"),
        (NRRD.replace("uchar", "short"), "endian"),
    ],
)
def test_nrrd_that_is_refused_with_a_remedy(tmp_path, header, message):
    path = write_case(tmp_path, ".nrrd", header, BYTES)
    with pytest.raises(InputError, match=message) as caught:
        read_image(path)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (META + DIM + "DistanceUnits = um\n" + END, "lengths in um, not mm"),
        (META + "ElementNumberOfChannels = 3\nDimSize = 2 2 2\n" + END, r"3 numbers per voxel \(vector of uint8\)"),
        (META + DIM + END.replace("UCHAR", "OTHER"), "MET_OTHER"),
        (META + "HeaderSize = 3\n" + DIM + END, "HeaderSize"),
        (META + DIM + "ElementSpacing = 1,5 1,5 2\n" + END, "ElementSpacing.*decimal points"),
        (META + DIM + "ElementSpacing = 1 1 1\nElementSpacing = 2 2 2\n" + END, "given twice"),
    ],
)
def test_metaimage_that_is_refused_with_a_remedy(tmp_path, header, message):
    path = write_case(tmp_path, ".mha", header, BYTES)
    with pytest.raises(InputError, match=message) as caught:
        read_image(path)
    assert caught.value.remedy
