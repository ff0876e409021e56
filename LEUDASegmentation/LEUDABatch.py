"""Segment many volumes without windows.

    Slicer --no-splash --no-main-window --python-script LEUDABatch.py --model MODEL --input FILE|DIR ... --output DIR

The model is loaded once; a file that fails does not stop the others. A second call skips what is done and keeps what
was changed since, unless ``--overwrite`` is given. The outcome of each file is printed on the terminal and written to
``summary.json`` in the output folder. Exit codes: 0 all done; 1 internal error; 2 an input or the command line is
wrong; 130 cancelled with Ctrl+C.
"""
# Slicer reads a script in the encoding of the system: this file is ASCII.

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

sys.path.append(str(Path(__file__).resolve().parent))  # if the module folder is not in Slicer's module paths

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

import LEUDASegmentationLib  # noqa: F401  it makes leuda_core importable
from leuda_core import __version__
from leuda_core.bundle.store import list_models
from leuda_core.errors import Cancelled, InputError, LeudaError, as_leuda_error
from leuda_core.io.files import check_output_folder, write_json
from leuda_core.io.names import output_names
from leuda_core.io.streams import give_up_output, log, one_line, print_json, print_text
from leuda_core.types import SegmentOptions
from LEUDASegmentationLib.processes.environment import models_folder
from LEUDASegmentationLib.processes.installation import install
from LEUDASegmentationLib.processes.packages import missing_packages
from LEUDASegmentationLib.processes.worker_client import WorkerClient

SUMMARY = "summary.json"
FORMATS = ("seg.nrrd", "nii.gz", "nrrd", "mha")

_LINE_EVERY_S = 10.0
_A_DAY_S = 24 * 3600.0


class LEUDABatch(ScriptedLoadableModule):
    """Hides this script from the menus: Slicer treats every Python file next to a module as a module."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = "LE-UDA Batch"
        parent.hidden = True


@dataclass
class Outcome:
    """The outcome of one file. ``state``: waiting, done, failed or cancelled."""

    input: str
    output: str
    state: str = "waiting"
    seconds: float = 0.0
    kind: str = ""
    message: str = ""
    remedy: str = ""
    device: str = ""
    notes: list[str] = field(default_factory=list)
    volumes_ml: dict[str, float] = field(default_factory=dict)
    skipped: bool = False


class Cancellation:
    """Set by Ctrl+C. The first one cancels the current file and ends the batch."""

    def __init__(self, client: WorkerClient) -> None:
        self.requested = False
        self._client = client

    def __call__(self, *_: object) -> None:
        self.requested = True
        for request in self._client.open_requests:
            self._client.cancel(request)


def main(argv: Sequence[str]) -> int:
    """Run the batch and return its exit code."""
    try:
        args = _parser().parse_args(list(argv))
        _require_packages(args.install)
        return _segment_all(args)
    except SystemExit as end:  # --help
        return int(end.code or 0)
    except Exception as error:
        known = as_leuda_error(error)
        _say(f"error: {known}")
        return known.exit_code


class _Parser(argparse.ArgumentParser):
    def _print_message(self, message: str, file: Any = None) -> None:
        print_text(file or sys.stderr, message)

    def error(self, message: str) -> NoReturn:
        raise InputError(message, "see the usage at the top of LEUDABatch.py")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="LEUDABatch.py", allow_abbrev=False, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True, help="name of a model in Slicer, or its folder or zip file")
    parser.add_argument("--input", required=True, nargs="+", type=Path, metavar="FILE|DIR")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    parser.add_argument("--device", default="auto", metavar="DEVICE")
    parser.add_argument("--probabilities", action="store_true", help="also write the probability of each class")
    parser.add_argument("--largest-component", action="store_true", help="keep the largest component of each label")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="file format of the segmentations")
    parser.add_argument(
        "--overwrite", action="store_true", help="also replace segmentations that are done or were changed since"
    )
    parser.add_argument("--json", action="store_true", help="print the summary on standard output")
    parser.add_argument("--install", action="store_true", help="install missing Python packages without asking")
    return parser


def _require_packages(may_install: bool) -> None:
    missing = missing_packages()
    if missing and not may_install:
        raise InputError(
            f"Python packages are missing: {', '.join(missing)}",
            "open the module LE-UDA Segmentation in Slicer once, which installs them, or run this again with --install",
        )
    if missing:
        _say(f"installing {', '.join(missing)}")
        install()


def _segment_all(args: argparse.Namespace) -> int:
    check_output_folder(args.output)
    if (args.output / SUMMARY).is_dir():
        what = f"'{args.output / SUMMARY}' is a folder, where the summary would be written"
        raise InputError(what, "choose another output folder")
    client = WorkerClient()
    cancellation, start = Cancellation(client), time.monotonic()
    client.onLog = lambda line: _say(f"  {line}") if line.startswith(("WARNING", "ERROR")) else None
    try:
        with _on_interrupt(cancellation):
            outcomes = _plan(client, args, _find_model(args.model))
            for number, outcome in enumerate(outcomes, start=1):
                if not cancellation.requested:
                    _segment_one(client, args, outcome, f"[{number}/{len(outcomes)}] {Path(outcome.input).name}")
                    _write_summary(args, outcomes, time.monotonic() - start)
    finally:
        client.stop()
    for outcome in outcomes:
        outcome.state = "cancelled" if outcome.state == "waiting" else outcome.state
    return _finish(args, outcomes, time.monotonic() - start)


def _plan(client: WorkerClient, args: argparse.Namespace, model: Path) -> list[Outcome]:
    """Load the model first, so that a wrong model is reported at once, and find all volumes."""
    _say(f"loading {model}")
    args.model = str(model)
    loaded = client.wait(client.request("load", model=args.model, device=args.device), _A_DAY_S)
    _say(f"loaded on {loaded['device']}; {', '.join(label['name'] for label in loaded['labels'])}")
    inputs = list(dict.fromkeys(map(os.path.abspath, args.input)))
    volumes = client.wait(client.request("find_volumes", inputs=inputs), _A_DAY_S)["volumes"]
    volumes = list({volume["path"]: volume for volume in volumes}.values())  # for a file given with its folder
    targets = output_names([Path(volume["path"]) for volume in volumes], args.output.resolve(), args.format)
    return [Outcome(volume["path"], str(target)) for volume, target in zip(volumes, targets, strict=True)]


def _find_model(name: str) -> Path:
    """Return a model by its path, or by its name in Slicer's list.

    Raises:
        InputError: there is no such model; the message lists the existing ones.
    """
    if Path(name).exists():
        return Path(name).resolve()
    known = {entry.name: entry.path for entry in list_models(models_folder())}
    if name not in known:
        names = ", ".join(known) or "none yet"
        raise InputError(f"there is no model '{name}'", f"give the path of a model or one of these names: {names}")
    return known[name]


def _segment_one(client: WorkerClient, args: argparse.Namespace, outcome: Outcome, title: str) -> None:
    start = time.monotonic()
    options = SegmentOptions(probabilities=args.probabilities, largest_component=args.largest_component)
    request = client.request(
        "segment_file",
        onProgress=_Progress(title),
        model=args.model,
        device=args.device,
        input=outcome.input,
        output=outcome.output,
        once=not args.overwrite,
        **asdict(options),
    )
    try:
        result = client.wait(request, _A_DAY_S)
    except LeudaError as error:
        outcome.state = "cancelled" if isinstance(error, Cancelled) else "failed"
        outcome.kind, outcome.message, outcome.remedy = error.kind, error.message, error.remedy
    else:
        outcome.state, outcome.device, outcome.notes = "done", result["device"], result["notes"]
        outcome.volumes_ml, outcome.skipped = result["volumes_ml"], result.get("skipped", False)
    outcome.seconds = round(time.monotonic() - start, 3)
    _say(f"{title}: {_describe(outcome)}")


class _Progress:
    """Prints the progress of a slow file from time to time."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._last = time.monotonic()

    def __call__(self, event: dict[str, Any]) -> None:
        if time.monotonic() - self._last > _LINE_EVERY_S:
            self._last = time.monotonic()
            left = f", {event['seconds_left']:.0f} s left" if event.get("seconds_left") else ""
            _say(f"{self._title}: {event['stage']} {event['done']}/{event['total']}{left}")


def _describe(outcome: Outcome) -> str:
    if outcome.state != "done":
        return f"{outcome.state}: {outcome.message}" + (f"; {outcome.remedy}" if outcome.remedy else "")
    notes = "".join(f"; {note}" for note in outcome.notes)
    how = "segmented before" if outcome.skipped else f"{outcome.seconds:.1f} s on {outcome.device}"
    return f"{Path(outcome.output).name} ({how}){notes}"


def _finish(args: argparse.Namespace, outcomes: list[Outcome], seconds: float) -> int:
    summary = _write_summary(args, outcomes, seconds)
    _say(f"{summary['done']} of {len(outcomes)} volumes segmented; see {args.output / SUMMARY}")
    if args.json:
        try:
            print_json(sys.stdout, json.dumps(summary, indent=2))
        except BrokenPipeError:  # the reader, such as `head`, has closed the pipe; the work is done
            give_up_output()
    return summary["exit_code"]


def _write_summary(args: argparse.Namespace, outcomes: list[Outcome], seconds: float) -> dict[str, Any]:
    """Write the outcomes so far, so that a batch that is killed leaves a summary."""
    states = [outcome.state for outcome in outcomes]
    summary = {
        "version": __version__,
        "model": args.model,
        "seconds": round(seconds, 3),
        **{state: states.count(state) for state in ("done", "failed", "cancelled", "waiting")},
        "exit_code": _exit_code(outcomes),
        "files": [vars(outcome) for outcome in outcomes],
    }
    write_json(args.output / SUMMARY, summary)
    return summary


def _exit_code(outcomes: list[Outcome]) -> int:
    if any(outcome.state == "cancelled" for outcome in outcomes):
        return Cancelled.exit_code
    failed = [outcome.kind for outcome in outcomes if outcome.state == "failed"]
    return 0 if not failed else LeudaError.exit_code if LeudaError.kind in failed else InputError.exit_code


@contextmanager
def _on_interrupt(handle: Cancellation) -> Iterator[None]:
    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous or signal.SIG_DFL)


def _say(text: str) -> None:
    log(one_line(f"LE-UDA: {text}"))


if __name__ == "__main__":
    slicer.util.exit(main(sys.argv[1:]))
