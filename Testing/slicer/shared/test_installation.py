"""Installing what is missing: asked for, refused, offline, continued, and never twice at a time."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from leuda_core.errors import InputError, LeudaError
from package_machine import Machine
from repository import ROOT


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
