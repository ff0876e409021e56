"""What every refusal must be: exit code 2, one line that helps, and nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from leuda_core.cli import main

CPU = ["--device", "cpu"]
TINY = [*CPU, "--steps", "1"]
TINY += [word for name in ("base_channels=4", "patch_size=32", "batch_size=1") for word in ("--set", name)]
Words = tuple[str, ...]


@dataclass
class Place:
    """A copy of the tiny dataset and of a model to spoil, and the folder ``out`` that must stay as it is."""

    folder: Path
    capfd: pytest.CaptureFixture[str]

    @property
    def dataset(self) -> Path:
        return self.folder / "dataset.json"

    def path(self, name: str) -> Path:
        return self.folder / name

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        document = json.loads(self.dataset.read_text(encoding="utf-8"))
        change(document)
        self.dataset.write_text(json.dumps(document), encoding="utf-8")

    def command(self, name: str, *, volume: str = "", out: Path | None = None) -> list[str]:
        """Return a right call of a command, except for what was spoiled before; ``volume`` is what it reads."""
        out = out or self.folder / "out" / "new" / "folder"
        output = str(out / "x.nii.gz")
        label = self.folder / "test_t_label.nii.gz"
        spoiled = self.folder / (volume or "t1.nii.gz")
        return {
            "check": ["check", str(self.dataset)],
            "train": ["train", str(self.dataset), "--method", "source_only", "--out", str(out), *TINY],
            "plan": ["plan", str(self.dataset), "--method", "source_only", *TINY],
            "segment": ["segment", "--model", "bundle", "--input", str(spoiled), "--output", output, *CPU],
            "predicted": ["evaluate", "--prediction", str(spoiled), "--reference", str(label)],
            "reference": ["evaluate", "--prediction", str(label), "--reference", str(spoiled)],
        }[name]

    def listing(self) -> dict[str, object]:
        paths = sorted(self.folder.rglob("*"))
        return {str(path): path.read_bytes() if path.is_file() else None for path in paths}

    def call(self, words: list[str]) -> tuple[int, str, str]:
        self.capfd.readouterr()
        code = main(words)
        out, err = self.capfd.readouterr()
        return code, out, err


def refuses(place: Place, words: list[str], expected: Words) -> None:
    """Call twice, for people and with --json, and hold the answers against what every refusal must be."""
    before = place.listing()
    code, out, err = place.call(words)
    assert place.listing() == before, "something was written"
    assert code == 2, err
    assert err.count("\n") == 1 and err.startswith("leuda: error: ") and err.endswith("\n"), err
    told = [out.strip()] if words[0] == "check" else [err.strip()]  # what a check finds is its result
    assert (out == "") == (words[0] != "check")
    code, out, err = place.call([*words, "--json"])
    document = json.loads(out)
    assert code == 2 and err.count("\n") == 1
    if words[0] == "check":
        assert not document["ok"] and len(document["problems"]) == 1
        told += document["problems"]
    else:
        error = document["error"]
        assert error["exit_code"] == 2 and error["kind"] in ("input", "device")
        told.append(f"{error['message']}; {error['remedy']}")
        assert error["message"] and error["remedy"]
    for line in told:
        what, semicolon, remedy = line.partition("; ")
        assert what and semicolon and len(remedy) > 5, line
        assert all(word in line for word in expected), line
        assert "\n" not in line
    assert place.listing() == before, "something was written"


def spoil(path: Path, change: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> None:
    image = nibabel.load(path)
    data, affine = change(np.asanyarray(image.dataobj), image.affine.copy())
    nibabel.Nifti1Image(data, affine).to_filename(path)


def flip(path: Path, at: int) -> None:
    """Change one bit of the byte ``at`` of a file; a negative one counts from the end."""
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)
