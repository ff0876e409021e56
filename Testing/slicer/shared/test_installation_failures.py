"""An installation that fails says why and what to do, and never costs a working Slicer."""

from __future__ import annotations

import subprocess
import sys

import pytest

from leuda_core.errors import InputError, LeudaError
from package_machine import Machine


@pytest.mark.slow
def test_the_pytorch_extension_is_offered(slicer_app, installation, machine, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    slicer_app.answers.add(True)
    with pytest.raises(InputError, match="PyTorch extension was installed") as caught:
        installation.ensure_installed()
    assert "restart Slicer" in caught.value.remedy and machine.calls == []
    assert slicer_app.app.extensionsManagerModel()._asked[-1] == "PyTorch"
    assert installation.installation_pending() and not installation.is_installing()  # after the restart, it goes on


@pytest.mark.slow
def test_an_extension_that_cannot_be_loaded_is_not_offered_again(
    slicer_app, installation, machine, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    monkeypatch.setattr(slicer_app.app.extensionsManagerModel(), "_installed", {"PyTorch"})
    with pytest.raises(InputError, match="installed, but cannot be loaded"):
        installation.ensure_installed()
    assert not installation.installation_pending() and machine.calls == []


@pytest.mark.slow
def test_without_the_pytorch_extension_says_how_to_get_it(slicer_app, installation, machine, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    slicer_app.answers.add(False)
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
