"""A short fuzz run of every reader with a fixed seed, and what the fuzzer itself must notice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from repository import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits and counts the memory of a process as Linux does"),
]

READERS = {
    "volumes": (300, ("nrrd", "seg.nrrd", "mha", "nii", "nii.gz")),
    "dicom": (100, ("dicom",)),
    "documents": (400, ("dataset", "run")),
    "models": (40, ("bundle", "zip")),
    "worker": (40, ("worker",)),
    "checkpoint": (8, ("checkpoint",)),
}

FAULTY = """
import os, sys, time
from fuzz import targets
from fuzz.__main__ import main
def read(folder, tries):
    number = (folder / "a").read_bytes()[0]
    if number == 1: os.abort()
    if number == 2: time.sleep(60)
    if number == 3: bytearray(1 << 45)
    if number == 4: raise KeyError("x")
    if number == 5: os._exit(0)
def mutate(sample, rng, pool):
    return {"a": bytes([rng.randrange(8)])}
targets.TARGETS.clear()
targets.TARGETS["faulty"] = targets.Target(lambda: [{"a": b""}], mutate, read)
sys.exit(main())
"""


@pytest.mark.parametrize("group", READERS)
def test_damaged_inputs_are_refused_or_read(group: str, tmp_path: Path) -> None:
    inputs, readers = READERS[group]
    words = [word for reader in readers for word in ("--reader", reader)]
    done = fuzz("-m", "fuzz", "--inputs", str(inputs), "--findings", str(tmp_path), *words)
    found = "\n".join(path.read_text(encoding="utf-8") for path in sorted(tmp_path.rglob("*.txt")))
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{found}"


def test_crashes_hangs_and_foreign_errors_are_noticed(tmp_path: Path) -> None:
    done = fuzz("-c", FAULTY, "--inputs", "30", "--hang-seconds", "0.5", "--findings", str(tmp_path))
    assert done.returncode == 1, done.stderr
    kept = {path.name.split("-")[0] for path in (tmp_path / "faulty").iterdir() if path.is_dir()}
    assert kept == {"crash", "hang", "exit", "MemoryError", "KeyError"}


def fuzz(*words: str) -> subprocess.CompletedProcess[str]:
    folders = os.pathsep.join(map(str, (ROOT, ROOT / "Testing", ROOT / "Testing" / "core")))
    env = {**os.environ, "PYTHONPATH": folders, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
