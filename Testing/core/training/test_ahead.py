"""Batches that are drawn ahead are those that would be drawn in time, whatever happens to threads or runs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from leuda_core.config import MethodConfig
from leuda_core.training import ahead, loop
from leuda_core.training.ahead import Ahead, threads_for
from leuda_core.training.checkpoints import read_checkpoint
from leuda_core.training.run import train
from leuda_core.types import Batch
from tiny_data import tiny_loader


def numbered(step: int) -> Batch:
    one = torch.full((1, 1, 2, 2), float(step))
    return Batch(one, one[:, 0].long(), one, one)


def steps_of(batches: Ahead, steps: range) -> list[int]:
    return [int(batches.batch(step).source[0, 0, 0, 0]) for step in steps]


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("first", [0, 4])
def test_batches_come_in_the_order_of_their_steps(threads, first):
    with Ahead(numbered, 9, threads=threads) as batches:
        assert steps_of(batches, range(first, 9)) == list(range(first, 9))
        assert steps_of(batches, range(2, 5)) == [2, 3, 4]


def test_the_next_batch_is_drawn_while_this_one_is_used():
    drawn = {step: threading.Event() for step in range(5)}

    def draw(step: int) -> Batch:
        drawn[step].set()
        return numbered(step)

    with Ahead(draw, 5, threads=1) as batches:
        batches.batch(0)
        assert drawn[1].wait(10) and not drawn[3].is_set()


def test_nothing_is_drawn_beyond_the_last_step_or_after_the_end():
    drawn = []

    def draw(step: int) -> Batch:
        drawn.append(step)
        return numbered(step)

    with Ahead(draw, 3, threads=4) as batches:
        steps_of(batches, range(3))
    assert sorted(drawn) == [0, 1, 2]
    with Ahead(draw, 100, threads=1) as batches:
        batches.batch(0)
    count = len(drawn)
    assert count <= 5 and not [one for one in threading.enumerate() if one.name.startswith("draw")]


@pytest.mark.parametrize("threads", [0, 2])
def test_what_drawing_raises_is_raised_in_its_step(threads):
    def draw(step: int) -> Batch:
        if step == 2:
            raise OSError("the volume is gone")
        return numbered(step)

    with Ahead(draw, 9, threads=threads) as batches:
        assert steps_of(batches, range(2)) == [0, 1]
        with pytest.raises(OSError, match="is gone"):
            batches.batch(2)


@pytest.mark.parametrize("allowed", [0, 1])
def test_batches_are_drawn_in_time_where_no_thread_can_be_started(monkeypatch, allowed):
    submit, calls = ThreadPoolExecutor.submit, []

    def refuse(self, *args):
        calls.append(args)
        if len(calls) > allowed:
            raise RuntimeError("can't start new thread")
        return submit(self, *args)

    monkeypatch.setattr(ahead.ThreadPoolExecutor, "submit", refuse)
    with Ahead(numbered, 6, threads=2) as batches:
        assert steps_of(batches, range(6)) == list(range(6))
    assert len(calls) == allowed + 1


@pytest.mark.parametrize(("computing", "threads"), [(1, 1), (3, 1), (4, 0), (8, 0)])
def test_a_thread_draws_for_a_cpu_only_on_a_core_that_does_not_compute(monkeypatch, computing, threads):
    monkeypatch.setattr(ahead, "allowed_cores", lambda: 4)
    monkeypatch.setattr(ahead.torch, "get_num_threads", lambda: computing)
    assert threads_for(torch.device("cpu")) == threads


def test_several_threads_draw_for_a_gpu(monkeypatch):
    monkeypatch.setattr(ahead, "allowed_cores", lambda: 64)
    assert threads_for(torch.device("cuda:0")) == ahead.MOST
    monkeypatch.setattr(ahead, "allowed_cores", lambda: 4)
    assert threads_for(torch.device("mps")) == 4


@pytest.mark.parametrize("rules", [1, 2, 3])
def test_only_loaders_of_earlier_rules_use_the_global_random_state(tiny_dataset, tmp_path, rules):
    settings = MethodConfig(patch_size=48, batch_size=2, augmentation="strong")
    loader, _ = tiny_loader(tiny_dataset, tmp_path, settings, rules=rules)
    before = torch.random.get_rng_state()
    loader.batch(0)
    assert torch.equal(before, torch.random.get_rng_state()) is loader.pure is (rules == 3)


@pytest.mark.slow
def test_a_training_that_draws_ahead_ends_with_the_same_weights(tiny_dataset, tmp_path, monkeypatch):
    small = {"base_channels": 4, "patch_size": 48, "batch_size": 2, "unlabelled_batch_size": 2}
    states = []
    for threads in (0, 1, 3):
        monkeypatch.setattr(loop, "threads_for", lambda _device, threads=threads: threads)
        run = train(tiny_dataset, "self_training", tmp_path / str(threads), steps=6, settings=small, device="cpu")
        states.append(read_checkpoint(run.checkpoint, torch.device("cpu"))["networks"])
    for other in states[1:]:
        assert all(torch.equal(states[0][name], other[name]) for name in states[0])
