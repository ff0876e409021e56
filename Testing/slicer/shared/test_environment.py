"""Where child processes find Python, our packages and the user's folders; and what importing the library costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from repository import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def environment(slicer_app):
    from LEUDASegmentationLib.processes import environment

    return environment


def test_python_is_pythonslicer_where_slicer_has_one(
    environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.python_command() == [sys.executable]
    launcher = tmp_path / ("PythonSlicer.exe" if os.name == "nt" else "PythonSlicer")
    launcher.touch(mode=0o755)
    assert [Path(word) for word in environment.python_command()] == [launcher]


def test_children_find_our_packages_and_no_display(environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere/else")
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setenv("QT_PLUGIN_PATH", "/plugins")
    monkeypatch.setenv("KEPT", "Zoë")
    child = environment.child_environment()
    folder, other = child.value("PYTHONPATH").split(os.pathsep)
    assert (Path(folder) / "leuda_core" / "__init__.py").is_file() and other == "/somewhere/else"
    assert child.value("KEPT") == "Zoë" and child.value("PYTHONUNBUFFERED") == "1"
    assert not {"DISPLAY", "QT_PLUGIN_PATH"} & set(child.keys())
    assert os.environ["DISPLAY"] == ":7", "the parent's own environment was changed"


def test_data_lies_beside_slicers_settings_unless_set(environment, tmp_path: Path) -> None:
    import slicer

    beside = Path(slicer.app.slicerUserSettingsFilePath).parent
    assert environment.models_folder() == beside / "LEUDA" / "models"
    slicer.app.userSettings().setValue(environment.DATA_FOLDER_SETTING, str(tmp_path / "Größe 1"))
    assert environment.runs_folder() == tmp_path / "Größe 1" / "runs"


_IMPORTS = """
import json, sys, time
from host import boot
app = boot()
sys.path.insert(0, {folder!r})
import numpy, vtk
before, start = set(sys.modules), time.process_time()
from LEUDASegmentationLib import sample_data
from LEUDASegmentationLib.processes import installation, worker_client
import LEUDABatch
seconds = time.process_time() - start
print(json.dumps([seconds, sorted(set(sys.modules) - before)]))
app.close()
"""


def test_importing_is_quick_and_brings_nothing_heavy(tmp_path: Path) -> None:
    script = _IMPORTS.format(folder=str(ROOT / "LEUDASegmentation"))
    variables = os.environ | {"PYTHONPATH": str(ROOT / "Testing"), "QT_QPA_PLATFORM": "offscreen"}
    result = subprocess.run(
        [sys.executable, "-c", script], env=variables, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    seconds, modules = json.loads(result.stdout.strip().splitlines()[-1])
    heavy = {
        "torch",
        "SimpleITK",
        "scipy",
        "msgspec",
        "monai",
        "skimage",
        "nibabel",
        "nrrd",
        "pydicom",
        "tqdm",
        "safetensors",
    }
    assert not heavy & {name.partition(".")[0] for name in modules}
    assert seconds < 0.3
