"""A disk that gets full at any moment of a training is told, leaves nothing unfinished, and the run goes on later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from leuda_core.data.batches import prepared
from leuda_core.errors import LeudaError
from leuda_core.methods.cyclegan import TranslatingMethod
from leuda_core.runs.state import status
from leuda_core.training import loop
from leuda_core.training.preview import Previewer
from leuda_core.training.run import create_run, resume
from room import KINDS, Room, make_room

SMALL = {"base_channels": 4, "patch_size": 32, "batch_size": 1, "unlabelled_batch_size": 1}
TRANSLATING = {"translator_channels": 4, "translator_blocks": 1, "translator_steps": 1}
MOMENTS = {
    "preparing": (prepared, "prepare_case"),
    "checkpoint": (loop.Training, "_save"),
    "preview": (Previewer, "write"),
    "translator": (TranslatingMethod, "write_files"),
    "bundle": (loop, "save_bundle"),
}


@pytest.fixture(params=KINDS)
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    with make_room(tmp_path / "disk", request.param) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_full_disk_is_told_and_the_run_goes_on(
    moment: str, room: Room, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SMALL, **TRANSLATING} if moment == "translator" else SMALL
    method = "cyclegan" if moment == "translator" else "source_only"
    run = create_run(tiny_dataset, method, room.folder / "run", steps=1, device="cpu", settings=settings)
    room.fill_before(monkeypatch, *MOMENTS[moment])
    with pytest.raises(LeudaError, match=r"cannot write .*: no space left") as caught:
        resume(run)
    assert caught.value.remedy and str(room.folder) in caught.value.message
    assert (not room.unfinished() and not list(run.path.glob("cache/*/*"))) or moment != "preparing"
    assert run.checkpoint.exists() == (moment not in ("preparing", "checkpoint"))
    room.free()
    resume(run)
    assert status(run).state == "finished" and (run.bundle / "bundle.json").exists()
    assert not room.unfinished() and not run.cache.exists()
