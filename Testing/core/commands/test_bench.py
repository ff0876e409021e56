"""Benchmarks: which runs are made, what is averaged over what, and what the table and the page say."""

import json
from dataclasses import replace

import pytest

from leuda_core.bench.page import write_page
from leuda_core.bench.plan import plan
from leuda_core.bench.results import Result, confidence_interval, rows
from leuda_core.bench.runner import run_bench
from leuda_core.bench.store import RESULTS_FILE
from leuda_core.bench.table import table
from leuda_core.data.dataset import load_dataset
from leuda_core.errors import InputError
from leuda_core.evaluation import Score
from leuda_core.methods import METHODS

SMALL = {
    "base_channels": 4,
    "patch_size": 48,
    "batch_size": 2,
    "unlabelled_batch_size": 2,
    "translator_channels": 4,
    "translator_blocks": 1,
    "translator_steps": 4,
}


def result(seed, dice, **changes):
    """Return a result with one score a case and label: ``dice[case][label]``."""
    scores = tuple(
        Score(case=case, label=label, name=f"l{label}", dice=value, hd95_mm=10 * value, asd_mm=value)
        for case, values in dice.items()
        for label, value in enumerate(values, start=1)
    )
    fields = {"dataset": "d", "method": "m", "augmentation": "paper", "steps": 1, "settings": {}, **changes}
    return Result(seed=seed, scores=scores, minutes=seed + 1.0, peak_memory_mib=100 + seed, **fields)


def test_rows_average_labels_then_cases_then_seeds():
    (row,) = rows([result(0, {"a": [0.2, 0.4], "b": [0.8]}), result(1, {"a": [0.4, 0.6], "b": [1.0]})])
    assert row["dice"] == pytest.approx((0.55 + 0.75) / 2)  # not the mean over labels, of which a has two
    assert row["dice_std_seeds"] == pytest.approx(0.2 / 2**0.5)
    assert row["dice_std_cases"] == pytest.approx(0.5 / 2**0.5)  # a: 0.4, b: 0.9
    assert row["hd95_mm"] == pytest.approx(6.5)
    assert (row["seeds"], row["minutes"], row["peak_memory_mib"]) == (2, 1.5, 101)


def test_absent_labels_count_nowhere():
    (row,) = rows([result(0, {"a": [0.5, float("nan")]})])
    assert row["dice"] == pytest.approx(0.5)
    assert row["dice_std_seeds"] is None and row["dice_std_cases"] is None


def test_differences_are_to_the_best_control_paired_by_case_and_seed():
    found = rows(
        [
            result(0, {"a": [0.2], "b": [0.6]}, method="source_only"),
            *(result(seed, {"a": [0.5], "b": [0.7]}, method="adabn", augmentation="strong") for seed in (0, 1)),
            result(1, {"a": [0.6], "b": [0.9]}, method="le_uda"),
            result(7, {"a": [0.6], "b": [0.9]}, method="glua"),  # a seed that the control does not have
            result(0, {"a": [0.6], "b": [0.9]}, method="le_uda", dataset="another"),
        ]
    )
    weak, control, ours, unpaired, elsewhere = found
    assert ours["control"] == weak["control"] == "adabn, strong"
    assert ours["difference"] == pytest.approx(0.15) and weak["difference"] == pytest.approx(-0.2)
    # 0.1 and 0.2: mean 0.15, standard error 0.05, and 12.706 is the 97.5 % point of t with one degree of freedom
    assert ours["interval"] == pytest.approx((0.15 - 0.05 * 12.706, 0.15 + 0.05 * 12.706), abs=1e-4)
    assert all(row["difference"] is None and row["interval"] is None for row in (control, unpaired, elsewhere))


def test_an_interval_needs_two_cases():
    assert confidence_interval([0.1]) is None
    low, high = confidence_interval([0.1, 0.1001, 0.0999])
    assert 0.099 < low < 0.1 < high < 0.101


def test_the_gap_is_that_to_target_labels_on_the_same_test_cases():
    runs = [
        result(0, {"a": [0.4]}, method="source_only"),
        result(0, {"a": [0.7]}, method="le_uda"),
        result(0, {"a": [0.7]}, method="le_uda", augmentation="strong"),
        result(0, {"z": [0.9]}, method="target_supervised", dataset="other cases"),
    ]
    assert [row["gap_closed"] for row in rows(runs)] == [None] * 4
    runs.append(result(0, {"a": [0.8]}, method="target_supervised", dataset="oracle"))
    lower, ours, strong, _, upper = (row["gap_closed"] for row in rows(runs))
    assert (lower, ours, strong, upper) == (0, pytest.approx(0.75), None, None)


def test_the_table_has_the_best_first():
    text = table(rows([result(0, {"a": [0.5]}), result(0, {"a": [0.9]}, method="better")]))
    assert text.index("`better`") < text.index("`m`")
    assert "| 0.900 |" in text and "### d" in text


def test_the_table_and_the_page_tell_what_was_measured(tmp_path):
    results = [
        result(0, {"a": [0.5], "b": [0.6]}, method="source_only"),
        result(0, {"a": [0.8], "b": [0.7]}, method="le_uda"),
    ]
    text = table(rows(results))
    assert "| +0.200 (-1.071 to +1.471) |" in text
    page = write_page(tmp_path / "page.html", results, rows(results)).read_text(encoding="utf-8")
    assert "+0.200 (-1.071 to +1.471)" in page and "source_only" in page and "data:image/png" in page


def test_each_method_runs_where_it_fits(tiny_dataset):
    dataset = load_dataset(tiny_dataset)
    options = {"methods": list(METHODS), "seeds": [0]}
    jobs = [(job.method, job.augmentation) for job in plan([dataset], augmentations=["paper", "strong"], **options)]
    methods = [method for method, _ in jobs]
    assert "target_supervised" not in methods  # nobody labelled this target
    assert jobs.count(("le_uda", "paper")) == jobs.count(("le_uda", "strong")) == 1
    assert methods.count("contrast_randomization") == 1  # strong by definition
    labelled = replace(dataset, target=replace(dataset.target, cases=dataset.source.cases))
    assert {job.method for job in plan([labelled], augmentations=["paper"], **options)} == {"target_supervised"}


@pytest.mark.slow
def test_a_bench_measures_shares_the_translator_and_goes_on_where_it_stopped(tiny_dataset, tmp_path):
    options = {"out": tmp_path, "seeds": [0], "augmentations": ["paper"], "steps": 2, "settings": SMALL}
    names = []
    found = run_bench(
        [tiny_dataset], methods=["le_uda", "cyclegan"], on_run=lambda *call: names.append(call), **options
    )
    assert names == [("discs-le_uda-paper-0", 0, 2), ("discs-cyclegan-paper-0", 1, 2)]
    assert (tmp_path / "table.md").is_file() and (tmp_path / "page.html").is_file()
    assert all(0 <= row["dice"] <= 1 and row["minutes"] > 0 and row["peak_memory_mib"] > 100 for row in found["rows"])
    assert [path.name for path in (tmp_path / "translators").iterdir()] == ["discs-0"]
    config = json.loads((tmp_path / "runs" / "discs-le_uda-paper-0" / "run.json").read_text())
    assert config["settings"]["translator"].endswith("discs-0")

    stored = tmp_path / RESULTS_FILE
    lines = stored.read_bytes().splitlines(keepends=True)
    stored.write_bytes(lines[0] + lines[1][:100])  # killed while it wrote the second result
    again = run_bench([tiny_dataset], methods=["le_uda", "cyclegan"], **options)
    assert again["rows"] == found["rows"]
    assert stored.read_bytes() == lines[0] + lines[1][:100] + b"\n" + lines[1]
    with pytest.raises(InputError, match="measured with steps=2, not 3"):
        run_bench([tiny_dataset], methods=["le_uda"], **{**options, "steps": 3})


def test_a_bench_without_fitting_methods_says_so(tiny_dataset, tmp_path):
    with pytest.raises(InputError, match="no method fits"):
        run_bench([tiny_dataset], out=tmp_path, methods=["target_supervised"])
    with pytest.raises(InputError, match="unknown method 'gan'"):
        run_bench([tiny_dataset], out=tmp_path, methods=["gan"])


@pytest.mark.slow
def test_an_ablation_is_a_row_of_its_own(tiny_dataset, tmp_path):
    options = {"out": tmp_path, "seeds": [0], "augmentations": ["paper"], "steps": 2, "settings": SMALL}
    names = ("learning_rate=1e-4:ema_decay=0.9", "translator_steps=1", "translator_steps=0")
    methods = ["cyclegan", *(f"cyclegan:{name}" for name in names)]
    found = run_bench([tiny_dataset], methods=methods, **options)
    assert [row["method"] for row in found["rows"]] == methods
    runs = {path.name: json.loads((path / "run.json").read_text()) for path in (tmp_path / "runs").iterdir()}
    assert sorted(runs) == sorted(f"discs-{method.replace(':', '+')}-paper-0" for method in methods)
    plain, changed, *alone = (runs[f"discs-{method.replace(':', '+')}-paper-0"] for method in methods)
    assert plain["method"] == changed["method"] == "cyclegan"
    assert (changed["settings"]["learning_rate"], changed["settings"]["ema_decay"]) == (1e-4, 0.9)
    assert plain["settings"]["translator"] == changed["settings"]["translator"] != ""
    assert [run["settings"]["translator"] for run in alone] == ["", ""]  # another translator than the shared one, none
    assert run_bench([tiny_dataset], methods=methods, **options)["rows"] == found["rows"]


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ("le_uda:intra_wieght=0", "did you mean 'intra_weight'"),
        ("le_uda:intra_weight=-1", "--methods le_uda: intra_weight='-1' is not allowed"),
        ("le_uda:intra_weight", "--methods le_uda 'intra_weight' is not KEY=VALUE"),
        ("le_uda:augmentation=paper", "use --augmentation"),
    ],
)
def test_a_wrong_ablation_is_refused_before_anything_runs(tiny_dataset, tmp_path, variant, words):
    with pytest.raises(InputError) as caught:
        run_bench([tiny_dataset], out=tmp_path, methods=["source_only", variant])
    assert words in f"{caught.value} {caught.value.remedy}"
    assert not list(tmp_path.iterdir())
