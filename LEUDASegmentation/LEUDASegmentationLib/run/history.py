"""The last run of each segmentation, which can be undone as long as the scene is open."""

from __future__ import annotations

from typing import Any

from LEUDASegmentationLib.run.results import RunRecord
from LEUDASegmentationLib.scene.scene_watch import SceneWatch


class RunHistory:
    """Keeps the record of the last run of each segmentation until its node is deleted or the scene is closed."""

    def __init__(self) -> None:
        self._records: dict[str, RunRecord] = {}  # by the id of the segmentation
        self._watch: SceneWatch | None = None

    def keep(self, record: RunRecord) -> None:
        """Remember a run; it replaces the run before on the same segmentation."""
        if self._watch is None:
            self._watch = SceneWatch(record.node.GetScene(), self._forget, self._forget_all)
        self._records[record.node.GetID()] = record

    def find(self, segmentation_node: Any) -> RunRecord | None:
        """Return the last run of a segmentation; ``None`` if there is none to undo."""
        record = self._records.get(segmentation_node.GetID())
        return record if record is not None and record.node is segmentation_node else None

    def take(self, segmentation_node: Any) -> RunRecord | None:
        """Return the last run of a segmentation and forget it."""
        record = self.find(segmentation_node)
        if record is not None:
            del self._records[segmentation_node.GetID()]
        return record

    def _forget(self, node: Any) -> None:
        self._records.pop(node.GetID(), None)

    def _forget_all(self) -> None:
        self._records.clear()
        self._watch = None
