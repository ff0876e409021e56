"""Starting and closing the host."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import shiboken6
from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QWidget

from host import answers as dialog_answers
from host import driving
from host.application import application, new_folder, use_settings
from host.python_layer import pythonqt, ui_loader
from host.widgets import observing, scripted_effects

_folder: Path | None = None


class Host:
    """A running stand-in of Slicer. Make it with `boot`."""

    def __init__(self, folder: Path, testing: bool, main_window: bool):
        from host.mrml import file_io, scene, subject_hierarchy
        from host.python_layer import modules, namespace, packages
        from host.views import layout, window

        self.folder, self.testing = folder, testing
        self.app = application()
        use_settings(folder / "settings")
        namespace.install()
        self.mainWindow: Any = None
        self.exitStatus: int | None = None
        self.restartRequested = False
        self.answers, self.installations = dialog_answers.answers, packages.installations
        self.answers.clear()
        self.installations.clear()
        self.world = scene.SceneAndLogics(folder)
        self._hierarchy = subject_hierarchy.HierarchyKeeper(self.world.scene)
        self.ioManager = file_io.CoreIOManager(self.world)
        self._publish()
        self.moduleManager = modules.qSlicerModuleManager(self.world, self.app)
        self.layoutManager = layout.qSlicerLayoutManager(self.world)
        if main_window:
            self.mainWindow = window.qSlicerMainWindow(self.moduleManager, self.layoutManager.viewport())
            self.mainWindow.show()
        self.app._start(self)
        namespace.install_base_classes()

    def _publish(self) -> None:
        import slicer

        slicer.app, slicer.mrmlScene = self.app, self.world.scene
        self.app._host = self

    @property
    def scene(self) -> Any:
        """The MRML scene, ``slicer.mrmlScene``."""
        return self.world.scene

    def loadModule(self, path: str | Path) -> Any:
        """Load a scripted module from its file, open it if there is a window, and return its Python widget object.

        None for a module without a widget.
        """
        import slicer

        module = self.moduleManager._load(Path(path))
        if not module._hasWidget():
            return None
        if self.mainWindow is not None:
            self.selectModule(module.name)
        return slicer.util.getModuleWidget(module)

    def selectModule(self, name: str) -> Any:
        """Open a module in the panel and return its Python widget object."""
        import slicer

        slicer.util.selectModule(name)
        self.processEvents()
        return slicer.util.getModuleWidget(name)

    def processEvents(self) -> None:
        """Let everything happen that is due, deferred deletions included."""
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        self.app.processEvents()

    def grab(self, widget: QWidget, path: str | Path) -> Path:
        """Write a picture of a widget or window as PNG."""
        self.processEvents()
        self.layoutManager._render()
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not widget.grab().save(str(path)):
            raise OSError(f"the picture {path} could not be written")
        return path

    def wait_until(self, predicate: Callable[[], Any], timeout_s: float = 10.0, what: str = "") -> Any:
        """Run the event loop until the predicate is true, and return its value. See `host.driving.wait_until`."""
        return driving.wait_until(predicate, timeout_s, what)

    def event_loop_latency(self) -> driving.Latency:
        """``with app.event_loop_latency() as latency: …`` measures the longest time the event loop stood still."""
        return driving.Latency()

    def click(self, widget: QWidget, **how: Any) -> None:
        driving.click(widget, **how)

    def type(self, widget: QWidget, text: str) -> None:
        driving.type_text(widget, text)

    def key(self, widget: QWidget, key: Any, **how: Any) -> None:
        driving.key(widget, key, **how)

    def wheel(self, widget: QWidget, steps: int) -> None:
        driving.wheel(widget, steps)

    def choose(self, box: QWidget, text: str) -> None:
        driving.choose(box, text)

    def restart(self) -> Host:
        """Close and boot again with the same settings folder, as a user does; returns the new host."""
        had_window = self.mainWindow is not None
        self.close()
        return boot(self.folder, testing=self.testing, main_window=had_window)

    def close(self) -> None:
        """Do what happens when Slicer exits: modules are told and unloaded, the scene is cleared, windows go."""
        global _running
        if self.mainWindow is not None:
            self.mainWindow.modulePanel()._leave()
        self.app._stop()
        self.moduleManager._unload()
        self.processEvents()
        self.layoutManager._close()
        self._hierarchy.close()
        self.world.close()
        if self.mainWindow is not None:
            shiboken6.delete(self.mainWindow)
        ui_loader.forget()
        scripted_effects.qSlicerSegmentEditorEffectFactory._forget()
        observing.forget()
        gc.collect()
        self.processEvents()
        _running = None


_running: Host | None = None


def running() -> Host | None:
    """Return the host that runs now."""
    return _running


def boot(settings_folder: str | Path | None = None, *, testing: bool = False, main_window: bool = True) -> Host:
    """Start the host: ``slicer``, ``qt`` and ``ctk`` can be imported afterwards.

    Without a folder all boots of this process share a temporary one, as runs of one Slicer share their settings.
    ``testing`` is Slicer's ``--testing`` (no dialogs, no installations), ``main_window=False`` its
    ``--no-main-window``. Only one host runs at a time.
    """
    global _folder, _running
    if _running is not None:
        raise RuntimeError("a host is running; close() it before the next boot()")
    folder = Path(settings_folder) if settings_folder else _folder or new_folder()
    _folder = folder
    pythonqt.install()
    dialog_answers.install()
    _running = Host(folder, testing, main_window)
    return _running
