"""Installing what is missing: asked for, refused, offline, continued, and never at the cost of a working Slicer."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from leuda_core.errors import InputError, LeudaError
from repository import ROOT

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


def settings():
    import slicer

    return slicer.app.userSettings()


# requirements


@pytest.mark.slow
def test_requirements_are_those_of_the_core_without_what_slicer_brings(installation) -> None:
    from LEUDASegmentationLib.processes.packages import requirements

    table = re.search(r"^dependencies = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    core = re.findall(r'"(.+?)"', table.group(1))
    assert sorted(requirements()) == sorted(line for line in core if not line.startswith(("numpy", "SimpleITK")))
    assert requirements()[0].startswith("torch") and not any("=" in line.replace(">=", "") for line in requirements())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "met"),
    [
        ("1.4", True),
        ("1.4.0", True),
        ("1.10.2+cpu", True),
        ("1.5rc1", True),
        ("1.3.9", False),
        ("2.0", False),
        ("nightly", False),
    ],
)
def test_bounds(installation, version: str, met: bool) -> None:
    from LEUDASegmentationLib.processes.packages import is_met

    assert is_met("monai>=1.4,<2", version) is met


@pytest.mark.slow
def test_missing_packages_are_those_absent_or_too_old_torch_first(installation, machine: Machine) -> None:
    assert installation.missing_packages() == ["torch>=2.4", "monai>=1.4,<2", "msgspec>=0.18.6"]


@pytest.mark.slow
def test_nothing_is_missing_here_and_nothing_is_imported(installation) -> None:
    before = set(sys.modules)
    assert installation.missing_packages() == [] and installation.ensure_installed()
    assert "torch" not in set(sys.modules) - before


# installing


@pytest.mark.slow
def test_asks_installs_torch_through_its_extension_then_the_rest_under_constraints(installation, machine) -> None:
    assert installation.ensure_installed()
    assert len(machine.asked) == 1 and "3 Python packages" in machine.asked[0] and "GB are free" in machine.asked[0]
    (torch, version), (ensure, words) = machine.calls
    assert (torch, version) == ("installTorch", [">=2.4"])
    assert (ensure, words[:-1]) == ("pip_ensure", ["monai>=1.4,<2", "msgspec>=0.18.6"])
    assert words[-1].split() == ["numpy==2.1.0", "SimpleITK==2.5.0", "torch==2.6.0+cu124"]
    assert not installation.installation_pending()


@pytest.mark.slow
def test_slicer_before_5_12_is_served_by_pip_install(installation, machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    assert installation.ensure_installed()
    name, words = machine.calls[-1]
    assert name == "pip_install" and words[:3] == ["monai>=1.4,<2", "msgspec>=0.18.6", "-c"]
    assert "numpy==2.1.0" in Path(words[3]).read_text()


@pytest.mark.slow
def test_a_refusal_changes_nothing_and_is_no_error(installation, machine: Machine) -> None:
    machine.answer = False
    assert installation.ensure_installed() is False
    assert machine.calls == [] and not installation.installation_pending()


@pytest.mark.slow
def test_nothing_is_installed_by_slicers_own_tests(slicer_app, installation, machine: Machine) -> None:
    slicer_app.testing = True
    assert installation.ensure_installed() is False and machine.asked == machine.calls == []


@pytest.mark.slow
def test_offline_everything_comes_from_the_folder(installation, machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "wheels of Zoë"
    folder.mkdir()
    settings().setValue(installation.WHEELS_FOLDER_SETTING, str(folder))
    assert installation.ensure_installed() and str(folder) in machine.asked[0]
    assert [words[0] for _, words in machine.calls] == ["torch>=2.4", "monai>=1.4,<2"]
    for name, words in machine.calls:
        assert name == "pip_install" and words[-3:] == ["--no-index", "--find-links", str(folder)]


@pytest.mark.slow
def test_a_folder_of_wheels_that_is_gone_is_named(installation, machine: Machine, tmp_path: Path) -> None:
    settings().setValue(installation.WHEELS_FOLDER_SETTING, str(tmp_path / "gone"))
    with pytest.raises(InputError, match="gone does not exist"):
        installation.ensure_installed()


@pytest.mark.slow
def test_goes_on_after_a_restart_without_asking_again(installation, machine: Machine) -> None:
    def restart(words: list[str]) -> None:
        machine.put(words)
        raise SystemExit

    machine.effect = restart
    with pytest.raises(SystemExit):
        installation.ensure_installed()
    assert installation.installation_pending()
    machine.effect = machine.put
    assert installation.ensure_installed() and len(machine.asked) == 1
    assert [name for name, _ in machine.calls] == ["installTorch", "pip_ensure"]
    assert not installation.installation_pending()


@pytest.mark.slow
def test_an_installation_is_not_started_again_while_it_runs(installation, machine: Machine) -> None:
    """pip reports its output through events, so that a button can be pressed meanwhile."""
    refused = []

    def press_again(words: list[str]) -> None:
        assert installation.is_installing()
        with pytest.raises(InputError, match="being installed") as caught:
            installation.ensure_installed()
        refused.append(caught.value.remedy)
        machine.put(words)

    machine.effect = press_again
    assert installation.ensure_installed()
    assert len(machine.asked) == 1 and len(machine.calls) == len(refused) == 2
    assert not installation.is_installing()


@pytest.mark.slow
def test_after_a_failure_an_installation_can_be_started_again(installation, machine: Machine) -> None:
    def fail(words: list[str]) -> None:
        raise RuntimeError("no network")

    machine.effect = fail
    with pytest.raises(LeudaError, match="no network"):
        installation.ensure_installed()
    assert not installation.is_installing()
    machine.effect = machine.put
    assert installation.ensure_installed()


@pytest.mark.slow
def test_the_progress_of_an_installation_blocks_the_window(
    slicer_app, installation, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt
    import slicer

    shown, window = [], qt.QMainWindow()
    make = slicer.util.createProgressDialog

    def watched(**about: object):
        dialog = make(**about)
        shown.append(dialog.windowModality)
        return dialog

    monkeypatch.setattr(slicer.util, "createProgressDialog", watched)
    monkeypatch.setattr(slicer.util, "mainWindow", lambda *_: window)
    assert installation.ensure_installed()
    assert shown == [qt.Qt.ApplicationModal]


# failures


@pytest.mark.slow
def test_without_the_pytorch_extension_says_how_to_get_it(installation, machine, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(InputError, match="PyTorch extension is not installed") as caught:
        installation.ensure_installed()
    assert "Extensions Manager" in caught.value.remedy and machine.calls == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "failure",
    [
        subprocess.CalledProcessError(1, "pip"),
        RuntimeError("PythonSlicer executable not found"),
        OSError(28, "No space left on device"),
    ],
)
def test_a_failing_installer_becomes_an_error_with_a_remedy_and_is_asked_for_again(
    installation, machine: Machine, failure: Exception
) -> None:
    def fail(words: list[str]) -> None:
        raise failure

    machine.effect = fail
    with pytest.raises(LeudaError, match="PyTorch could not be installed") as caught:
        installation.ensure_installed()
    assert "wheels" in caught.value.remedy and not installation.installation_pending()
    machine.answer = False
    assert installation.ensure_installed() is False and len(machine.asked) == 2


@pytest.mark.slow
def test_an_installer_that_did_nothing_is_noticed(installation, machine: Machine) -> None:
    machine.effect = lambda words: None
    with pytest.raises(LeudaError, match=r"still missing after the installation: torch>=2\.4"):
        installation.ensure_installed()


@pytest.mark.slow
def test_packages_that_do_not_work_are_noticed(installation, machine: Machine) -> None:
    machine.works = False
    with pytest.raises(LeudaError, match="do not work: no kernel runs") as caught:
        installation.ensure_installed()
    assert "PyTorch Utils" in caught.value.remedy


@pytest.mark.slow
def test_a_changed_package_of_slicers_is_told_with_the_way_back(installation, machine: Machine) -> None:
    def careless(words: list[str]) -> None:
        machine.put(words)
        machine.versions["numpy"] = "1.26.4"
        machine.versions.pop("SimpleITK", None)

    machine.effect = careless
    with pytest.raises(LeudaError, match=r"numpy 2\.1\.0 → 1\.26\.4, SimpleITK 2\.5\.0 → missing") as caught:
        installation.ensure_installed()
    assert "pip_install('numpy==2.1.0 SimpleITK==2.5.0')" in caught.value.remedy
    assert installation.ensure_installed(), "what is needed is there"


@pytest.mark.slow
def test_an_old_torch_may_be_replaced_and_a_new_one_may_not(installation, machine: Machine) -> None:
    machine.versions["torch"] = "2.0.1"
    assert installation.ensure_installed()
    machine.versions.pop("monai")
    machine.effect = lambda words: (machine.put(words), machine.versions.update(torch="2.9.0"))
    with pytest.raises(LeudaError, match=r"torch 2\.6\.0\+cu124 → 2\.9\.0"):
        installation.ensure_installed()


@pytest.mark.slow
def test_versions_that_pip_cannot_parse_are_no_constraints(installation) -> None:
    from LEUDASegmentationLib.processes.packages import pins

    versions = {"numpy": "2.1.0rc1", "SimpleITK": "2.5.0.dev12+gabc", "torch": "nightly"}
    assert pins(versions) == ["numpy==2.1.0rc1", "SimpleITK==2.5.0.dev12+gabc"]


@pytest.mark.slow
def test_the_real_check_runs_in_another_process(installation) -> None:
    before = set(sys.modules)
    installation._verify()
    assert "torch" not in set(sys.modules) - before
