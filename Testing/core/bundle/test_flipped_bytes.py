"""A bundle with flipped bytes is refused, or means the same."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundle_edits import content, replace_file
from leuda_core.bundle.files import LIMITS
from leuda_core.bundle.model import load_bundle
from leuda_core.bundle.store import export_model
from leuda_core.errors import InputError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, untrained_bundle: Path) -> Path:
    folder = Path(shutil.copytree(untrained_bundle, tmp_path_factory.mktemp("flipped") / "b"))
    export_model(folder, folder.parent / "b.zip")
    return folder


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("name", ["bundle.json", "model.safetensors", "b.zip"])
def test_flipped_bytes_give_an_error_or_the_same_content(whole: Path, name: str, data: st.DataObject) -> None:
    target = whole / name if name in LIMITS else whole.parent / name
    original = target.read_bytes()
    expected = content(load_bundle(whole))
    spoiled = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        spoiled[data.draw(st.integers(0, len(spoiled) - 1))] ^= data.draw(st.integers(1, 255))
    target.write_bytes(bytes(spoiled))
    try:
        assert content(load_bundle(target if name == "b.zip" else whole)) == expected
    except InputError:
        pass
    finally:
        target.write_bytes(original)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_weights_with_the_right_hash_load_or_give_an_error(whole: Path, data: st.DataObject) -> None:
    originals = {name: (whole / name).read_bytes() for name in LIMITS}
    spoiled = bytearray(originals["model.safetensors"])
    header = struct.unpack("<Q", spoiled[:8])[0]
    for _ in range(data.draw(st.integers(1, 3))):
        spoiled[data.draw(st.integers(0, header + 8))] ^= data.draw(st.integers(1, 255))
    replace_file(whole, "model.safetensors", bytes(spoiled))
    try:
        assert np.isfinite(load_bundle(whole).predictor().segmenter.head.bias.numpy()).all()
    except InputError:
        pass
    finally:
        for name, original in originals.items():
            (whole / name).write_bytes(original)
