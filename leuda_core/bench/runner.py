"""All runs of a bench, one after another: train, score, keep the result, write the table and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from leuda_core.bench.page import check_page, write_page
from leuda_core.bench.plan import Job, chosen_methods, parse_variant, plan
from leuda_core.bench.results import Result, rows
from leuda_core.bench.store import append_result, find_result
from leuda_core.bench.table import table
from leuda_core.bench.trainer import Bench, train_job
from leuda_core.bundle.model import load_bundle
from leuda_core.config import DEFAULT_STEPS, make_config
from leuda_core.data.dataset import load_dataset
from leuda_core.data.phantom.cohort import make_phantom
from leuda_core.earlier import present_settings
from leuda_core.errors import InputError
from leuda_core.evaluation import score_bundle
from leuda_core.io.files import check_output_folder, write_text
from leuda_core.methods import METHODS
from leuda_core.runs.events import read_events, seconds_at_work


def run_bench(
    datasets: Sequence[Path],
    *,
    out: Path,
    methods: Sequence[str] = ("all",),
    seeds: Sequence[int] = (0, 1, 2),
    augmentations: Sequence[str] = ("paper", "strong"),
    steps: int = DEFAULT_STEPS,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    on_run: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Train and score every combination that has no result in ``out`` yet; write ``table.md`` and ``page.html``.

    Returns the table's rows, the two paths and the number of runs. Both files are written after each training. Test
    labels are read after it.

    Methods that read target labels, such as a variant ``NAME:target_labels=true``, run on datasets whose target cases
    have labels, all others on those without.
    ``settings`` apply to the methods that know them. Without ``datasets`` the phantom is used, in both roles.

    Raises:
        InputError: a wrong method or setting, nothing to run, or results in ``out`` of other steps or settings.
        LeudaError: a training failed.
    """
    check_output_folder(out)
    check_page()
    loaded = [load_dataset(path) for path in datasets or _phantoms(out / "phantom")]
    common = present_settings(settings or {})
    names = chosen_methods(methods)
    jobs = list(plan(loaded, methods=names, augmentations=augmentations, seeds=seeds, settings=common))
    if not jobs:
        raise InputError(
            "no method fits the datasets",
            "target_supervised and NAME:target_labels=true need target labels, the others a target without",
        )
    bench = Bench(out, steps, device, common)
    results: list[Result] = []
    for index, job in enumerate(jobs):
        if on_run:
            on_run(job.name, index, len(jobs))
        kept = _kept(job, bench)
        results.append(kept or _measured(job, bench))
        if kept is None:
            _write_summary(out, results)
    return _write_summary(out, results)


def _write_summary(out: Path, results: Sequence[Result]) -> dict[str, Any]:
    found = rows(results)
    write_text(out / "table.md", table(found))
    page = write_page(out / "page.html", results, found)
    return {"rows": found, "table": str(out / "table.md"), "page": str(page), "runs": len(results)}


def _phantoms(folder: Path) -> list[Path]:
    return [
        path if (path := folder / name / "dataset.json").exists() else make_phantom(path.parent, target_labels=labels)
        for name, labels in (("unlabelled", False), ("labelled", True))
    ]


def _measured(job: Job, bench: Bench) -> Result:
    """Train and score a job, and keep its result."""
    run = train_job(job, bench)
    evaluation = score_bundle(load_bundle(run.bundle), job.dataset.test_target, device=bench.device)
    for case in evaluation.failed:  # a table of other cases than those of other runs would compare nothing
        raise InputError(f"case {case.case!r} cannot be scored: {case.message}", case.remedy)
    events, _ = read_events(run.events)
    config = msgspec.json.decode(run.config.read_bytes())
    result = Result(
        dataset=job.dataset.name,
        method=job.method,
        augmentation=job.augmentation,
        seed=job.seed,
        steps=config["steps"],
        settings={key: value for key, value in config["settings"].items() if key != "translator"},  # a path of ours
        minutes=round(seconds_at_work(events) / 60, 2),
        peak_memory_mib=max(event.get("peak_memory_mib", 0) for event in events),
        scores=evaluation.scores,
    )
    append_result(bench.out, result)
    for checkpoint in (run.checkpoint, run.checkpoint_before):
        checkpoint.unlink(missing_ok=True)
    return result


def _kept(job: Job, bench: Bench) -> Result | None:
    """Return an earlier result; one of another budget would make the table compare what cannot be compared."""
    result = find_result(bench.out, job.name)
    if result is None:
        return None
    had = {"steps": result.steps, **result.settings}
    for key, value in _asked(result, bench).items():
        if had[key] != value:
            raise InputError(
                f"{job.name} in {bench.out} was measured with {key}={had[key]}, not {value}",
                "name another --out, or delete that result",
            )
    return result


def _asked(result: Result, bench: Bench) -> dict[str, Any]:
    """Return the steps and settings that the call names and that a result must have been measured with."""
    name, own = parse_variant(result.method)
    known = {key: value for key, value in bench.settings.items() if key in result.settings} | own
    checked = msgspec.to_builtins(make_config(METHODS[name].Config, known))  # "1e-3" is 0.001
    return {"steps": bench.steps} | {key: checked[key] for key in known if key != "augmentation"}  # that is the bench's
