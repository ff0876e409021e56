"""The interpreter and the environment of child processes, and the folders of models and runs."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import qt
import slicer

import leuda_core

DATA_FOLDER_SETTING = "LEUDA/DataFolder"

_UNWANTED = ("QT_", "QML", "DISPLAY", "WAYLAND_DISPLAY")  # child processes show no windows
_CHILD_SETTINGS = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONUTF8": "1",  # for messages and paths, also on Windows
    "PYTHONSAFEPATH": "1",  # a module in the folder where Slicer was started must not shadow one of ours
    "MPLBACKEND": "Agg",
}


def python_command() -> list[str]:
    """Return the command that runs Python with Slicer's packages: PythonSlicer, or else this interpreter."""
    return [shutil.which("PythonSlicer") or sys.executable]


def core_folder() -> Path:
    """Return the folder that contains ``leuda_core``."""
    return Path(leuda_core.__file__).resolve().parents[1]


def child_environment() -> qt.QProcessEnvironment:
    """Return the environment of a child process: this one, without window settings, with our packages on the path."""
    environment = qt.QProcessEnvironment()
    for name, value in os.environ.items():
        if not name.startswith(_UNWANTED):
            environment.insert(name, value)
    for name, value in _CHILD_SETTINGS.items():
        environment.insert(name, value)
    paths = [str(core_folder()), os.environ.get("PYTHONPATH", "")]
    environment.insert("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    return environment


def data_folder() -> Path:
    """Return the folder of this user's LE-UDA data; it may not exist yet.

    It is next to Slicer's settings file, unless the setting ``LEUDA/DataFolder`` names another folder.
    """
    chosen = slicer.app.userSettings().value(DATA_FOLDER_SETTING)
    return Path(chosen) if chosen else Path(slicer.app.slicerUserSettingsFilePath).parent / "LEUDA"


def models_folder() -> Path:
    """Return the folder with one bundle folder per model."""
    return data_folder() / "models"


def runs_folder() -> Path:
    """Return the folder with one folder per training."""
    return data_folder() / "runs"
