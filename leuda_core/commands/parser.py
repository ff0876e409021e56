"""The words of the command line: all commands and their options, without slow imports."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

import leuda_core
from leuda_core.config import DEFAULT_METHOD, DEFAULT_STEPS, DEVICES
from leuda_core.errors import InputError
from leuda_core.io.streams import give_up_output, print_text

_FORMATS = ("nii.gz", "nrrd", "seg.nrrd", "mha", "nii")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line, without slow imports."""
    parser = _Parser(prog="leuda", description=(leuda_core.__doc__ or "").splitlines()[0])
    parser.add_argument("--version", action="version", version=f"leuda {leuda_core.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_info(commands)
    _add_runs(commands)
    _add_volumes(commands)
    _add_tables(commands)
    return parser


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def _print_message(self, message: str, file: Any = None) -> None:
        try:
            print_text(file or sys.stderr, message)
        except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
            give_up_output()

    def error(self, message: str) -> NoReturn:
        raise InputError(message, f"see `{self.prog} --help`")


def _add(commands: argparse._SubParsersAction, name: str, function: str, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.set_defaults(run_command=function)
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    return parser


def _add_info(commands: argparse._SubParsersAction) -> None:
    _add(commands, "methods", "info:methods", "list the methods, their papers and, with --json, their settings")
    check = _add(commands, "check", "info:check", "open every volume of a dataset and report every problem")
    check.add_argument("dataset", type=Path, metavar="DATASET", help="the dataset's JSON file")
    phantom = _add(commands, "phantom", "volumes:phantom", "make the built-in dataset of synthetic hearts")
    phantom.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new or an empty folder")
    for what, cases in (("source", 16), ("labelled", 4), ("target", 16), ("test", 4)):
        phantom.add_argument(f"--{what}", type=int, default=cases, metavar="N", help=f"cases (default: {cases})")
    phantom.add_argument("--seed", type=int, default=0, metavar="S", help="seed of all random numbers (default: 0)")
    phantom.add_argument(
        "--direction", choices=("mr-to-ct", "ct-to-mr"), default="mr-to-ct",
        help="from the labelled to the unlabelled modality (default: mr-to-ct)",
    )  # fmt: skip
    phantom.add_argument(
        "--target-labels", action="store_true", help="label the target cases too; only for target_supervised"
    )
    text = "show versions, devices (each tested with a real kernel) and missing packages"
    _add(commands, "doctor", "info:doctor", text)


def _add_runs(commands: argparse._SubParsersAction) -> None:
    plan = _add(commands, "plan", "planning:plan", "show what a training would choose, why, and its cost")
    _add_dataset_and_method(plan)
    _add_choice(plan)
    train = _add(commands, "train", "runs:train", "adapt a model to an unlabelled target domain")
    _add_dataset_and_method(train)
    _add_new_run(train)
    adapt = _add(commands, "adapt", "runs:adapt", "improve a model with corrected slices of target volumes")
    adapt.add_argument("dataset", type=Path, metavar="DATASET", help="the JSON file of a dataset, see the README")
    adapt.add_argument(
        "--from", required=True, type=Path, dest="model", metavar="BUNDLE", help="the model to start from"
    )
    adapt.add_argument("--steps", type=int, metavar="N", help="training steps (default: 300)")
    _add_new_run(adapt)
    resume = _add_run(commands, "resume", "continue a run from its last checkpoint")
    resume.add_argument("--detach", action="store_true", help="continue in a separate process and return at once")
    again = _add(commands, "reproduce", "runs:reproduce", "train a model again and say what differs")
    again.add_argument("bundle", type=Path, metavar="BUNDLE", help="a bundle's folder or zip file")
    again.add_argument(
        "--dataset",
        type=Path,
        metavar="FILE",
        help="the dataset's JSON file (default: that of the bundle's run)",
    )
    again.add_argument(
        "--from", type=Path, dest="model", metavar="BUNDLE", help="the model that an adapted one began with"
    )
    again.add_argument(
        "--out",
        type=Path,
        default=Path("reproduced"),
        metavar="RUN",
        help="the run folder to create or continue (default: reproduced)",
    )
    _add_run(commands, "status", "show what a run is doing")
    stop = _add_run(commands, "stop", "ask a run to write a checkpoint and stop")
    stop.add_argument("--force", action="store_true", help="kill it if it has not stopped after 5 seconds")
    report = _add_run(commands, "report", "write a self-contained HTML page about a run")
    report.add_argument("--out", required=True, type=Path, metavar="FILE.html", help="the page to write")


def _add_dataset_and_method(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="the dataset's JSON file")
    parser.add_argument(
        "--method",
        default=DEFAULT_METHOD,
        metavar="NAME",
        help=f"one of `leuda methods` (default: {DEFAULT_METHOD})",
    )
    parser.add_argument("--budget", metavar="20m|2h", help="time for which sizes and steps are chosen (default: 25m)")
    parser.add_argument("--steps", type=int, metavar="N", help="training steps of the segmenter, instead of a budget")


def _add_new_run(parser: argparse.ArgumentParser) -> None:
    _add_choice(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="the run folder to create")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of all random numbers (default: 0)")
    parser.add_argument("--detach", action="store_true", help="train in a separate process and return at once")


def _add_choice(parser: argparse.ArgumentParser) -> None:
    _add_device(parser)
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the method, kept as it is"
    )


def _add_volumes(commands: argparse._SubParsersAction) -> None:
    segment = _add(commands, "segment", "volumes:segment", "segment volumes with a trained model")
    segment.add_argument("--model", required=True, type=Path, metavar="BUNDLE", help="a bundle's folder or zip file")
    segment.add_argument(
        "--input",
        required=True,
        type=Path,
        metavar="FILE|DIR",
        help="a volume, a folder with a DICOM series, or a folder of volumes",
    )
    segment.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="FILE|DIR",
        help="the extension sets the format; a folder is continued, see --overwrite",
    )
    segment.add_argument(
        "--format", choices=_FORMATS, default="", help="format of the files in an output folder (default: nii.gz)"
    )
    _add_device(segment)
    segment.add_argument(
        "--probabilities",
        action="store_true",
        help="also write OUTPUT_probabilities.nii.gz: 4-D, one volume per class, background first",
    )
    segment.add_argument(
        "--largest-component", action="store_true", help="keep only the largest connected part of each label"
    )
    segment.add_argument(
        "--overwrite",
        action="store_true",
        help="in an output folder, also replace segmentations that are done or were changed since",
    )
    suggest = _add(commands, "suggest", "volumes:suggest", "name the slices that are worth correcting or labelling")
    suggest.add_argument("dataset", type=Path, metavar="DATASET", help="the JSON file of a dataset")
    suggest.add_argument("--model", required=True, type=Path, metavar="BUNDLE", help="a bundle's folder or zip file")
    suggest.add_argument("--source", action="store_true", help="slices of source volumes to label, not of target ones")
    suggest.add_argument("--count", type=_positive, default=4, metavar="N", help="slices (default: 4)")
    suggest.add_argument("--volumes", type=_positive, metavar="N", help="of at most N volumes (default: all)")
    _add_device(suggest)
    evaluate = _add(commands, "evaluate", "volumes:evaluate", "score predictions: Dice, HD95 and ASD in mm")
    evaluate.add_argument("--prediction", required=True, type=Path, metavar="FILE|DIR")
    evaluate.add_argument("--reference", required=True, type=Path, metavar="FILE|DIR", help="files with the same names")


def _add_tables(commands: argparse._SubParsersAction) -> None:
    demo = _add(commands, "demo", "runs:demo", "run the whole method on phantom data; takes minutes on two cores")
    demo.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="the output folder (default: demo)")
    bench = _add(commands, "bench", "runs:bench", "compare methods over several seeds and write tables")
    bench.add_argument("datasets", nargs="*", type=Path, metavar="DATASET", help="dataset files (default: the phantom)")
    bench.add_argument(
        "--methods", type=_names, default=["all"], metavar="A,B:KEY=VALUE",
        help="method names, each with optional settings (for ablations), or all",
    )  # fmt: skip
    bench.add_argument("--seeds", type=_whole_numbers, default=[0, 1, 2], metavar="0,1", help="default: 0,1,2")
    bench.add_argument("--augmentation", type=_names, default=["paper", "strong"], metavar="A,B", help="paper,strong")
    bench.add_argument(
        "--steps", type=int, default=DEFAULT_STEPS, metavar="N",
        help=f"training steps of each run (default: {DEFAULT_STEPS})",
    )  # fmt: skip
    bench.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="applied to the methods that have KEY"
    )
    _add_device(bench)
    bench.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder for runs and tables; continues an interrupted bench",
    )


def _add_run(commands: argparse._SubParsersAction, name: str, text: str) -> argparse.ArgumentParser:
    parser = _add(commands, name, f"runs:{name}", text)
    parser.add_argument("run", type=Path, metavar="RUN", help="the run folder")
    return parser


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", default="auto", metavar="DEVICE", help=f"{DEVICES}; default: a GPU that works, otherwise the CPU"
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _whole_numbers(text: str) -> list[int]:
    return [int(number) for number in _names(text)]
