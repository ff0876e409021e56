"""The Python packages that LE-UDA needs, and which of them are installed. Imports none of them."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path

REQUIREMENTS_FILE = Path(__file__).resolve().parents[2] / "Resources" / "requirements.txt"
TORCH = "torch>=2.4"
PROTECTED = ("numpy", "SimpleITK", "torch")

_PUBLISHED = re.compile(r"\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+[A-Za-z0-9.]+)?")


def requirements() -> list[str]:
    """Return all requirements, such as ``monai>=1.4,<2``, PyTorch first."""
    lines = REQUIREMENTS_FILE.read_text(encoding="utf-8").splitlines()
    return [TORCH, *(line.strip() for line in lines if line.strip() and not line.startswith("#"))]


def missing_packages() -> list[str]:
    """Return the requirements that are not met, PyTorch first."""
    importlib.invalidate_caches()
    return [requirement for requirement in requirements() if not is_met(requirement)]


def distribution_name(requirement: str) -> str:
    """Return the name in a requirement: ``monai`` for ``monai>=1.4,<2``."""
    return re.split(r"[<>=]", requirement, maxsplit=1)[0].strip()


def is_met(requirement: str, version: str | None = None) -> bool:
    """Return whether ``version``, by default the installed one, meets a requirement."""
    version = version or installed_version(distribution_name(requirement))
    if version is None:
        return False
    found = _release(version)
    bounds = [(sign, _release(bound)) for sign, bound in re.findall(r"(>=|<)\s*([\d.]+)", requirement)]
    return all(found >= bound if sign == ">=" else found < bound for sign, bound in bounds)


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
    """Return lines for a constraints file, without versions that pip cannot parse."""
    return [f"{name}=={version}" for name, version in versions.items() if _PUBLISHED.fullmatch(version)]


def _release(version: str) -> tuple[int, ...]:
    """Return ``(2, 5, 1)`` for ``2.5.1+cu121``, without trailing zeros."""
    numbers = re.match(r"\d+(\.\d+)*", version)
    found = [int(part) for part in numbers.group().split(".")] if numbers else []
    while found and not found[-1]:
        found.pop()
    return tuple(found)
