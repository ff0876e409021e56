"""The question what happens to slices that were corrected since the last Apply."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _


def ask_about_corrections(name: str, count: int) -> bool | None:
    """Ask whether corrected slices of a segmentation are kept (True) or replaced (False); None: do nothing.

    In testing mode, they are kept without a question, as Slicer does with its own questions.
    """
    if slicer.app.testingEnabled():
        return True
    box = qt.QMessageBox(slicer.util.mainWindow())
    box.icon = qt.QMessageBox.Question
    box.windowTitle = _("Corrected slices")
    one = _("1 slice of “{name}” was corrected since the last Apply.")
    several = _("{count} slices of “{name}” were corrected since the last Apply.")
    box.text = (one if count == 1 else several).format(name=name, count=count)
    box.informativeText = _("Undo Apply restores them in either case. The answer can be changed under Options.")
    keep = box.addButton(_("Keep them"), qt.QMessageBox.AcceptRole)
    replace = box.addButton(_("Replace them"), qt.QMessageBox.DestructiveRole)
    box.addButton(qt.QMessageBox.Cancel)
    box.setDefaultButton(keep)
    box.exec_()
    clicked = box.clickedButton()
    box.deleteLater()
    return True if clicked is keep else False if clicked is replace else None
