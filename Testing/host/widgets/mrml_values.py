"""Stand-ins for Slicer's number widgets, which show units of the scene; here they are plain numbers."""

from __future__ import annotations

from PySide6.QtWidgets import QDoubleSpinBox

from host.widgets.ctk_values import ctkRangeWidget, ctkSliderWidget
from host.widgets.registry import stands_in, stored


@stands_in("slicer")
class qMRMLSliderWidget(ctkSliderWidget):
    quantity = stored(str, "quantity", "")

    def setMRMLScene(self, scene: object) -> None:
        """Accepted: units are not shown."""


@stands_in("slicer")
class qMRMLSpinBox(QDoubleSpinBox):
    quantity = stored(str, "quantity", "")

    def setMRMLScene(self, scene: object) -> None:
        """Accepted: units are not shown."""


@stands_in("slicer")
class qMRMLRangeWidget(ctkRangeWidget):
    def setMRMLScene(self, scene: object) -> None:
        """Accepted: units are not shown."""
