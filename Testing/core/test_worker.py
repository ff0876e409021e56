"""The warm worker as its client meets it: real processes, real pipes, and whatever may go wrong between the two."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from leuda_core.bundle import BundleInfo, DomainSummary, save_bundle
from leuda_core.io.volumes import read_label_map, write_volume
from leuda_core.models import export_model
from leuda_core.networks.predictor import Predictor, PredictorSpec
from leuda_core.prediction import segment
from leuda_core.types import Label, Task, Volume
from leuda_core.worker.requests import FileRequest, FindRequest, SegmentRequest, SliceRequest
from leuda_core.worker.server import REQUESTS
from worker_process import ROOT, WorkerProcess

AFFINE = [[-1.0, 0.1, 0.0, 40.0], [0.1, 1.0, 0.0, -30.0], [0.0, 0.0, 3.0, 100.0], [0.0, 0.0, 0.0, 1.0]]
SHAPE = (7, 36, 44)  # (K, J, I)
SLOW = """
import time
from leuda_core.prediction import segmenter
fast = segmenter.SliceSegmenter.logits
def slow(self, images):
    time.sleep(0.2)
    return fast(self, images)
segmenter.SliceSegmenter.logits = slow
"""
"""Makes every batch of slices take 0.2 s in the process."""


def volume_data(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """A bright, lopsided blob with noise ``(K, J, I)``: no symmetry hides a flip or a transposition."""
    axes = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    distance = sum(((x - c) / r) ** 2 for x, c, r in zip(axes, (0.4, 0.6, 0.3), (0.6, 0.3, 0.2), strict=True))
    noise = np.random.default_rng(0).normal(0, 40, shape)
    return (1000 * np.exp(-(distance**4)) + noise).astype(np.int16)


def make_model(folder: Path, plane: str = "acquisition", *, patch_size: int = 32, seed: int = 0) -> Path:
    """Write an untrained model with a translator, and labels beyond 255."""
    import torch

    torch.manual_seed(seed)
    spec = PredictorSpec(in_channels=1, n_classes=3, base_channels=4, translator_channels=4, translator_blocks=1)
    labels = (Label(3, "vessel", (1.0, 0.0, 0.5), "SCT^1^Vessel"), Label(300, "Leber"))
    task = Task(labels=labels, spacing_mm=1.5, patch_size=patch_size, plane=plane)
    domain = DomainSummary(name="d", modality="MR")
    return save_bundle(folder, Predictor(spec), task, BundleInfo(name="b", method="m", source=domain, target=domain))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "Größe 1")


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerProcess]:
    with WorkerProcess() as process:
        yield process


@pytest.fixture
def fields(model: Path, tmp_path: Path) -> dict[str, object]:
    """What a right request for a volume says."""
    np.save(tmp_path / "volume 1.npy", volume_data())
    return {
        "model": model,
        "device": "cpu",
        "volume": tmp_path / "volume 1.npy",
        "affine": AFFINE,
        "output": tmp_path / "labels.npy",
    }


numbers = iter(range(1, 1_000_000))


def call(worker: WorkerProcess, request: str, **fields: object) -> dict:
    return worker.result(request, next(numbers), **fields)


def failure(worker: WorkerProcess, request: str, **fields: object) -> dict:
    number = next(numbers)
    worker.send(request, number, **fields)
    answer = worker.answer(number)
    assert answer["event"] == "error", answer
    assert answer["message"] and "\n" not in answer["message"]
    return answer


# the process


def test_it_says_hello_before_anything_heavy_is_imported() -> None:
    code = "import sys; sys.modules.update(dict.fromkeys(['numpy', 'torch', 'SimpleITK', 'msgspec']))"
    with WorkerProcess(code=code) as worker:
        hello = worker.wait_for("hello", timeout_s=10)
        assert hello["pid"] == worker.process.pid and hello["protocol"] == 1 and hello["version"]
        worker.send("load", 1, model="x")
        answer = worker.answer(1)
        assert answer["kind"] == "input" and "package" in answer["message"] and "missing" in answer["message"]


def test_hello_comes_at_once() -> None:
    waits = []
    for _ in range(3):
        with WorkerProcess() as worker:
            waits.append(worker.wait_for("hello")["at"] - worker.started)
    assert min(waits) < 0.3


def test_standard_output_is_the_protocol_alone(fields: dict[str, object]) -> None:
    noise = "import os; from leuda_core.prediction.job import SliceJob; stored = SliceJob.store\n"
    noise += "def store(self, *args): print('a library'); os.system('echo a program'); stored(self, *args)\n"
    noise += "SliceJob.store = store"
    with WorkerProcess(code=noise) as worker:
        call(worker, "segment", **fields)
        assert worker.events[0]["event"] == "hello"  # each line was JSON, or reading had failed
        worker.process.stdin.close()
        assert worker.process.wait(timeout=5) == 0
    assert b"a library" in worker.log and b"a program" in worker.log


@pytest.mark.parametrize("when", ["idle", "import", "segment"])
def test_it_ends_at_once_with_its_standard_input(when: str, fields: dict[str, object]) -> None:
    with WorkerProcess(code=SLOW if when == "segment" else "") as worker:
        worker.wait_for("hello")
        if when != "idle":
            worker.send("segment", 1, **fields)
            worker.wait_for("progress", stage="segment" if when == "segment" else "load model")
        start = time.monotonic()
        worker.process.stdin.close()
        worker.process.wait(timeout=10)
        assert time.monotonic() - start < 0.8


def test_memory_is_freed_after_an_idle_time(fields: dict[str, object]) -> None:
    with WorkerProcess("--idle-seconds", "0.2") as worker:
        call(worker, "segment", **fields)
        mapped = Path(f"/proc/{worker.process.pid}/maps")
        if mapped.exists():
            assert "volume 1.npy" in mapped.read_text()
        deadline = time.monotonic() + 5
        while b"unloaded" not in worker.log and time.monotonic() < deadline:
            time.sleep(0.02)
        assert b"unloaded" in worker.log
        if mapped.exists():
            assert "volume 1.npy" not in mapped.read_text()
        assert call(worker, "segment", **fields)["device"] == "cpu"  # loads again
        assert worker.log.count(b"loaded /") == 2


# requests


def test_devices_are_those_on_which_kernels_run(worker: WorkerProcess) -> None:
    found = call(worker, "devices")["devices"]
    assert found[0]["device"] == "cpu" and found[0]["problem"] == "" and found[0]["memory_gb"] > 0


def test_loading_tells_what_the_model_finds(worker: WorkerProcess, model: Path) -> None:
    found = call(worker, "load", model=model, device="cpu")
    assert found["device"] == "cpu" and found["notes"] == [] and found["plane"] == "acquisition"
    assert found["labels"][0] == {"value": 3, "name": "vessel", "color": [1.0, 0.0, 0.5], "terminology": "SCT^1^Vessel"}


def segmented(fields: dict[str, object], **options: object) -> np.ndarray:
    """Return the labels ``(K, J, I)`` as prediction finds them in this process."""
    from leuda_core.prediction import segment
    from leuda_core.types import Volume

    volume = Volume(np.load(fields["volume"]).T, np.array(AFFINE))
    return segment(volume, fields["model"], device="cpu", **options).label_map.data.T


def test_labels_are_those_of_segment(worker: WorkerProcess, fields: dict[str, object]) -> None:
    result = call(worker, "segment", **fields)
    found = np.load(fields["output"])
    assert found.shape == SHAPE and found.dtype == np.uint16 and np.array_equal(found, segmented(fields))
    assert set(np.unique(found)) > {0}
    assert {label["value"] for label in result["labels"]} == {3, 300}
    assert set(result["seconds"]) == {"load", "read", "segment", "write"}


def test_probabilities_and_largest_component(worker: WorkerProcess, fields: dict[str, object], tmp_path: Path) -> None:
    result = call(worker, "segment", **fields, probabilities=tmp_path / "p.npy", largest_component=True)
    found = np.load(tmp_path / "p.npy")
    assert found.shape == (3, *SHAPE) and found.dtype == np.float16
    assert np.allclose(found.astype(np.float32).sum(0), 1, atol=2e-3)
    chosen = np.array([0, 3, 300])[found.argmax(0)]
    assert (chosen == segmented(fields)).mean() > 0.99
    assert np.array_equal(np.load(fields["output"]), segmented(fields, largest_component=True))
    assert "largest_component" in result["seconds"]


@pytest.mark.parametrize("plane", ["acquisition", "axial", "coronal", "sagittal"])
def test_outside_a_box_nothing_is_computed(plane: str, worker: WorkerProcess, fields: dict, tmp_path: Path) -> None:
    box = [[5, 99], [-3, 20], [2, 6]]  # reaches beyond the volume
    fields = {**fields, "model": make_model(tmp_path / "model", plane)}
    number = next(numbers)
    worker.result("segment", number, **fields, box=box, probabilities=tmp_path / "p.npy")
    inside = np.zeros(SHAPE, bool)
    inside[2:6, 0:20, 5:44] = True
    found, whole = np.load(fields["output"]), segmented(fields)
    assert not found[~inside].any() and not np.load(tmp_path / "p.npy")[:, ~inside].any()
    assert (found[inside] == whole[inside]).mean() > 0.999  # in other batches, sums are rounded otherwise
    slices = {"acquisition": 4, "axial": 4, "coronal": 20, "sagittal": 39}[plane]
    told = {event["total"] for event in worker.events if event.get("id") == number and event.get("stage") == "segment"}
    assert told == {slices}


@pytest.mark.parametrize(("plane", "axis"), [("acquisition", 2), ("coronal", 1), ("sagittal", 0)])
def test_a_slice_is_that_of_segment(
    plane: str, axis: int, worker: WorkerProcess, fields: dict[str, object], tmp_path: Path
) -> None:
    fields = {**fields, "model": make_model(tmp_path / "model", plane)}
    whole = segmented(fields)
    for index in (0, 5, whole.shape[2 - axis] - 1):
        voxel = [20.0, 11.0, 3.0, 1.0]
        voxel[axis] = index + 0.3
        result = call(worker, "slice", **fields, position=(np.array(AFFINE) @ voxel)[:3].tolist())
        found = np.load(result["labels"])
        assert (result["axis"], result["index"]) == (axis, index)
        expected = whole.take(index, axis=2 - axis)
        assert found.shape == expected.shape and (found == expected).mean() > 0.999


def test_a_slice_of_full_size_is_exactly_that_of_segment(worker: WorkerProcess, fields: dict, tmp_path: Path) -> None:
    """From 256 x 256 pixels on, slices are segmented one by one anyway; tests have one thread."""
    np.save(fields["volume"], volume_data((3, 256, 256)))
    fields = {**fields, "model": make_model(tmp_path / "model", patch_size=256)}
    call(worker, "segment", **fields)
    whole = np.load(fields["output"])
    for index in range(3):
        position = (np.array(AFFINE) @ [128, 128, index, 1])[:3].tolist()
        result = call(worker, "slice", **{**fields, "output": tmp_path / "slice.npy"}, position=position)
        assert result["index"] == index and np.array_equal(np.load(tmp_path / "slice.npy"), whole[index])


def test_a_point_outside_takes_the_outermost_slice(worker: WorkerProcess, fields: dict[str, object]) -> None:
    assert call(worker, "slice", **fields, position=[0, 0, -1e6])["index"] == 0
    assert call(worker, "slice", **fields, position=[0, 0, 1e6])["index"] == SHAPE[0] - 1


def test_progress_tells_stage_and_time_left(worker: WorkerProcess, fields: dict[str, object]) -> None:
    number = next(numbers)
    worker.result("segment", number, **fields, largest_component=True)
    told = [event for event in worker.events if event.get("id") == number and event["event"] == "progress"]
    assert list(dict.fromkeys(event["stage"] for event in told))[-3:] == ["segment", "components", "write"]
    segment = [event for event in told if event["stage"] == "segment"]
    assert segment[0]["done"] == 0 and segment[0]["seconds_left"] is None
    assert segment[-1]["done"] == segment[-1]["total"] == SHAPE[0] and segment[-1]["seconds_left"] == 0


def test_a_loaded_model_costs_nothing_again(fields: dict[str, object]) -> None:
    with WorkerProcess() as worker:
        first = call(worker, "segment", **fields)["seconds"]
        again = [call(worker, "segment", **fields)["seconds"] for _ in range(3)]
        assert worker.log.count(b"loaded /") == 1
        assert min(second["load"] for second in again) < 0.01 < first["load"]
        assert min((second["load"] + second["read"] + second["write"]) / second["segment"] for second in again) < 0.25


def test_what_changed_is_loaded_again(worker: WorkerProcess, fields: dict[str, object], tmp_path: Path) -> None:
    mine = make_model(tmp_path / "mine")
    fields = {**fields, "model": mine}
    call(worker, "segment", **fields)
    first = np.load(fields["output"])
    make_model(mine, seed=1)
    call(worker, "segment", **fields)
    assert np.array_equal(np.load(fields["output"]), segmented(fields)) and not np.array_equal(segmented(fields), first)
    np.save(tmp_path / "other.npy", volume_data()[:, ::-1])
    os.replace(tmp_path / "other.npy", fields["volume"])
    call(worker, "segment", **fields)
    assert np.array_equal(np.load(fields["output"]), segmented(fields))
    shutil.rmtree(mine)
    assert "does not exist" in failure(worker, "segment", **fields)["message"]


# cancelling


def test_cancelling_takes_effect_at_once(fields: dict[str, object], tmp_path: Path) -> None:
    with WorkerProcess(code=SLOW) as worker:
        worker.send("segment", 1, **fields)
        worker.wait_for("progress", stage="segment", number=1)
        worker.send("segment", 2, **fields, probabilities=tmp_path / "p.npy")
        worker.send("devices", 3)
        start = time.monotonic()
        worker.send("cancel", 2)  # waits in the queue
        worker.send("cancel", 1)
        for number in (2, 1):
            answer = worker.answer(number)
            assert (answer["event"], answer["kind"]) == ("error", "cancelled") and answer["at"] - start < 0.3
        assert worker.answer(3)["at"] - start < 2.0  # the work itself ended, too
        assert not Path(fields["output"]).exists() and not (tmp_path / "p.npy").exists()
        assert [event["id"] for event in worker.events if event["event"] in ("done", "error")] == [2, 1, 3]


def test_cancelling_while_a_model_loads(fields: dict[str, object]) -> None:
    with WorkerProcess() as worker:
        worker.wait_for("hello")
        worker.send("segment", 1, **fields)
        worker.wait_for("progress", stage="load model")
        start = time.monotonic()
        worker.send("cancel", 1)
        answer = worker.answer(1)
        assert answer["kind"] == "cancelled" and answer["at"] - start < 1.0
        assert worker.result("segment", 2, **fields)["device"] == "cpu"


def test_nothing_is_said_about_a_cancelled_request(fields: dict[str, object]) -> None:
    with WorkerProcess(code=SLOW) as worker:
        worker.send("segment", 1, **fields)
        worker.wait_for("progress", stage="segment", number=1)
        worker.send("cancel", 1)
        worker.send("cancel", 1)
        worker.send("cancel", 77)
        worker.result("devices", 2)
        about = [event["event"] for event in worker.events if event.get("id") == 1]
        assert about.count("error") == 1 and about[-1] == "error"
        assert not [event for event in worker.events if event.get("id") == 77]


# whatever may go wrong


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"{", b"\xff\xfe", b"[" * 50_000, b"null", b"[1]", b'{"id": 1}', b'{"request": "load"}', b"9" * 9999),
        *(b'{"id": true, "request": "load"}', b'{"id": "1", "request": "load"}', b'{"id": 1, "request": {}}'),
    ],
)
def test_a_bad_line_is_answered_and_forgotten(line: bytes, worker: WorkerProcess) -> None:
    before = len(worker.events)
    worker.send_line(line)
    call(worker, "devices")
    errors = [event for event in worker.events[before:] if event["event"] == "error"]
    assert len(errors) == bool(line)
    assert all(error["id"] is None and error["kind"] == "input" and error["remedy"] for error in errors)


def test_an_id_in_use_is_refused(fields: dict[str, object]) -> None:
    with WorkerProcess(code=SLOW) as worker:
        worker.send("segment", 1, **fields)
        worker.send("devices", 1)
        assert "1 is in use" in worker.wait_for("error")["message"]
        assert worker.answer(1)["event"] == "done"
        assert worker.result("devices", 1)["devices"]  # free again


WRONG = {
    "unknown request": ("dance", {}, ("'dance'",)),
    "no model": ("load", {"model": None}, ("model",)),
    "no such model": ("load", {"model": "/no/such"}, ("/no/such",)),
    "unknown device": ("load", {"device": "tpu"}, ("'tpu'",)),
    "no such volume": ("segment", {"volume": "/no/such.npy"}, ("/no/such.npy",)),
    "no such folder": ("segment", {"output": "/no/such/labels.npy"}, ("/no/such/labels.npy",)),
    "flat affine": ("segment", {"affine": [[0.0] * 4] * 4}, ("affine",)),
    "short affine": ("segment", {"affine": [[1.0] * 3] * 3}, ("affine",)),
    "box outside": ("segment", {"box": [[0, 5], [900, 999], [0, 5]]}, ("region of interest",)),
    "box of two": ("segment", {"box": [[0, 5], [0, 5]]}, ("box",)),
    "no position": ("slice", {}, ("position",)),
    "position of two": ("slice", {"position": [1, 2]}, ("position",)),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_request_is_told_and_forgotten(fault: str, worker: WorkerProcess, fields: dict[str, object]) -> None:
    request, change, words = WRONG[fault]
    answer = failure(worker, request, **{**fields, **change})
    assert answer["kind"] == ("device" if "device" in fault else "input") and answer["remedy"]
    assert all(word in answer["message"] for word in words), answer
    assert not Path(fields["output"]).exists()
    call(worker, "segment", **fields)


ARRAYS = {
    "empty file": lambda path: path.write_bytes(b""),
    "no array": lambda path: path.write_bytes(b"no array at all, but long enough to be one"),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "objects": lambda path: np.save(path, np.array([[[{}]]]), allow_pickle=True),
    "two axes": lambda path: np.save(path, np.zeros((3, 4))),
    "complex": lambda path: np.save(path, np.zeros((3, 4, 5), complex)),
    "no voxel": lambda path: np.save(path, np.zeros((3, 0, 5))),
    "not a number": lambda path: np.save(path, np.full((3, 40, 40), np.nan)),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_unusable_volume_is_told(kind: str, worker: WorkerProcess, fields: dict[str, object]) -> None:
    ARRAYS[kind](Path(fields["volume"]))
    answer = failure(worker, "segment", **fields)
    assert answer["kind"] == "input" and answer["remedy"], answer
    assert not Path(fields["output"]).exists()


def test_a_broken_bundle_is_told(worker: WorkerProcess, fields: dict[str, object], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(fields["model"], broken)
    weights = bytearray((broken / "model.safetensors").read_bytes())
    weights[-5] ^= 1
    (broken / "model.safetensors").write_bytes(weights)
    assert "sha256" in failure(worker, "load", model=broken)["message"]
    call(worker, "load", model=export_model(fields["model"], tmp_path / "model.zip"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told(worker: WorkerProcess, fields: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "full.npy").symlink_to("/dev/full")
    answer = failure(worker, "segment", **{**fields, "output": tmp_path / "full.npy"})
    assert "no space left" in answer["message"] and answer["remedy"]


def test_too_little_memory_makes_batches_smaller_and_is_noted(fields: dict[str, object]) -> None:
    hungry = """
from leuda_core.prediction import segmenter
full = segmenter.SliceSegmenter.logits
def hungry(self, images):
    if len(images) > 1:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    return full(self, images)
segmenter.SliceSegmenter.logits = hungry
"""
    with WorkerProcess(code=hungry) as worker:
        result = call(worker, "segment", **fields)
        assert any("not enough memory" in note for note in result["notes"])
        assert (np.load(fields["output"]) == segmented(fields)).mean() > 0.999


def test_a_model_that_left_its_device_is_tried_there_again(fields: dict[str, object]) -> None:
    """The meta device stands in for a GPU: it accepts the work and cannot deliver a result."""
    no_gpu = """
import torch
from leuda_core.prediction import segmenter
segmenter.find_device = lambda name: (torch.device("meta"), "")
segmenter.PIXELS_AT_ONCE["meta"] = 1024
"""
    with WorkerProcess(code=no_gpu) as worker:
        for times in (1, 2):
            result = call(worker, "segment", **fields)
            assert result["device"] == "cpu" and "meta failed" in result["notes"][0]
            assert worker.log.count(b"loaded /") == times


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of memory")
def test_a_slice_does_not_copy_the_volume(worker: WorkerProcess, fields: dict[str, object]) -> None:
    def anonymous_mib() -> int:
        lines = Path(f"/proc/{worker.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("RssAnon:"))

    call(worker, "slice", **fields, position=[0, 0, 0])
    before = anonymous_mib()
    volume = np.lib.format.open_memmap(fields["volume"], "w+", np.int16, (1000, 256, 256))  # 125 MiB
    volume[500] = volume_data((1, 256, 256))[0]
    volume.flush()
    call(worker, "slice", **fields, position=(np.array(AFFINE) @ [0, 0, 500, 1])[:3].tolist())
    assert anonymous_mib() - before < 60


def test_a_fault_is_told_and_its_traceback_logged(fields: dict[str, object]) -> None:
    code = "from leuda_core.prediction import segmenter\n"
    code += "segmenter.SliceSegmenter.logits = lambda self, images: 1 / 0"
    with WorkerProcess(code=code) as worker:
        answer = failure(worker, "segment", **fields)
        assert answer["kind"] == "fault" and "ZeroDivisionError" in answer["message"] and "log" in answer["remedy"]
        assert call(worker, "devices")["devices"]
        assert b"Traceback" in worker.log


def test_files_are_found_and_segmented_as_on_the_command_line(
    worker: WorkerProcess, model: Path, tmp_path: Path
) -> None:
    source = tmp_path / "série 1" / "ct 1.nii.gz"
    write_volume(Volume(volume_data().T, np.array(AFFINE)), source)
    (source.parent / "notes.txt").touch()
    inputs = [str(source.parent), str(tmp_path / "absent.nrrd")]
    found = call(worker, "find_volumes", inputs=inputs)["volumes"]
    assert found == [{"path": str(source), "stem": "ct 1"}, {"path": inputs[1], "stem": "absent"}]
    fields = {"model": model, "device": "cpu", "output": tmp_path / "out" / "labels.nii.gz", "probabilities": True}
    row = call(worker, "segment_file", input=source, **fields)
    assert row["output"] == str(fields["output"]) and set(row["volumes_ml"]) == {"vessel", "Leber"}
    expected = segment(source, model, device="cpu").label_map
    np.testing.assert_array_equal(read_label_map(fields["output"], expected.labels).data, expected.data)
    assert Path(row["probabilities"]).exists()
    assert "absent.nrrd" in failure(worker, "segment_file", input=inputs[1], **fields)["message"]


def test_the_protocol_is_documented() -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert all(f'{{"request":"{name}","id":' in page for name in (*REQUESTS, "cancel"))
    fields = {
        name for kind in (SegmentRequest, SliceRequest, FileRequest, FindRequest) for name in kind.__struct_fields__
    }
    assert all(f'"{name}":' in page for name in fields)
