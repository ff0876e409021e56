"""``slicer.app``: one QApplication a process, whose state belongs to the running host."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from PySide6.QtCore import (
    Property,
    QCoreApplication,
    QMessageLogContext,
    QObject,
    QProcessEnvironment,
    QSettings,
    QStandardPaths,
    QtMsgType,
    Signal,
    qInstallMessageHandler,
)
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QApplication

from host.answers import answers
from host.python_layer import signals
from host.widgets.registry import stands_in

VERSION = (5, 12, 0)


@stands_in("slicer")
class qSlicerExtensionsManagerModel(QObject):
    """Installs an extension if the next answer is True; what was asked for is in ``_asked``."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: list[str] = []
        self._installed: set[str] = set()

    def isExtensionInstalled(self, name: str) -> bool:
        return name in self._installed

    def installExtensionFromServer(self, name: str, restart: bool = True, update: bool = False) -> bool:
        self._asked.append(name)
        return bool(answers.take("QMessageBox.question", "Install extension ?", f"Install '{name}' now?"))


@stands_in("slicer")
class qSlicerApplication(QApplication):
    """The parts of Slicer's application object that scripted modules use."""

    startupCompleted = Signal()
    mrmlSceneChanged = Signal(object)
    _signatures: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged(PyObject)"}

    def __init__(self) -> None:
        super().__init__(["Slicer"])
        QCoreApplication.setOrganizationName("slicer.org")
        QCoreApplication.setOrganizationDomain("www.slicer.org")
        QCoreApplication.setApplicationName("Slicer")
        QCoreApplication.setApplicationVersion(".".join(map(str, VERSION)))
        QStandardPaths.setTestModeEnabled(True)
        self.setStyle("Fusion")
        self.setFont(QFont("DejaVu Sans", 9))
        self.setQuitOnLastWindowClosed(False)
        self._host: Any = None
        self._extensions = qSlicerExtensionsManagerModel()

    def _start(self, host: Any) -> None:
        self._host = host
        self._temporary = str(host.folder / "temporary")
        Path(self._temporary).mkdir(parents=True, exist_ok=True)
        self._options = SimpleNamespace(
            runPythonAndExit=False, noMainWindow=host.mainWindow is None, testingEnabled=host.testing
        )

    def _stop(self) -> None:
        """What a real exit does to whoever listens: told once, then never again."""
        for signal in ("aboutToQuit()", "lastWindowClosed()"):
            for callback in signals.callbacks(self, signal):
                callback()
            signals.disconnect(self, signal)
        signals.disconnect(self, "startupCompleted()")

    def mrmlScene(self) -> Any:
        return self._host.world.scene

    def applicationLogic(self) -> Any:
        return self._host.world.application

    def layoutManager(self) -> Any:
        return self._host.layoutManager

    def coreIOManager(self) -> Any:
        return self._host.ioManager

    def ioManager(self) -> Any:
        return self._host.ioManager

    def extensionsManagerModel(self) -> Any:
        return self._extensions

    def moduleManager(self) -> Any:
        return self._host.moduleManager

    def userSettings(self) -> QSettings:
        return QSettings()

    settings = userSettings

    def commandOptions(self) -> SimpleNamespace:
        return self._options

    def testingEnabled(self) -> bool:
        return self._host.testing

    def pauseRender(self) -> None:
        self._host.world.application.PauseRender()

    def resumeRender(self) -> None:
        self._host.world.application.ResumeRender()

    def startupEnvironment(self) -> QProcessEnvironment:
        return QProcessEnvironment.systemEnvironment()

    environment = startupEnvironment

    def exit(self, status: int = 0) -> None:
        """Recorded, not done: the tests go on."""
        self._host.exitStatus = status

    quit = exit

    def restart(self) -> None:
        """Recorded, not done: a test restarts by `Host.restart`."""
        self._host.restartRequested = True

    def _setTemporary(self, path: str) -> None:
        self._temporary = path

    slicerHome = Property(str, lambda self: str(self._host.folder / "home"))
    slicerUserSettingsFilePath = Property(str, lambda self: QSettings().fileName())
    temporaryPath = Property(str, lambda self: self._temporary, _setTemporary)
    revision = Property(str, lambda self: "33000")
    os = Property(str, lambda self: {"darwin": "macosx", "win32": "win"}.get(sys.platform, "linux"))


def application() -> qSlicerApplication:
    """Return the application object, made at the first call."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    qInstallMessageHandler(_log)
    existing = QApplication.instance()
    return existing if isinstance(existing, qSlicerApplication) else qSlicerApplication()


def _log(kind: QtMsgType, context: QMessageLogContext, text: str) -> None:
    """Pass Qt's messages to Python's logging, less what every window without a screen says."""
    if "propagateSizeHints" not in text:
        levels = {QtMsgType.QtDebugMsg: logging.DEBUG, QtMsgType.QtInfoMsg: logging.INFO}
        logging.getLogger("qt").log(levels.get(kind, logging.WARNING), text)


def use_settings(folder: Path) -> None:
    """Keep all settings below a folder, in files as Slicer keeps them on Linux."""
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(folder))
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.SystemScope, str(folder / "system"))


def new_folder() -> Path:
    """Return a folder for the settings and temporary files of a host that was given none."""
    return Path(tempfile.mkdtemp(prefix="slicer-host-"))
