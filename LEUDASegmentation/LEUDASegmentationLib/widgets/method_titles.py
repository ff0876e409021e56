"""What methods are called in the windows of both modules: the titles in ``Resources/methods.json``.

The file is what ``leuda methods --json`` prints, so that the windows can name methods before anything is installed.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

METHODS_FILE = Path(__file__).resolve().parents[2] / "Resources" / "methods.json"


def method_title(name: str) -> str:
    """Return the title of a method; the name itself for a method that this version does not know."""
    return _titles().get(name, name)


@cache
def _titles() -> dict[str, str]:
    entries = json.loads(METHODS_FILE.read_text(encoding="utf-8"))
    return {entry["name"]: entry["title"] for entry in entries}
