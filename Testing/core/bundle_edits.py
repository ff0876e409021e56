"""Bundles with other content, and the right checksum and hashes on it, as an attacker could make them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from leuda_core.bundle.model import ModelBundle
from leuda_core.bundle.schema import content_hash


def edit(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change ``bundle.json``; what is not JSON any more gets no checksum."""
    path = bundle / "bundle.json"
    document = json.loads(path.read_bytes())
    change(document)
    try:
        document["checksum"] = content_hash(document)
    except Exception:
        document["checksum"] = "0" * 64
    path.write_text(json.dumps(document), encoding="utf-8")


def replace_file(bundle: Path, name: str, data: bytes) -> None:
    """Replace a file and state its new size and hash."""
    (bundle / name).write_bytes(data)
    record = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edit(bundle, lambda document: document["files"].update({name: record}))


def content(bundle: ModelBundle) -> tuple:
    """Return everything of a model that can be compared."""
    weights = {name: tensor.numpy().tobytes() for name, tensor in bundle.weights.items()}
    return bundle.task, bundle.spec, bundle.info, weights
