"""Headers of weights that announce something else than follows."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from bundle_edits import replace_file
from leuda_core.bundle.model import load_bundle
from leuda_core.bundle.store import import_model
from leuda_core.bundle.tensors import tensor_shapes
from leuda_core.errors import InputError


@pytest.fixture
def bundle(untrained_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(untrained_bundle, tmp_path / "b"))


HEADERS = {
    "a gap": (b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', 8),
    "an overlap": (
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        4,
    ),
    "bytes after the end": (b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 12),
    "too few bytes": (b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 4),
    "a huge shape": (b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}', 4),
    "a shape below zero": (b'{"a":{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}}', 4),
    "three offsets": (b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}', 4),
    "an unknown type": (b'{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}', 4),
    "no fields": (b'{"a":7}', 0),
    "no object": (b"[1, 2]", 0),
    "a name twice": (b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":1}', 0),
    "nested": (b"[" * 100_000, 0),
    "notes that are no texts": (b'{"__metadata__":{"a":1}}', 0),
    "notes that are no table": (b'{"__metadata__":["a"]}', 0),
}


@pytest.mark.parametrize("fault", HEADERS)
def test_a_damaged_header_of_the_weights_is_refused_by_opening_and_importing(bundle: Path, fault: str) -> None:
    header, size = HEADERS[fault]
    with pytest.raises(ValueError):
        tensor_shapes(struct.pack("<Q", len(header)) + header + bytes(size))
    filled = (bundle / "model.safetensors").stat().st_size - 8 - len(header)  # the size is checked first
    replace_file(bundle, "model.safetensors", struct.pack("<Q", len(header)) + header + bytes(max(filled, size)))
    for work in (load_bundle, lambda path: import_model(path, bundle.parent / "store")):
        with pytest.raises(InputError, match=r"model\.safetensors (cannot be read|has \d+ bytes)"):
            work(bundle)
    assert not (bundle.parent / "store").exists()
