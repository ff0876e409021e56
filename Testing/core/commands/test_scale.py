"""Many volumes with broken ones between them: the small version of ``Testing/benchmarks/bench_scale.py``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import bench_scale

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process as Linux tells it"),
]


def test_broken_volumes_do_not_end_a_batch(tmp_path: Path) -> None:
    count = 3 * len(bench_scale.BROKEN)
    found = bench_scale.batch(tmp_path, count)
    assert found["exit code"] == 2, found
    assert found["written"] == 2 * len(bench_scale.BROKEN) and found["refused"] == len(bench_scale.BROKEN), found
    assert found["refused are the broken ones"] and not found["not told as a problem of the file"], found


def test_many_cases_are_checked_in_bounded_memory(tmp_path: Path) -> None:
    found = bench_scale.check(tmp_path, 40)
    assert found["problems"] == 0 and found["growth MiB"] < 50, found
