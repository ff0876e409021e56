"""Wrong calls, output places, bundles and runs, through the command line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from leuda_core.cli import main
from refusals import TINY, Place, Words, flip, refuses

CALLS: dict[str, tuple[str, list[str], Words]] = {
    "an unknown method": ("train", ["--method", "sorcery"], ("'sorcery'", "le_uda")),
    "a misspelt setting": ("train", ["--set", "batch_sise=4"], ("--set", "'batch_sise'", "'batch_size'")),
    "an unknown setting": ("train", ["--set", "zzz=4"], ("--set", "'zzz'", "base_channels")),
    "no value": ("train", ["--set", "ema_decay"], ("--set", "'ema_decay'", "KEY=VALUE")),
    "a setting twice": ("train", ["--set", "plane=axial", "--set", "plane=coronal"], ("plane", "axial", "coronal")),
    "too small": ("train", ["--set", "learning_rate=0"], ("--set", "learning_rate='0'", "> 0")),
    "too large": ("train", ["--set", "ema_decay=1"], ("--set", "ema_decay='1'", "< 1")),
    "not finite": ("train", ["--set", "spacing_mm=nan"], ("--set", "spacing_mm='nan'", ">= 0")),
    "no number": ("train", ["--set", "unlabelled_batch_size=few"], ("unlabelled_batch_size='few'", "`int`")),
    "no such choice": ("train", ["--set", "augmentation=wild"], ("augmentation='wild'", "use one of paper, strong")),
    "no text": ("train", ["--set", "augmentation=\udcff"], ("--set", "\\udcff", "UTF-8")),
    "no steps": ("train", ["--steps", "0"], ("steps=0", ">= 1")),
    "steps in words": ("train", ["--steps", "many"], ("--steps", "'many'", "leuda train --help")),
    "a negative seed": ("train", ["--seed", "-1"], ("seed=-1", ">= 0")),
    "a huge seed": ("train", ["--seed", "2147483648"], ("seed=2147483648", "<= 2147483647")),
    "an unknown device": ("train", ["--device", "tpu"], ("device='tpu'", "use auto, cpu, cuda")),
    "an unknown device to segment": ("segment", ["--device", "tpu"], ("device 'tpu'", "use auto, cpu, cuda")),
    "a device that is not there": ("train", ["--device", "cuda:99"], ("device 'cuda:99'", "use --device cpu")),
    "one that is not there to segment": ("segment", ["--device", "cuda:99"], ("device 'cuda:99'", "use --device cpu")),
    "an unknown format": ("segment", ["--format", "png"], ("--format", "'png'", "nrrd")),
    "another format": ("segment", ["--format", "nrrd"], ("x.nii.gz", "nrrd")),
    "no such model": ("segment", ["--model", "gone"], ("bundle gone", "does not exist")),
    "no such input": ("segment", ["--input", "gone.nii"], ("gone.nii", "does not exist")),
    "a folder without volumes": ("segment", ["--input", "out"], ("'out'", "contains no DICOM series", "volume file")),
    "an extension unknown": ("segment", ["--output", "out/x.png"], ("x.png", "unknown extension", ".nii.gz")),
    "over the input": ("segment", ["--output", "t1.nii.gz"], ("t1.nii.gz", "overwritten")),
    "a file and a folder": ("predicted", ["--reference", "bundle"], ("test_t_label.nii.gz", "bundle", "two")),
    "nothing in common": (
        "predicted",
        ["--prediction", "bundle", "--reference", "out"],
        ("bundle", "out", "name each"),
    ),
}


@pytest.mark.parametrize("fault", CALLS)
def test_calls(place: Place, fault: str) -> None:
    command, change, expected = CALLS[fault]
    volume = "test_t_label.nii.gz" if command == "predicted" else ""
    refuses(place, [*place.command(command, volume=volume), *change], expected)


def _sealed(place: Place) -> Path:
    if os.name == "nt":
        pytest.skip("folders have no write permission of their own here")
    place.path("out").chmod(0o500)
    if not os.access(place.path("out"), os.W_OK):
        return place.path("out")
    if not Path("/proc").is_dir():
        pytest.skip("nothing is closed to this user here")
    return Path("/proc")


OUTPUTS: dict[str, Callable[[Place], Path]] = {
    "a file": lambda place: place.dataset,
    "below a file": lambda place: place.dataset / "a" / "b",
    "read-only": lambda place: _sealed(place) / "run",
}


@pytest.mark.parametrize("command", ["train", "segment"])
@pytest.mark.parametrize("where", OUTPUTS)
def test_outputs(place: Place, command: str, where: str) -> None:
    out = OUTPUTS[where](place)
    refuses(place, place.command(command, out=out), (str(out), "another"))


def test_a_folder_that_was_there_is_left_as_it_was(place: Place) -> None:
    """The volumes are opened only after the run's folder was made."""
    out = place.path("out")
    (out / "log.txt").write_text("somebody else's")
    (out / "cache").mkdir()
    place.path("t1.nii.gz").unlink()
    before = place.listing()
    assert place.call(place.command("train", out=out))[0] == 2
    log = out / "log.txt"
    assert place.listing() == {**before, str(log): log.read_bytes()}
    assert log.read_text().startswith("somebody else's")


BUNDLES: dict[str, tuple[Callable[[Path], object], Words]] = {
    "a wrong hash": (lambda model: flip(model / "model.safetensors", -1), ("model.safetensors", "sha256")),
    "a changed card": (lambda model: flip(model / "README.md", 5), ("README.md", "sha256")),
    "a changed document": (
        lambda model: (model / "bundle.json").write_text((model / "bundle.json").read_text().replace("1.25", "1.5")),
        ("bundle.json", "checksum"),
    ),
    "a size": (lambda model: (model / "README.md").write_text("short"), ("README.md", "5 bytes")),
    "a missing file": (lambda model: (model / "model.safetensors").unlink(), ("no model.safetensors",)),
    "an additional file": (lambda model: (model / "code.py").touch(), ("'code.py'",)),
}


@pytest.mark.parametrize("fault", BUNDLES)
def test_bundles(place: Place, fault: str) -> None:
    spoil, expected = BUNDLES[fault]
    spoil(place.path("bundle"))
    refuses(place, place.command("segment"), ("bundle bundle: ", *expected))


# runs


@pytest.fixture(scope="module")
def finished(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", str(tiny_dataset), "--method", "source_only", "--out", str(run), *TINY]) == 0
    return run


def _damage(name: str, content: bytes) -> Callable[[Path], object]:
    """Return what makes of a finished run one that was killed, with a damaged file."""

    def change(run: Path) -> None:
        shutil.rmtree(run / "bundle")
        (run / "events.jsonl").unlink()
        (run / name).write_bytes(content)

    return change


RUNS: dict[str, tuple[str, Callable[[Path], object], Words]] = {
    "no run to resume": ("resume", shutil.rmtree, ("run", "no run.json")),
    "no run to look at": ("status", shutil.rmtree, ("run", "no run.json")),
    "no run to stop": ("stop", shutil.rmtree, ("run", "no run.json")),
    "no run to tell of": ("report", shutil.rmtree, ("run", "no run.json")),
    "half a run.json": ("report", _damage("run.json", b'{"dataset": "x'), ("run.json", "truncated")),
}


@pytest.mark.parametrize("fault", RUNS)
def test_runs(place: Place, finished: Path, fault: str) -> None:
    command, spoil, expected = RUNS[fault]
    shutil.copytree(finished, place.path("run"))
    spoil(place.path("run"))
    page = ["--out", "new/page.html"] if command == "report" else []
    refuses(place, [command, "run", *page], expected)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("run.json", b'{"dataset": "x', ("run.json", "truncated")), ("checkpoint-last.pt", b"PK", ("cannot be read",))],
)
def test_a_damaged_run_says_so_and_keeps_what_it_has(
    place: Place, finished: Path, name: str, content: bytes, words: Words
) -> None:
    run = place.path("run")
    shutil.copytree(finished, run)
    _damage(name, content)(run)
    code, _, err = place.call(["resume", "run"])
    assert code == 2 and err.count("\n") == 1 and name in err and "; " in err and all(word in err for word in words)
    assert (run / name).read_bytes() == content and (run / "previews").is_dir()


def test_a_run_killed_at_its_last_word_is_finished_by_resume(place: Place, finished: Path) -> None:
    run = place.path("run")
    shutil.copytree(finished, run)
    events = (run / "events.jsonl").read_text().splitlines(keepends=True)
    (run / "events.jsonl").write_text("".join(events[:-1]))
    assert json.loads(place.call(["status", "run", "--json"])[1])["state"] == "crashed"
    assert json.loads(place.call(["resume", "run", "--json"])[1])["state"] == "finished"
    assert json.loads(place.call(["status", "run", "--json"])[1])["step"] == 1


def test_the_report_of_a_crashed_run(place: Place, finished: Path) -> None:
    shutil.copytree(finished, place.path("run"))
    shutil.rmtree(place.path("run") / "bundle")
    events = place.path("run") / "events.jsonl"
    events.write_text(events.read_text().splitlines(keepends=True)[0] + '{"eve')
    assert place.call(["report", "run", "--out", "page.html"])[0] == 0
    assert "stopped unexpectedly" in place.path("page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
def test_a_dataset_file_as_windows_writes_it(place: Place, encoding: str) -> None:
    place.edit(lambda d: d.update(name="Größe"))
    document = json.loads(place.dataset.read_text(encoding="utf-8"))
    text = json.dumps(document, indent=1, ensure_ascii=False).replace("\n", "\r\n")
    place.dataset.write_bytes(text.encode(encoding))
    assert place.call(place.command("check"))[0] == 0
