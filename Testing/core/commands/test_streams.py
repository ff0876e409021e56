"""Output that cannot show a name, is no terminal, is closed or missing: the work is done, and its result told."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from leuda_core import cli
from leuda_core.cli import main
from leuda_core.commands import output
from leuda_core.commands.output import Result, table, to_json
from leuda_core.errors import InputError
from leuda_core.io.files import write_json
from leuda_core.io.streams import SafeFormatter, is_terminal, join_lines, one_line, print_json, print_text, printable
from leuda_core.report.page import escape
from repository import ROOT

NAME = "Größe 心 😀"
EVIL = "a\x1b[31mred\x07\x9b\u202egnp.exe\u2066\udcff\r"
RAW = [character for character in EVIL if character not in "aredgnp.x[31m"]


class Console:
    """What takes the place of the standard streams in some applications: it has a write method, and little else."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text


class Strict(io.TextIOWrapper):
    """A stream of an encoding that refuses what it cannot show."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)

    def text(self) -> str:
        return self.buffer.getvalue().decode(self.encoding)


class Full(io.StringIO):
    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that talks while it works, and has a name in its result."""

    def command(_: Namespace) -> Result:
        print("a library prints")
        logging.getLogger("leuda_core").warning("a warning about %s", NAME)
        output.say(f"working on {NAME}")
        with output.Progress() as progress:
            progress(1, 1, {NAME: 0.5})
        return Result({NAME: [NAME]}, join_lines([f"result {NAME}", table((NAME,), [(1.0,)])]))

    monkeypatch.setattr(cli, "_command", lambda place: command)


def call(monkeypatch: pytest.MonkeyPatch, words: list[str], *, out: object, err: object) -> int:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        return main(words)


@pytest.mark.parametrize(
    "make", [lambda: None, Console, lambda: Strict("ascii"), lambda: Strict("cp1252"), io.StringIO]
)
@pytest.mark.parametrize("words", [["methods"], ["methods", "--json"]])
def test_every_kind_of_stream_will_do(answer: None, make, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    streams = make(), make()
    assert call(monkeypatch, words, out=streams[0], err=streams[1]) == 0
    assert sys.stdout is not None and sys.stderr is not None
    out = streams[0]
    text = out.text if isinstance(out, Console) else out.text() if isinstance(out, Strict) else out and out.getvalue()
    if text is not None and words[1:]:
        assert json.loads(text) == {NAME: [NAME]}
    elif text is not None:
        assert text.startswith("result Gr") and text.endswith("\n")


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["train", "--help"], ["nonsense"], ["nonsense", "--json"]]
)
def test_help_and_errors_without_streams(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = 2 if words[0] == "nonsense" else 0
    for stream in (None, Console(), Strict("ascii")):
        assert call(monkeypatch, words, out=stream, err=stream) == expected


def test_a_full_disk_behind_the_output_is_no_fault_of_ours(answer: None, monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO()
    assert call(monkeypatch, ["methods"], out=Full(), err=err) == 1
    assert "cannot write 'standard output': no space left; free disk space" in err.getvalue()
    out = io.StringIO()
    assert call(monkeypatch, ["methods"], out=out, err=Full()) == 0 and out.getvalue()


def test_a_closed_error_stream_ends_nothing(answer: None, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, out = io.StringIO(), io.StringIO()
    closed.close()
    assert call(monkeypatch, ["methods"], out=out, err=closed) == 0 and out.getvalue()


class Left(io.StringIO):
    def flush(self) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


@pytest.mark.parametrize("words", [["methods"], ["methods", "--json"]])
def test_a_reader_that_leaves_early_changes_no_exit_code(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that breaks within the command is its failure, and not that of the reader."""

    def broken(_: Namespace) -> Result:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    err = io.StringIO()
    monkeypatch.setattr(cli, "_command", lambda place: lambda _: Result({}, "", code=2, error="a problem"))
    assert call(monkeypatch, words, out=Left(), err=err) == 2 and "a problem" in err.getvalue()
    assert call(monkeypatch, ["--help"], out=Left(), err=err) == 0
    monkeypatch.setattr(cli, "_command", lambda place: broken)
    assert call(monkeypatch, words, out=io.StringIO(), err=err) == 2 and "broken pipe" in err.getvalue()


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
def test_no_file_takes_the_number_of_a_closed_stream() -> None:
    code = "import sys\nfrom leuda_core.io.streams import standard_streams\n"
    code += "with standard_streams(): sys.exit(open('/dev/null').fileno())"
    done = subprocess.run(["sh", "-c", f'"$0" -c "{code}" <&- >&- 2>&-', sys.executable], cwd=ROOT, check=False)
    assert done.returncode > 2


def test_nothing_that_controls_a_terminal_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def command(_: Namespace) -> Result:
        logging.getLogger("leuda_core").warning("about %s", EVIL)
        output.say(EVIL)
        raise InputError(f"{EVIL} is wrong", f"rename {EVIL}")

    monkeypatch.setattr(cli, "_command", lambda place: command)
    monkeypatch.setattr(logging.root, "handlers", [])  # the command's own handler is used, and pytest's is not
    out, err = io.StringIO(), io.StringIO()
    assert call(monkeypatch, ["methods"], out=out, err=err) == 2
    assert f"about {escape(EVIL)}" in err.getvalue()
    shown = err.getvalue() + printable(EVIL) + table((EVIL,), [(EVIL,)]) + escape(EVIL)
    shown += SafeFormatter("%(message)s").format(logging.makeLogRecord({"msg": EVIL}))
    assert not [character for character in RAW if character in shown]
    assert r"a\x1b[31mred\x07\x9b\u202egnp.exe\u2066\udcff" in err.getvalue()


def test_a_line_end_in_a_name_does_not_make_a_line() -> None:
    assert table(("a\nb",), [("c\td",)]).splitlines() == [r"a\nb", r"c\td"]
    assert one_line("a\n\u2028b") == r"a\n\u2028b" and printable("a\n\tb") == "a\n\tb"
    assert join_lines(["a\nb", "c"]) == "a\\nb\nc"
    assert one_line("Größe 心 😀 ‌من") == "Größe 心 😀 ‌من"  # letters of every script, and what joins them


def test_names_that_are_not_text_become_valid_json(tmp_path: Path) -> None:
    text = to_json({"a\udcff": [Path("b\udcfe"), ("c", 1.5, None, float("nan"))], "d": "ö"})
    assert json.loads(text) == {"a\\udcff": ["b\\udcfe", ["c", 1.5, None, None]], "d": "ö"} and text.encode()
    write_json(tmp_path / "x.json", {"a": "b\udcff"})
    assert json.loads((tmp_path / "x.json").read_bytes().decode()) == {"a": "b\udcff"}


def test_json_is_escaped_where_the_stream_is_not_utf_8() -> None:
    for encoding in ("cp1252", "ascii", "utf-16"):
        stream = Strict(encoding)
        print_json(stream, to_json([NAME]))
        assert stream.text().isascii() and json.loads(stream.text()) == [NAME]
    stream = Strict("utf-8")
    print_json(stream, to_json([NAME]))
    assert NAME in stream.text()
    print_json(None, "1")
    print_text(None, "x")


def test_a_terminal_is_known_without_trust() -> None:
    broken = Namespace(isatty=lambda: 1 / 0 if False else True)
    closed = io.StringIO()
    closed.close()
    assert is_terminal(broken) and not any(map(is_terminal, (None, Console(), closed, io.StringIO())))


CHILDREN = {
    "ascii": {"PYTHONIOENCODING": "ascii:strict"},
    "the C locale": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "cp1252": {"PYTHONIOENCODING": "cp1252:strict"},
}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="bytes in names and encodings as on Linux")
@pytest.mark.parametrize("environment", CHILDREN)
@pytest.mark.parametrize("closed", ["", ">&-", "2>&-"])
def test_a_child_process_tells_its_result_whatever_its_output_is(environment: str, closed: str, tmp_path: Path) -> None:
    """The path of the dataset has letters, and a byte that is no letter of any encoding."""
    path = os.fsencode(tmp_path / "心") + b"\xff\x1b[31m.json"
    settings = {**os.environ, **CHILDREN[environment], "PYTHONPATH": str(ROOT)}
    script = f'"$0" -m leuda_core check "$1" --json {closed}'
    done = subprocess.run(["sh", "-c", script, sys.executable, path], env=settings, capture_output=True, check=False)
    assert done.returncode == 0 or done.returncode == 2, done.stderr
    assert b"\x1b" not in done.stdout + done.stderr and b"Traceback" not in done.stderr
    if closed != ">&-":
        document = json.loads(done.stdout.decode("ascii" if "ascii" in environment else "utf-8"))
        assert not document["ok"] and "json" in document["problems"][0]
    if closed != "2>&-":
        assert done.stderr.startswith(b"leuda: error: ") and done.stderr.count(b"\n") == 1
