"""Mutated inputs, the same ones every time: each is read or refused in one line, without a warning or any output."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from fuzz.sample import write
from fuzz.targets import TARGETS, Tries

INPUTS = {
    **dict.fromkeys(("nrrd", "seg.nrrd", "mha", "nii", "nii.gz"), 600),
    **dict.fromkeys(("dicom", "bundle", "zip"), 120),
}


@pytest.mark.slow
@pytest.mark.parametrize("reader", INPUTS)
def test_damaged_input_is_read_or_refused(reader: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target, rng, folder = TARGETS[reader], Random(reader), tmp_path / "input"
    folder.mkdir()
    pool = target.corpus()
    outcomes: Counter[str] = Counter()
    for _ in range(INPUTS[reader]):
        tries = Tries()
        write(target.mutate(rng.choice(pool), rng, pool), folder)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            target.read(folder, tries)
        for error in tries.refusals:
            assert error.remedy and len(str(error).splitlines()) == 1, error
        outcomes.update(refused=bool(tries.refusals), read=bool(tries.accepted))
    assert min(outcomes.values()) > INPUTS[reader] // 10, outcomes
    assert capfd.readouterr().err == ""
