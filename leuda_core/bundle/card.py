"""The model card: what users must know about a model, as Markdown."""

from __future__ import annotations

from leuda_core.bundle.schema import BundleInfo, DomainSummary
from leuda_core.types import Normalization, Task

_TRAINED = "It was trained on the data above only: with other scanners or patients, check every result."
_UNLABELLED = "The target domain had no labels in training, so systematic errors there could not be detected."


def model_card(task: Task, info: BundleInfo) -> str:
    """Return the card's text."""
    limits = [_across(task), _TRAINED, *(() if info.target.labelled_cases else (_UNLABELLED,)), *info.limits]
    names = ", ".join(label.name for label in task.labels)
    parts = [
        f"# {info.name}",
        f"Segments **{names}** in {info.target.modality} volumes ({info.target.name}), adapted from "
        f"{info.source.modality} ({info.source.name}).",
        f"## Method\n\n`{info.method}`, {info.steps} steps, seed {info.seed}."
        + (f" It started from the model {info.adapted_from[:12]}." if isinstance(info.adapted_from, str) else "")
        + (f"\n\n{info.citation}" if info.citation else ""),
        _chosen(info),
        f"## Training data\n\n- source {_count(info.source)}\n- target {_count(info.target)}",
        f"## Input and output\n\nSlices in the {task.plane} plane at {_spacings(task)}; intensities clipped to "
        f"{_range(task.normalization)}. The label map has the grid of the input volume." + _source_range(task),
        "\n".join(["| value | label |", "|---|---|", *(f"| {label.value} | {label.name} |" for label in task.labels)]),
        _structures(task),
        _metrics(info),
        "## Warnings of the training\n\n" + "\n".join(f"- {warning}" for warning in info.warnings)
        if info.warnings
        else "",
        "## Intended use\n\nResearch. Not a medical device: not for diagnosis or patient care.",
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _spacings(task: Task) -> str:
    if task.zoom == 1:
        return f"{task.spacing_mm:g} mm"
    closer = f"{task.closer.spacing_mm:.3g} mm"
    return f"{task.spacing_mm:g} mm, which show where the structures are, and then around them at {closer}"


def _chosen(info: BundleInfo) -> str:
    """List what was chosen for the data and the machine."""
    if not info.reasons:
        return ""
    values = {**info.settings, "steps": info.steps}
    rows = [f"| {name} | {values.get(name, '')} | {why} |" for name, why in info.reasons.items()]
    return "\n".join(["## Chosen for these data", "", "| setting | value | why |", "|---|---|---|", *rows])


def _across(task: Task) -> str:
    """Say what the model sees beside the slice that it segments."""
    if not task.context:
        return "Slices are segmented one by one, without information from neighbouring slices."
    distance = f", about {task.context_mm:g} mm apart" if task.context_mm else ""
    count = "1 neighbour" if task.context == 1 else f"{task.context} neighbours"
    return f"Each slice is segmented with {count} on each side{distance}, without information from other slices."


def _range(normalization: Normalization) -> str:
    low, high = normalization.lower_percentile, normalization.upper_percentile
    if normalization.window is None:
        return f"percentiles {low:g} and {high:g} of the volume"
    window = "{:g} to {:g} Hounsfield units".format(*normalization.window)
    return f"{window} (to percentiles {low:g} and {high:g} of a volume that is not in Hounsfield units)"


def _source_range(task: Task) -> str:
    source = task.source_normalization
    return f"\n\nIn training, source volumes were clipped to {_range(source)}." if source else ""


def _count(domain: DomainSummary) -> str:
    text = f"{domain.name} ({domain.modality}): {domain.cases} cases, {domain.labelled_cases} with labels"
    return text + (f" ({domain.labelled_slices} labelled slices)" if domain.labelled_slices else "")


def _structures(task: Task) -> str:
    """List the sizes of the structures, which results are compared with."""
    if not task.anatomy:
        return ""
    rows = [f"| {one.name} | {one.cases} of {one.of} | {one.low_ml:g} to {one.high_ml:g} |" for one in task.anatomy]
    return "\n".join(
        ["## Structures in the labelled volumes", "", "| structure | volumes | mL |", "|---|---|---|", *rows]
    )


def _metrics(info: BundleInfo) -> str:
    if not info.metrics:
        return "## Metrics\n\nNone recorded: no labelled cases were held out."
    rows = [f"| {name} | {'undefined' if value is None else f'{value:.4g}'} |" for name, value in info.metrics.items()]
    return "\n".join(["## Metrics", "", "| metric | value |", "|---|---|", *rows])
