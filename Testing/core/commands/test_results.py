"""docs/RESULTS.md and the stored results say the same, and its commands find every run that they need."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from development import ORACLE_VOLUMES, write_development, write_heart_oracle
from leuda_core.bench.plan import chosen_methods, plan
from leuda_core.bench.store import RESULTS_FILE, read_results
from leuda_core.commands.parser import build_parser
from leuda_core.data.dataset import load_dataset
from leuda_core.types import Case, Dataset, Domain, Label
from repository import SHARED_DATA
from result_cells import DEVELOPMENT_FILE
from results_tables import BENCHMARKS, DOCUMENT, END, START, fill, main

SETS = (
    "abdomen-1000",
    "abdomen-2500",
    "heart-2500",
    "mscmr-500",
    "mscmr-1500",
    "mscmr-2500",
    "abdomen-5000",
    "heart-5000",
    "mscmr-5000",
)
OTHER_DATASETS = (
    *("bssfp-to-lge-1shot", "bssfp-to-lge-4shot-b", "bssfp-to-lge-4shot-c", "bssfp-to-lge-16shot"),
    "lge-to-bssfp-4shot",
)
"""What DATASET stands for in the document."""


@pytest.fixture
def document() -> str:
    """Return the document with its tables up to date."""
    return fill(DOCUMENT.read_text(encoding="utf-8"))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Return a copy of the stored results."""
    loops = [path.relative_to(BENCHMARKS).as_posix() for path in sorted((BENCHMARKS / "loop").iterdir())]
    for name in (*(f"{name}/{RESULTS_FILE}" for name in SETS), *loops, DEVELOPMENT_FILE):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(BENCHMARKS / name, tmp_path / name)
    return tmp_path


def test_the_tables_are_those_of_the_stored_results(document: str) -> None:
    assert document.count(START) == 16
    written = DOCUMENT.read_text(encoding="utf-8")
    assert written == document, "docs/RESULTS.md differs from the stored results; run: make results"


@pytest.mark.parametrize("name", SETS)
def test_a_set_holds_runs_of_one_length(name: str) -> None:
    found = read_results(BENCHMARKS / name / RESULTS_FILE)
    assert len(found) == len((BENCHMARKS / name / RESULTS_FILE).read_bytes().splitlines()) >= 1
    assert {result.steps for result in found.values()} == {int(name.split("-")[-1])}


@pytest.mark.slow
def test_a_figure_changed_in_the_document_is_noticed(
    document: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "RESULTS.md"
    changed.write_text(document.replace("| `adabn` | 0.572 |", "| `adabn` | 0.573 |"), encoding="utf-8")
    assert main(["--check", str(changed)]) == 1
    shown = capsys.readouterr().out
    assert "-| `adabn` | 0.573 |" in shown and "+| `adabn` | 0.572 |" in shown
    assert "0.573" in changed.read_text(encoding="utf-8")
    assert main([str(changed)]) == 0
    assert changed.read_text(encoding="utf-8") == document


@pytest.mark.slow
def test_a_figure_changed_in_the_results_is_noticed(document: str, stored: Path) -> None:
    assert fill(document, stored) == document
    path = stored / "mscmr-1500" / RESULTS_FILE
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    index = next(i for i, line in enumerate(lines) if '"source_only"' in line and '4shot","' in line)
    lines[index] = re.sub(r'("myocardium"),0\.\d', r"\1,0.1", lines[index])
    path.write_text("".join(lines), encoding="utf-8")
    assert fill(document, stored) != document


def test_a_figure_of_development_patients_that_changed_is_noticed(document: str, stored: Path) -> None:
    path = stored / DEVELOPMENT_FILE
    path.write_text(path.read_text(encoding="utf-8").replace("0.553", "0.554"), encoding="utf-8")
    assert fill(document, stored) != document


def test_a_row_can_be_compared_with_the_oracle_of_another_dataset() -> None:
    spec = """
set: mscmr-1500
dataset: mscmr-bssfp-to-lge-4shot
oracle: mscmr-oracle-lge-4
augmentation: strong
seeds: 0, 1, 2
rows: methods = self_training; label = hearts
columns: row = task; dice; reference; difference; oracle; against_oracle
"""
    *_, line = fill(f"{START}{spec}-->\n{END}").replace(END, "").strip().splitlines()
    assert line.startswith("| hearts | 0.854 | 0.841 | +0.013 (+0.004 to +0.023) | 0.847 | +0.007 (")


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("rows: methods = self_training, source_only\n", "rows: methods = gan\n", "no run of gan"),
        ("columns: row = method; dice;", "columns: row = method; dcie;", "unknown column 'dcie'"),
        ("augmentation: strong\n", "augmentations: strong\n", "unknown key 'augmentations'"),
        ("order: dice\n", "order\n", "'order' is not KEY: VALUE"),
        (END, "", "needs its"),
    ],
)
def test_a_wrong_comment_is_refused(document: str, right: str, wrong: str, words: str) -> None:
    assert right in document
    with pytest.raises(ValueError, match=words):
        fill(document.replace(right, wrong, 1))


def commands(document: str) -> Iterator[list[str]]:
    """Yield the words of each command in the document that reads stored runs."""
    for block in re.findall(r"```sh\n(.*?)```", document, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if "--out Testing/benchmarks" in line:
                yield shlex.split(line)[1:]


def dataset(name: str) -> Dataset:
    """Return a stand-in for a dataset of the document, which has target labels where it is the upper bound."""
    label = Path("label.nii.gz") if "oracle" in name else None
    domain = Domain(name="d", modality="MR", cases=(Case(id="c", image=Path("image.nii.gz"), label=label),))
    return Dataset(name=name, labels=(Label(1, "heart"),), source=domain, target=domain)


def test_no_command_of_the_document_trains(document: str) -> None:
    found = list(commands(document))
    assert len(found) == 21
    for words in found:
        args = build_parser().parse_args(words)
        names = OTHER_DATASETS if args.datasets == [Path("DATASET")] else [path.stem for path in args.datasets]
        task, steps = args.out.name.split("-")
        prefix = "mscmr-" if task == "mscmr" else ""
        jobs = plan(
            [dataset(f"{prefix}{name}") for name in names],
            methods=chosen_methods(args.methods),
            augmentations=args.augmentation,
            seeds=args.seeds,
        )
        assert {job.name for job in jobs} <= set(read_results(DOCUMENT.parents[1] / args.out / RESULTS_FILE)), " ".join(
            words
        )
        assert steps == str(args.steps)


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs the real tasks in ../shared/data")
def test_the_development_datasets_open(tmp_path: Path) -> None:
    """Their test volumes are target volumes of the training, which a dataset refuses under the same path."""
    found = [load_dataset(path) for path in write_development(SHARED_DATA, tmp_path)]
    assert {len(one.test_target) for one in found} == {6, 8, 9}
    for one in found:
        assert all(
            case.label and not case.image.samefile(other.image)
            for case in one.test_target
            for other in one.target.cases
        )
        assert not any(case.label for case in one.target.cases)


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs the real tasks in ../shared/data")
def test_the_oracle_of_whole_hearts_learns_from_other_patients_than_it_is_tested_on(tmp_path: Path) -> None:
    found = load_dataset(write_heart_oracle(SHARED_DATA, tmp_path))
    assert [bool(case.label) for case in found.target.cases] == [True] * ORACLE_VOLUMES
    assert len(found.test_target) == 7
    assert not {case.id for case in found.target.cases} & {case.id for case in found.test_target}
