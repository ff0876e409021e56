"""A process that imports training once and forks for every start of a run, so that a start takes milliseconds.

It computes nothing itself, so no thread exists when it forks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from repository import ROOT

SERVER = """
import json, os, signal, sys, time, traceback
import imageio.v3, PIL.Image, skimage.io, torch._dynamo  # what a run would import on first use
PIL.Image.init()
from leuda_core.training.run import resume

CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"}
count = 0

def watch(last):
    def operation(event, _):
        global count
        count += event in CHANGES
        if event in CHANGES and count == last:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(operation)

def child(folder, last):
    os.dup2(2, 1)
    watch(last)
    try:
        resume(folder)
        open(folder + ".operations", "w").write(str(count))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)

for line in sys.stdin:
    folder, last, seconds = json.loads(line)
    pid = os.fork()
    if not pid:
        child(folder, last)
    deadline = time.monotonic() + seconds
    ended = lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    while not ended() and time.monotonic() < deadline:
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)  # without effect on one that has ended
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class ForkedRuns:
    """Starts runs in processes of their own and kills them. POSIX only."""

    def __enter__(self) -> ForkedRuns:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def start(self, folder: Path, *, seconds: float = 600.0, operation: int = 0) -> int:
        """Start or resume a run, kill it after some seconds or at a file operation, and return its exit code."""
        self._process.stdin.write(json.dumps([str(folder), operation, seconds]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())
