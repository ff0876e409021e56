"""What all node selectors have in common: the nodes of the scene that they offer."""

from __future__ import annotations

from typing import Any

import vtk
from PySide6.QtCore import Property, Signal

from host.widgets.observing import Observers
from host.widgets.registry import stored
from host.widgets.scene_widgets import SceneWidget


class NodeList(SceneWidget):
    """The nodes of the scene that a selector offers."""

    nodeAdded = Signal(object)

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self._types: list[str] = []
        self._names = Observers(self)

    def setNodeTypes(self, types: Any) -> None:
        self._types = list(types)
        self._onSceneEvent()

    def _offered(self) -> list[Any]:
        if self._scene is None:
            return []
        collection = self._scene.GetNodes()
        nodes = [collection.GetItemAsObject(i) for i in range(collection.GetNumberOfItems())]
        return [node for node in nodes if self._isOffered(node)]

    def _isOffered(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        return any(self._hasType(node, kind) for kind in self._types)

    def _hasType(self, node: Any, kind: str) -> bool:
        return node.IsA(kind) if self.showChildNodeTypes else node.GetClassName() == kind

    def _watchNames(self, nodes: list[Any]) -> None:
        self._names.clear()
        for node in nodes:
            self._names.add(node, (vtk.vtkCommand.ModifiedEvent,), self._onNodeModified)

    def _onNodeModified(self, node: Any) -> None:
        """Called when an offered node changed; subclasses show its name."""

    nodeTypes = Property("QStringList", lambda self: tuple(self._types), setNodeTypes)
    showHidden = stored(bool, "showHidden", False)
    showChildNodeTypes = stored(bool, "showChildNodeTypes", True)
