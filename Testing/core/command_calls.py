"""Calls of the command line in this process."""

from __future__ import annotations

import json

import pytest

from leuda_core.cli import main


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of a command."""
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def call_json(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict]:
    """Return exit code and document of a command with ``--json``."""
    code, out, _ = call(capsys, *words, "--json")
    return code, json.loads(out)
