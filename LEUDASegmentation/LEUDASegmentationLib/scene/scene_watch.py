"""Notifies work in the background when its nodes are deleted or the scene is closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk


class SceneWatch:
    """Observes a scene until ``stop`` or until the scene closes: a scene that is destroyed must not call Python.

    Args:
        on_removed: called with each node that is removed. on_closing: called when the scene is about to be closed.
    """

    def __init__(self, scene: Any, on_removed: Callable[[Any], None], on_closing: Callable[[], None]) -> None:
        self._scene = scene

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def removed(_caller: Any, _event: str, node: Any) -> None:
            on_removed(node)

        def closing(_caller: Any, _event: str) -> None:
            self.stop()
            on_closing()

        self._tags = [
            scene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, removed),
            scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, closing),
        ]

    def stop(self) -> None:
        """Stop observing; may be called repeatedly."""
        tags, self._tags = self._tags, []
        for tag in tags:
            self._scene.RemoveObserver(tag)
