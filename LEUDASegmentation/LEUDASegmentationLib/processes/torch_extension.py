"""The PyTorch extension of Slicer, which installs the build of PyTorch for the graphics card; offered if missing."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from leuda_core.errors import InputError

_EXTENSION = "PyTorch"


class RestartNeeded(InputError):
    """The extension was installed; Slicer loads it when it starts."""


def torch_logic() -> Any:
    """Return the logic of the extension's module; if it is missing, Slicer offers to install it, and to restart.

    Raises:
        RestartNeeded: it is installed now. InputError: it is not installed.
    """
    try:
        from PyTorchUtils import PyTorchUtilsLogic
    except ImportError as error:
        model = _extensions()
        if model is not None and model.isExtensionInstalled(_EXTENSION):
            raise InputError(
                _("the PyTorch extension is installed, but cannot be loaded: {cause}").format(cause=error),
                _("restart Slicer, and look whether the extension is enabled in View > Extensions Manager"),
            ) from error
        if model is not None and model.installExtensionFromServer(_EXTENSION):  # it asks before, and about the restart
            raise RestartNeeded(
                _("the PyTorch extension was installed"), _("restart Slicer; the other packages are installed then")
            ) from error
        raise InputError(
            _("the PyTorch extension is not installed"),
            _("install it in View > Extensions Manager (search for PyTorch), restart Slicer and try again"),
        ) from error
    return PyTorchUtilsLogic()


def _extensions() -> Any | None:
    """Return what knows and installs extensions; ``None`` in a Slicer that was built without."""
    manager = getattr(slicer.app, "extensionsManagerModel", None)
    return manager() if manager is not None else None
