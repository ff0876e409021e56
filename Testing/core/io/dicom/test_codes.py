"""Compressed frames whose code and header disagree: read where the pixels are clear, else refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit

from dicom_files import image_file
from leuda_core.errors import InputError
from leuda_core.io.dicom.codestream import Code, code_of
from leuda_core.io.volumes import read_volume

pillow = pytest.importorskip("PIL.Image")

PIXELS = (np.hypot(*np.mgrid[:16, :24]) * 8).astype(np.uint8)  # smooth; some values have the highest bit


def encoded(pixels: np.ndarray, kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    pillow.fromarray(pixels).save(out, kind, **({"quality": 95} if kind == "JPEG" else {"no_jp2": True}))
    return out.getvalue()


def decoded(code: bytes) -> np.ndarray:
    return np.asarray(pillow.open(io.BytesIO(code)))


def file(path: Path, codes: list[bytes], kind: Any = np.uint8, **elements: Any) -> Path:
    shape = (len(codes), *PIXELS.shape) if len(codes) > 1 else PIXELS.shape
    own = {"PixelData": encapsulate(codes), "SpacingBetweenSlices": 3, **elements}
    return image_file(path, np.zeros(shape, kind), syntax=own.pop("syntax", JPEGBaseline8Bit), **own)


def test_codes_tell_what_they_are():
    assert code_of(encoded(PIXELS)) == Code(16, 24, 1, 8, False)
    assert code_of(encoded(np.stack([PIXELS] * 3, axis=-1))) == Code(16, 24, 3, 8, False)
    assert code_of(encoded(PIXELS, "JPEG2000")) == Code(16, 24, 1, 8, False)
    assert code_of(encoded(PIXELS)[:60]) is None and code_of(b"") is None


@pytest.mark.slow
def test_code_of_8_bits_for_pixels_of_16(tmp_path):
    code = encoded(PIXELS)
    found = read_volume(file(tmp_path / "x", [code], np.uint16, BitsStored=8)).data
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[:, :, 0].T, decoded(code))


@pytest.mark.slow
def test_sign_that_header_and_code_tell_differently(tmp_path):
    low = encoded(PIXELS // 4, "JPEG2000")
    own = {"syntax": JPEG2000Lossless, "BitsStored": 12}
    np.testing.assert_array_equal(read_volume(file(tmp_path / "x", [low], np.int16, **own)).data[..., 0].T, PIXELS // 4)
    with pytest.raises(InputError, match="disagree on the sign of pixels, in 12 or 8 bits"):
        read_volume(file(tmp_path / "y", [encoded(PIXELS, "JPEG2000")], np.int16, **own))


def test_colour_that_the_header_does_not_tell(tmp_path):
    with pytest.raises(InputError, match="its code has 3 colours"):
        read_volume(file(tmp_path / "x", [encoded(np.stack([PIXELS] * 3, axis=-1))]))


@pytest.mark.slow
def test_pixels_that_the_decoder_makes_up_are_refused(tmp_path):
    code = encoded(PIXELS)
    with pytest.raises(InputError, match=r"is damaged .Corrupt JPEG data: premature end"):
        read_volume(file(tmp_path / "x", [code, code[:-40] + code[-2:]]))


@pytest.mark.parametrize("with_table", [True, False])
def test_frames_that_the_header_has_lost(tmp_path, with_table):
    codes = encapsulate([encoded(PIXELS)] * 3, has_bot=with_table)
    with pytest.raises(InputError, match="3 fragments for 1 frames"):
        read_volume(file(tmp_path / "x", [b"12"], PixelData=codes))


def test_pixels_that_are_not_compressed(tmp_path):
    path = file(tmp_path / "x", [b"12"])
    content = path.read_bytes()
    place = content.index(b"\xe0\x7f\x10\x00OB") + 8
    path.write_bytes(content[:place] + PIXELS.size.to_bytes(4, "little") + PIXELS.tobytes())
    with pytest.raises(InputError, match="pixels are not encoded as its header says"):
        read_volume(path)
