"""``slicer.i18n``: the source text is shown, as in a Slicer without language packs."""

from __future__ import annotations

import inspect
from pathlib import Path


def getContext(sourceFile: str) -> str:
    """Return the translation context of a file: its name, after the package's where it lies in one."""
    path = Path(sourceFile)
    in_package = (path.parent / "__init__.py").is_file()
    return f"{path.parent.name}.{path.stem}" if in_package else path.stem


def translate(context: str, text: str) -> str:
    """Return the text in the language of the application.

    Raises:
        TypeError: not a literal text: lupdate would not find it.
    """
    if not isinstance(text, str):
        raise TypeError(f"only text can be translated, not {text!r}")
    import slicer

    return slicer.app.translate(context, text)


def tr(text: str) -> str:
    """Translate with the context of the calling file."""
    return translate(getContext(inspect.currentframe().f_back.f_code.co_filename), text)
