"""Marking slices: the Segment Editor, navigation between slices, and which slices are complete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from LEUDASegmentationLib.widgets.layout import column_in, new_button
from LEUDASegmentationLib.widgets.tables import empty_state
from LEUDATrainingLib.cases.cases import Case, CaseStore
from LEUDATrainingLib.cases.structures import read_structures
from LEUDATrainingLib.labels.case_marks import CaseMarks
from LEUDATrainingLib.labels.geometry import ALIGNED, alignment, jump_to_slice, shown_slice
from LEUDATrainingLib.labels.label_maps import offer_segments
from LEUDATrainingLib.labels.marks import Marks, neighbour, suggest_slice
from LEUDATrainingLib.sections.segment_editor import SegmentEditor
from LEUDATrainingLib.sections.slice_view import SliceViewBox
from LEUDATrainingLib.sections.source_cases import start_labels


class MarkingPanel:
    """Edits the labels of the selected source case and marks its complete slices.

    Args:
        marks: counts labelled slices.
        on_back: called when the user wants to see the list of cases again.
    """

    def __init__(self, marks: CaseMarks, on_back: Callable[[], None]) -> None:
        self._marks = marks
        self._parameter_node: Any = None
        self.widget = qt.QWidget()
        layout = column_in(self.widget)
        head = qt.QHBoxLayout()
        self.back_button = new_button(head, "markingBackButton", _("All cases"), on_back)
        self.back_button.toolTip = _("Back to the list of labelled cases")
        self._name = qt.QLabel()
        self._name.objectName = "markingCaseLabel"
        self._name.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Preferred)
        head.addWidget(self._name, 1)
        layout.addLayout(head)
        self._empty = empty_state("markingEmpty", "")
        layout.addWidget(self._empty)
        self.start_button = new_button(layout, "startLabelsButton", _("Start labelling"), self.start_labels)
        self.view = SliceViewBox(on_chosen=self.refresh, on_moved=self._show_slice)
        self._tools = self._new_tools()
        layout.addWidget(self._tools)
        self.editor = SegmentEditor(layout)

    def set_parameter_node(self, node: Any) -> None:
        """Mark the cases of another parameter node; ``None`` for none."""
        self._parameter_node = node
        self.refresh()

    def enter(self) -> None:
        """Take over keyboard shortcuts and views; called when the module is shown."""
        self.editor.enter()
        self.refresh()

    def leave(self) -> None:
        """Release keyboard shortcuts and views; called when another module is shown or the scene closes."""
        self.view.stop_following()
        self.editor.leave()

    def refresh(self) -> None:
        """Show the current case."""
        case, volume, segmentation = self._nodes()
        found = self._found()
        self._name.text = case.name if case is not None else ""
        self._empty.text = self._what_is_missing(case, volume, segmentation, found)
        self._empty.visible = found is None
        self.start_button.visible = volume is not None and segmentation is None
        self._tools.visible = found is not None
        self._show_in_editor(volume, segmentation)
        if found is not None:
            self.view.follow()
        else:
            self.view.stop_following()
        self._show_slice()

    def set_complete(self, complete: bool) -> None:
        """Mark the shown slice as complete or not: every structure on it is drawn, the rest is background."""
        view, volume = self.view.node(), self._nodes()[1]
        if volume is None or view is None:
            return
        shown = {shown_slice(view, volume)}
        self._relabel(lambda found: shown.union(found.complete) if complete else {*found.complete} - shown)

    def mark_all_drawn(self) -> None:
        """Mark every slice that contains a label as complete."""
        self._relabel(lambda found: {*found.complete, *found.drawn})

    def go(self, step: int) -> None:
        """Show the labelled slice before (-1) or after (+1) the current one."""
        found, view = self._found(), self.view.node()
        if found is not None and view is not None:
            self._jump(neighbour(found.complete, shown_slice(view, self._nodes()[1]), step))

    def go_to_suggestion(self) -> None:
        """Show the slice to label next."""
        found = self._found()
        if found is not None:
            self._jump(suggest_slice(found))

    def show_volume(self) -> None:
        """Show the volume in the chosen view, with the slices that training uses; only at the request of the user."""
        view, volume = self.view.node(), self._nodes()[1]
        if view is None or volume is None:
            return
        logic = slicer.app.applicationLogic().GetSliceLogic(view)
        logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
        view.RotateToVolumePlane(volume)
        logic.FitSliceToBackground()
        self._show_slice()

    def start_labels(self) -> None:
        """Create an empty segmentation for the case."""
        case = self._case()
        if case is not None and self._store().volume(case) is not None:
            start_labels(self._store(), case, self._parameter_node)
            self.refresh()

    def _relabel(self, complete: Callable[[Marks], set[int]]) -> None:
        """Mark the complete slices of the current case, computed from its current marks."""
        case = self._case()
        if case is not None:
            self._marks.when_counted(self._store(), case, lambda: self._set_labelled(case, complete))

    def _set_labelled(self, case: Case, complete: Callable[[Marks], set[int]]) -> None:
        found = self._marks.of(self._store(), case)
        if found is not None:
            self._store().set_labelled(case.key, sorted(complete(found)))
        self.refresh()

    def _new_tools(self) -> Any:
        tools = qt.QWidget()
        layout = column_in(tools)
        row = qt.QHBoxLayout()
        row.addWidget(qt.QLabel(_("View:")))
        row.addWidget(self.view.widget, 1)
        self.show_button = new_button(row, "showVolumeButton", _("Show volume"), self.show_volume)
        self.show_button.toolTip = _(
            "Show the volume in this view, in the orientation in which training uses its slices"
        )
        layout.addLayout(row)
        layout.addLayout(self._slice_row())
        row = qt.QHBoxLayout()
        self.slice_label = qt.QLabel()
        self.slice_label.objectName = "markingSliceLabel"
        self.slice_label.wordWrap = True
        row.addWidget(self.slice_label, 1)
        self.complete_box = qt.QCheckBox(_("This slice is complete"))
        self.complete_box.objectName = "completeBox"
        self.complete_box.toolTip = _("Every structure on this slice is drawn; everything else is used as background")
        self.complete_box.connect("clicked(bool)", self.set_complete)
        row.addWidget(self.complete_box)
        layout.addLayout(row)
        layout.addLayout(self._count_row())
        return tools

    def _slice_row(self) -> Any:
        row = qt.QHBoxLayout()
        self.previous_button = new_button(row, "previousSliceButton", _("Previous"), lambda: self.go(-1))
        self.previous_button.toolTip = _("Show the previous labelled slice")
        self.next_button = new_button(row, "nextSliceButton", _("Next"), lambda: self.go(+1))
        self.next_button.toolTip = _("Show the next labelled slice")
        self.suggest_button = new_button(row, "suggestSliceButton", "", self.go_to_suggestion)
        self.suggest_button.toolTip = _(
            "Show the slice that is farthest from all labelled slices, first within the range of the structures"
        )
        return row

    def _count_row(self) -> Any:
        row = qt.QHBoxLayout()
        self.count_label = qt.QLabel()
        self.count_label.objectName = "markingCountLabel"
        self.count_label.wordWrap = True
        row.addWidget(self.count_label, 1)
        self.all_button = new_button(row, "markAllDrawnButton", _("Mark all with labels"), self.mark_all_drawn)
        self.all_button.toolTip = _("Mark every slice that contains a label as complete")
        return row

    def _store(self) -> CaseStore:
        return CaseStore(self._parameter_node, "source")

    def _case(self) -> Case | None:
        return self._store().find(self._parameter_node.currentCase) if self._parameter_node else None

    def _nodes(self) -> tuple[Case | None, Any, Any]:
        case = self._case()
        if case is None:
            return None, None, None
        store = self._store()
        return case, store.volume(case), store.segmentation(case)

    def _found(self) -> Marks | None:
        case = self._case()
        return self._marks.of(self._store(), case) if case is not None else None

    def _what_is_missing(self, case: Case | None, volume: Any, segmentation: Any, found: Marks | None) -> str:
        if found is not None:
            return ""
        if case is None:
            return _("Select a volume in the list of labelled cases to mark its slices.")
        if volume is None:
            return _("“{name}” is not loaded: press Load below the list of cases to mark its slices.").format(
                name=case.name
            )
        if segmentation is None:
            return _("“{name}” has no segmentation yet.").format(name=case.name)
        if self._marks.is_counting(case):
            return _("The labelled slices of {name} are being counted…").format(name=case.name)
        return _("The slices of {name} cannot be marked: see its state in the list of cases.").format(name=case.name)

    def _show_slice(self) -> None:
        """Show the number of the current slice and whether it is complete."""
        found, view, volume = self._found(), self.view.node(), self._nodes()[1]
        if found is None or view is None:
            return
        index = shown_slice(view, volume)
        text = _("Slice {number} of {total}").format(number=index + 1, total=found.n_slices)
        if alignment(view, volume) < ALIGNED:
            text += _(". This view does not show the slices that training uses: press Show volume.")
        self.slice_label.text = text
        self.complete_box.checked = index in found.complete
        self.previous_button.enabled = neighbour(found.complete, index, -1) is not None
        self.next_button.enabled = neighbour(found.complete, index, +1) is not None
        self._show_counts(found)

    def _show_counts(self, found: Marks) -> None:
        suggestion = suggest_slice(found)
        self.suggest_button.enabled = suggestion is not None
        number = "–" if suggestion is None else suggestion + 1
        self.suggest_button.text = _("Suggested: {number}").format(number=number)
        if not found.explicit:
            text = _("Every slice that contains a label counts: {count}.").format(count=len(found.complete))
        else:
            text = _("Slices marked complete: {count}.").format(count=len(found.complete))
        if found.unmarked:
            text += " " + _("With labels but not complete: {count}.").format(count=len(found.unmarked))
        self.count_label.text = text
        self.all_button.visible = bool(found.unmarked)

    def _jump(self, index: int | None) -> None:
        view, volume = self.view.node(), self._nodes()[1]
        if index is not None and view is not None:
            jump_to_slice(view, volume, index)

    def _show_in_editor(self, volume: Any, segmentation: Any) -> None:
        if segmentation is None or volume is None or not self.widget.isVisible():
            self.editor.hide()
            return
        offer_segments(segmentation, read_structures(self._parameter_node))
        self.editor.show(volume, segmentation)
