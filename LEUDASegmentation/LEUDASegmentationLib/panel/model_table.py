"""The list of models: what each of them segments, its origin, and the buttons for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from leuda_core.bundle.store import ModelEntry, export_model
from leuda_core.errors import LeudaError
from leuda_core.io.private import make_private_folder
from LEUDASegmentationLib.panel.model_description import describe, modality_text, size_text
from LEUDASegmentationLib.widgets.layout import column_in
from LEUDASegmentationLib.widgets.picture import Picture
from LEUDASegmentationLib.widgets.tables import empty_state, fit_height, new_table, text_item

_MOST_ROWS = 5
_PICTURE_PX = 110


class ModelTable:
    """A table of models with its buttons; at most one model is chosen.

    Args:
        logic: has ``models()``, ``importModel(path)``, ``deleteModel(name)``, ``modelPicture(entry)`` and
            ``modelsFolder``.
        on_selected: called with the chosen ``ModelEntry``, or ``None``, whenever the user's choice changes.
        on_message: called with the ``LeudaError`` of an action that failed, or with a text that says what was done.
    """

    def __init__(
        self,
        logic,
        *,
        on_selected: Callable[[ModelEntry | None], None],
        on_message: Callable[[LeudaError | str], None],
    ) -> None:
        self._logic, self._on_selected, self._on_message = logic, on_selected, on_message
        self._entries: list[ModelEntry] = []
        self._filling = False
        self.widget = qt.QWidget()
        self.widget.objectName = "modelTablePlace"
        layout = column_in(self.widget)
        self._empty = empty_state("noModelLabel", _("No model yet: train one in LE-UDA Training, or import one."))
        layout.addWidget(self._empty)
        headers = [_("Name"), _("Modality"), _("Labels"), _("Date"), _("Size")]
        self.table = new_table("modelTable", headers)
        self.table.connect("itemSelectionChanged()", self._on_selection)
        layout.addWidget(self.table)
        details = qt.QHBoxLayout()
        self._description = qt.QLabel()
        self._description.objectName = "modelDescription"
        self._description.wordWrap = True
        self._description.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Preferred)
        details.addWidget(self._description, 1)
        self._picture = Picture(_PICTURE_PX)
        self._picture.objectName = "modelPicture"
        self._picture.setFixedWidth(_PICTURE_PX)
        self._picture.toolTip = _("What the training outlined in one of its target volumes at its end")
        details.addWidget(self._picture, 0, qt.Qt.AlignTop)
        layout.addLayout(details)
        layout.addLayout(self._new_buttons())
        self.refresh()

    @property
    def selected(self) -> ModelEntry | None:
        """The chosen model."""
        rows = {item.row() for item in self.table.selectedItems()}
        return self._entries[min(rows)] if rows else None

    @property
    def selected_name(self) -> str:
        """The name of the chosen model; empty if none is chosen."""
        return self.selected.name if self.selected else ""

    def refresh(self) -> None:
        """Read the list again and keep the choice."""
        chosen = self.selected_name
        self._entries = list(self._logic.models())
        with self._silence():
            self.table.setRowCount(len(self._entries))
            for row, entry in enumerate(self._entries):
                self._fill_row(row, entry)
        self._empty.visible = not self._entries
        self.table.visible = bool(self._entries)
        fit_height(self.table, most_rows=_MOST_ROWS)
        self.select(chosen)

    def select(self, name: str) -> bool:
        """Choose a model by name without calling ``on_selected``; return whether there is such a model."""
        rows = [row for row, entry in enumerate(self._entries) if entry.name == name]
        with self._silence():
            if rows:
                self.table.selectRow(rows[0])
            else:
                self.table.clearSelection()
        self._show_choice()
        return bool(rows)

    def import_from_folder(self) -> None:
        """Ask for the folder of a model and copy it into the list."""
        self._import(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of a model"), ""))

    def import_from_zip(self) -> None:
        """Ask for the zip file of a model and copy it into the list."""
        title, kinds = _("Zip file of a model"), _("Zipped models") + " (*.zip)"
        self._import(qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", kinds))

    def reveal(self) -> None:
        """Show the folder of the chosen model, or of all models, in the file manager."""
        folder = Path(self.selected.path if self.selected else self._logic.modelsFolder)
        make_private_folder(folder)
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))

    def export(self) -> None:
        """Ask for a file name and write the chosen model to this zip file."""
        entry = self.selected
        if entry is None:
            return
        title, kinds = _("Export the model as"), _("Zipped models") + " (*.zip)"
        path = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, f"{entry.name}.zip", kinds)
        if path:
            path = path if path.lower().endswith(".zip") else f"{path}.zip"
            with self._telling():
                export_model(entry, Path(path))
                self._on_message(_("“{name}” was exported to {path}.").format(name=entry.name, path=path))

    def delete(self) -> None:
        """Delete the chosen model after asking."""
        name = self.selected_name
        if not name:
            return
        question = _("Delete the model {name}? It is removed from this computer and cannot be restored.")
        if slicer.util.confirmOkCancelDisplay(question.format(name=name), windowTitle=_("Delete model")):
            with self._telling():
                self._logic.deleteModel(name)
                self._on_message(_("“{name}” was deleted.").format(name=name))
            self.refresh()
            self._on_selected(self.selected)

    def _import(self, path: str) -> None:
        if not path:
            return
        with self._telling():
            entry = self._logic.importModel(Path(path))
            self.refresh()
            self.select(entry.name)
            self._on_message(_("“{name}” was imported.").format(name=entry.name))
            self._on_selected(self.selected)

    def _fill_row(self, row: int, entry: ModelEntry) -> None:
        hint = entry.problem or str(entry.path)
        names = "\n".join(label.name for label in entry.labels)
        items = [
            text_item(entry.name, tooltip=hint),
            text_item(modality_text(entry), tooltip=_("trained from → adapted to")),
            text_item(str(len(entry.labels)), tooltip=names, right=True),
            text_item(entry.created[:10], tooltip=entry.created),
            text_item(size_text(entry.size_bytes), right=True),
        ]
        if entry.problem:
            items[0].setIcon(self.table.style().standardIcon(qt.QStyle.SP_MessageBoxWarning))
        for column, item in enumerate(items):
            self.table.setItem(row, column, item)

    def _on_selection(self) -> None:
        if not self._filling:
            self._show_choice()
            self._on_selected(self.selected)

    def _show_choice(self) -> None:
        entry = self.selected
        self._description.visible = entry is not None
        self._description.text = describe(entry, self._entries) if entry else ""
        picture = self._logic.modelPicture(entry) if entry is not None and not entry.problem else None
        self._picture.visible = picture is not None and self._picture.load(picture)
        self.export_button.enabled = entry is not None and not entry.problem
        self.delete_button.enabled = entry is not None

    def _new_buttons(self):
        layout = qt.QHBoxLayout()
        self.import_button = qt.QPushButton(_("Import…"))
        menu = qt.QMenu(self.import_button)
        menu.addAction(_("From a folder…")).connect("triggered()", self.import_from_folder)
        menu.addAction(_("From a zip file…")).connect("triggered()", self.import_from_zip)
        self.import_button.setMenu(menu)
        self.reveal_button = qt.QPushButton(_("Reveal"))
        self.reveal_button.connect("clicked()", self.reveal)
        self.export_button = qt.QPushButton(_("Export…"))
        self.export_button.connect("clicked()", self.export)
        self.delete_button = qt.QPushButton(_("Delete…"))
        self.delete_button.connect("clicked()", self.delete)
        described = {
            "import": (self.import_button, _("Add a model from a folder or a zip file, after checking its files")),
            "reveal": (self.reveal_button, _("Show the model's folder in the file manager")),
            "export": (self.export_button, _("Write the chosen model to a zip file, to share it")),
            "delete": (self.delete_button, _("Remove the chosen model from this computer")),
        }
        for word, (button, hint) in described.items():
            button.objectName = f"{word}ModelButton"
            button.toolTip = hint
            button.setMinimumWidth(0)
            layout.addWidget(button)
        return layout

    @contextmanager
    def _silence(self):
        self._filling = True
        try:
            yield
        finally:
            self._filling = False

    @contextmanager
    def _telling(self):
        """Show a wait cursor; pass errors to ``on_message``."""
        slicer.app.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            yield
        except LeudaError as error:
            self._on_message(error)
        finally:
            slicer.app.restoreOverrideCursor()
