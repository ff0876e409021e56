"""The page of a run: complete, self-contained, honest about runs that did not finish, and safe with any text."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from leuda_core.errors import InputError
from leuda_core.evaluation import evaluate_pair, summarize
from leuda_core.report.curves import read_losses
from leuda_core.report.page import markdown_html
from leuda_core.report.report import write_report
from leuda_core.types import Label, LabelMap

LABELS = (Label(1, "myocardium", (0.8, 0.4, 0.3)), Label(2, "left <ventricle>", (0.2, 0.5, 1.0)))
START = 1_790_000_000.0


class Checker(HTMLParser):
    """Collects the pictures and the text, and fails on a tag that is closed out of order."""

    VOID = ("meta", "img", "source")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.images += [values[key] for key in ("src", "srcset") if key in values]
        self.links += [values["href"]] if "href" in values else []
        assert tag != "script"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def png(value: int) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(stream, format="png")
    return stream.getvalue()


@pytest.fixture
def run(tmp_path) -> Path:
    """The folder of a finished run, as training leaves it."""
    folder = tmp_path / "run"
    (folder / "bundle").mkdir(parents=True)
    (folder / "previews").mkdir()
    config = {
        "dataset": "/nowhere/heart/dataset.json",
        "method": "source_only",
        "steps": 40,
        "settings": {"batch_size": 4},
    }
    (folder / "run.json").write_text(json.dumps(config))
    events = [{"event": "start", "time": START}]
    events += [
        {
            "event": "progress",
            "time": START + step,
            "stage": "train",
            "step": step,
            "total": 40,
            "metrics": {"seg": 1 / step},
        }
        for step in (10, 20, 30, 40)
    ]
    events.append({"event": "end", "time": START + 75, "state": "finished", "step": 40})
    write_events(folder, events)
    for step in range(10, 130, 10):
        (folder / "previews" / f"step-{step:06d}.png").write_bytes(png(step))
    domain = {"name": "mr <1>", "modality": "MR", "cases": 16, "labelled_cases": 4, "labelled_slices": 31}
    info = {"source": domain, "target": {**domain, "name": "ct", "modality": "CT", "labelled_cases": 0}}
    labels = [{"value": x.value, "name": x.name, "color": x.color, "terminology": ""} for x in LABELS]
    bundle = {"info": {**info, "software": {"torch": "2.99.0"}}, "task": {"labels": labels}}
    (folder / "bundle" / "bundle.json").write_text(json.dumps(bundle))
    (folder / "bundle" / "README.md").write_text("# Card\n\nSegments **hearts** in `CT`.\n\n- one limit\n- two\n")
    return folder


def write_events(folder: Path, events: list[dict]) -> None:
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


def write_scores(folder: Path) -> None:
    reference = np.zeros((12, 12, 4), np.uint8)
    reference[1:5, 1:5] = 1
    found = reference.copy()
    found[8:, 8:] = 2
    pair = [LabelMap(data, np.eye(4), LABELS) for data in (found, reference)]
    (folder / "scores.json").write_text(json.dumps(summarize(evaluate_pair(*pair, case="p01")).as_dict()))


def report(run: Path, **options) -> tuple[str, Checker]:
    out = run.parent / "report.html"
    write_report(run, out, **options)
    page = out.read_text(encoding="utf-8")
    return page, Checker(page)


def test_page_of_a_finished_run_holds_everything(run):
    write_scores(run)
    page, found = report(run)
    for text in ("heart", "finished", "1 min 15 s", "4 of 16", "left <ventricle>", "mr <1>", "2.99.0", "batch_size"):
        assert text in found.text
    assert "slices per step" in found.text  # the setting's description
    assert "<b>hearts</b>" in page and "<li>one limit</li>" in page
    assert (
        "<b>1.000</b>" in page and "<b>0.500</b>" in page
    )  # Dice of the myocardium, and the mean with the false label
    assert found.text.index("Results") < found.text.index("Training")


def test_page_stands_alone(run):
    write_scores(run)
    page, found = report(run)
    assert found.links == []
    assert len(found.images) == 2 + 8  # one chart for light and dark, and at most eight previews
    for uri in found.images:
        prefix, _, data = uri.partition(",")
        assert prefix == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    assert not re.search(r"https?://", page)
    assert "/nowhere" not in page


def test_first_and_last_preview_are_shown(run):
    _, found = report(run)
    steps = [int(step) for step in re.findall(r"step (\d+)", found.text)]
    assert (len(steps), steps[0], steps[-1]) == (8, 10, 120)


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ({"event": "end", "state": "stopped"}, "stopped early"),
        (
            {"event": "error", "kind": "input", "message": "no space left", "remedy": "free some"},
            "no space left free some",
        ),
        (None, "stopped unexpectedly"),
    ],
)
def test_unfinished_run_says_so(run, last, words):
    for name in ("bundle.json", "README.md"):
        (run / "bundle" / name).unlink()
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()][:3]
    write_events(run, events + ([{"time": START + 30, **last}] if last else []))
    _, found = report(run)
    assert words in found.text
    assert "20 of 40" in found.text


def test_run_that_never_started(run):
    for path in (run / "events.jsonl", *(run / "previews").iterdir(), *(run / "bundle").iterdir()):
        path.unlink()
    _, found = report(run)
    assert "not started yet" in found.text
    assert found.images == []


def test_steps_taken_again_after_a_crash_count_once():
    events = [
        {"event": "progress", "stage": "train", "step": step, "metrics": {"seg": value, "bad": float("nan")}}
        for step, value in ((10, 1.0), (20, 9.0), (20, 0.5), (30, 0.25))
    ]
    assert read_losses(events) == {"train": {"seg": {10: 1.0, 20: 0.5, 30: 0.25}}}


def test_figures_and_comparison(run, tmp_path):
    write_scores(run)
    scores = json.loads((run / "scores.json").read_text())
    better = json.loads((run / "scores.json").read_text())
    better["overall"]["dice"] = 0.9
    (tmp_path / "picture.png").write_bytes(png(9))
    page, found = report(
        run, figures={"Before & after": tmp_path / "picture.png"}, comparison={"source_only": scores, "le_uda": better}
    )
    assert "Before & after" in found.text
    assert base64.b64encode(png(9)).decode() in page
    assert "<td>0.500</td><td><b>0.900</b></td>" in page


def test_wrong_calls_say_what_to_do(run, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no run"):
        write_report(tmp_path, tmp_path / "x.html")
    with pytest.raises(InputError, match=r"x\.pdf.*\.html"):
        write_report(run, tmp_path / "x.pdf")
    (run / "scores.json").write_text('{"dice": 1}')
    with pytest.raises(InputError, match=r"scores\.json holds no scores"):
        write_report(run, tmp_path / "x.html")
    (run / "scores.json").unlink()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match="pip install matplotlib"):
        write_report(run, tmp_path / "x.html")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bundle/bundle.json", "[]"),
        ("bundle/bundle.json", "[" * 100_000),
        ("bundle/bundle.json", '{"info": {}, "task": {"labels": [{}]}}'),
        ("bundle/bundle.json", '{"info": {"source": {}, "target": 1}}'),
        ("bundle/bundle.json", '{"task": {"labels": 5}}'),
        ("scores.json", "{" * 100_000),
        ("scores.json", '{"scores": [], "cases": [{}], "labels": [], "overall": {}}'),
        ("scores.json", '{"scores": [5], "cases": [{}], "labels": {}, "overall": null}'),
        ("run.json", '{"dataset": "d", "method": "le_uda", "settings": ' + '{"a":' * 100_000),
        ("run.json", "{}"),
    ],
)
def test_a_damaged_file_of_the_run_is_named(run, name, content):
    (run / name).write_text(content)
    with pytest.raises(InputError, match=name):
        write_report(run, run.parent / "x.html")


def test_a_card_that_is_not_text_is_shown_as_far_as_it_is(run):
    (run / "bundle" / "README.md").write_bytes(b"# Card \xff")
    assert "Card \ufffd" in report(run)[1].text


def test_markdown_is_text_unless_it_is_a_card():
    html = markdown_html("# A <b>\n\n| value | label |\n|---|---|\n| 1 | `x` |\n\n<script>alert(1)</script> **bold**")
    assert "<script>" not in html
    assert "<h2>A &lt;b&gt;</h2>" in html
    assert "<td>1</td><td><code>x</code></td>" in html
    assert "<b>bold</b>" in html
