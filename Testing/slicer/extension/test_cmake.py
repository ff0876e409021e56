"""The extension is configured, built and installed by CMake with our stand-in for Slicer, and runs from there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from repository import ROOT

STAND_IN = ROOT / "Testing" / "cmake"
MODULES = ("LEUDASegmentation", "LEUDATraining")
INSTALLED_MODULES = Path("lib", "Slicer-5.12", "qt-scripted-modules")
if sys.platform == "darwin":
    INSTALLED_MODULES = (
        Path("Slicer.app", "Contents", "Extensions-standin", "CrossModalitySegmentation") / INSTALLED_MODULES
    )


def run_cmake(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run CMake, preferably the one of this environment."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    cmake = shutil.which("cmake", path=path)
    assert cmake, "cmake is missing; run: python -m pip install cmake"
    return subprocess.run([cmake, *map(str, words)], capture_output=True, text=True, timeout=100, check=False)


def configure(source: Path, build: Path) -> subprocess.CompletedProcess[str]:
    """Configure with the stand-in; nothing is compiled, so that any program will do for the compilers."""
    compilers = [
        f"-DCMAKE_{language}_COMPILER{word}"
        for language in ("C", "CXX")
        for word in (f"={Path(sys.executable).as_posix()}", "_FORCED=1", "_ID_RUN=1")
    ]
    return run_cmake("-S", source, "-B", build, f"-DSlicer_DIR={STAND_IN.as_posix()}", *compilers)


def files_of(folder: Path) -> set[str]:
    """Return the files below a folder as posix paths, without what Python leaves behind."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


def listed_files(module: str) -> set[str]:
    """Return the files that a module's CMakeLists.txt lists."""
    text = (ROOT / module / "CMakeLists.txt").read_text(encoding="utf-8")
    lists = re.findall(r"set\(MODULE_PYTHON_(?:SCRIPTS|RESOURCES)\s+([^)]*)\)", text)
    return {word.replace("${MODULE_NAME}", module) for words in lists for word in words.split()}


@pytest.mark.parametrize("module", MODULES)
def test_every_file_of_a_module_is_listed(module: str) -> None:
    there, listed = files_of(ROOT / module) - {"CMakeLists.txt"}, listed_files(module)
    missing, gone = sorted(there - listed), sorted(listed - there)
    assert not missing, f"add to {module}/CMakeLists.txt, or they will not be installed: {missing}"
    assert not gone, f"take out of {module}/CMakeLists.txt, they do not exist: {gone}"


@pytest.mark.parametrize("module", MODULES)
def test_every_script_beside_a_module_is_a_module(module: str) -> None:
    """Slicer loads each .py file of a module folder at startup, and complains when it holds no class of its name."""
    for script in sorted((ROOT / module).glob("*.py")):
        text = script.read_text(encoding="utf-8")
        assert re.search(rf"^class {script.stem}\(ScriptedLoadableModule\)", text, re.MULTILINE), script.name
        assert not text.startswith("#!"), f"{script.name}: Slicer would take it for a command-line module"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build")
    configured = configure(ROOT, folder)
    assert configured.returncode == 0, configured.stdout + configured.stderr
    assert "CMake Warning" not in configured.stderr, configured.stderr
    built = run_cmake("--build", folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def installed(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that Slicer would search for modules, as the extension's package has it."""
    folder = tmp_path_factory.mktemp("Extensions with spaces")
    result = run_cmake("--install", build, "--prefix", folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / INSTALLED_MODULES


@pytest.mark.slow
def test_everything_is_installed_and_nothing_else(installed: Path) -> None:
    core = {f"leuda_core/{name}" for name in files_of(ROOT / "leuda_core")}
    segmentation, training = (files_of(ROOT / module) - {"CMakeLists.txt"} for module in MODULES)
    assert not segmentation & training, "they share one folder once installed: one file would replace the other"
    assert files_of(installed) == core | segmentation | training


def test_the_self_tests_are_registered(build: Path) -> None:
    for module in MODULES:
        text = (build / module / "CTestTestfile.cmake").read_text(encoding="utf-8")
        for name in (f"py_{module}", f"py_nomainwindow_qSlicer{module}ModuleGenericTest"):
            assert re.search(rf"add_test\(\W*{name}\b", text), f"{name} is not registered"


_LOAD = """
import sys
from pathlib import Path

folder = Path(sys.argv[1])
from host import boot

app = boot()
for module in ("LEUDASegmentation", "LEUDATraining", "LEUDASegmentation"):
    assert app.loadModule(folder / f"{module}.py") is not None
assert app.loadModule(folder / "LEUDABatch.py") is None

import slicer

assert slicer.modules.leudabatch.hidden, "the batch script must not show in the menu of modules"

import leuda_core
import LEUDASegmentationLib
import LEUDATrainingLib
from LEUDASegmentationLib.processes.commands import LeudaCommand

for package in (leuda_core, LEUDASegmentationLib, LEUDATrainingLib):
    assert folder in Path(package.__file__).parents, package.__file__

methods = []
command = LeudaCommand(["methods"], onDone=methods.append, onError=lambda error: sys.exit(str(error)))
command.start()
command.wait(60)
assert methods, "a child process does not find leuda_core"
app.close()
print("loaded")
"""


@pytest.mark.slow
def test_the_modules_run_from_the_installed_tree(installed: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "Testing"), "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-c", _LOAD, str(installed)]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "loaded" in result.stdout
    assert "Traceback" not in result.stderr, result.stderr  # what setup() and enter() raise is only reported


_PROJECT = """
cmake_minimum_required(VERSION 3.16.3...3.28)
project({project})
set(EXTENSION_README_FILE "${{CMAKE_CURRENT_LIST_FILE}}")
set(EXTENSION_LICENSE_FILE "${{CMAKE_CURRENT_LIST_FILE}}")
find_package(Slicer REQUIRED)
include(${{Slicer_USE_FILE}})
slicerMacroBuildScriptedModule({words})
"""


@pytest.mark.parametrize(
    ("project", "words", "message"),
    [
        ("Wrong LANGUAGES NONE", "NAME Good SCRIPTS Good.py", "needs project() before it"),
        ("Slicer", "NAME Good SCRIPTS Good.py", "call project"),
        ("Wrong", "NAME Good SCRIPTS Good.py ICONS Good.png", "'ICONS'"),
        ("Wrong", "BESIDE NAME Good SCRIPTS Good.py", "Unknown keywords"),
        ("Wrong", "NAME Good SCRIPTS Good.py Gone.py", "'Gone.py'"),
        ("Wrong", "NAME Good SCRIPTS Good.py RESOURCES Resources/Gone.ui", "'Resources/Gone.ui'"),
        ("Wrong", "SCRIPTS Good.py", "NAME is mandatory"),
    ],
)
def test_the_stand_in_refuses_what_slicer_refuses(tmp_path: Path, project: str, words: str, message: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "Good.py").write_text("")
    (source / "CMakeLists.txt").write_text(_PROJECT.format(project=project, words=words))
    result = configure(source, tmp_path / "build")
    assert result.returncode != 0
    assert message in " ".join(result.stderr.split())
