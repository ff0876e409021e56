"""Datasets whose test cases are development patients: ``python Testing/benchmarks/development.py DATA OUT``.

What a method does is chosen on these patients and reported on others. They are the unlabelled target patients of the
tasks in ``DATA``, whose labels no training reads; ``leuda bench OUT/NAME.json`` scores on them.

Those of ``heart-full`` have no labels of whole slices, but those of ``mscmr`` are of the same patients, cut out around
the heart: each crop is found in its slices, where it is the same pixel for pixel. The test patients of ``mscmr`` are
not used. Volumes to score on are copied, since a dataset refuses test volumes that it also trains on: here, without
labels, that is meant.

With these labels, ``oracle-lge-full-4.json`` is the bound for ``heart-full``: four labelled target volumes, and the
test patients of the task.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from skimage.feature import match_template

from leuda_core.io.volumes import read_volume, write_volume
from leuda_core.types import Volume

TASKS = (
    "abdomen/ct-to-mr-4shot",
    "mscmr/bssfp-to-lge-4shot",
    "mscmr/bssfp-to-lge-1shot",
    "heart-full/cine-to-lge-full-4shot",
)
ORACLE, ORACLE_VOLUMES = "oracle-lge-full-4", 4


def write_development(data: Path, out: Path) -> list[Path]:
    """Write one dataset file for each task and return their paths; labels of whole hearts are written beside them."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for task in TASKS:
        folder, name = (data / task).parent.resolve(), Path(task).name
        document = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        document["name"] = f"{name}-development"
        for domain in ("source", "target"):
            for case in document[domain]["cases"]:
                case |= {key: str(folder / case[key]) for key in ("image", "label") if key in case}
        labelled = [_labelled(case, data.resolve(), out) for case in document["target"]["cases"]]
        document["test"] = {"target": [_copied(case, out) for case in labelled if case], "source": []}
        path = out / f"{document['name']}.json"
        path.write_text(json.dumps(document, indent=1), encoding="utf-8")
        written.append(path)
    return written


def target_with_labels(data: Path, task: str, out: Path) -> list[dict[str, Any]]:
    """Return the unlabelled target cases of a task for which there is a label map, with it and whole paths."""
    out.mkdir(parents=True, exist_ok=True)
    folder = (data / task).parent.resolve()
    cases = json.loads((data / f"{task}.json").read_text(encoding="utf-8"))["target"]["cases"]
    whole = ({**case, "image": str(folder / case["image"])} for case in cases)
    return [case for case in (_labelled(case, data.resolve(), out) for case in whole) if case]


def write_heart_oracle(data: Path, out: Path) -> Path:
    """Write the dataset of whole hearts for ``target_supervised`` and return its path."""
    out.mkdir(parents=True, exist_ok=True)
    folder = (data / TASKS[3]).parent.resolve()
    document = json.loads((data / f"{TASKS[3]}.json").read_text(encoding="utf-8"))
    document["name"] = ORACLE
    everyone = [document["source"]["cases"], document["target"]["cases"], document["test"]["target"]]
    for case in (case for cases in everyone for case in cases):
        case |= {key: str(folder / case[key]) for key in ("image", "label") if key in case}
    labelled = [_labelled(case, data.resolve(), out) for case in document["target"]["cases"]]
    document["target"]["cases"] = [case for case in labelled if case][:ORACLE_VOLUMES]
    path = out / f"{ORACLE}.json"
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return path


def _labelled(case: dict[str, Any], data: Path, out: Path) -> dict[str, Any] | None:
    """Return a target case with its label, if there is one."""
    image = Path(case["image"])
    label = image.with_name(image.name.replace(".nii", "_label.nii"))
    if not label.exists() and "_DE" in image.name:
        label = _whole_label(image, data, out)
    return {**case, "label": str(label)} if label.exists() else None


def _copied(case: dict[str, Any], out: Path) -> dict[str, Any]:
    """Return a case with a copy of its image."""
    image = Path(case["image"])
    return {**case, "image": str(shutil.copy(image, out / image.name))}


def _whole_label(image: Path, data: Path, out: Path) -> Path:
    """Write the label of a whole heart volume from that of its crop; no file at the path if there is none."""
    number = image.name.removeprefix("subject").partition("_")[0]
    crop = data / "mscmr" / "lge" / f"p{number}_lge.nii.gz"
    label = crop.with_name(f"p{number}_lge_label.nii.gz")
    path = out / image.name.replace("_DE", "_label")
    tests = json.loads((data / f"{TASKS[1]}.json").read_text(encoding="utf-8"))["test"]["target"]
    if crop.exists() and label.exists() and f"p{number}-lge" not in {case["id"] for case in tests}:
        whole, part, labels = read_volume(image), read_volume(crop), read_volume(label)
        rows, columns = _place(whole, part)
        values = np.zeros(whole.shape, np.uint8)
        values[rows, columns] = labels.data
        write_volume(Volume(values, whole.affine), path)
    return path


def _place(whole: Volume, part: Volume) -> tuple[slice, slice]:
    middle = whole.shape[2] // 2
    found = match_template(whole.data[..., middle].astype(float), part.data[..., middle].astype(float))
    if found.max() < 0.999:
        raise SystemExit(f"a crop is not in its volume: the best match is {found.max():.3f}")
    row, column = (int(at) for at in np.unravel_index(found.argmax(), found.shape))
    return slice(row, row + part.shape[0]), slice(column, column + part.shape[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    written = write_development(arguments.data, arguments.out)
    print(*written, write_heart_oracle(arguments.data, arguments.out), sep="\n")
