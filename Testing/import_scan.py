"""What Python files import, read from their syntax trees: for the tests of layers and groups."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

When = Literal["import", "call", "types"]


class Imported(NamedTuple):
    """A full name that a file imports.

    ``when``: as soon as the file is imported itself, when a function of it is called, or for type checkers alone.
    """

    name: str
    when: When


def imports(path: Path) -> Iterator[Imported]:
    """Yield what a file imports; relative imports are refused, because the full name can be searched for."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    when: dict[int, When] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            when.update(dict.fromkeys(map(id, ast.walk(node)), "call"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            when.update(dict.fromkeys(map(id, ast.walk(node)), "types"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Imported(alias.name, when.get(id(node), "import")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: relative import; write the full name"
            yield from (Imported(f"{node.module}.{alias.name}", when.get(id(node), "import")) for alias in node.names)
