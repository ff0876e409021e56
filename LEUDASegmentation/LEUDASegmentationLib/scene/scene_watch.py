"""Notifies work in the background when its nodes are deleted or the scene is closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk


class SceneWatch:
    """Observes a scene until ``stop`` or until the scene closes: a scene that is destroyed must not call Python.

    Args:
        onRemoved: called with each node that is removed. onClosing: called when the scene is about to be closed.
    """

    def __init__(self, scene: Any, onRemoved: Callable[[Any], None], onClosing: Callable[[], None]) -> None:
        self._scene = scene

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def removed(_caller: Any, _event: str, node: Any) -> None:
            onRemoved(node)

        def closing(_caller: Any, _event: str) -> None:
            self.stop()
            onClosing()

        self._tags = [
            scene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, removed),
            scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, closing),
        ]

    def stop(self) -> None:
        """Stop observing; may be called repeatedly."""
        tags, self._tags = self._tags, []
        for tag in tags:
            self._scene.RemoveObserver(tag)
