"""Every wrong input, through the command line: exit code 2, one line that helps, and nothing written."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from leuda_core.cli import main

CPU = ["--device", "cpu"]
TINY = [*CPU, "--steps", "1"]
TINY += [word for name in ("base_channels=4", "patch_size=32", "batch_size=1") for word in ("--set", name)]
Words = tuple[str, ...]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of two labels."""
    from leuda_core.bundle import BundleInfo, DomainSummary, save_bundle
    from leuda_core.networks.predictor import Predictor, PredictorSpec
    from leuda_core.types import Label, Task

    predictor = Predictor(PredictorSpec(in_channels=1, n_classes=3, base_channels=4))
    task = Task((Label(1, "ring"), Label(2, "core")), spacing_mm=1.25, patch_size=32)
    domains = {"source": DomainSummary(name="s", modality="MR"), "target": DomainSummary(name="t", modality="CT")}
    info = BundleInfo(name="m", method="source_only", **domains)
    return save_bundle(tmp_path_factory.mktemp("model") / "bundle", predictor, task, info)


@dataclass
class Place:
    """A copy of the tiny dataset and of a model to spoil, and the folder ``out`` that must stay as it is."""

    folder: Path
    capfd: pytest.CaptureFixture[str]

    @property
    def dataset(self) -> Path:
        return self.folder / "dataset.json"

    def path(self, name: str) -> Path:
        return self.folder / name

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        document = json.loads(self.dataset.read_text(encoding="utf-8"))
        change(document)
        self.dataset.write_text(json.dumps(document), encoding="utf-8")

    def command(self, name: str, *, volume: str = "", out: Path | None = None) -> list[str]:
        """Return a right call of a command, except for what was spoiled before; ``volume`` is what it reads."""
        out = out or self.folder / "out" / "new" / "folder"
        output = str(out / "x.nii.gz")
        label = self.folder / "test_t_label.nii.gz"
        spoiled = self.folder / (volume or "t1.nii.gz")
        return {
            "check": ["check", str(self.dataset)],
            "train": ["train", str(self.dataset), "--method", "source_only", "--out", str(out), *TINY],
            "segment": ["segment", "--model", "bundle", "--input", str(spoiled), "--output", output, *CPU],
            "predicted": ["evaluate", "--prediction", str(spoiled), "--reference", str(label)],
            "reference": ["evaluate", "--prediction", str(label), "--reference", str(spoiled)],
        }[name]

    def listing(self) -> dict[str, object]:
        paths = sorted(self.folder.rglob("*"))
        return {str(path): path.read_bytes() if path.is_file() else None for path in paths}

    def call(self, words: list[str]) -> tuple[int, str, str]:
        self.capfd.readouterr()
        code = main(words)
        out, err = self.capfd.readouterr()
        return code, out, err


@pytest.fixture
def place(
    tiny_dataset: Path,
    model: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    folder = tmp_path / "Größe 1"
    shutil.copytree(tiny_dataset.parent, folder)
    shutil.copytree(model, folder / "bundle")
    (folder / "out").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))  # what is left there is left behind, too
    monkeypatch.chdir(folder)
    yield Place(folder, capfd)


def refuses(place: Place, words: list[str], expected: Words) -> None:
    """Call twice, for people and with --json, and hold the answers against what every refusal must be."""
    before = place.listing()
    code, out, err = place.call(words)
    assert place.listing() == before, "something was written"
    assert code == 2, err
    assert err.count("\n") == 1 and err.startswith("leuda: error: ") and err.endswith("\n"), err
    told = [out.strip()] if words[0] == "check" else [err.strip()]  # what a check finds is its result
    assert (out == "") == (words[0] != "check")
    code, out, err = place.call([*words, "--json"])
    document = json.loads(out)
    assert code == 2 and err.count("\n") == 1
    if words[0] == "check":
        assert not document["ok"] and len(document["problems"]) == 1
        told += document["problems"]
    else:
        error = document["error"]
        assert error["exit_code"] == 2 and error["kind"] in ("input", "device")
        told.append(f"{error['message']}; {error['remedy']}")
        assert error["message"] and error["remedy"]
    for line in told:
        what, semicolon, remedy = line.partition("; ")
        assert what and semicolon and len(remedy) > 5, line
        assert all(word in line for word in expected), line
        assert "\n" not in line
    assert place.listing() == before, "something was written"


# volumes


def _spoil(path: Path, change: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> None:
    image = nibabel.load(path)
    data, affine = change(np.asanyarray(image.dataobj), image.affine.copy())
    nibabel.Nifti1Image(data, affine).to_filename(path)


def _with(value: float, data: np.ndarray) -> np.ndarray:
    data = data.astype(np.float32)
    data[3, 4, 2] = value
    return data


def _moved(affine: np.ndarray) -> np.ndarray:
    affine[0, 3] += 5
    return affine


FILES: dict[str, tuple[Callable[[Path], object], Words]] = {
    "missing": (Path.unlink, ("{path}", "does not exist")),
    "empty": (lambda path: path.write_bytes(b""), ("{path}", "0 bytes")),
    "truncated gzip": (lambda path: path.write_bytes(path.read_bytes()[:-40]), ("{path}", "cut short")),
    "no image": (lambda path: path.write_text("a page that says: not found"), ("{path}", "not a readable NIfTI")),
    "4-D": (
        lambda path: _spoil(path, lambda data, affine: (np.stack([data, data], -1), affine)),
        ("{path}", "(48, 48, 6, 2)"),
    ),
    "vector": (
        lambda path: _spoil(path, lambda data, affine: (np.stack([data] * 3, -1)[:, :, :, None], affine)),
        ("{path}", "(48, 48, 6, 1, 3)"),
    ),
}
IMAGES: dict[str, tuple[Callable[[Path], object], Words]] = {
    **FILES,
    "a folder": (lambda path: (path.unlink(), path.mkdir()), ("{path}", "holds no DICOM series")),
    "NaN": (
        lambda path: _spoil(path, lambda data, affine: (_with(np.nan, data), affine)),
        ("{path}", "1 NaN or infinite voxels"),
    ),
    "infinite": (
        lambda path: _spoil(path, lambda data, affine: (_with(-np.inf, data), affine)),
        ("{path}", "1 NaN or infinite voxels"),
    ),
    "constant": (
        lambda path: _spoil(path, lambda data, affine: (data * 0 + 7, affine)),
        ("{path}", "constant (every voxel is 7)"),
    ),
}
LABELS: dict[str, tuple[Callable[[Path], object], Words]] = {
    **FILES,
    "NaN": (
        lambda path: _spoil(path, lambda data, affine: (_with(np.nan, data), affine)),
        ("{path}", "1 voxels that are no whole numbers"),
    ),
    "infinite": (
        lambda path: _spoil(path, lambda data, affine: (_with(np.inf, data), affine)),
        ("{path}", "1 voxels that are no whole numbers"),
    ),
    "fraction": (
        lambda path: _spoil(path, lambda data, affine: (_with(0.5, data), affine)),
        ("{path}", "1 voxels that are no whole numbers"),
    ),
    "negative": (lambda path: _spoil(path, lambda data, affine: (_with(-3, data), affine)), ("{path}", "down to -3")),
    "another shape": (
        lambda path: _spoil(path, lambda data, affine: (data[:, :, 1:], affine)),
        ("{case}", "(48, 48, 5)", "(48, 48, 6)"),
    ),
    "elsewhere": (lambda path: _spoil(path, lambda data, affine: (data, _moved(affine))), ("{case}", "5 mm")),
}


@pytest.mark.parametrize("command", ["check", "train", "segment"])
@pytest.mark.parametrize("fault", IMAGES)
def test_images(place: Place, command: str, fault: str) -> None:
    spoil, expected = IMAGES[fault]
    path = place.path("t1.nii.gz")
    spoil(path)
    refuses(place, place.command(command), tuple(word.format(path=path) for word in expected))


@pytest.mark.parametrize("command", ["check", "train", "predicted", "reference"])
@pytest.mark.parametrize("fault", LABELS)
def test_labels(place: Place, command: str, fault: str) -> None:
    spoil, expected = LABELS[fault]
    evaluated = command in ("predicted", "reference")
    path = place.path("test_s_label.nii.gz" if evaluated else "s1_label.nii.gz")
    spoil(path)
    case = ("test_t_label" if command == "predicted" else "test_s_label") if evaluated else "'s1'"
    words = tuple(word.format(path=path, case=case) for word in expected)
    refuses(place, place.command(command, volume=path.name), words)


@pytest.mark.parametrize("command", ["check", "train"])
def test_a_label_value_that_the_table_lacks(place: Place, command: str) -> None:
    path = place.path("s0_label.nii.gz")
    _spoil(path, lambda data, affine: (np.where(data == 2, 9, data).astype(np.uint8), affine))
    refuses(place, place.command(command), (str(path), "no label has: 9 (", "the labels are 0, 1, 2"))


# datasets


def _background_alone(place: Place) -> None:
    for name in ("s0", "s1"):
        _spoil(place.path(f"{name}_label.nii.gz"), lambda data, affine: (data * 0, affine))


def _no_slices_named(place: Place) -> None:
    place.edit(lambda d: [case.update(labelled_slices=[]) for case in d["source"]["cases"][:2]])


def _edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Place], None]:
    return lambda place: place.edit(change)


def _linked(place: Place) -> None:
    place.path("t1.nii.gz").unlink()
    place.path("t1.nii.gz").symlink_to("t0.nii.gz")


def _source(document: dict[str, Any]) -> list[dict[str, Any]]:
    return document["source"]["cases"]


def _target(document: dict[str, Any]) -> list[dict[str, Any]]:
    return document["target"]["cases"]


DATASETS: dict[str, tuple[Callable[[Place], object], Words]] = {
    "missing": (lambda place: place.dataset.unlink(), ("dataset.json", "does not exist")),
    "empty": (lambda place: place.dataset.write_bytes(b""), ("dataset.json", "truncated")),
    "a folder": (lambda place: (place.dataset.unlink(), place.dataset.mkdir()), ("dataset.json", "directory")),
    "half": (lambda place: place.dataset.write_text(place.dataset.read_text()[:99]), ("dataset.json", "truncated")),
    "not UTF-8": (
        lambda place: place.dataset.write_bytes(b'{"name": "Gr\xf6\xdfe"}'),
        ("dataset.json", "byte 12 is not UTF-8"),
    ),
    "unknown key": (
        _edited(lambda d: _source(d)[0].update(weight=2)),
        ("dataset.json", "weight", "$.source.cases[0]"),
    ),
    "unknown role": (_edited(lambda d: d.update(validation=[])), ("dataset.json", "validation")),
    "a number for a name": (_edited(lambda d: d.update(name=3)), ("dataset.json", "$.name", "int")),
    "no target case": (_edited(lambda d: _target(d).clear()), ("dataset.json", "no target case")),
    "no source case": (_edited(lambda d: _source(d).clear()), ("dataset.json", "no source case")),
    "no label": (
        _edited(lambda d: [case.pop("label", None) for case in _source(d)]),
        ("dataset.json", "no source case has a label"),
    ),
    "an id twice": (_edited(lambda d: _target(d)[0].update(id="s0")), ("dataset.json", "'s0'", "twice")),
    "a file twice": (
        _edited(lambda d: _target(d)[1].update(image="./t0.nii.gz")),
        ("dataset.json", "'t0' and 't1'", "t0.nii.gz"),
    ),
    "a file twice, by a way round": (
        _edited(lambda d: _target(d)[1].update(image="out/../t0.nii.gz")),
        ("dataset.json", "'t0' and 't1'", "t0.nii.gz"),
    ),
    "a file twice, by a link": (_linked, ("dataset.json", "'t0' and 't1'", "t1.nii.gz")),
    "a test case to learn from": (
        _edited(lambda d: d["test"]["target"][0].update(image="out/../t0.nii.gz")),
        ("dataset.json", "'test_t'", "'t0'"),
    ),
    "no such slice": (_edited(lambda d: _source(d)[0].update(labelled_slices=[2, 6])), ("'s0'", "slice 6", "0 to 5")),
    "background alone": (_background_alone, ("'discs'", "'s0', 's1'", "0 slices")),
    "labelled_slices: []": (_no_slices_named, ("'discs'", "'s0', 's1'", "0 slices")),
    "a huge label value": (
        _edited(lambda d: d["labels"].update({"70000": "x"})),
        ("dataset.json", "70000", "65535"),
    ),
    "a label value twice": (_edited(lambda d: d["labels"].update({"01": "x"})), ("dataset.json", "value 1")),
    "a label name twice": (_edited(lambda d: d["labels"].update({"3": "ring"})), ("dataset.json", "'ring'")),
}


@pytest.mark.parametrize("command", ["check", "train"])
@pytest.mark.parametrize("fault", DATASETS)
def test_datasets(place: Place, command: str, fault: str) -> None:
    spoil, expected = DATASETS[fault]
    try:
        spoil(place)
    except OSError as error:
        pytest.skip(f"no symbolic links here: {error}")
    refuses(place, place.command(command), expected)


def test_check_tells_several_problems_at_once(place: Place) -> None:
    FILES["truncated gzip"][0](place.path("s2.nii.gz"))
    LABELS["elsewhere"][0](place.path("s1_label.nii.gz"))
    IMAGES["NaN"][0](place.path("test_t.nii.gz"))
    place.edit(lambda d: (_target(d)[0].update(image="gone.nii.gz"), _target(d)[1].update(id="s0")))
    words = ("cut short", "'s1'", "1 NaN", "gone.nii.gz", "'s0'")
    before = place.listing()
    code, out, err = place.call(place.command("check"))
    assert code == 2 and out.count("\n") == len(words)
    assert all(line.count("; ") == 1 for line in out.splitlines()), out
    assert all(word in out for word in words), out
    assert err == f"leuda: error: {place.dataset} has 5 problems; mend them and check again\n"
    code, out, _ = place.call([*place.command("check"), "--json"])
    problems = "\n".join(json.loads(out)["problems"])
    assert code == 2 and all(word in problems for word in words)
    assert place.listing() == before


def test_check_still_misses_labels_where_another_case_is_broken(place: Place) -> None:
    _background_alone(place)
    place.path("t0.nii.gz").unlink()
    _, out, _ = place.call(place.command("check"))
    assert "t0.nii.gz" in out and "no source slice is labelled" in out


# calls


CALLS: dict[str, tuple[str, list[str], Words]] = {
    "an unknown method": ("train", ["--method", "sorcery"], ("'sorcery'", "le_uda")),
    "a misspelt setting": ("train", ["--set", "batch_sise=4"], ("--set", "'batch_sise'", "'batch_size'")),
    "an unknown setting": ("train", ["--set", "zzz=4"], ("--set", "'zzz'", "base_channels")),
    "no value": ("train", ["--set", "ema_decay"], ("--set", "'ema_decay'", "KEY=VALUE")),
    "a setting twice": ("train", ["--set", "plane=axial", "--set", "plane=coronal"], ("plane", "axial", "coronal")),
    "too small": ("train", ["--set", "learning_rate=0"], ("--set", "learning_rate='0'", "> 0")),
    "too large": ("train", ["--set", "ema_decay=1"], ("--set", "ema_decay='1'", "< 1")),
    "not finite": ("train", ["--set", "spacing_mm=nan"], ("--set", "spacing_mm='nan'", ">= 0")),
    "no number": ("train", ["--set", "unlabeled_batch_size=few"], ("unlabeled_batch_size='few'", "`int`")),
    "no such choice": ("train", ["--set", "augmentation=wild"], ("augmentation='wild'", "use one of paper, strong")),
    "no steps": ("train", ["--steps", "0"], ("steps=0", ">= 1")),
    "steps in words": ("train", ["--steps", "many"], ("--steps", "'many'", "leuda train --help")),
    "a negative seed": ("train", ["--seed", "-1"], ("seed=-1", ">= 0")),
    "a huge seed": ("train", ["--seed", "2147483648"], ("seed=2147483648", "<= 2147483647")),
    "an unknown device": ("train", ["--device", "tpu"], ("device='tpu'", "use auto, cpu, cuda or cuda:K")),
    "an unknown device to segment": ("segment", ["--device", "tpu"], ("device 'tpu'", "use auto, cpu, cuda or cuda:K")),
    "a device that is not there": ("train", ["--device", "cuda:99"], ("device 'cuda:99'", "use --device cpu")),
    "one that is not there to segment": ("segment", ["--device", "cuda:99"], ("device 'cuda:99'", "use --device cpu")),
    "an unknown format": ("segment", ["--format", "png"], ("--format", "'png'", "nrrd")),
    "another format": ("segment", ["--format", "nrrd"], ("x.nii.gz", "nrrd")),
    "no such model": ("segment", ["--model", "gone"], ("bundle gone", "does not exist")),
    "no such input": ("segment", ["--input", "gone.nii"], ("gone.nii", "does not exist")),
    "a folder without volumes": ("segment", ["--input", "out"], ("'out'", "holds no DICOM series", "volume file")),
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


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


BUNDLES: dict[str, tuple[Callable[[Path], object], Words]] = {
    "a wrong hash": (lambda model: _flip(model / "model.safetensors", -1), ("model.safetensors", "sha256")),
    "a changed card": (lambda model: _flip(model / "README.md", 5), ("README.md", "sha256")),
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
    assert "ended without a word" in place.path("page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
def test_a_dataset_file_as_windows_writes_it(place: Place, encoding: str) -> None:
    place.edit(lambda d: d.update(name="Größe"))
    document = json.loads(place.dataset.read_text(encoding="utf-8"))
    text = json.dumps(document, indent=1, ensure_ascii=False).replace("\n", "\r\n")
    place.dataset.write_bytes(text.encode(encoding))
    assert place.call(place.command("check"))[0] == 0
