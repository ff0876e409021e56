"""Fuzzes one reader with atheris, which chooses the inputs by the code of ``leuda_core`` that they reach.

    pip install atheris
    make fuzz GUIDED=1 READER=nrrd SECONDS=600

A crash or an error that is not a refusal ends the process, as atheris does it, with the input in ``build/fuzz``. The
bytes are a sample of one file as it is, without the mutations of the other fuzzer.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

from fuzz.sample import write

with atheris.instrument_imports(include=["leuda_core"]):
    from fuzz.targets import TARGETS, Tries


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz.guided", description=__doc__.splitlines()[0])
    parser.add_argument("--reader", choices=TARGETS, default="nrrd")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leuda-fuzz-") as work:
        _fuzz(args.reader, Path(work), seconds=args.seconds, seed=args.seed)


def _fuzz(reader: str, work: Path, *, seconds: int, seed: int) -> None:
    target, folder, corpus = TARGETS[reader], work / "input", work / "corpus"
    folder.mkdir()
    corpus.mkdir()
    first, *others = target.corpus()
    name = next(iter(first))
    for number, sample in enumerate([first, *others]):
        (corpus / str(number)).write_bytes(sample.get(name, b""))

    def read(data: bytes) -> None:
        write({**first, name: data}, folder)
        target.read(folder, Tries())

    warnings.simplefilter("ignore")
    logging.disable()
    found = Path("build/fuzz").resolve()
    found.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={seconds}", f"-seed={seed + 1}", "-timeout=10", "-rss_limit_mb=4096", "-max_len=20000"]
    atheris.Setup([sys.argv[0], str(corpus), *limits, f"-artifact_prefix={found}/guided-{reader}-"], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
