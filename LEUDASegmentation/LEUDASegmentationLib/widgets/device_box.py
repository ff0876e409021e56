"""A list of the compute devices with their memory; the worker is asked for them when the list becomes visible."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from leuda_core.errors import LeudaError

AUTO = "auto"


class DeviceBox:
    """Fills a combo box with "Automatic" and, on ``fill``, with the devices of the computer.

    Args:
        combo: the ``QComboBox``.
        on_changed: called with the name of the device that the user chooses.
    """

    def __init__(self, combo, on_changed: Callable[[str], None]) -> None:
        self._combo, self._on_changed = combo, on_changed
        self._asked = self._filling = False
        self._combo.connect("currentIndexChanged(int)", self._on_index)
        self._show([], AUTO)

    @property
    def current(self) -> str:
        """The name of the chosen device, as used by the worker."""
        return self._combo.itemData(self._combo.currentIndex) or AUTO

    def fill(self, client) -> None:
        """Ask the worker for the devices, once; after a failure, the next call asks again."""
        if not self._asked:
            self._asked = True
            client.request("devices", self._on_devices, self._on_error)

    def select(self, device: str) -> None:
        """Choose a device without calling ``on_changed``; a device that is not listed (yet) is added."""
        self._filling = True
        try:
            if self._combo.findData(device) < 0:
                self._combo.addItem(device, device)
            self._combo.setCurrentIndex(self._combo.findData(device))
        finally:
            self._filling = False

    def _on_devices(self, result: Mapping[str, Any]) -> None:
        self._show(result.get("devices", []), self.current)

    def _on_error(self, error: LeudaError) -> None:
        self._asked = False
        self._combo.toolTip = _("The devices could not be listed: {error}").format(error=error)

    def _show(self, devices: Sequence[Mapping[str, Any]], chosen: str) -> None:
        self._filling = True
        try:
            self._combo.clear()
            self._combo.addItem(_("Automatic: a working GPU, or the CPU"), AUTO)
            for device in devices:
                self._add(device)
        finally:
            self._filling = False
        self._combo.toolTip = _("The device on which the network runs")
        self.select(chosen)

    def _add(self, device: Mapping[str, Any]) -> None:
        self._combo.addItem(device_text(device), device["device"])
        hint = device.get("problem") or device.get("note") or str(device.get("name", ""))
        self._combo.setItemData(self._combo.count - 1, hint, qt.Qt.ToolTipRole)

    def _on_index(self, _index: int) -> None:
        if not self._filling:
            self._on_changed(self.current)


def device_text(device: Mapping[str, Any]) -> str:
    """Return a device with its memory, such as "cuda:0: NVIDIA H200, 120 of 139 GB free"."""
    text = f"{device['device']}: {device.get('name', '')}".rstrip(": ")
    if device.get("problem"):
        return _("{device} (does not work)").format(device=text)
    total, free = device.get("memory_gb"), device.get("free_gb")
    if not total:
        return text
    return _("{device}, {free:.0f} of {total:.0f} GB free").format(device=text, free=free or 0, total=total)
