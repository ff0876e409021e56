"""The groups of the two module folders: what others may import of each, and which groups know of which."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from import_scan import imports
from repository import ROOT

SEGMENTATION, TRAINING = "LEUDASegmentationLib", "LEUDATrainingLib"
LIBRARIES = {SEGMENTATION: ROOT / "LEUDASegmentation" / SEGMENTATION, TRAINING: ROOT / "LEUDATraining" / TRAINING}
SHARED = ("processes", "widgets", "scene")
ORDERS = {
    SEGMENTATION: ("processes", "scene", "widgets", "run", "logic", "panel", "effect"),
    TRAINING: (
        *("method_catalog", "parameter_node", "cases", "labels", "dataset", "method", "runs", "logic", "sections"),
        *("panel", "self_test"),
    ),
}
"""The parts of each library: each imports from itself and from those before it."""
MOST_FILES, MOST_LINES = 15, 300

PRODUCT = (ROOT / "leuda_core", ROOT / "LEUDASegmentation", ROOT / "LEUDATraining", ROOT / "Extension")
GROUPS = sorted(path.parent for folder in LIBRARIES.values() for path in folder.glob("*/__init__.py"))


class Use(NamedTuple):
    """A file, as (package, part), that imports a module of one of the libraries."""

    file: Path
    package: str
    part: str
    imported: tuple[str, ...]


def part_of(path: Path) -> tuple[str, str]:
    """Return library and part (a group, or a file beside the groups) of a file; empty for the module files."""
    for name, folder in LIBRARIES.items():
        if folder in path.parents:
            return name, path.relative_to(folder).parts[0].removesuffix(".py")
    return "", ""


def uses() -> Iterator[Use]:
    for root in (ROOT / "LEUDASegmentation", ROOT / "LEUDATraining"):
        for path in sorted(root.rglob("*.py")):
            for name, _when in imports(path):
                parts = name.split(".")
                if parts[0] in LIBRARIES and len(parts) > 1:
                    yield Use(path, *part_of(path), tuple(parts))


USES = list(uses())


def public(group: Path) -> list[str]:
    """Return what a group's ``__all__`` names, without importing it."""
    names: dict[str, list[str]] = {}
    exec((group / "__init__.py").read_text(encoding="utf-8"), names)
    return names["__all__"]


@pytest.mark.parametrize("group", GROUPS, ids=lambda path: f"{path.parent.name}.{path.name}")
def test_others_import_the_public_parts_of_a_group_and_all_of_them(group: Path) -> None:
    library, name = group.parent.name, group.name
    used = {
        use.imported[2]
        for use in USES
        if use.imported[:2] == (library, name) and (use.package, use.part) != (library, name)
    }
    assert used == set(public(group)), f"__all__ of {library}.{name} differs from what others import of it"


def test_training_uses_the_shared_groups_alone() -> None:
    foreign = {use.imported[1] for use in USES if use.package == TRAINING and use.imported[0] == SEGMENTATION}
    assert foreign <= set(SHARED)
    assert not [use.file for use in USES if use.package == SEGMENTATION and use.imported[0] == TRAINING]


@pytest.mark.parametrize("library", ORDERS)
def test_parts_import_only_those_before_them(library: str) -> None:
    order = ORDERS[library]
    for use in USES:
        if use.package == use.imported[0] == library and use.part in order and use.imported[1] in order:
            assert order.index(use.imported[1]) <= order.index(use.part), f"{use.file.name}: {'.'.join(use.imported)}"


def test_every_part_of_training_has_a_place_in_the_order() -> None:
    entries = {path.stem for path in LIBRARIES[TRAINING].iterdir() if path.stem not in ("__init__", "__pycache__")}
    assert entries == set(ORDERS[TRAINING])


@pytest.mark.slow
def test_no_private_name_crosses_a_file() -> None:
    for root in PRODUCT:
        for path in root.rglob("*.py"):
            for name, _when in imports(path):
                module, _, last = name.rpartition(".")
                ours = module.startswith(("leuda_core", *LIBRARIES))
                assert not (ours and last.startswith("_") and not last.startswith("__")), f"{path}: {name}"


@pytest.mark.parametrize("root", PRODUCT, ids=lambda path: path.name)
def test_folders_and_files_stay_small(root: Path) -> None:
    folders = [root, *(path for path in root.rglob("*") if path.is_dir() and path.name != "__pycache__")]
    for folder in folders:
        files = [path for path in folder.iterdir() if path.is_file()]
        assert len(files) <= MOST_FILES, f"{folder}: {len(files)} files"
    for path in root.rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES, path
