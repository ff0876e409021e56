"""The available methods, read from a file so that the form opens before anything is installed.

``methods.json`` in the resources of LEUDASegmentation is what ``leuda methods --json`` prints; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from LEUDASegmentationLib.widgets.method_titles import METHODS_FILE

RECOMMENDED = "self_training"
"""The default method."""


@dataclass(frozen=True)
class MethodInfo:
    """One method: its name in files and commands, its description, and the JSON schema of each setting."""

    name: str
    title: str
    summary: str
    paper: str
    needs_target_labels: bool
    default_steps: int
    properties: Mapping[str, Mapping[str, Any]]


def load_methods(path: Path = METHODS_FILE) -> dict[str, MethodInfo]:
    """Return the methods by name: the recommended one first; those for comparison only last."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    methods = [
        MethodInfo(
            name=entry["name"],
            title=entry["title"],
            summary=entry["summary"],
            paper=entry["paper"],
            needs_target_labels=entry["reads_target_labels"],
            default_steps=entry["default_steps"],
            properties=entry["settings"]["properties"],
        )
        for entry in entries
    ]
    methods.sort(key=lambda method: (method.needs_target_labels, method.name != RECOMMENDED))
    return {method.name: method for method in methods}
