"""The command line: exit codes, one-line errors, clean JSON, and the commands that only tell something."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from command_calls import call, call_json
from leuda_core import cli
from leuda_core.commands import output
from leuda_core.commands.parser import build_parser
from leuda_core.config import parse_settings
from leuda_core.errors import Cancelled, InputError
from leuda_core.runs.events import EventWriter
from leuda_core.runs.folder import Run
from repository import ROOT

COMMANDS = [
    "methods",
    "check",
    "plan",
    "train",
    "adapt",
    "suggest",
    "status",
    "stop",
    "resume",
    "reproduce",
    "segment",
    "evaluate",
    "phantom",
    "report",
    "doctor",
    "demo",
    "bench",
]


# calls


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "--help")
    assert code == 0 and all(name in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_a_function(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, name, "--help")
    assert code == 0 and out.startswith(f"usage: leuda {name}") and "--json" in out
    actions = build_parser()._subparsers._group_actions[0].choices[name]
    assert callable(cli._command(actions.get_default("run_command")))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "COMMAND"),
        (["frobnicate"], "'frobnicate'"),
        (["train", "d.json"], "--out"),
        (["train", "d.json", "--method", "x", "--out", "r", "--steps", "many"], "'many'"),
        (["segment", "--model", "m", "--input", "i", "--output", "o", "--format", "png"], "'png'"),
        (["status"], "RUN"),
        (["status", "/no/such/run"], "/no/such/run"),
        (["check", "/no/such.json", "--nonsense"], "--nonsense"),
        (["segment", "--model", "m", "--input", "/no/such", "--output", "o"], "/no/such"),
        (["evaluate", "--prediction", "/no/such", "--reference", "/no/such"], "/no/such"),
    ],
)
def test_a_wrong_call_is_one_line_and_2(words: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("leuda: error: ") and err.count("\n") == 1 and named in err


def test_a_wrong_call_with_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["train", "--json"], ["status", "/no/such/run", "--json"]):
        code, out, _ = call(capsys, *words)
        error = json.loads(out)["error"]
        assert code == error["exit_code"] == 2 and error["kind"] == "input" and error["message"] and error["remedy"]


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (InputError("wrong value 7", "give 8"), 2),
        (FileNotFoundError(2, "No such file", "/a/b"), 2),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 2),
        (Cancelled(), 130),
        (KeyboardInterrupt(), 130),
        (ValueError("two\nlines"), 1),
    ],
)
def test_exit_codes(
    raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: argparse.Namespace) -> None:
        print("a library prints")
        raise raised

    monkeypatch.setattr(cli, "_command", lambda place: fail)
    monkeypatch.delenv("LEUDA_DEBUG", raising=False)
    found, out, err = call(capsys, "methods", "--json")
    assert found == code == json.loads(out)["error"]["exit_code"]
    lines = err.splitlines()
    assert lines[0] == "a library prints" and len(lines) == 2 and lines[1].startswith("leuda: ")
    monkeypatch.setenv("LEUDA_DEBUG", "1")
    assert ("Traceback" in call(capsys, "methods")[2]) == (code == 1)


def test_status_starts_without_heavy_libraries(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    code = (
        "import sys; from leuda_core.cli import main; code = main(sys.argv[1:])\n"
        "assert not {'torch', 'monai', 'SimpleITK', 'numpy'} & set(sys.modules); sys.exit(code)"
    )
    words = [sys.executable, "-c", code, "status", str(tmp_path), "--json"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["state"] == "created"


def test_a_reader_that_left_is_no_error() -> None:
    command = f'"{sys.executable}" -m leuda_core --help | true; exit ${{PIPESTATUS[0]}}'
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


# what they tell


def test_methods_tells_papers_and_settings(capsys: pytest.CaptureFixture[str]) -> None:
    code, rows = call_json(capsys, "methods")
    by_name = {row["name"]: row for row in rows}
    assert code == 0 and {"le_uda", "source_only"} <= set(by_name)
    assert "description" in by_name["mean_teacher"]["settings"]["properties"]["consistency_weight"]
    assert "le_uda" in call(capsys, "methods")[1]


def test_check(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = call_json(capsys, "check", tiny_dataset)
    assert code == 0 and found["ok"] and found["summary"]["cases"]["source"] == 3
    document = json.loads(tiny_dataset.read_text())
    document["source"]["cases"][1]["image"] = "gone_1.nii.gz"
    document["target"]["cases"][0]["image"] = "gone_2.nii.gz"
    for path in tiny_dataset.parent.glob("*.nii.gz"):
        shutil.copy(path, tmp_path)
    broken = tmp_path / "dataset.json"
    broken.write_text(json.dumps(document))
    code, out, _ = call(capsys, "check", broken)
    assert code == 2 and "gone_1" in out and "gone_2" in out
    code, found = call_json(capsys, "check", broken)
    assert code == 2 and not found["ok"] and len(found["problems"]) == 2


def test_doctor_runs_a_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = call_json(capsys, "doctor")
    cpu = found["devices"][0]
    assert code == 0 and found["works"] and cpu["device"] == "cpu" and cpu["problem"] == "" and cpu["milliseconds"] > 0
    assert found["versions"]["torch"]
    assert "works" in call(capsys, "doctor")[1]


def test_doctor_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "torch" else find(name, *a))
    code, found = call_json(capsys, "doctor")
    assert code == 2 and not found["works"] and "pip install torch" in found["missing"]["torch"]["get"]


# small things


def test_settings() -> None:
    assert parse_settings(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    with pytest.raises(InputError, match="twice"):
        parse_settings(["a=1", "a=2"])


def test_json_of_everything_we_say() -> None:
    value = {"path": Path("a") / "b", "nan": float("nan"), "count": np.int64(3), "rows": (np.float32(0.5),)}
    assert json.loads(output.to_json(value)) == {"path": str(Path("a/b")), "nan": None, "count": 3, "rows": [0.5]}


def test_progress_without_a_terminal_is_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with output.Progress() as progress:
        for step in range(1, 101):
            progress(step, 100, {"loss": 0.123456})
    out, err = capsys.readouterr()
    assert (out, err) == ("", "step 100/100 loss=0.1235\n")


def test_progress_of_a_run_knows_its_slow_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    EventWriter(run.events)("course", phases=[{"name": "train", "steps": 100, "seconds": [[0.25, 5.0], [0.75, 15.0]]}])
    clock = iter(range(0, 10_000, 12))
    monkeypatch.setattr(output.time, "monotonic", lambda: next(clock))
    with output.Progress(run=run) as progress:
        for step in (2, 4, 6, 8, 10):
            progress(step, 100)
    assert capsys.readouterr().err.splitlines() == ["step 4/100, about 20 min left", "step 8/100, about 19 min left"]
