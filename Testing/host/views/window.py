"""The main window: the module panel on the left, the views on the right, as Slicer's users know it."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, QEvent, QSize, Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDockWidget,
    QFrame,
    QLabel,
    QMainWindow,
    QScrollArea,
    QTextBrowser,
    QToolBar,
    QVBoxLayout,
    QWidget,
)

from host.widgets.ctk_buttons import ctkCollapsibleButton
from host.widgets.registry import stands_in

PANEL_WIDTH = 460


@stands_in("slicer")
class qSlicerModulePanel(QScrollArea):
    """Shows one module's panel at a time, and tells modules that they are entered and left."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._module: Any = None
        self._help, self._text = ctkCollapsibleButton("Help && Acknowledgement"), QTextBrowser()
        self._text.setMaximumHeight(200)
        QVBoxLayout(self._help).addWidget(self._text)
        self._help.collapsed = True
        body = QWidget()
        self._column = QVBoxLayout(body)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(self._help)
        self.setWidget(body)
        body.installEventFilter(self)

    def eventFilter(self, body: QWidget, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.Resize, QEvent.Type.LayoutRequest):
            self.updateGeometry()
        return False

    def minimumSizeHint(self) -> QSize:
        """Wide enough for the module and a scroll bar: the panel never cuts a module off at the right."""
        needed = self.widget().minimumSizeHint.width() if self.widget() else 0
        return QSize(needed + self.verticalScrollBar().sizeHint.width(), 80)

    def _show(self, module: Any) -> None:
        if self._module is module:
            return
        self._leave()
        widget = module.widgetRepresentation()
        if widget is not None:
            self._column.insertWidget(1, widget)
            self._help.setVisible(bool(module.helpText))
            self._text.setHtml(module.helpText + module.acknowledgementText)
            widget.show()
            self._module = module
            widget.enter()

    def _leave(self) -> None:
        if self._module is not None:
            widget, self._module = self._module.widgetRepresentation(), None
            widget.exit()
            self._column.removeWidget(widget)
            widget.hide()


@stands_in("slicer")
class qSlicerModuleSelectorToolBar(QToolBar):
    """Names the module that is open, and opens another."""

    moduleSelected = Signal(str)

    def __init__(self, manager: Any, panel: qSlicerModulePanel):
        super().__init__("Module selection")
        self._manager, self._panel, self._selected = manager, panel, ""
        self._box = QComboBox()
        self._box.setMinimumWidth(240)
        self.addWidget(QLabel("Modules: "))
        self.addWidget(self._box)
        self._box.activated.connect(lambda index: self.selectModule(self._box.itemData(index)))

    def selectModule(self, name: str) -> None:
        module = self._manager.module(name)
        if module is None:
            raise RuntimeError(f"there is no module '{name}'")
        if self._box.findData(name) < 0:
            self._box.addItem(module.title or name, name)
        self._box.setCurrentIndex(self._box.findData(name))
        self._selected = name
        self._panel._show(module)
        self.moduleSelected.emit(name)

    selectedModule = Property(str, lambda self: self._selected)


@stands_in("slicer")
class qSlicerMainWindow(QMainWindow):
    """Slicer's window."""

    def __init__(self, manager: Any, views: QWidget):
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle("3D Slicer")
        self._panel = qSlicerModulePanel()
        self._selector = qSlicerModuleSelectorToolBar(manager, self._panel)
        self._selector.setIconSize(QSize(20, 20))
        for title in ("File", "Edit", "View", "Help"):
            self.menuBar().addMenu(title)
        self.addToolBar(self._selector)
        dock = self._dock()
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, dock)
        self.setCentralWidget(views)
        self.statusBar()
        self.resize(1400, 900)
        self.resizeDocks([dock], [PANEL_WIDTH], Qt.Orientation.Horizontal)

    def _dock(self) -> QDockWidget:
        dock, body = QDockWidget(""), QWidget()
        dock.setObjectName("PanelDockWidget")
        dock.setTitleBarWidget(QWidget(dock))
        column = QVBoxLayout(body)
        column.setContentsMargins(4, 4, 4, 4)
        column.addWidget(self._panel)
        dock.setWidget(body)
        dock.setMinimumWidth(PANEL_WIDTH)
        return dock

    def moduleSelector(self) -> qSlicerModuleSelectorToolBar:
        return self._selector

    def modulePanel(self) -> qSlicerModulePanel:
        return self._panel
