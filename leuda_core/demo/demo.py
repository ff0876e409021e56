"""Run the whole method on phantom data: adapt, segment, score, draw, and save the result for Slicer.

Four labelled volumes of one synthetic modality, none of the other. A segmenter trained on the labels alone is compared
with one that LE-UDA adapted, on volumes of the other modality that neither has seen.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leuda_core.bundle.model import ModelBundle, load_bundle
from leuda_core.data.dataset import load_dataset
from leuda_core.data.geometry import plan_slices
from leuda_core.data.phantom.cohort import make_phantom
from leuda_core.demo import scene
from leuda_core.demo.surfaces import surface_figure
from leuda_core.errors import InputError, LeudaError
from leuda_core.evaluation import Evaluation, score_bundle
from leuda_core.io.files import check_output_folder, write_bytes, write_json, write_text
from leuda_core.io.volumes import read_label_map, read_volume, write_label_map
from leuda_core.prediction.volumes import segment
from leuda_core.report.pictures import new_figure, overlay_figure, png_bytes
from leuda_core.report.report import write_report
from leuda_core.runs.folder import Run
from leuda_core.training.run import train
from leuda_core.types import Case, LabelMap, Volume

OnStage = Callable[[str, str], None]

BEFORE, AFTER = "source_only", "le_uda"
STEPS = {BEFORE: 500, AFTER: 500}
SETTINGS: dict[str, dict[str, Any]] = {
    BEFORE: {"patch_size": 64, "augmentation": "paper"},
    AFTER: {"patch_size": 64, "augmentation": "paper", "translator_steps": 1600},
}
PHANTOM = {"source_cases": 16, "labelled": 4, "target_cases": 16, "test_cases": 4}
N_SLICES = 3
SUMMARY = "demo.json"


def run_demo(
    out: Path | str,
    *,
    on_stage: OnStage | None = None,
    steps: Mapping[str, int] = STEPS,
    settings: Mapping[str, Mapping[str, Any]] = SETTINGS,
    phantom: Mapping[str, Any] = PHANTOM,
    seed: int = 0,
) -> dict[str, Any]:
    """Run the demo and return its results, which are also written to ``demo.json``.

    Args:
        out: a new or empty folder, or one that holds an earlier demo, which is replaced.
        on_stage: called with the current stage and its progress.
        steps: training steps by method; ``settings``: the methods' settings; ``phantom``: sizes of the cohort, as for
            ``make_phantom``.

    Returns:
        ``dice``: mean Dice over the unseen target cases, by method. ``files``: paths relative to ``out``, by kind.
        ``notes``: what could not be done, and why. ``seconds``: wall time. ``case``: the case in the pictures.

    Raises:
        InputError: the folder holds other files or cannot be written, or matplotlib is missing.
    """
    out, say, start = Path(out), on_stage or (lambda stage, detail: None), time.perf_counter()
    new_figure(1, 1)  # reports a missing matplotlib now, not after minutes of training
    _make_room(out)
    say("making phantom data", f"{phantom['source_cases']} source and {phantom['target_cases']} target cases")
    dataset_file = make_phantom(out / "data", **phantom, seed=seed)
    dataset = load_dataset(dataset_file)
    models, scores = {}, {}
    for method in (BEFORE, AFTER):
        models[method] = _train(dataset_file, method, out / method, steps[method], settings[method], seed, say)
        say(f"scoring {method}", f"{len(dataset.test_target)} unseen target cases")
        scores[method] = score_bundle(models[method], dataset.test_target, device="cpu")
        write_json(Run(out / method).scores, scores[method].as_dict(), private=True)
    case = _median_case(dataset.test_target, scores[AFTER])
    say("drawing and saving", f"case {case.id}")
    files, notes = _show(out, case, models, scores)
    found = {
        "dice": {method: round(scores[method].overall.dice, 4) for method in scores},
        "files": files,
        "notes": notes,
        "case": case.id,
        "seconds": round(time.perf_counter() - start, 1),
    }
    write_json(out / SUMMARY, found)
    return found


def _median_case(cases: Sequence[Case], evaluation: Evaluation) -> Case:
    """Return the case to show: the one with the median Dice."""
    ranked = sorted(evaluation.cases, key=lambda summary: summary.dice)
    shown = ranked[len(ranked) // 2].name
    return next(case for case in cases if case.id == shown)


def _make_room(out: Path) -> None:
    """Remove an earlier demo, and only that."""
    if out.is_dir() and any(out.iterdir()):
        if not _is_demo(out):
            raise InputError(f"{out} holds other files", "choose a new or an empty folder")
        for entry in ("data", BEFORE, AFTER):
            shutil.rmtree(out / entry, ignore_errors=True)
    check_output_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / SUMMARY, {"unfinished": True})  # marks the folder as ours, in case the demo is interrupted


def _is_demo(out: Path) -> bool:
    try:
        return isinstance(json.loads((out / SUMMARY).read_text(encoding="utf-8")), dict)
    except (OSError, ValueError):
        return False


def _train(
    dataset: Path, method: str, folder: Path, steps: int, settings: Mapping[str, Any], seed: int, say: OnStage
) -> ModelBundle:
    def progress(step: int, total: int, metrics: Mapping[str, float]) -> None:
        if 10 * step // total > 10 * max(0, step - 10) // total:  # training reports every ten steps
            say(f"training {method}", f"step {step} of {total}")

    say(f"training {method}", "starting")
    run = train(dataset, method, folder, steps=steps, seed=seed, device="cpu", settings=settings, on_progress=progress)
    return load_bundle(run.bundle)


def _show(
    out: Path, case: Case, models: Mapping[str, ModelBundle], scores: Mapping[str, Evaluation]
) -> tuple[dict[str, str], list[str]]:
    """Write pictures, segmentation, scene, table and report; return the files and what could not be done."""
    assert case.label is not None, "the phantom's test cases have labels"
    volume, labels = read_volume(case.image), models[AFTER].task.labels
    maps = {"reference": read_label_map(case.label, labels)}
    maps |= {method: segment(volume, model, device="cpu").label_map for method, model in models.items()}
    titles = [_title(name, case, scores) for name in maps]
    files = {
        "dataset": "data/dataset.json",
        "bundle": f"{AFTER}/bundle",
        "segmentation": f"{case.id}.seg.nrrd",
        "before_after": "before_after.png",
        "surface": "surface.png",
        "table": "scores.csv",
        "report": "report.html",
    }
    write_label_map(maps[AFTER], out / files["segmentation"])
    write_bytes(out / files["before_after"], before_after_png(volume, list(maps.values()), titles, case.id))
    surfaces = surface_figure(list(maps.values()), titles, title=f"{case.id} in 3-D")
    write_bytes(out / files["surface"], png_bytes(surfaces))
    write_text(out / files["table"], _table(scores))
    notes = _write_scene(out, files, case, volume, maps[AFTER])
    write_report(
        out / AFTER,
        out / files["report"],
        figures={"Before and after": out / files["before_after"], "In 3-D": out / files["surface"]},
        comparison={method: found.as_dict() for method, found in scores.items()},
    )
    return files, notes


def _write_scene(out: Path, files: dict[str, str], case: Case, volume: Volume, label_map: LabelMap) -> list[str]:
    """Save the scene for Slicer, load it again and compare. Add it to ``files`` and return notes."""
    if not scene.available():
        return ["no scene for Slicer was written: the package slicer-core is not installed (pip install slicer-core)"]
    path = out / f"{case.id}.mrb"
    scene.write_scene(volume, label_map, path, name=case.id)
    problems = scene.check_scene(path, volume, label_map)
    if problems:
        raise LeudaError(f"scene {path} differs from the data that was saved: {', '.join(problems)}")
    files["mrb"] = path.name
    return []


def before_after_png(volume: Volume, label_maps: list[LabelMap], titles: list[str], name: str) -> bytes:
    """Draw slices of a volume without labels and with each label map, spread over the extent of the first label map."""
    plan = plan_slices(volume.shape, volume.affine)
    images, views = plan.view(volume.data), [plan.view(label_map.data) for label_map in label_maps]
    labelled = np.flatnonzero(views[0].any(axis=(1, 2)))
    labelled = labelled if len(labelled) else np.arange(plan.n_slices)
    chosen = [int(labelled[round(len(labelled) * (i + 1) / (N_SLICES + 1))]) for i in range(N_SLICES)]
    figure = overlay_figure(
        [images[i] for i in chosen],
        [(), *([view[i] for i in chosen] for view in views)],
        label_maps[0].labels,
        ["image", *titles],
        row_names=[f"slice {i + 1} of {plan.n_slices}" for i in chosen],
        title=f"{name}: a volume of the unlabelled modality, never seen in training",
        aspect=plan.pixel_mm[0] / plan.pixel_mm[1],
    )
    return png_bytes(figure)


def _title(name: str, case: Case, scores: Mapping[str, Evaluation]) -> str:
    if name not in scores:
        return name
    dice = next(found.dice for found in scores[name].cases if found.name == case.id)
    return f"{name}, Dice {dice:.2f}"


def _table(scores: Mapping[str, Evaluation]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["method", "case", "label", "dice", "hd95_mm", "asd_mm", "state"])
    for method, found in scores.items():
        for s in found.scores:
            numbers = [f"{value:.4f}" for value in (s.dice, s.hd95_mm, s.asd_mm)]
            writer.writerow([method, s.case, s.name, *numbers, s.state])
    return stream.getvalue()
