"""Which Python packages LE-UDA needs, and which of them are installed. Imports none of them.

Versions and requirements are read with ``packaging``, which is part of Slicer.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

REQUIREMENTS_FILE = Path(__file__).resolve().parents[2] / "Resources" / "requirements.txt"
TORCH = "torch>=2.4"
PROTECTED = ("numpy", "SimpleITK", "torch")


def requirements() -> list[str]:
    """Return all requirements, such as ``monai>=1.4,<2``, PyTorch first."""
    lines = REQUIREMENTS_FILE.read_text(encoding="utf-8").splitlines()
    return [TORCH, *(line.strip() for line in lines if line.strip() and not line.startswith("#"))]


def missing_packages() -> list[str]:
    """Return the requirements that are not met, PyTorch first."""
    importlib.invalidate_caches()
    return [requirement for requirement in requirements() if not is_met(requirement)]


def distribution_name(requirement: str) -> str:
    """Return ``monai`` of ``monai>=1.4,<2``."""
    return Requirement(requirement).name


def is_met(requirement: str, version: str | None = None) -> bool:
    """Return whether a requirement is met by ``version``, by default the installed one. Pre-releases count too."""
    parsed = Requirement(requirement)
    version = version or installed_version(parsed.name)
    return version is not None and _is_version(version) and parsed.specifier.contains(version, prereleases=True)


def installed_version(name: str) -> str | None:
    """Return the version of a distribution; ``None`` if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def protected_versions() -> dict[str, str]:
    """Return the installed versions of the packages that no installation may replace."""
    importlib.invalidate_caches()
    found = {name: installed_version(name) for name in PROTECTED}
    return {name: version for name, version in found.items() if version is not None}


def pins(versions: Mapping[str, str]) -> list[str]:
    """Return lines for a constraints file; a version that pip cannot parse is left out."""
    return [f"{name}=={version}" for name, version in versions.items() if _is_version(version)]


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True
