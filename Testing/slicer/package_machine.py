"""A Slicer in whose Python packages are missing, and what installs into it: fixtures (for conftest) of its tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

COMPLETE = {
    "numpy": "2.1.0",
    "SimpleITK": "2.5.0",
    "torch": "2.6.0+cu124",
    "nibabel": "5.3",
    "pynrrd": "1.1.3",
    "pydicom": "3.0.1",
    "scikit-image": "0.25.0",
    "monai": "1.5.0",
    "msgspec": "0.19.0",
    "safetensors": "0.5.0",
    "tqdm": "4.67.1",
}


class Machine:
    """A Slicer whose Python holds ``versions``; what installs into it is written down in ``calls``."""

    def __init__(self, versions: dict[str, str | None]) -> None:
        self.versions = {name: version for name, version in versions.items() if version}
        self.calls: list[tuple[str, list[str]]] = []
        self.asked: list[str] = []
        self.answer = True
        self.effect: Callable[[list[str]], None] = self.put
        self.works = True

    def put(self, words: list[str]) -> None:
        for word in words:
            name = word.split(">=")[0]
            if name in COMPLETE:
                self.versions[name] = COMPLETE[name]

    def confirm(self, text: str, *_: object, **__: object) -> bool:
        self.asked.append(text)
        return self.answer

    def pip_install(self, words: list[str], **_: object) -> None:
        self.calls.append(("pip_install", words))
        self.effect(words)

    def pip_ensure(self, words: list[str], *, constraints: Path, prompt_install: bool, requester: str) -> None:
        assert not prompt_install and requester
        self.calls.append(("pip_ensure", [*words, Path(constraints).read_text()]))
        self.effect(words)

    def installTorch(self, askConfirmation: bool, torchVersionRequirement: str) -> object:
        assert not askConfirmation
        self.calls.append(("installTorch", [torchVersionRequirement]))
        self.effect(["torch"])
        return object()


@pytest.fixture
def installation(slicer_app):
    from LEUDASegmentationLib.processes import installation

    return installation


@pytest.fixture
def machine(installation, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with all but PyTorch, monai and msgspec, a PyTorch extension, and a user who agrees."""
    import slicer

    from LEUDASegmentationLib.processes import packages

    machine = Machine({**COMPLETE, "torch": None, "monai": None, "msgspec": "0.17"})
    monkeypatch.setattr(packages, "installed_version", lambda name: machine.versions.get(name))
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", machine.confirm, raising=False)
    monkeypatch.setattr(slicer.util, "pip_install", machine.pip_install, raising=False)
    slicer_packaging = ModuleType("slicer.packaging")
    slicer_packaging.pip_ensure = machine.pip_ensure
    monkeypatch.setitem(sys.modules, "slicer.packaging", slicer_packaging)
    torch_utils = ModuleType("PyTorchUtils")
    torch_utils.PyTorchUtilsLogic = lambda: machine
    monkeypatch.setitem(sys.modules, "PyTorchUtils", torch_utils)
    monkeypatch.setattr(installation, "LeudaCommand", lambda words: Doctor(machine))
    return machine


class Doctor:
    """Stands for ``leuda doctor`` in a child process."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def start(self) -> Doctor:
        return self

    def wait(self, timeout_s: float) -> dict:
        problem = "" if self._machine.works else "no kernel runs"
        return {"works": not problem, "devices": [{"problem": problem}], "advice": []}
