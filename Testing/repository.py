"""Where the repository's folders are, for the tests."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SHARED_DATA = ROOT.parent / "shared" / "data"
"""Real volumes that are not part of the project; tests that need them skip where it is absent."""
