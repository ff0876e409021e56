"""The rules of a plan, on ten synthetic fingerprints and machines: what is chosen, and what holds for all of them."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from leuda_core.config import MethodConfig, make_config
from leuda_core.data.survey import DomainSurvey, StructureSurvey, Survey
from leuda_core.methods import METHODS
from leuda_core.training.plans import rules
from leuda_core.training.plans.costs import peak_mib
from leuda_core.training.plans.machine import Machine
from leuda_core.training.plans.rules import PLANNED, Choice, Pace, choose_sizes, choose_steps, side_steps
from repository import ROOT


def domain(pixel: float, side: int, slices: int = 200) -> DomainSurvey:
    """A domain of square slices of ``side`` pixels."""
    return DomainSurvey(10, slices, pixel, 5.0, pixel * side, pixel * side, side, side)


def survey(
    widths: tuple[float, ...], target: DomainSurvey, source: DomainSurvey | None = None, **changes: Any
) -> Survey:
    """A fingerprint with structures of these widths in mm; each is four times as long."""
    structures = tuple(StructureSurvey(f"s{n}", 40, 4, 0.01, 4 * width, width) for n, width in enumerate(widths))
    values = {
        "source": source or target,
        "target": target,
        "structures": structures,
        "extent_mm": max((4 * width for width in widths), default=0.0),
        "one_plane": True,
        "labelled_slices": 40,
        "largest_voxels": target.side_pixels**2 * 40,
    }
    return Survey(**{**values, **changes})


HEARTS = survey((9.2, 25.8, 26.6), domain(0.73, 192), extent_mm=129.0, one_plane=False)
WHOLE_HEARTS = survey((8.6, 30.7, 21.5), domain(0.73, 480), domain(1.5, 256), extent_mm=122.0, one_plane=False)
ABDOMEN = survey((49.4, 18.6, 17.8, 23.1), domain(1.25, 192), domain(1.75, 192), extent_mm=304.0)
LESIONS = survey((2.5,), domain(0.45, 512), extent_mm=160.0)
TWENTY = survey(tuple(range(8, 28)), domain(0.8, 512), extent_mm=380.0)
TINY = survey((8.0,), domain(1.25, 48))
MICROSCOPIC = survey((0.05,), domain(0.004, 2000), extent_mm=4.0)
HUGE = survey((12.0,), domain(0.4, 1024), largest_voxels=1024 * 1024 * 900)
COARSE = survey((90.0,), domain(4.0, 100))
BLANK = survey((0.0,), domain(1.0, 256))

CPU4, CPU16 = Machine("cpu", 4.0), Machine("cpu", 16.0)
GPU6, GPU8, GPU24, GPU80 = (Machine("cuda", gb, True) for gb in (6.0, 8.0, 24.0, 80.0))
H200 = Machine.of("cuda", 139.0, bfloat16=True)

TABLE = {
    # (spacing, patch, channels, batch, rotation, zoom)
    "hearts on a CPU": (HEARTS, CPU16, (1.46, 96, 16, 8, 45.0, 1.0)),
    "hearts on an H200": (HEARTS, H200, (0.876, 160, 48, 16, 45.0, 1.0)),
    "whole hearts on a small CPU": (WHOLE_HEARTS, CPU4, (3.65, 96, 16, 8, 45.0, 2.21)),
    "whole hearts on 24 GB": (WHOLE_HEARTS, GPU24, (1.825, 192, 32, 16, 45.0, 2.12)),
    "abdomen on a CPU": (ABDOMEN, CPU16, (3.0, 80, 16, 8, 20.0, 1.0)),
    "abdomen on 80 GB": (ABDOMEN, GPU80, (1.875, 128, 48, 16, 20.0, 1.0)),
    "lesions on 80 GB": (LESIONS, GPU80, (0.9, 256, 48, 16, 20.0, 1.0)),
    "twenty structures on 24 GB": (TWENTY, GPU24, (2.133, 192, 32, 16, 20.0, 1.0)),
    "tiny volumes on a CPU": (TINY, CPU4, (1.25, 48, 16, 8, 20.0, 1.0)),
    "microscopy on 8 GB": (MICROSCOPIC, GPU8, (0.02708, 192, 32, 16, 20.0, 1.0)),
    "huge volumes on a CPU": (HUGE, CPU16, (4.267, 96, 16, 8, 20.0, 2.13)),
    "one coarse structure": (COARSE, GPU6, (8.333, 48, 16, 16, 20.0, 1.0)),
    "nothing labelled shows a structure": (BLANK, CPU16, (2.667, 96, 16, 8, 20.0, 1.0)),
}


def document_row(name: str) -> str:
    """The row of docs/RESULTS.md for an entry of the table."""
    found, machine, (spacing, patch, channels, batch, _, zoom) = TABLE[name]
    settings, _ = chosen(found, machine)
    look = f"{zoom:g} times closer" if zoom > 1 else "no"
    widths = [one.width_mm for one in found.structures]
    thin = f"{min(widths):g} mm" if all(widths) else "unknown"
    slices = f"{found.target.side_pixels} x {found.target.side_pixels}, {found.target.pixel_mm:g} mm"
    memory = f"{peak_mib('self_training', settings, found, machine):,}"
    return f"| {name} | {slices} | {thin} | {spacing:g} | {patch} | {look} | {channels} | {batch} | {memory} |"


SURVEYS = [HEARTS, WHOLE_HEARTS, ABDOMEN, LESIONS, TWENTY, TINY, MICROSCOPIC, HUGE, COARSE, BLANK]
MACHINES = [Machine("cpu", gb) for gb in (1.0, 2.0, 4.0, 16.0, 64.0)]
MACHINES += [Machine("cuda", gb) for gb in (2.0, 4.0, 6.0, 8.0, 24.0, 40.0, 80.0, 128.0)]


def chosen(found: Survey, machine: Machine, method: str = "self_training", **given: Any) -> tuple[MethodConfig, Choice]:
    start = make_config(METHODS[method].Config, given)
    choice = choose_sizes(found, machine, method, start, frozenset(given))
    return msgspec.structs.replace(start, **choice.settings), choice


@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_choices(name: str) -> None:
    found, machine, expected = TABLE[name]
    settings, choice = chosen(found, machine)
    values = (settings.spacing_mm, settings.patch_size, settings.base_channels, settings.batch_size)
    assert (*values, settings.rotation_deg, settings.zoom) == expected
    without_translator = {name for name in PLANNED if not name.startswith(("translator_", "generator_"))}
    assert choice.reasons.keys() == choice.settings.keys() == without_translator
    assert all(choice.reasons.values()) and not choice.warnings


@pytest.mark.parametrize("name", TABLE)
def test_the_table_is_in_the_documentation(name: str) -> None:
    assert document_row(name) in (ROOT / "docs" / "RESULTS.md").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("machine", MACHINES, ids=str)
@pytest.mark.parametrize("found", SURVEYS, ids=lambda one: f"{one.target.side_pixels}")
@pytest.mark.parametrize("method", ["self_training", "source_only", "le_uda"])
def test_every_choice_is_usable_and_fits(found: Survey, machine: Machine, method: str) -> None:
    settings, choice = chosen(found, machine, method)
    make_config(METHODS[method].Config, msgspec.to_builtins(settings))  # within all ranges
    assert settings.patch_size % 16 == 0 and settings.patch_size >= 48
    assert settings.patch_size <= (256 if machine.kind == "cuda" and machine.memory_gb >= 40 else 192)
    assert 0 < settings.spacing_mm <= 20 and settings.batch_size >= 2 and settings.base_channels >= 8
    needed = peak_mib(method, settings, found, machine) * 2**20
    assert needed <= 0.7 * machine.memory_gb * 1e9 + 2**20 or choice.warnings
    assert max(one.largest_side_mm for one in (found.source, found.target)) / settings.spacing_mm <= 2 * 1448


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("found", SURVEYS, ids=lambda one: f"{one.target.side_pixels}")
def test_more_memory_never_gives_a_smaller_network(found: Survey, kind: str) -> None:
    sizes = [chosen(found, machine)[0] for machine in MACHINES if machine.kind == kind]
    for less, more in pairwise(sizes):
        assert more.base_channels >= less.base_channels and more.patch_size >= less.patch_size


@pytest.mark.parametrize("machine", [Machine("cpu", 1.0), CPU16, GPU24, H200], ids=str)
@pytest.mark.parametrize("found", SURVEYS, ids=lambda one: f"{one.target.side_pixels}")
def test_a_plan_with_its_own_choice_given_changes_nothing(found: Survey, machine: Machine) -> None:
    settings, choice = chosen(found, machine)
    again, nothing = chosen(found, machine, **choice.settings)
    assert again == settings and not nothing.settings and not nothing.reasons
    for one in ("spacing_mm", "patch_size", "zoom", "rotation_deg", "scaling"):
        if machine.memory_gb > 4:  # where memory is short, a given value leaves room for others
            assert chosen(found, machine, **{one: choice.settings[one]})[0] == settings


def test_given_values_are_kept_exactly() -> None:
    given = {"spacing_mm": 0.0, "patch_size": 512, "base_channels": 5, "batch_size": 3, "rotation_deg": 7.0}
    given["scaling"] = 1.1
    settings, choice = chosen(HEARTS, CPU16, **given)
    assert {name: getattr(settings, name) for name in given} == given
    assert choice.settings == {"unlabelled_batch_size": 8, "zoom": 1.0}


def test_the_same_plan_for_every_method() -> None:
    for found in SURVEYS:
        plans = [chosen(found, CPU16, name)[0] for name in METHODS]
        assert len({(one.spacing_mm, one.patch_size, one.base_channels, one.batch_size) for one in plans}) == 1


def test_unlabelled_slices_follow_the_batch() -> None:
    usual = METHODS["self_training"].Config().unlabelled_batch_size
    assert chosen(HEARTS, CPU16)[0].unlabelled_batch_size == usual
    assert chosen(HEARTS, H200)[0].unlabelled_batch_size == 2 * usual
    assert chosen(HEARTS, CPU16, batch_size=2)[0].unlabelled_batch_size == usual


def test_rotation_only_where_slices_are_strongly_augmented() -> None:
    bodies, hearts = chosen(ABDOMEN, CPU16)[0], chosen(HEARTS, CPU16)[0]
    assert (bodies.rotation_deg, bodies.scaling) == (20, 1.6) and (hearts.rotation_deg, hearts.scaling) == (45, 1.25)
    assert not {"rotation_deg", "scaling"} & set(chosen(ABDOMEN, CPU16, augmentation="paper")[1].settings)


def test_a_spacing_of_zero_is_that_of_earlier_versions() -> None:
    assert chosen(HEARTS, CPU16, spacing_mm=0.0)[0].patch_size == 96


def test_a_volume_that_is_too_large_is_told() -> None:
    settings, choice = chosen(HUGE, CPU4)
    assert settings.base_channels == 16 and settings.batch_size == 8  # a smaller network would not help
    ((what, remedy),) = choice.warnings
    assert "7.4 GB" in what and remedy


def test_free_memory_counts_in_classes() -> None:
    assert Machine.of("cuda", 139.0) == Machine("cuda", 128.0)
    assert Machine.of("cpu", 15.9) == Machine.of("cpu", 12.1) == Machine("cpu", 12.0)
    assert Machine.of("cpu", None) == Machine("cpu", 4.0) and Machine.of("cpu", 0.5) == Machine("cpu", 0.5)


MEASURED = {
    # (precision, side of the slices, method, patch, batch, unlabelled batch, channels, translator): peak MiB on a CPU
    ("bfloat16", 256, "source_only", 48, 2, 2, 8, True): 434,
    ("bfloat16", 256, "source_only", 96, 8, 2, 16, True): 543,
    ("bfloat16", 256, "source_only", 160, 16, 2, 16, True): 960,
    ("bfloat16", 256, "source_only", 96, 16, 2, 32, True): 980,
    ("bfloat16", 256, "self_training", 96, 8, 2, 16, False): 580,
    ("bfloat16", 256, "self_training", 96, 8, 8, 16, False): 632,
    ("bfloat16", 256, "self_training", 96, 8, 8, 16, True): 766,
    ("bfloat16", 256, "self_training", 160, 4, 4, 16, True): 889,
    ("bfloat16", 256, "self_training", 96, 4, 4, 32, True): 912,
    ("bfloat16", 256, "cyclegan", 96, 8, 2, 16, True): 570,
    ("bfloat16", 256, "cyclegan", 160, 2, 8, 8, True): 1306,
    ("bfloat16", 256, "le_uda", 96, 8, 8, 16, True): 1029,
    ("bfloat16", 256, "mt_uda", 96, 8, 8, 16, True): 1021,
    ("bfloat16", 256, "meta_hallucinator", 96, 8, 8, 16, True): 877,
    ("bfloat16", 256, "mean_teacher", 96, 8, 8, 16, True): 706,
    ("bfloat16", 256, "tcsm", 96, 8, 8, 16, True): 688,
    ("bfloat16", 256, "sifa", 96, 8, 8, 16, True): 964,
    ("bfloat16", 256, "glua", 96, 8, 8, 16, True): 696,
    ("bfloat16", 256, "early_features", 96, 8, 8, 16, True): 571,
    ("bfloat16", 256, "istn", 96, 8, 8, 16, True): 564,
    ("bfloat16", 256, "voxelmorph", 96, 8, 8, 16, True): 627,
    ("bfloat16", 256, "adda", 96, 8, 8, 16, True): 634,
    ("bfloat16", 256, "histogram_matching", 96, 8, 8, 16, True): 539,
    ("bfloat16", 256, "adabn", 96, 8, 8, 16, True): 553,
    ("bfloat16", 256, "mt_uda", 160, 4, 4, 16, True): 1254,
    ("bfloat16", 256, "cyclegan", 160, 8, 4, 16, True): 878,
    ("bfloat16", 512, "source_only", 48, 2, 2, 8, True): 515,
    ("bfloat16", 512, "source_only", 96, 8, 2, 16, True): 653,
    ("bfloat16", 512, "cyclegan", 96, 8, 2, 16, True): 706,
    ("float32", 256, "source_only", 48, 2, 2, 8, True): 427,
    ("float32", 256, "source_only", 160, 16, 2, 16, True): 1326,
    ("float32", 256, "self_training", 96, 8, 8, 16, False): 763,
    ("float32", 256, "self_training", 96, 8, 8, 16, True): 915,
    ("float32", 256, "self_training", 160, 4, 4, 16, True): 1118,
    ("float32", 256, "cyclegan", 96, 8, 2, 16, True): 641,
    ("float32", 256, "le_uda", 96, 8, 8, 16, True): 1537,
    ("float32", 256, "mt_uda", 96, 8, 8, 16, True): 1501,
    ("float32", 256, "meta_hallucinator", 96, 8, 8, 16, True): 1064,
    ("float32", 256, "sifa", 96, 8, 8, 16, True): 1176,
}


@pytest.mark.parametrize("sizes", MEASURED, ids=str)
def test_predicted_memory_is_that_of_measured_trainings(sizes: tuple[str, int, str, int, int, int, int, bool]) -> None:
    precision, side, method, patch, batch, unlabelled, channels, translator = sizes
    given = {"patch_size": patch, "batch_size": batch, "base_channels": channels, "unlabelled_batch_size": unlabelled}
    if "translator_steps" in METHODS[method].Config.__struct_fields__:
        given["translator_steps"] = 1000 if translator else 0
    volumes = survey((128.0,), domain(1.0, side), largest_voxels=side**2 * 24)
    settings, _ = chosen(volumes, CPU16, method, spacing_mm=1.0, **given)
    machine = Machine("cpu", 12.0, bfloat16=precision == "bfloat16")
    assert peak_mib(method, settings, volumes, machine) == pytest.approx(MEASURED[sizes], rel=0.15)


# steps


def test_steps_fill_the_budget() -> None:
    choice = choose_steps(25.0, Pace(prepare=50.0, step=1.0))
    assert choice.settings == {"steps": 1300} and "25 minutes" in choice.reasons["steps"] and not choice.warnings
    assert choose_steps(25.0, Pace(prepare=0.0, step=1.0, fixed=350.0)).settings == {"steps": 1000}


def test_a_translator_gets_its_share() -> None:
    pace = Pace(prepare=0.0, step=1.0, side={"translator_steps": (1000, 1.0)})
    assert choose_steps(25.0, pace).settings == {"translator_steps": 400, "steps": 950}
    fast = Pace(prepare=0.0, step=0.1, side={"translator_steps": (1000, 0.01)})
    assert choose_steps(25.0, fast).settings == {"translator_steps": 5000, "steps": 13000}
    slow = Pace(prepare=0.0, step=1.0, side={"translator_steps": (1000, 9.0), "head_steps": (100, 1.0)})
    assert choose_steps(60.0, slow).settings == {"translator_steps": 300, "head_steps": 100, "steps": 440}


def test_with_given_steps_other_phases_are_in_proportion() -> None:
    usual = {"translator_steps": 1000, "head_steps": 200, "none_steps": 0}
    assert not side_steps(usual, 500).settings and not side_steps(usual, 1000).settings
    choice = side_steps(usual, 2500)
    assert choice.settings == {"translator_steps": 2500, "head_steps": 500} and "2,500" in choice.reasons["head_steps"]
    assert side_steps(usual, 20_000).settings == {"translator_steps": 5000, "head_steps": 1000}


@pytest.mark.parametrize("method", ["cyclegan", "le_uda", "sifa"])
def test_translators_grow_with_slices_and_network(method: str) -> None:
    network = "generator" if method == "sifa" else "translator"
    sizes = [f"{network}_{size}" for size in ("channels", "blocks", "halvings")]
    for found, machine, expected in (
        (HEARTS, CPU16, (16, 4, 2)),
        (ABDOMEN, GPU80, (48, 6, 3)),
        (LESIONS, GPU80, (48, 9, 3)),
    ):
        settings, choice = chosen(found, machine, method)
        assert tuple(getattr(settings, size) for size in sizes) == expected and choice.reasons.keys() >= set(sizes)
    settings, _ = chosen(LESIONS, GPU80, method, **{sizes[1]: 2})
    assert getattr(settings, sizes[1]) == 2


def test_a_budget_that_is_too_short_or_longer_than_useful() -> None:
    short = choose_steps(1.0, Pace(prepare=30.0, step=1.0))
    assert short.settings == {"steps": 300} and "fewest" in short.reasons["steps"]
    ((what, remedy),) = short.warnings
    assert "1 minutes are too short for 300 steps, which take about 6.1" in what and remedy
    assert choose_steps(600.0, Pace(0.0, 0.01)).settings == {"steps": 20_000}


def test_reasons_are_sentences_about_the_data() -> None:
    _, choice = chosen(ABDOMEN, CPU16)
    assert "'s2', the thinnest structure with 17.8 mm, spans 6 pixels" in choice.reasons["spacing_mm"]
    assert asdict(choice)["settings"] == choice.settings
    _, choice = chosen(survey((3.0,), domain(1.0, 80)), CPU16)
    assert "as fine as the finer domain" in choice.reasons["spacing_mm"]
    assert (
        rules.choose_sizes(HEARTS, GPU8, "source_only", METHODS["source_only"].Config(), frozenset())
        .reasons["base_channels"]
        .startswith("on a GPU with 8 GB")
    )


def test_a_second_look_is_planned_where_structures_are_a_small_part_of_whole_slices() -> None:
    slices = domain(0.8, 440)  # 352 mm, 3.67 mm in a patch of 96 pixels
    small, large = survey((9.0,), slices, extent_mm=100.0), survey((9.0,), slices, extent_mm=190.0)
    settings, choice = chosen(small, CPU16)
    assert settings.zoom == pytest.approx(settings.spacing_mm / 1.5, abs=0.01)  # six pixels across 9 mm
    assert "a second look" in choice.reasons["zoom"]
    assert chosen(large, CPU16)[0].zoom == 1.0
    assert chosen(small, CPU16, zoom=1.0)[0].zoom == 1.0
    assert chosen(small, CPU16, spacing_mm=1.0)[0].zoom == 1.0  # patches show parts of slices


def test_a_thin_structure_beside_a_wide_one_is_looked_at_closely() -> None:
    """Whole slices are enough to find the wide one; parts of slices would not show where the thin one is."""
    slices = domain(0.8, 440)
    both = survey((3.0, 20.0), slices, extent_mm=80.0)
    assert chosen(both, CPU16)[0].spacing_mm == pytest.approx(352 / 96, abs=0.01) and chosen(both, CPU16)[0].zoom > 3
    assert chosen(survey((3.0,), slices, extent_mm=80.0), CPU16)[0].spacing_mm < 1.5
