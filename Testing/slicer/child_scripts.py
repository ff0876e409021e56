"""Small programs that child processes of the tests run, as ``python SCRIPT words``, and what waits for them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

posix = pytest.mark.skipif(os.name == "nt", reason="signals and sessions are those of POSIX")

COMMAND = r"""
import json, os, signal, subprocess, sys, time

def say(text):
    sys.stderr.write(text + "\n")
    sys.stderr.flush()

def answer():  # a document and exit code 2, as `check` gives
    print(json.dumps({"ok": False, "words": sys.argv[1:]}))
    sys.exit(2)

def error():
    print(json.dumps({"error": {"kind": "device", "message": "no GPU", "remedy": "use the CPU"}}))
    sys.exit(2)

def words():
    for piece in ("Grö".encode()[:3], "Grö".encode()[3:] + b"\xc3", b"\x9fe 1\n", b"\rhalf", b" line"):
        os.write(2, piece)
        time.sleep(0.02)
    print(json.dumps("Größe"))

def flood():
    for number in range(200_000):
        sys.stderr.write(f"line {number}\n")
    print("{}")

def garbage():
    print("no JSON")
    say("Traceback (most recent call last):\nValueError: what went wrong")
    sys.exit(1)

def missing():
    say("leuda: error: the package msgspec is missing; see `leuda doctor` for how to get it")
    sys.exit(2)

def killed():
    say("about to die")
    os.kill(os.getpid(), signal.SIGKILL)

def tidy():  # ends when asked
    def end(number, frame):
        say("tidied up")
        sys.exit(130)

    signal.signal(signal.SIGTERM, end)
    say("ready")
    time.sleep(60)

def stubborn():  # has a child; neither listens
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]  # SIGTERM stays ignored in it
    child = subprocess.Popen(sleep)
    far = subprocess.Popen(sleep, start_new_session=True)
    say(f"ready {os.getpid()} {child.pid} {far.pid}")
    time.sleep(60)

globals()[sys.argv[1]]()
"""

WORKER = r"""
import json, os, sys, time

def event(name, /, **fields):
    sys.stdout.write(json.dumps({"event": name, **fields}) + "\n")
    sys.stdout.flush()

def serve(request):
    name, number = request["request"], request["id"]
    if name == "echo":
        event("progress", id=number, stage="segment", done=1, total=2, seconds_left=0.5)
        event("done", id=number, result={"text": request["text"], "pid": os.getpid()})
    elif name == "fail":
        event("error", id=number, kind="input", message="no volume", remedy="choose one")
    elif name == "die":
        sys.stderr.write("MemoryError: the last words\n")
        os._exit(9)
    elif name == "noise":
        sys.stdout.write("this is no event\n[1]\n" + "[" * 100_000 + "\n")
        event("done", id=[number], result={})
        event("progress", id={}, stage="segment")
        event("news", id=number)
        event("error", id=None, kind="input", message="a bad line", remedy="")
        event("done", id=999, result={})
        event("done", id=number, result={})
    elif name == "hang":
        time.sleep(60)

event("hello", pid=os.getpid(), version="0", protocol=int(os.environ.get("FAKE_PROTOCOL", "1")))
for line in sys.stdin:
    serve(json.loads(line))
"""


def write_script(folder: Path, text: str) -> str:
    """Write a script and return its path."""
    path = folder / "script.py"
    path.write_text(text, encoding="utf-8")
    return str(path)


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Run the event loop until the condition holds; say whether it does."""
    import slicer

    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        slicer.app.processEvents()
        time.sleep(0.005)
    return condition()


def is_there(pid: int) -> bool:
    """Say whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
