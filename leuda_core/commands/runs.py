"""``leuda train``, ``adapt``, ``resume``, ``reproduce``, ``status``, ``stop``, ``report``, ``demo``, ``bench``.

They train, and show what became of it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from leuda_core.commands.output import Progress, Result, say, table
from leuda_core.commands.planning import choice_table
from leuda_core.config import RunConfig, parse_settings, read_run_config
from leuda_core.durations import duration, estimated_duration
from leuda_core.errors import InputError, LeudaError
from leuda_core.io.private import open_private
from leuda_core.io.streams import SafeFormatter, join_lines, log, one_line
from leuda_core.runs import control, state
from leuda_core.runs.events import EventWriter
from leuda_core.runs.folder import Run
from leuda_core.runs.lock import LAUNCH_TOKEN, RunLock, is_running
from leuda_core.runs.model import model_problem


def train(args: Namespace) -> Result:
    """Train in this process, or with ``--detach`` in a separate one."""
    from leuda_core.training import run as training

    choice = {
        "steps": args.steps,
        "budget": args.budget,
        "seed": args.seed,
        "device": args.device,
        "settings": parse_settings(args.set),
    }
    if args.detach:
        return _launch(training.create_run(args.dataset, args.method, args.out, on_plan=_tell_plan, **choice))
    run = Run(args.out)
    with Progress(run=run) as progress, _stopping(run), _logging_to(run.log):
        on_plan, on_progress = _with_plan(progress)
        callbacks: dict[str, Any] = {"on_plan": on_plan, "on_progress": on_progress}
        return _ended(training.train(args.dataset, args.method, args.out, **callbacks, **choice))


def adapt(args: Namespace) -> Result:
    """Go on from a model in this process, or with ``--detach`` in a separate one."""
    from leuda_core.training import run as training

    call = (args.model, args.dataset, args.out)
    choice = {"steps": args.steps, "seed": args.seed, "device": args.device, "settings": parse_settings(args.set)}
    if args.detach:
        return _launch(training.create_adaptation(*call, **choice))
    run = Run(args.out)
    with Progress(run=run) as progress, _stopping(run), _logging_to(run.log):
        return _ended(training.adapt(*call, on_progress=progress, **choice))


def _with_plan(progress: Progress) -> tuple[Callable[[RunConfig], None], Callable[..., None]]:
    """Return callbacks that tell the plan with the first progress: what is refused before is one line alone."""
    plans: list[RunConfig] = []

    def on_progress(*state: Any) -> None:
        while plans:
            _tell_plan(plans.pop())
        progress(*state)

    return plans.append, on_progress


def _tell_plan(config: RunConfig) -> None:
    if config.reasons:
        log(choice_table(config.settings, config.steps, config.reasons))


def resume(args: Namespace) -> Result:
    """Continue a run, or start one that was created but not started."""
    run = Run(args.run).check()
    if state.status(run).state == "finished" and not model_problem(run):
        return _ended(run)
    if args.detach:
        return _launch(run)
    with RunLock(run):
        events = EventWriter(run.events)
        events("start", run=str(run.path))  # before the next line, which takes seconds
        training = _import_training(events)
        with Progress(run=run) as progress, _stopping(run), _logging_to(run.log):
            training.resume(run, on_progress=progress)
    return _ended(run)  # after releasing the lock, which would mean that it is running


def reproduce(args: Namespace) -> Result:
    """Train the model of a bundle again in this process, and compare."""
    from leuda_core.training.reproduce import reproduce as train_again

    run = Run(args.out)
    with Progress(run=run) as progress, _stopping(run), _logging_to(run.log):
        found = train_again(
            args.bundle,
            dataset=args.dataset,
            start=args.model,
            out=run.path,
            on_difference=lambda text: say(f"differs: {text}"),
            on_progress=progress,
        )
    if found.equal:
        weights = "the weights are equal bit for bit"
    elif found.largest_difference is None:
        weights = "the weights cannot be compared: the networks have other sizes"
    else:
        weights = f"the weights differ by up to {found.largest_difference:.3g}"
    lines = [*(f"differs: {text}" for text in (*found.data, *found.software)), weights]
    lines += [f"mean Dice on the test cases, {name}: {dice:.4f}" for name, dice in found.dice.items()]
    return Result(found.as_dict(), "\n".join([*lines, f"run: {found.run}"]))


def status(args: Namespace) -> Result:
    """Show what a run is doing."""
    found = state.status(args.run)
    data = found.as_dict()
    facts = [f"{found.state}: step {found.step} of {found.total} ({found.progress:.0%})"]
    if found.seconds_left is not None:
        facts.append(f"time left: about {estimated_duration(found.seconds_left)}")
    facts += [f"{name}: {value:.4g}" for name, value in found.metrics.items()]
    facts += [text for text in (found.message, found.remedy) if text]
    facts += _warnings(found)
    if found.state == "finished" and not found.message:
        facts.append(f"model: {Run(args.run).bundle}")
    return Result(data, join_lines(facts))


def stop(args: Namespace) -> Result:
    """Ask a run to stop; with ``--force``, kill it if it does not."""
    run = Run(args.run).check()
    if not is_running(run):
        return Result({"running": False}, one_line(f"{run.path}: not running ({state.status(run).state})"))
    if args.force:
        forced = control.kill(run)
        text = one_line(f"{run.path}: {'killed' if forced else 'stopped'}")
        return Result({"running": False, "forced": forced}, text)
    control.request_stop(run)
    text = one_line(f"{run.path}: asked to stop; it writes a checkpoint first (check with leuda status)")
    return Result({"running": True}, text)


def report(args: Namespace) -> Result:
    """Write the report of a run. If needed, a finished model is first scored on the dataset's test cases."""
    from leuda_core.report.report import check_report, write_report

    run = Run(args.run).check()
    check_report(args.out)  # before scoring, which takes minutes
    _score_once(run)
    write_report(run.path, args.out)
    return Result({"report": args.out}, one_line(f"report: {args.out}"))


def demo(args: Namespace) -> Result:
    """Run the demo on phantom data."""
    from leuda_core.demo.demo import run_demo

    data = run_demo(args.out, on_stage=lambda stage, detail: say(f"{stage}: {detail}" if detail else stage))
    rows = [(method, dice) for method, dice in data["dice"].items()]
    files = [f"{kind}: {args.out / name}" for kind, name in data["files"].items() if isinstance(name, str)]
    lines = [*files, *data["notes"], f"{duration(data['seconds'])}; everything is in {args.out}"]
    return Result(data, f"{table(('method', 'mean Dice on unseen target cases'), rows)}\n{join_lines(lines)}")


def bench(args: Namespace) -> Result:
    """Compare methods on datasets, over several seeds."""
    from leuda_core.bench.runner import run_bench

    found = run_bench(
        args.datasets,
        out=args.out,
        methods=args.methods,
        seeds=args.seeds,
        augmentations=args.augmentation,
        steps=args.steps,
        device=args.device,
        settings=parse_settings(args.set),
        on_run=lambda name, done, total: say(f"run {done + 1} of {total}: {name}"),
    )
    return Result(found, f"{Path(found['table']).read_text(encoding='utf-8')}\ntable: {one_line(found['table'])}")


def _launch(run: Run) -> Result:
    pid = control.launch(run)
    text = [f"{run.path}: running as process {pid}", f"watch it: leuda status {run.path}"]
    text.append(f"stop it: leuda stop {run.path}")
    return Result({"run": run.path, "state": "running", "pid": pid}, join_lines(text))


def _ended(run: Run) -> Result:
    found = state.status(run)
    model = run.bundle
    text = [f"{found.state}: {found.step} steps", *(f"{name}: {value:.4g}" for name, value in found.metrics.items())]
    text += _warnings(found)
    text += [f"model: {model}", f"next: leuda segment --model {model} --input VOLUME --output SEGMENTATION.nii.gz"]
    return Result({**found.as_dict(), "bundle": model}, join_lines(text))


def _warnings(found: state.RunStatus) -> list[str]:
    return [f"warning: {one['message']}; {one['remedy']}" for one in found.warnings]


def _score_once(run: Run) -> None:
    if run.scores.exists() or not run.bundle.is_dir():
        return
    from leuda_core.bundle.model import load_bundle
    from leuda_core.data.dataset import load_dataset
    from leuda_core.evaluation import score_bundle
    from leuda_core.io.files import write_json

    try:
        dataset = load_dataset(read_run_config(run.config).dataset, needs_source=False)
        cases = [case for case in dataset.test_target if case.label]
        bundle = load_bundle(run.bundle)
    except InputError as error:  # the data may have been deleted since, or the model damaged
        say(f"leuda: no scores: {error}")
        return
    if cases:
        found = score_bundle(bundle, cases, on_case=lambda case: say(f"scored {case}"))
        for case in found.failed:
            say(f"leuda: case {case.case!r} is not scored: {case.message}; {case.remedy}")
        write_json(run.scores, found.as_dict(), private=True)


def _import_training(events: EventWriter) -> Any:
    try:
        from leuda_core.training import run as training
    except ImportError as error:
        message, remedy = f"the package {error.name} is missing", "see `leuda doctor`"
        events("error", kind="input", message=message, remedy=remedy)
        raise InputError(message, remedy) from error
    return training


@contextlib.contextmanager
def _stopping(run: Run) -> Iterator[None]:
    """On the first Ctrl-C or SIGTERM, write a checkpoint and stop; on the second, stop at once."""

    def ask(number: int, _: object) -> None:
        if control.stop_requested(run) or not is_running(run):
            raise KeyboardInterrupt
        control.request_stop(run)
        say("stopping after a checkpoint; press Ctrl-C again to stop at once")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _RunLog(logging.FileHandler):
    """Appends to a file once its folder exists: a run's folder is created only after the call has been checked."""

    def _open(self) -> Any:
        return open_private(Path(self.baseFilename), self.mode, encoding=self.encoding)

    def emit(self, record: logging.LogRecord) -> None:
        if Path(self.baseFilename).parent.is_dir():
            super().emit(record)


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Copy log messages, and the traceback of a bug, to the log of the run."""
    if LAUNCH_TOKEN in os.environ:  # standard error already goes to that file
        yield
        return
    handler = _RunLog(path, encoding="utf-8", delay=True)
    handler.setFormatter(SafeFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("leuda_core")
    logger.addHandler(handler)
    try:
        yield
    except LeudaError:
        raise
    except Exception:
        handler.handle(logger.makeRecord(logger.name, logging.ERROR, __file__, 0, "failed", (), sys.exc_info()))
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()
