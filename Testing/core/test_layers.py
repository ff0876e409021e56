"""The layers of the package: a file imports from its own layer or a lower one, and some files import almost nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from import_scan import imports
from repository import ROOT

PACKAGE = ROOT / "leuda_core"

LAYERS = {
    0: ("types", "errors", "config", "durations", "earlier", "runs", "io"),
    1: ("data",),
    2: ("networks", "blocks"),
    3: ("methods", "bundle"),
    4: ("training", "prediction", "evaluation", "worker", "devices", "doctor"),
    5: ("cli", "commands", "report", "demo", "bench", "__init__", "__main__"),
}
LAYER = {name: layer for layer, names in LAYERS.items() for name in names}
STANDARD_LIBRARY_ONLY = (
    *("__init__", "errors", "types", "durations", "earlier", "data.dataset_entries", "worker.channel"),
    *(f"bundle.{name}" for name in ("document", "files", "store", "tensors")),
    *(f"io.{name}" for name in ("children", "digests", "files", "labels", "leftovers", "names", "private", "streams")),
    *(f"runs.{name}" for name in ("control", "events", "folder", "heartbeat", "kernel_lock", "lock", "model")),
    *("runs.pace", "runs.state"),
)
WITHOUT_TORCH = ("config", "cli", "data.geometry", "prediction.doubt", "worker.server")
NEVER = {"slicer", "qt", "ctk", "vtk", "slicer_core", "PythonQt", "PySide6"}
SCENES = {"demo/scene.py"}  # what the demo gives to Slicer: slicer-core and its vtk, imported on use

FILES = sorted(PACKAGE.rglob("*.py"))


def unit(path: Path) -> str:
    """Return the part of the package a file belongs to: the first name below ``leuda_core``."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def ours(name: str) -> str | None:
    """Return the part of the package that an imported name belongs to, if it is ours."""
    parts = name.split(".")
    if parts[0] != "leuda_core":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in LAYER else "__init__"


def test_every_file_has_a_layer() -> None:
    assert {unit(path) for path in FILES} <= set(LAYER)


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_from_its_own_layer_or_lower(path: Path) -> None:
    own = LAYER[unit(path)]
    used = {other for name, _when in imports(path) if (other := ours(name))}
    used -= {"__init__"}  # the package itself: its version
    too_high = {other for other in used if LAYER[other] > own}
    assert not too_high, f"layer {own} uses {too_high}"


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_never_imports_the_application(path: Path) -> None:
    on_use = path.relative_to(PACKAGE).as_posix() in SCENES
    used = {name.split(".")[0] for name, when in imports(path) if when == "import" or not on_use}
    assert not used & NEVER


@pytest.mark.parametrize("name", STANDARD_LIBRARY_ONLY)
def test_needs_the_standard_library_alone(name: str) -> None:
    for imported, when in imports(PACKAGE / f"{name.replace('.', '/')}.py"):
        if when == "types":
            continue
        top = imported.split(".")[0]
        if top == "leuda_core":
            within = imported.removeprefix("leuda_core").removeprefix(".") or "__init__"
            assert any(f"{within}.".startswith(f"{other}.") for other in STANDARD_LIBRARY_ONLY), imported
        else:
            assert top in sys.stdlib_module_names, imported


@pytest.mark.parametrize("name", [*STANDARD_LIBRARY_ONLY, *WITHOUT_TORCH])
def test_imports_without_torch(name: str) -> None:
    """In a fresh process where torch cannot be imported at all, as in Slicer before anything was installed."""
    forbidden = ["torch", "monai", "SimpleITK"]
    if name in STANDARD_LIBRARY_ONLY:
        forbidden += ["numpy", "msgspec", "nibabel", "tqdm"]
    module = "leuda_core" if name == "__init__" else f"leuda_core.{name}"
    code = f"import sys; sys.modules.update(dict.fromkeys({forbidden})); import {module}"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_public_names_exist() -> None:
    import leuda_core

    for name in leuda_core.__all__:
        assert getattr(leuda_core, name) is not None
    assert "le_uda" in leuda_core.list_methods()
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = leuda_core.no_such_name


def test_type_checkers_see_the_public_names() -> None:
    import leuda_core

    typed = {name.rpartition(".")[2] for name, when in imports(PACKAGE / "__init__.py") if when == "types"}
    assert typed | {"__version__", "list_methods"} == set(leuda_core.__all__)
    assert (PACKAGE / "py.typed").exists()
