"""``leuda segment``, ``suggest``, ``evaluate``, ``phantom``. A file that fails does not stop the others."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leuda_core.commands.output import Progress, Result, say, table
from leuda_core.errors import Cancelled, InputError, as_leuda_error
from leuda_core.io.streams import join_lines, one_line
from leuda_core.types import SegmentOptions

if TYPE_CHECKING:
    from leuda_core.prediction.record import FolderRecord
    from leuda_core.prediction.segmenter import SliceSegmenter

logger = logging.getLogger(__name__)

Row = dict[str, Any]
Show = Callable[[str, int, int], None]


def segment(args: Namespace) -> Result:
    """Segment a volume, a DICOM series or a folder of volumes."""
    options = SegmentOptions(probabilities=args.probabilities, largest_component=args.largest_component)
    pairs = plan_outputs(args.input, args.output, args.format, options)
    from leuda_core.bundle.model import load_bundle
    from leuda_core.prediction.record import FolderRecord
    from leuda_core.prediction.segmenter import SliceSegmenter

    bundle = load_bundle(args.model)
    segmenter = SliceSegmenter(bundle.predictor(), bundle.task, device=args.device)
    one = len(pairs) == 1 and pairs[0][0] == args.input
    into_folder = any(target != args.output for _, target in pairs)
    record = FolderRecord(args.output) if into_folder and not args.overwrite else None
    work = partial(_segment_one, segmenter, options=options, model=bundle.checksum, record=record)
    rows = []
    with Progress("slice" if one else "volume") as progress:

        def show(stage: str, done: int, total: int) -> None:
            if one and stage == "segment":
                progress(done, total)

        for done, (source, target) in enumerate(pairs):
            rows.append(_attempt(partial(work, source, target, show=show), source, one))
            if not one:
                progress(done + 1, len(pairs))
    failed = [row for row in rows if not row["ok"]]
    data = {"model": args.model, "volumes": rows, "failed": len(failed)}
    text = [one_line(_describe(row)) for row in rows]
    if len(rows) > 1:
        skipped = sum(row.get("skipped", False) for row in rows)
        before = f", {skipped} of them before (--overwrite segments them again)" if skipped else ""
        text.append(f"{len(rows) - len(failed)} of {len(rows)} volumes segmented{before}")
    code = 1 if any(row["fault"] for row in failed) else 2
    return Result(data, "\n".join(text), code if failed else 0)


def plan_outputs(
    source: Path, target: Path, extension: str = "", options: SegmentOptions | None = None
) -> list[tuple[Path, Path]]:
    """Return (input, output) for each volume to segment.

    Raises:
        InputError: there is nothing to read, or an output would overwrite an input or another output.
    """
    from leuda_core.io.files import check_output_folder
    from leuda_core.io.finding import find_volumes
    from leuda_core.io.names import EXTENSIONS, real_path, volume_extension, volume_stem

    if not source.exists():
        raise InputError(f"{source} does not exist", "give an existing volume or folder to --input")
    volumes = (find_volumes(source) or [source]) if source.is_dir() else [source]
    named = volume_extension(target)
    if named and not target.is_dir():
        if volumes != [source]:
            raise InputError(
                f"{source} contains {len(volumes)} volumes, {target} is one file", "give --output a folder"
            )
        if extension and f".{extension}" != named:
            raise InputError(f"{target} does not have the extension of --format {extension}", "leave out --format")
        pairs = [(source, target)]
        check_output_folder(real_path(target).parent)
    elif source.is_file() and target.suffix and not target.is_dir():
        raise InputError(f"{target} has an unknown extension", f"use one of {', '.join(EXTENSIONS)}, or a folder")
    else:
        ending = f".{extension or 'nii.gz'}"
        pairs = [(volume, target / (volume_stem(volume) + ending)) for volume in volumes]
        check_output_folder(target)
    _check_distinct(pairs, probabilities=bool(options and options.probabilities))
    return pairs


def suggest(args: Namespace) -> Result:
    """Name the slices that are worth correcting or labelling next."""
    from leuda_core.bundle.model import load_bundle
    from leuda_core.data.dataset import load_dataset
    from leuda_core.prediction.segmenter import SliceSegmenter
    from leuda_core.prediction.suggestion import suggest_slices

    bundle, dataset = load_bundle(args.model), load_dataset(args.dataset, needs_source=False)
    task, domain = (bundle.task.for_source, dataset.source) if args.source else (bundle.task, dataset.target)
    segmenter = SliceSegmenter(bundle.predictor(), task, device=args.device)
    with Progress("volume") as progress:
        found = suggest_slices(
            segmenter,
            domain.cases,
            args.count,
            volumes=args.volumes,
            on_case=progress,
            on_unreadable=lambda error: say(f"leuda: left out: {error}"),
        )
    rows = [(one.case, one.index, f"{one.doubt_mm2 / 100:.1f}") for one in found]
    text = table(("case", "slice", "expected wrong area, cm2"), rows) if rows else "no slice is left"
    return Result({"model": args.model, "slices": [asdict(one) for one in found]}, text)


def evaluate(args: Namespace) -> Result:
    """Score predictions against references."""
    from leuda_core.evaluation import evaluate as score

    found = score(args.prediction, args.reference)
    data = found.as_dict()
    header = ("case", "label", "Dice", "HD95 mm", "ASD mm", "")
    rows: list[tuple[object, ...]] = [
        (s.case, s.name, s.dice, s.hd95_mm, s.asd_mm, "" if s.state == "scored" else s.state) for s in found.scores
    ]
    rows += [("all", label.name, label.dice, label.hd95_mm, label.asd_mm, "") for label in found.labels]
    rows.append(("all", "mean", found.overall.dice, found.overall.hd95_mm, found.overall.asd_mm, ""))
    lines = [table(header, rows)]
    lines += [f"no reference for {one_line(name)}" for name in found.unmatched_predictions]
    lines += [f"no prediction for {one_line(name)}" for name in found.unmatched_references]
    lines += [one_line(f"{case.case}: failed: {case.message}; {case.remedy}") for case in found.failed]
    if not found.failed:
        return Result(data, "\n".join(lines))
    count = len(found.failed)
    error = f"{count} of {count + len(found.cases)} cases could not be scored"
    return Result(data, "\n".join(lines), 1 if any(case.kind == "fault" for case in found.failed) else 2, error)


def phantom(args: Namespace) -> Result:
    """Generate the phantom dataset."""
    from leuda_core.data.phantom.cohort import make_phantom

    if args.out.is_dir() and any(args.out.iterdir()):
        raise InputError(f"{args.out} contains other files", "give a new or empty folder")
    source, target = args.direction.split("-to-")
    dataset = make_phantom(
        args.out,
        source_cases=args.source,
        labelled=args.labelled,
        target_cases=args.target,
        test_cases=args.test,
        seed=args.seed,
        source=source,
        target=target,
        target_labels=args.target_labels,
    )
    text = [f"dataset: {dataset}", f"next: leuda train {dataset} --out RUN"]
    return Result({"dataset": dataset}, join_lines(text))


def _segment_one(
    segmenter: SliceSegmenter,
    source: Path,
    target: Path,
    *,
    options: SegmentOptions,
    model: str,
    record: FolderRecord | None,
    show: Show,
) -> Row:
    from leuda_core.prediction.files import segment_file, segment_file_once

    if record is None:
        return {"ok": True, **segment_file(segmenter, source, target, options, on_progress=show)}
    row = segment_file_once(segmenter, source, target, options, model=model, record=record, on_progress=show)
    return {"ok": True, **row}


def _attempt(work: Callable[[], Row], source: Path, one: bool) -> Row:
    """Process one volume and return its row, also for a failure. If it is the only volume, the failure is raised."""
    try:
        return work()
    except Cancelled:
        raise
    except Exception as error:
        if one:
            raise
        known = as_leuda_error(error)
        if known is not error:
            logger.debug("%s", source, exc_info=error)
        say(f"leuda: {source}: {known}")
        problem = {"kind": known.kind, "message": known.message, "remedy": known.remedy}
        return {"input": source, "ok": False, "fault": known.exit_code == 1, "error": problem}


def _describe(row: Row) -> str:
    if not row["ok"]:
        return f"{row['input']}: failed: {row['error']['message']}"
    parts = ", ".join(f"{name} {ml:.1f} ml" for name, ml in row["volumes_ml"].items())
    how = "segmented before" if row.get("skipped") else f"{sum(row['seconds'].values()):.1f} s on {row['device']}"
    return "; ".join([f"{row['output']}: {parts} ({how})", *row["notes"]])


def _check_distinct(pairs: list[tuple[Path, Path]], *, probabilities: bool) -> None:
    """Check that no output, including the files of the probabilities, is an input or another output."""
    from leuda_core.io.names import probabilities_path, real_path

    inputs = {real_path(source) for source, _ in pairs}
    seen: dict[Path, Path] = {}
    for source, target in pairs:
        for path in (target, probabilities_path(target)) if probabilities else (target,):
            if real_path(path) in inputs:
                raise InputError(f"{path} is an input and would be overwritten", "give another --output")
            other = seen.setdefault(path, source)
            if other != source:
                raise InputError(f"{other.name} and {source.name} would both become {path}", "rename one of them")
