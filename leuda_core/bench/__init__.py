"""``leuda bench``: the same data, segmenter, budget and metrics for every method, and a table of what came out.

Every run is trained in a process of its own and leaves one JSON file; a bench that was interrupted goes on with what
is missing. One CycleGAN a dataset and seed serves all methods that translate. Test labels are read after training.
A method can be asked for with settings of its own, as in ``le_uda:intra_weight=0``: an ablation, in a row of its own.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import msgspec

from leuda_core.bench.page import check_page, write_page
from leuda_core.bench.results import Result, rows
from leuda_core.bench.table import table
from leuda_core.bundle.model import load_bundle
from leuda_core.config import DEFAULT_STEPS, MethodConfig, make_config, parse_settings
from leuda_core.data.dataset import load_dataset
from leuda_core.data.phantom import make_phantom
from leuda_core.errors import InputError, LeudaError
from leuda_core.evaluation import score_bundle
from leuda_core.io.files import check_output_folder, write_bytes, write_text
from leuda_core.methods import METHODS
from leuda_core.methods.cyclegan import TRANSLATOR_FILE, TranslatingMethod, TranslatorConfig
from leuda_core.methods.source_only import ContrastRandomization
from leuda_core.runs.events import read_events, seconds_at_work
from leuda_core.runs.folder import Run
from leuda_core.training.run import create_run
from leuda_core.types import Dataset

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One training of a bench, and where to find it. ``method`` may be a variant, ``NAME:KEY=VALUE``."""

    dataset: Dataset
    method: str
    augmentation: str
    seed: int

    @property
    def name(self) -> str:
        variant = self.method.replace(":", "+")  # not allowed in file names on Windows
        return f"{self.dataset.name}-{variant}-{self.augmentation}-{self.seed}"


def _variant(text: str) -> tuple[str, dict[str, str]]:
    """Return the method's name of ``NAME`` or ``NAME:KEY=VALUE:KEY=VALUE`` and the settings of its own.

    Raises:
        InputError: an unknown name or setting, or a value out of range.
    """
    name, *pairs = text.split(":")
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}", f"choose among {', '.join(METHODS)}, or all")
    own = parse_settings(pairs, where=f"--methods {name}")
    make_config(METHODS[name].Config, own, where=f"--methods {name}")
    if "augmentation" in own:
        raise InputError(f"--methods {text} names an augmentation", "use --augmentation")
    return name, own


_TRANSLATOR = set(TranslatorConfig.__struct_fields__) - set(MethodConfig.__struct_fields__)
"""What decides a translator: a variant of it cannot use the shared one."""


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

    Returns the table's rows, the two paths and the number of runs. Both files are written after each run.

    Methods that read target labels run on datasets whose target cases have labels, all others on those without.
    ``settings`` apply to the methods that know them. Without ``datasets`` the phantom is used, in both roles.
    """
    check_output_folder(out)
    check_page()
    loaded = [load_dataset(path) for path in datasets or _phantoms(out / "phantom")]
    jobs = list(plan(loaded, _chosen(methods), augmentations, seeds))
    if not jobs:
        raise InputError(
            "no method fits the datasets", "target_supervised needs target labels, the others a target without"
        )
    results = []
    for index, job in enumerate(jobs):
        if on_run:
            on_run(job.name, index, len(jobs))
        results.append(_result(job, out, steps, device, settings or {}))
        found = rows(results)
        write_text(out / "table.md", table(found))
        page = write_page(out / "page.html", results, found)
    return {"rows": found, "table": str(out / "table.md"), "page": str(page), "runs": len(results)}


def _phantoms(folder: Path) -> list[Path]:
    blind, told = folder / "unlabelled", folder / "labelled"
    return [
        path if (path := place / "dataset.json").exists() else make_phantom(place, target_labels=place is told)
        for place in (blind, told)
    ]


def _chosen(methods: Sequence[str]) -> list[str]:
    names = [name for asked in methods for name in (METHODS if asked == "all" else [asked])]
    for name in names:
        _variant(name)
    return list(dict.fromkeys(names))


def plan(
    datasets: Iterable[Dataset], methods: Sequence[str], augmentations: Sequence[str], seeds: Sequence[int]
) -> Iterator[Job]:
    """Yield the runs of a bench: each method on the datasets it fits, seed by seed."""
    for dataset, seed, augmentation, method in product(datasets, seeds, augmentations, methods):
        kind = METHODS[_variant(method)[0]]
        told = any(case.label for case in dataset.target.cases)
        # contrast_randomization is strong by definition: under the other level it would be the same run again.
        fixed = kind.Config().augmentation if kind is ContrastRandomization else augmentation
        if kind.reads_target_labels == told and fixed == augmentation:
            yield Job(dataset, method, augmentation, seed)


def _result(job: Job, out: Path, steps: int, device: str, settings: Mapping[str, Any]) -> Result:
    path = out / "results" / f"{job.name}.json"
    if path.exists():
        return _kept(path, steps, settings)
    run = _trained(job, out, steps, device, settings)
    evaluation = score_bundle(load_bundle(run.bundle), job.dataset.test_target, device=device)
    events, _ = read_events(run.events)
    config = msgspec.json.decode(run.config.read_bytes())
    result = Result(
        dataset=job.dataset.name,
        method=job.method,
        augmentation=job.augmentation,
        seed=job.seed,
        steps=config["steps"],
        settings={key: value for key, value in config["settings"].items() if key != "translator"},  # a path of ours
        scores=evaluation.scores,
        minutes=round(seconds_at_work(events) / 60, 2),
        peak_memory_mib=max(event.get("peak_memory_mib", 0) for event in events),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, msgspec.json.format(msgspec.json.encode(result), indent=1))
    run.checkpoint.unlink(missing_ok=True)
    return result


def _kept(path: Path, steps: int, settings: Mapping[str, Any]) -> Result:
    """Return an earlier result; one of another budget would make the table compare what cannot be compared."""
    result = msgspec.json.decode(path.read_bytes(), type=Result)
    asked = {"steps": steps}
    name, own = _variant(result.method)
    known = {key: value for key, value in settings.items() if key in result.settings} | own
    checked = msgspec.to_builtins(make_config(METHODS[name].Config, known))  # "1e-3" is 0.001
    asked |= {key: checked[key] for key in known if key != "augmentation"}  # that is the bench's
    for key, value in asked.items():
        had = result.steps if key == "steps" else result.settings[key]
        if had != value:
            raise InputError(f"{path} was measured with {key}={had}, not {value}", "name another --out, or delete it")
    return result


def _trained(job: Job, out: Path, steps: int, device: str, settings: Mapping[str, Any]) -> Run:
    """Return the finished run of a job, going on from what an interrupted bench left."""
    run = Run(out / "runs" / job.name)
    if not run.config.exists():
        name, own = _variant(job.method)
        kind = METHODS[name]
        known = kind.Config.__struct_fields__
        chosen = {key: value for key, value in settings.items() if key in known} | {"augmentation": job.augmentation}
        translates = issubclass(kind, TranslatingMethod) and make_config(kind.Config, chosen).translator_steps
        if translates and not own.keys() & _TRANSLATOR:
            chosen["translator"] = str(_shared_translator(job, out, device, chosen))
        shutil.rmtree(run.path, ignore_errors=True)
        create_run(
            job.dataset.path, name, run.path, steps=steps, seed=job.seed, device=device, settings=chosen | own,
            checkpoint_every=500,
        )  # fmt: skip
    _finish(run)
    return run


def _shared_translator(job: Job, out: Path, device: str, settings: Mapping[str, Any]) -> Path:
    """Return the folder of the CycleGAN of a dataset and seed, trained on first use."""
    run = Run(out / "translators" / f"{job.dataset.name}-{job.seed}")
    if not run.config.exists():
        config = METHODS["cyclegan"].Config
        known = {key: value for key, value in settings.items() if key in config.__struct_fields__}
        chosen = msgspec.to_builtins(make_config(config, known))
        create_run(job.dataset.path, "cyclegan", run.path, steps=1, seed=job.seed, device=device, settings=chosen)
    if not (run.path / TRANSLATOR_FILE).exists():
        _finish(run)
    return run.path


def _finish(run: Run) -> None:
    """Train a run to its end in a process of its own, so that its peak memory is its own too."""
    command = [sys.executable, "-m", "leuda_core", "resume", str(run.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise LeudaError(f"{run.path.name}: {lines[-1]}", f"see {run.log}")
