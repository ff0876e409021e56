"""Stand-ins for Slicer's node selectors, over the real scene."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QInputDialog

from host.widgets.node_list import NodeList
from host.widgets.registry import stands_in, stored


@stands_in("slicer")
class qMRMLNodeComboBox(NodeList):
    """One node of the scene, with entries to create, rename and delete."""

    currentNodeChanged = Signal(object)
    currentNodeExists = Signal(bool)
    currentNodeIDChanged = Signal(str)
    nodeAddedByUser = Signal(object)
    nodeActivated = Signal(object)
    _signatures: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged(PyObject)",
        "currentNodeChanged(bool)": "currentNodeExists(bool)",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser(PyObject)",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated(PyObject)",
        "nodeAdded(vtkMRMLNode*)": "nodeAdded(PyObject)",
    }

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self._nodes: list[Any] = []
        self._current: Any = None
        self._settingScene = False
        self._none, self._actions, self._busy = False, dict(ACTIONS), False
        self._noneDisplay = "None"
        self._box = QComboBox(self)
        self._box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box)
        self._box.activated.connect(lambda index: self._onChosen(index))
        self._box.currentIndexChanged.connect(lambda index: self._onIndex(index))

    def _onSceneEvent(self) -> None:
        if self._scene is not None and self._scene.IsBatchProcessing():
            return
        before, self._nodes = list(self._nodes), self._offered()
        if before != self._nodes or not self._box.count:
            self._watchNames(self._nodes)
            self._fill()
        self._select(self._current if self._current in self._nodes else self._replacement(before))

    def _replacement(self, before: list[Any]) -> Any:
        """Return what Qt's combo box turns to: after a removal the entry before; the first of all if it is alone."""
        if self._current is not None:
            above = before[: before.index(self._current)] if self._current in before else []
            return next((node for node in reversed(above) if node in self._nodes), None)
        is_first_entry = not before and not self._none and not any(self._actions.values())
        return self._nodes[0] if is_first_entry and self._nodes and not self._settingScene else None

    def setMRMLScene(self, scene: Any) -> None:
        self._settingScene = True
        super().setMRMLScene(scene)
        self._settingScene = False

    def _fill(self) -> None:
        self._busy = True
        self._box.clear()
        if self._none:
            self._box.addItem(self.noneDisplay, None)
        for node in self._nodes:
            self._box.addItem(node.GetName() or node.GetID(), node.GetID())
        words = self._types[0].removeprefix("vtkMRML").removesuffix("Node") if self._types else "node"
        for action, enabled in self._actions.items():
            if enabled:
                self._box.addItem(f"{action} {words}" if action == CREATE else f"{action} current {words}", action)
        self._showCurrent()
        self._busy = False

    def _showCurrent(self) -> None:
        place = self._nodes.index(self._current) if self._current in self._nodes else -1
        self._box.setCurrentIndex(place + self._none)  # "None" is the entry before the nodes, where it is offered

    def _onNodeModified(self, node: Any) -> None:
        if node in self._nodes:
            self._box.setItemText(self._nodes.index(node) + self._none, node.GetName())

    def _onIndex(self, index: int) -> None:
        if not self._busy and not self._isAction(index):
            self._select(self._nodeAt(index))

    def _onChosen(self, index: int) -> None:
        if self._isAction(index):
            action = self._box.itemData(index)
            self._busy = True
            self._showCurrent()
            self._busy = False
            {CREATE: self.addNode, RENAME: self.renameCurrentNode, DELETE: self.removeCurrentNode}[action]()
        else:
            self.nodeActivated.emit(self._current)

    def _isAction(self, index: int) -> bool:
        return self._box.itemData(index) in self._actions

    def _nodeAt(self, index: int) -> Any:
        row = index - self._none
        return self._nodes[row] if 0 <= row < len(self._nodes) else None

    def _select(self, node: Any) -> None:
        changed, self._current = node is not self._current, node
        self._busy = True
        self._showCurrent()
        self._busy = False
        if changed:
            self.currentNodeChanged.emit(node)
            self.currentNodeExists.emit(node is not None)
            self.currentNodeIDChanged.emit(self.currentNodeID)

    def currentNode(self) -> Any:
        return self._current

    def setCurrentNode(self, node: Any) -> None:
        self._select(node if node in self._nodes else None)

    def setCurrentNodeID(self, nodeID: str) -> None:
        self.setCurrentNode(self._scene.GetNodeByID(nodeID) if self._scene and nodeID else None)

    def nodes(self) -> tuple[Any, ...]:
        return tuple(self._nodes)

    def nodeCount(self) -> int:
        return len(self._nodes)

    def addNode(self, nodeType: str = "") -> Any:
        kind = nodeType or self._types[0]
        name = self._scene.GenerateUniqueName(kind.removeprefix("vtkMRML").removesuffix("Node"))
        node = self._scene.AddNewNodeByClass(kind, name)
        self.nodeAdded.emit(node)
        self.nodeAddedByUser.emit(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        return node

    def renameCurrentNode(self) -> None:
        if self._current is not None:
            name = QInputDialog.getText(self, "Rename", "New name:", text=self._current.GetName())
            if name:
                self._current.SetName(name)

    def removeCurrentNode(self) -> None:
        if self._current is not None:
            self._scene.RemoveNode(self._current)

    def _setNone(self, enabled: bool) -> None:
        self._none = enabled
        self._fill()
        self._onSceneEvent()

    def _setNoneDisplay(self, text: str) -> None:
        self._noneDisplay = text
        self._fill()

    def _setAction(self, action: str, enabled: bool) -> None:
        self._actions[action] = enabled
        self._fill()

    noneEnabled = Property(bool, lambda self: self._none, _setNone)
    addEnabled = Property(bool, lambda s: s._actions[CREATE], lambda s, on: s._setAction(CREATE, on))
    renameEnabled = Property(bool, lambda s: s._actions[RENAME], lambda s, on: s._setAction(RENAME, on))
    removeEnabled = Property(bool, lambda s: s._actions[DELETE], lambda s, on: s._setAction(DELETE, on))
    editEnabled = stored(bool, "editEnabled", False)
    currentNodeID = Property(str, lambda self: self._current.GetID() if self._current else "", setCurrentNodeID)
    noneDisplay = Property(str, lambda self: self._noneDisplay, _setNoneDisplay)
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)


CREATE, RENAME, DELETE = "Create new", "Rename", "Delete"
ACTIONS = {CREATE: True, RENAME: False, DELETE: True}
