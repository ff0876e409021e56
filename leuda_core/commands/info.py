"""``leuda methods``, ``check``, ``doctor``: they show information and change nothing."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from leuda_core.commands.output import Result, table
from leuda_core.io.streams import join_lines, one_line


def methods(_: Namespace) -> Result:
    """List the methods with their papers and settings."""
    from leuda_core.config import config_schema
    from leuda_core.methods import METHODS

    data = [
        {
            "name": name,
            "title": kind.title,
            "summary": kind.summary,
            "paper": kind.paper,
            "reads_target_labels": kind.reads_target_labels,
            "default_steps": kind.default_steps,
            "settings": config_schema(kind.Config),
        }
        for name, kind in METHODS.items()
    ]
    rows = [(row["name"], row["summary"], row["paper"]) for row in data]
    return Result(data, table(("method", "what it does", "paper"), rows) + "\nsettings: leuda methods --json")


def check(args: Namespace) -> Result:
    """Report every problem of a dataset."""
    from leuda_core.data.check import check_dataset

    report = check_dataset(args.dataset)
    problems = [str(problem) for problem in report.problems]
    data = {"ok": not problems, "problems": problems, "warnings": list(report.warnings), "summary": report.summary}
    warnings = [f"warning: {warning}" for warning in report.warnings]
    if problems:
        count, them = ("1 problem", "it") if len(problems) == 1 else (f"{len(problems)} problems", "them")
        error = f"{args.dataset} has {count}; fix {them} and check again"
        return Result(data, join_lines([*problems, *warnings]), code=2, error=error)
    lines = [f"{args.dataset}: no problems", *warnings]
    return Result(data, f"{join_lines(lines)}\n{_overview(report.summary)}")


def _overview(summary: dict[str, Any]) -> str:
    labels = ", ".join(f"{value} {one_line(name)}" for value, name in summary["labels"].items())
    rows = [
        (row["role"], row["id"], " x ".join(map(str, row["shape"])), " x ".join(f"{mm:g}" for mm in row["spacing_mm"]),
         row["labelled_slices"], row["slices"])
        for row in summary["volumes"]
    ]  # fmt: skip
    columns = ("role", "case", "voxels", "spacing mm", "labelled slices", "of")
    return f"labels: {labels}; {summary['labelled_source_slices']} labelled source slices\n\n{table(columns, rows)}"


def doctor(_: Namespace) -> Result:
    """Show what this machine can do."""
    from leuda_core.doctor import examine

    health = examine()
    lines = [table(("package", "version"), health.versions.items()), ""]
    rows = [
        (d.device, d.name, d.problem or "works", d.milliseconds, "yes" if d.bfloat16 else "no", d.memory_gb, d.free_gb)
        for d in health.devices
    ]
    lines.append(table(("device", "name", "kernels", "ms", "bfloat16", "memory GB", "free GB"), rows))
    lines += ["", *(health.advice or ("nothing is missing",))]
    return Result(health.as_dict(), "\n".join(lines), code=0 if health.works else 2)
