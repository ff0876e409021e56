"""The stories once more in real X windows, on a virtual screen, each in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from repository import ROOT

STORIES = [Path(__file__).with_name(f"{name}.py") for name in ("test_story", "test_story_of_corrections")]
XVFB = shutil.which("Xvfb")


@pytest.fixture
def screen() -> Iterator[str]:
    """The name of a virtual screen."""
    read, write = os.pipe()
    command = [XVFB, "-displayfd", str(write), "-screen", "0", "1400x1000x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=(write,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as answer:
            yield f":{answer.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


@pytest.mark.skipif(XVFB is None, reason="Xvfb is not installed (Debian: apt install xvfb)")
@pytest.mark.alone
@pytest.mark.timeout(500)
@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_the_stories_in_real_windows(screen: str, story: Path) -> None:
    environment = {**os.environ, "DISPLAY": screen, "QT_QPA_PLATFORM": "xcb"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(story)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "1 passed" in done.stdout
