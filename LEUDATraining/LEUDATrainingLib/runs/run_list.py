"""The list of all runs, read from their files, so that a running one is found after a restart of Slicer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from leuda_core.errors import LeudaError
from LEUDASegmentationLib.widgets.layout import column_in, new_button
from LEUDASegmentationLib.widgets.message_strip import MessageStrip
from LEUDASegmentationLib.widgets.tables import empty_state, fit_height, new_table, text_item
from LEUDATrainingLib.method_catalog import load_methods
from LEUDATrainingLib.runs.run_facts import state_text
from LEUDATrainingLib.runs.run_records import RunFinder, RunRecord, delete_run, folder_bytes

REFRESH_MS = 2000
_MOST_ROWS = 7


class RunList(qt.QWidget):
    """A table of runs with buttons to show the folder of a run and to delete a run.

    ``on_current_changed`` is called without arguments when another run, or none, is selected.
    """

    def __init__(self, parent: Any = None) -> None:
        qt.QWidget.__init__(self, parent)
        self.on_current_changed: Callable[[], None] | None = None
        self._folder: Path | None = None
        self._finder = RunFinder()
        self._records: list[RunRecord] = []
        self._current: Path | None = None
        self._filling = False
        self._titles = {name: method.title for name, method in load_methods().items()}
        self._build()
        self._timer = qt.QTimer(self)
        self._timer.setInterval(REFRESH_MS)
        self._timer.connect("timeout()", self._refresh_if_seen)
        self._timer.start()
        self.refresh()

    def _build(self) -> None:
        column = column_in(self)
        self._empty = empty_state(
            "noRunsLabel", _("No trainings yet. Complete the sections above and press Start training.")
        )
        column.addWidget(self._empty)
        self._table = new_table("runTable", [_("Run"), _("Method"), _("State"), _("Created")])
        self._table.connect("itemSelectionChanged()", self._on_selection)
        column.addWidget(self._table)
        self._message = MessageStrip()
        column.addWidget(self._message.widget)
        self._buttons = qt.QWidget()
        row = qt.QHBoxLayout(self._buttons)
        row.setContentsMargins(0, 0, 0, 0)
        row.addStretch(1)
        self._reveal = new_button(row, "showRunFolderButton", _("Show folder"), self.reveal_current)
        self._delete = new_button(row, "deleteRunButton", _("Delete…"), self.delete_current)
        column.addWidget(self._buttons)

    @property
    def current_run(self) -> Path | None:
        """The folder of the selected run (which contains ``run.json``), or None."""
        return self._current

    def set_folder(self, folder: Path) -> None:
        """Show the runs in this folder."""
        self._folder = Path(folder)
        self._finder = RunFinder()
        self.refresh()

    def set_current_run(self, path: Path | None) -> None:
        """Select a run of the folder, such as one that was just started."""
        self._choose(Path(path) if path else None)
        self.refresh()

    def refresh(self) -> None:
        """Read the folder again. If nothing is selected, select a running run, or else the newest."""
        try:
            self._records = self._finder.find(self._folder) if self._folder else []
        except LeudaError as error:
            self._records = []
            self._message.show_error(error)
        self._fill()
        known = {record.run.path for record in self._records}
        if self._current not in known:
            running = [record for record in self._records if record.state == "running"]
            self._choose(next(iter(running or self._records), None))
        self._update()

    def reveal_current(self) -> None:
        """Open the folder of the selected run in the file browser of the system."""
        record = self._record()
        if record:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(record.folder)))

    def delete_current(self) -> None:
        """Delete the selected run after confirmation; never a running one."""
        record = self._record()
        if record is None or not self._confirmed(record):
            return
        try:
            delete_run(record)
        except LeudaError as error:
            self._message.show_error(error)
        self._current = None
        self.refresh()
        self._tell()

    @staticmethod
    def _confirmed(record: RunRecord) -> bool:
        text = _(
            "Delete the run '{name}' ({size}) with its model, its checkpoints and its copies of volumes?\n"
            "The volumes in the scene and your own files are kept. This cannot be undone."
        ).format(name=record.name, size=_size(folder_bytes(record.folder)))
        return slicer.util.confirmOkCancelDisplay(text, windowTitle=_("Delete run"))

    def _refresh_if_seen(self) -> None:
        if self._folder is not None and self.isVisible():
            self.refresh()

    def _record(self) -> RunRecord | None:
        return next((record for record in self._records if record.run.path == self._current), None)

    def _choose(self, which: RunRecord | Path | None) -> None:
        path = which.run.path if isinstance(which, RunRecord) else which
        if path != self._current:
            self._current = path
            self._select()
            self._tell()

    def _tell(self) -> None:
        if self.on_current_changed:
            self.on_current_changed()

    def _on_selection(self) -> None:
        items = self._table.selectedItems()
        if not self._filling and items:
            self._choose(self._records[items[0].row()])
            self._update()

    def _fill(self) -> None:
        """Update the rows in place, so that the scroll position does not change."""
        self._filling = True
        try:
            self._table.setRowCount(len(self._records))
            for row, record in enumerate(self._records):
                for column, (text, tip) in enumerate(self._cells(record)):
                    self._write(row, column, text, tip)
            fit_height(self._table, most_rows=_MOST_ROWS)
        finally:
            self._filling = False
        self._select()

    def _cells(self, record: RunRecord) -> list[tuple[str, str]]:
        """Return the text and the tooltip of each column."""
        made = datetime.fromtimestamp(record.created)
        title = self._titles.get(record.method, record.method)
        why = record.problem or (record.status.message if record.status else "")
        return [
            (record.name, f"{record.name}\n{record.folder}"),
            (title, title),
            (state_text(record.status), why),
            (_day(made), made.strftime("%Y-%m-%d %H:%M")),
        ]

    def _write(self, row: int, column: int, text: str, tip: str) -> None:
        item = self._table.item(row, column)
        if item is None:
            self._table.setItem(row, column, text_item(text, tooltip=tip))
        elif item.text() != text or item.toolTip() != tip:
            item.setText(text)
            item.setToolTip(tip)

    def _select(self) -> None:
        self._filling = True
        try:
            rows = [row for row, record in enumerate(self._records) if record.run.path == self._current]
            if rows and rows[0] < self._table.rowCount:
                self._table.selectRow(rows[0])
            else:
                self._table.clearSelection()
        finally:
            self._filling = False

    def _update(self) -> None:
        record = self._record()
        self._empty.visible = not self._records
        self._table.visible = bool(self._records)
        self._buttons.visible = bool(self._records)
        self._reveal.enabled = record is not None
        running = record is not None and record.state == "running"
        self._delete.enabled = record is not None and not running
        self._delete.toolTip = (
            _("Stop the run first")
            if running
            else _("Delete the run with its model, checkpoints and copies of volumes")
        )


def _day(made: datetime) -> str:
    """Return the time for today, or else the date, with the year if it is another one."""
    now = datetime.now()
    if made.date() == now.date():
        return made.strftime("%H:%M")
    return made.strftime("%d %b" if made.year == now.year else "%Y-%m-%d")


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
