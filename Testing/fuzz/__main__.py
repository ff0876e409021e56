"""Fuzzes readers and prints a table; exit code 1 if a sample crashed, hung, or raised what is not a refusal.

PYTHONPATH=Testing:Testing/core python -m fuzz --seconds 60 [--reader nrrd --reader dicom] [--seed 1]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fuzz.driver import HANG_S, Outcome, fuzz
from fuzz.targets import TARGETS

_HEAD = f"{'reader':<11}{'inputs':>10}{'accepted':>10}{'refused':>10}{'faults':>8}{'crashes':>9}{'hangs':>7}"
_HEAD += f"{'answers':>9}{'MiB':>7}{'a second':>10}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--reader", action="append", choices=TARGETS, help="one of them (default: each)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each reader (default: 60)")
    parser.add_argument("--inputs", type=int, default=1 << 62, help="most inputs for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hang-seconds", type=float, default=HANG_S, help="most time for one input (default: 10)")
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz"), help="where inputs that fail are kept")
    args = parser.parse_args()
    print(_HEAD, flush=True)
    clean = True
    for name in args.reader or TARGETS:
        limits = {"inputs": args.inputs, "seconds": args.seconds, "hang_s": args.hang_seconds}
        outcome = fuzz(name, findings=args.findings.resolve(), seed=args.seed, **limits)
        print(_row(outcome), flush=True)
        clean &= outcome.is_clean
    if not clean:
        print(f"the inputs that failed are in {args.findings}")
    return 0 if clean else 1


def _row(found: Outcome) -> str:
    row = f"{found.name:<11}{found.inputs:>10}{found.accepted:>10}{found.refused:>10}{found.faults:>8}"
    row += f"{found.crashes:>9}{found.hangs:>7}{found.kinds:>9}{found.peak_mib:>7}"
    return row + f"{found.inputs / max(found.seconds, 1e-9):>10.0f}"


if __name__ == "__main__":
    sys.exit(main())
