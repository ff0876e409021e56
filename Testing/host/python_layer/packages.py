"""``slicer.packaging`` (Slicer 5.12): the same questions and answers, but what would be installed is written down.

A test decides what an installation does: ``host.installations.effect = f`` is called with the pip arguments, and may
raise `subprocess.CalledProcessError`, as pip's failure does.
"""

from __future__ import annotations

import importlib.metadata
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

Requirements = str | Requirement | Sequence[str | Requirement]


class Installations:
    """The calls of pip that a real Slicer would have made."""

    def __init__(self) -> None:
        self.installed: list[list[str]] = []
        self.uninstalled: list[list[str]] = []
        self.effect: Callable[[list[str]], Any] = lambda arguments: None

    def clear(self) -> None:
        self.__init__()


installations = Installations()


def load_requirements(path: str | Path) -> list[Requirement]:
    """Read a requirements file; comments, empty lines and pip's options are left out."""
    lines = (line.partition(" #")[0].strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def pip_check(req: Requirements) -> bool:
    """Return whether all of this is installed in a fitting version, extras not looked at."""
    return all(_satisfied(requirement) for requirement in _parsed(req))


def pip_ensure(
    requirements: Requirements,
    constraints: str | Path | None = None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> list[str] | None:
    """Install what is missing after asking; nothing at all happens with ``--testing`` and ``skip_in_testing``.

    Raises:
        RuntimeError: the user said no.
        subprocess.CalledProcessError: pip failed.
    """
    import slicer

    missing = [str(r) for r in _parsed(requirements) if not _satisfied(r)]
    if not missing or (skip_in_testing and slicer.app.testingEnabled()):
        return None
    if prompt_install:
        title = f"{requester} - Install Python Packages" if requester else "Install Python Packages"
        text = f"{len(missing)} Python packages need to be installed. Continue?"
        if not slicer.util.confirmOkCancelDisplay(text, title, detailedText="\n".join(missing)):
            raise RuntimeError("User declined package installation")
    return pip_install(missing, constraints, None, skip_packages, True, show_progress, requester)


def pip_install(
    requirements: str | Sequence[str],
    constraints: str | Path | None = None,
    no_deps_requirements: str | Sequence[str] | None = None,
    skip_packages: list[str] | None = None,
    blocking: bool = True,
    show_progress: bool = True,
    requester: str | None = None,
    logCallback: Callable[[str], None] | None = None,
    completedCallback: Callable[[int], None] | None = None,
) -> list[str] | None:
    """Write the call down and run what the test put in its place. A non-blocking call has completed at once."""
    if skip_packages is not None and (no_deps_requirements is not None or not blocking):
        raise ValueError("skip_packages goes neither with no_deps_requirements nor with blocking=False")
    words = _words(requirements) + (["-c", str(constraints)] if constraints else [])
    if no_deps_requirements:
        _run(["--no-deps", *_words(no_deps_requirements)])
    _run(words)
    if not blocking and completedCallback:
        completedCallback(0)
    return [] if skip_packages is not None else None


def pip_uninstall(
    requirements: str | Sequence[str],
    blocking: bool = True,
    logCallback: Callable[[str], None] | None = None,
    completedCallback: Callable[[int], None] | None = None,
) -> None:
    installations.uninstalled.append(_words(requirements))
    if not blocking and completedCallback:
        completedCallback(0)


def isPipInstallInProgress() -> bool:
    return False


def _run(words: list[str]) -> None:
    installations.installed.append(words)
    installations.effect(words)


def _words(requirements: str | Sequence[str]) -> list[str]:
    return shlex.split(requirements) if isinstance(requirements, str) else [str(r) for r in requirements]


def _parsed(requirements: Requirements) -> list[Requirement]:
    if isinstance(requirements, Requirement):
        return [requirements]
    found = _split(requirements) if isinstance(requirements, str) else requirements
    return [r if isinstance(r, Requirement) else Requirement(r) for r in found]


def _split(text: str) -> list[str]:
    try:
        Requirement(text)
    except InvalidRequirement:
        return text.split()
    return [text]


def _satisfied(requirement: Requirement) -> bool:
    if requirement.marker and not requirement.marker.evaluate():
        return True
    try:
        return requirement.specifier.contains(importlib.metadata.version(requirement.name), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return False
