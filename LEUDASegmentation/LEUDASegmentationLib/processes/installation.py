"""Installs missing packages before first use: asks the user, shows progress, and keeps the packages that Slicer needs.

PyTorch is installed through the PyTorch extension, which selects the build for the graphics card, and the rest through
Slicer's packaging. A constraints file pins the versions of NumPy, SimpleITK and PyTorch, so that pip fails rather than
replacing one of them. Without network, both use a folder of wheels (setting ``LEUDA/WheelsFolder``).
"""

from __future__ import annotations

import importlib
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import qt
import slicer
from slicer.i18n import tr as _

from leuda_core.errors import InputError, LeudaError
from LEUDASegmentationLib.processes.commands import LeudaCommand
from LEUDASegmentationLib.processes.packages import (
    TORCH,
    distribution_name,
    is_met,
    missing_packages,
    pins,
    protected_versions,
)
from LEUDASegmentationLib.processes.torch_extension import RestartNeeded, torch_logic

logger = logging.getLogger(__name__)

WHEELS_FOLDER_SETTING = "LEUDA/WheelsFolder"
PENDING_SETTING = "LEUDA/InstallationPending"

_TITLE = "LE-UDA"
_installing = False
_VERIFY_S = 300.0  # the first import of a new PyTorch reads some GB


def installation_pending() -> bool:
    """Return whether the user agreed to an installation that is not finished, such as before a restart of Slicer."""
    return slicer.app.userSettings().value(PENDING_SETTING) in (True, "true") and bool(missing_packages())


def is_installing() -> bool:
    """Return whether packages are being installed; Slicer processes events meanwhile, so buttons can be pressed."""
    return _installing


def ensure_installed(parent: qt.QWidget | None = None) -> bool:
    """Install missing packages after asking the user; return whether everything is installed.

    A user who agreed before a restart is not asked again. Nothing is installed in Slicer's testing mode.

    Raises:
        InputError: an installation is running. LeudaError: it failed, or it changed another package.
    """
    _refuse_another()
    missing = missing_packages()
    if not missing:
        return True
    if slicer.app.testingEnabled():
        logger.info("testing mode: not installing %s", ", ".join(missing))
        return False
    if not installation_pending() and not _agreed(missing, parent):
        return False
    install(parent)
    return True


def install(parent: qt.QWidget | None = None) -> None:
    """Install missing packages without asking, then check them in another process.

    Raises:
        InputError: an installation is running. LeudaError: it failed.
    """
    global _installing
    _refuse_another()
    _set_pending(True)
    before = protected_versions()
    _installing = True
    try:
        with _progress(parent) as show:
            _install_torch(show)
            _install_rest(show)
            show(_("Checking the installation…"))
            _verify()
    except RestartNeeded:
        raise  # the user has agreed, and is not asked again after the restart
    except Exception:
        _set_pending(False)  # the next attempt asks again
        raise
    finally:
        _installing = False
    _set_pending(False)
    _check_unchanged(before, protected_versions())


def _refuse_another() -> None:
    if _installing:
        raise InputError(_("Python packages are being installed"), _("wait until this is done"))


def _agreed(missing: list[str], parent: qt.QWidget | None) -> bool:
    text = _("LE-UDA needs {count} Python packages that are not installed yet.").format(count=len(missing))
    folder = _wheels_folder()
    source = _("from the folder {folder}").format(folder=folder) if folder else _("from the internet")
    text += "\n\n" + _("Install them {source} into Slicer's Python?").format(source=source)
    if TORCH in missing:
        free = shutil.disk_usage(sys.prefix).free / 1e9
        note = _("PyTorch needs 1 to 6 GB of disk space and several minutes; {free} GB are free.")
        text += " " + note.format(free=f"{free:.1f}")
    text += "\n\n" + _("Slicer's own packages are not changed.")
    return slicer.util.confirmOkCancelDisplay(
        text, _("LE-UDA: install packages"), parent=parent, detailedText="\n".join(missing)
    )


def _install_torch(show: Callable[[str], None]) -> None:
    if TORCH not in missing_packages():
        return
    show(_("Installing PyTorch: this takes several minutes…"))
    with _failures("PyTorch"):
        if _wheels_folder():
            slicer.util.pip_install([TORCH, *_pip_options(_constraints())])
        else:
            torch_logic().installTorch(askConfirmation=False, torchVersionRequirement=TORCH.removeprefix("torch"))


def _install_rest(show: Callable[[str], None]) -> None:
    missing = missing_packages()
    if not missing:
        return
    show(_("Installing {packages}…").format(packages=", ".join(distribution_name(each) for each in missing)))
    constraints, packaging = _constraints(), _slicer_packaging()
    with _failures(", ".join(missing)):
        if packaging is None or _wheels_folder():
            slicer.util.pip_install([*missing, *_pip_options(constraints)])
        else:
            packaging.pip_ensure(missing, constraints=constraints, prompt_install=False, requester=_TITLE)


def _slicer_packaging() -> ModuleType | None:
    """Return ``slicer.packaging``; ``None`` before Slicer 5.12."""
    try:
        return importlib.import_module("slicer.packaging")
    except ModuleNotFoundError:
        return None


def _pip_options(constraints: Path) -> list[str]:
    folder = _wheels_folder()
    offline = ["--no-index", "--find-links", str(folder)] if folder else []
    return ["-c", str(constraints), *offline]


def _constraints() -> Path:
    """Write the versions that must not change to a constraints file and return its path."""
    path = Path(slicer.app.temporaryPath) / "LEUDA-constraints.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(pins(protected_versions())) + "\n", encoding="utf-8")
    return path


def _wheels_folder() -> Path | None:
    """Return the folder of wheels for an installation without network, if one is set.

    Raises:
        InputError: it does not exist.
    """
    chosen = slicer.app.userSettings().value(WHEELS_FOLDER_SETTING)
    if not chosen:
        return None
    if not Path(chosen).is_dir():
        raise InputError(
            _("the folder of wheels {folder} does not exist").format(folder=chosen),
            _("correct or remove the setting {name}").format(name=WHEELS_FOLDER_SETTING),
        )
    return Path(chosen)


@contextmanager
def _failures(what: str) -> Iterator[None]:
    """Convert any failure of an installer to a LeudaError."""
    try:
        yield
    except LeudaError:
        raise
    except Exception as error:  # installers raise CalledProcessError, RuntimeError, ValueError, ImportError …
        logger.debug("installation failed", exc_info=True)
        code = f"pip exited with code {error.returncode}" if isinstance(error, subprocess.CalledProcessError) else error
        raise LeudaError(
            _("{what} could not be installed: {cause}").format(what=what, cause=code),
            _(
                "see the output of pip in the Python console; check network, proxy and free disk space, restart Slicer "
                "and try again. Without network, put wheels into a folder and enter it in the setting {name}"
            ).format(name=WHEELS_FOLDER_SETTING),
        ) from error


def _verify() -> None:
    """Import all packages and run a kernel on each device, in a separate process.

    Raises:
        LeudaError: a package is still missing or does not work.
    """
    missing = missing_packages()
    if missing:
        raise LeudaError(
            _("still missing after the installation: {packages}").format(packages=", ".join(missing)),
            _("restart Slicer and try again"),
        )
    health = LeudaCommand(["doctor"]).start().wait(_VERIFY_S)
    if not health["works"]:
        problems = [device["problem"] for device in health["devices"]] + list(health["advice"])
        raise LeudaError(
            _("the installed packages do not work: {cause}").format(cause="; ".join(filter(None, problems))),
            _("reinstall PyTorch in the module PyTorch Utils, then restart Slicer"),
        )


def _check_unchanged(before: dict[str, str], after: dict[str, str]) -> None:
    """Check that the packages on which Slicer depends have not changed.

    Raises:
        LeudaError: lists the changed packages, and how to restore them.
    """
    changed = [name for name, version in before.items() if after.get(name) != version]
    if "torch" in changed and not is_met(TORCH, before["torch"]):
        changed.remove("torch")  # too old, and replaced intentionally
    if changed:
        was = ", ".join(f"{name} {before[name]} → {after.get(name, _('missing'))}" for name in changed)
        back = " ".join(f"{name}=={before[name]}" for name in changed)
        raise LeudaError(
            _("the installation changed packages that Slicer uses: {changes}").format(changes=was),
            _("restart Slicer; restore them with slicer.util.pip_install('{packages}')").format(packages=back),
        )


def _set_pending(pending: bool) -> None:
    settings = slicer.app.userSettings()
    if pending:
        settings.setValue(PENDING_SETTING, True)
    else:
        settings.remove(PENDING_SETTING)
    settings.sync()  # the installation may crash Slicer


@contextmanager
def _progress(parent: qt.QWidget | None) -> Iterator[Callable[[str], None]]:
    """Show the progress in a window without Cancel, or in the log if there is no main window."""
    if slicer.util.mainWindow() is None:
        yield lambda text: logger.info("%s", text)
        return
    dialog = slicer.util.createProgressDialog(
        parent=parent, maximum=0, windowTitle=_TITLE, autoClose=False, windowModality=qt.Qt.ApplicationModal
    )
    dialog.setCancelButton(None)

    def show(text: str) -> None:
        dialog.labelText = text
        slicer.app.processEvents()

    try:
        yield show
    finally:
        dialog.close()
        dialog.deleteLater()
