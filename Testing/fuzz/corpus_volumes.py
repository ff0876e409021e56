"""Small valid volume files of every format and variant, made in code."""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np

from fuzz.sample import Sample

SHAPE = (4, 3, 2)
_AFFINE = np.diag([-1.5, -2.0, 3.0, 1.0])
_SEGMENT = (
    "Segment{i}_ID:=Segment_{i}\nSegment{i}_Name:={name}\nSegment{i}_LabelValue:={value}\nSegment{i}_Layer:=0\n"
    "Segment{i}_Color:=0.5 0.25 1\nSegment{i}_Extent:=0 3 0 2 0 1\nSegment{i}_Tags:=Segmentation.Status:inprogress|\n"
)


def voxels(dtype: str = "<i2", top: int = 100) -> np.ndarray:
    """Return a small array ``SHAPE`` that is not constant."""
    return (np.arange(24).reshape(SHAPE) % top).astype(dtype)


def nrrd_samples() -> list[Sample]:
    """Return NRRD files: encodings, types, byte orders, spaces, a 2-D and a 4-D one, one without directions."""
    data = voxels().tobytes(order="F")
    text = " ".join(str(value) for value in voxels().ravel(order="F")).encode()
    space = "space: left-posterior-superior\nspace directions: (1.5,0,0) (0,2,0) (0,0,3)\nspace origin: (1,2,3)\n"
    files = [
        nrrd(data, extra=space),
        nrrd(gzip.compress(data, mtime=0), extra=space, encoding="gzip"),
        nrrd(bz2.compress(data), extra=space, encoding="bzip2"),
        nrrd(text, extra=space, encoding="ascii", endian=""),
        nrrd(data.hex().encode(), extra=space, encoding="hex"),
        nrrd(
            voxels(">f4").tobytes(order="F"),
            "float",
            endian="endian: big\n",
            extra=space.replace("left-posterior", "right-anterior"),
        ),
        nrrd(voxels("u1").tobytes(order="F"), "uchar", endian="", extra="spacings: 1.5 2 3\naxis mins: 0 0 0\n"),
        nrrd(b"skip\n" + data, extra=space + "line skip: 1\n"),
        nrrd(b"\0" * 7 + data, extra=space + "byte skip: -1\ncontent: a # comment\n# remark\nkey:=value\\n\n"),
        nrrd(data, sizes="4 6", extra="kinds: domain domain\n"),
        nrrd(data, sizes="4 3 2 1", extra='spacings: 1 1 1 nan\nlabels: "a" "b" "c" "d"\n'),
        nrrd(data * 3, sizes="3 4 3 2", extra="kinds: vector domain domain domain\n"),
    ]
    return [{"volume.nrrd": file} for file in files]


def seg_nrrd_samples() -> list[Sample]:
    """Return segmentations: of one and two layers, raw and compressed, stored as float, without values."""
    data = voxels("u1", 3).tobytes(order="F")
    space = "space: left-posterior-superior\nspace directions: (1.5,0,0) (0,2,0) (0,0,3)\nspace origin: (1,2,3)\n"
    segments = "".join(_SEGMENT.format(i=i, name=name, value=i + 1) for i, name in enumerate(("liver", "Milz")))
    layers = "kinds: list domain domain domain\nspace: left-posterior-superior\nspace origin: (1,2,3)\n"
    layers += "space directions: none (1.5,0,0) (0,2,0) (0,0,3)\n"
    files = [
        nrrd(gzip.compress(data, mtime=0), "uchar", endian="", encoding="gzip", extra=space + segments),
        nrrd(data, "uchar", endian="", extra=space + "kinds: domain domain domain\n" + segments),
        nrrd(data * 2, "uchar", sizes="2 4 3 2", endian="", extra=layers + segments.replace("Layer:=0", "Layer:=1", 1)),
        nrrd(voxels("<f4", 3).tobytes(order="F"), "float", extra=space + segments),
        nrrd(data, "uchar", endian="", extra=space + segments.replace("Segment1_LabelValue:=2\n", "")),
    ]
    return [{"labels.seg.nrrd": file} for file in files]


def nrrd(
    data: bytes,
    kind: str = "short",
    *,
    sizes: str = "4 3 2",
    encoding: str = "raw",
    endian: str = "endian: little\n",
    extra: str = "",
) -> bytes:
    """Return an NRRD file with attached data."""
    head = f"NRRD0005\n# Complete NRRD file format specification\ntype: {kind}\ndimension: {len(sizes.split())}\n"
    return f"{head}sizes: {sizes}\nencoding: {encoding}\n{endian}{extra}\n".encode() + data


def mha_samples() -> list[Sample]:
    """Return MetaImages: raw and compressed, both byte orders, text, 2-D, colour, with a header size."""
    data = voxels().tobytes(order="F")
    packed = zlib.compress(data)
    text = " ".join(str(value) for value in voxels().ravel(order="F")).encode()
    files = [
        mha(data),
        mha(packed, compressed=True, extra=f"CompressedDataSize = {len(packed)}\n"),
        mha(voxels(">f8").tobytes(order="F"), "MET_DOUBLE", order="True"),
        mha(voxels("u1").tobytes(order="F"), "MET_UCHAR", extra="AnatomicalOrientation = RAI\nComment = none\n"),
        mha(text).replace(b"BinaryData = True", b"BinaryData = False"),
        mha(data * 3, extra="ElementNumberOfChannels = 3\n"),
        mha(data, extra="HeaderSize = -1\n"),
        _flat(mha(data)),
    ]
    return [{"volume.mha": file} for file in files]


def mha(
    data: bytes, kind: str = "MET_SHORT", *, compressed: bool = False, order: str = "False", extra: str = ""
) -> bytes:
    """Return a MetaImage with its data in the same file."""
    head = f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = {order}\n"
    head += f"CompressedData = {compressed}\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 1 2 3\n"
    head += "CenterOfRotation = 0 0 0\nElementSpacing = 1.5 2 3\n" + extra
    return f"{head}DimSize = 4 3 2\nElementType = {kind}\nElementDataFile = LOCAL\n".encode() + data


def _flat(file: bytes) -> bytes:
    """Return the MetaImage as one of two axes."""
    for old, new in (
        ("NDims = 3", "NDims = 2"),
        ("DimSize = 4 3 2", "DimSize = 4 6"),
        ("TransformMatrix = 1 0 0 0 1 0 0 0 1", "TransformMatrix = 1 0 0 1"),
        ("Offset = 1 2 3", "Offset = 1 2"),
        ("CenterOfRotation = 0 0 0", "CenterOfRotation = 0 0"),
        ("ElementSpacing = 1.5 2 3", "ElementSpacing = 1.5 2"),
    ):
        file = file.replace(old.encode(), new.encode())
    return file


def nifti_samples(name: str) -> list[Sample]:
    """Return NIfTI files with this name: types, byte order, scaling, sform or qform, 2-D, 4-D, version 2."""
    images = [
        nib.Nifti1Image(voxels(), _AFFINE),
        nib.Nifti1Image(voxels("u1", 3), _AFFINE),
        nib.Nifti1Image(voxels("<f4"), _AFFINE),
        nib.Nifti1Image(voxels("<f8")[:, :, 0], _AFFINE),
        nib.Nifti1Image(voxels("<u4")[..., None], _AFFINE),
        nib.Nifti1Image(np.stack([voxels(), voxels()], axis=3), _AFFINE),
        nib.Nifti2Image(voxels(), _AFFINE),
        nib.Nifti1Image(voxels(">i2"), _AFFINE, nib.Nifti1Header(endianness=">")),
    ]
    images[0].header.set_slope_inter(2.0, -1000.0)
    images[1].set_sform(None, 0)
    images[2].set_qform(None, 0)
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        samples: list[Sample] = []
        for image in images:
            nib.save(image, path)
            samples.append({name: path.read_bytes()})
    return samples
