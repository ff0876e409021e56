"""Facts about a run from its folder, for a heading and a legend. Standard library only."""

from __future__ import annotations

import html
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from leuda_core.bundle.store import read_model
from leuda_core.errors import LeudaError
from leuda_core.io.private import read_regular
from leuda_core.runs.folder import Run
from leuda_core.runs.state import RunStatus
from LEUDATrainingLib.method_catalog import load_methods
from LEUDATrainingLib.runs.run_records import read_run_config, run_name


def headline(run: Run) -> str:
    """Return the name and the main settings of a run, as rich text."""
    config: dict[str, Any] = {}
    with suppress(OSError):
        config = read_run_config(run)
    method = load_methods().get(str(config.get("method", "")))
    facts = [
        method.title if method else str(config.get("method", "")),
        _("{count} steps").format(count=config["steps"]) if "steps" in config else "",
        _("seed {seed}").format(seed=config["seed"]) if "seed" in config else "",
        _("device: {device}").format(device=config["device"]) if "device" in config else "",
    ]
    return f"<b>{html.escape(run_name(run.path))}</b><br>{html.escape(' · '.join(filter(None, facts)))}"


def label_colors(run: Run) -> list[tuple[str, str]]:
    """Return (name, CSS colour) of the structures with a colour, from the model or else from the dataset."""
    with suppress(LeudaError, OSError):
        return [(label.name, _css([255 * part for part in label.color])) for label in read_model(run.bundle).labels]
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        labels = json.loads(read_regular(Path(read_run_config(run)["dataset"])))["labels"].values()
        return [(str(x["name"]), _css(x["color"])) for x in labels if isinstance(x, dict) and x.get("color")]
    return []


def _css(color: Any) -> str:
    red, green, blue = (round(part) for part in color)
    return f"#{red:02x}{green:02x}{blue:02x}"


def state_text(status: RunStatus | None) -> str:
    """Return the state of a run, with its progress if it has not finished; ``None`` is that of a damaged one."""
    if status is None:
        return _("damaged")
    names = {
        "created": _("not started"),
        "running": _("running"),
        "finished": _("finished"),
        "stopped": _("stopped"),
        "failed": _("failed"),
        "crashed": _("interrupted"),
    }
    text = names.get(status.state, status.state)
    return f"{text} {status.progress:.0%}" if status.state in ("running", "stopped", "failed", "crashed") else text
