"""Where the time of a training step goes: ``python Testing/benchmarks/bench_training.py``, on the CPU, some minutes.

Three tables, on phantom volumes: milliseconds of a step of every method in the last tenth of each phase, and the shares
of it; LE-UDA against the same step written plainly, one forward pass for each stream in float32; and how many slices a
second could be fed to a device that computes in no time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.optim import Adam

from leuda_core.blocks.losses import adversarial_loss, consistency_loss, discriminator_loss, segmentation_loss
from leuda_core.blocks.losses import structure_loss as structure
from leuda_core.config import make_config
from leuda_core.data.batches.loaders import SliceLoader
from leuda_core.data.dataset import load_dataset
from leuda_core.data.phantom.cohort import make_phantom
from leuda_core.data.tasks import make_task
from leuda_core.devices import autocast
from leuda_core.methods import METHODS, base, le_uda
from leuda_core.methods.base import Method
from leuda_core.methods.le_uda import LeUda
from leuda_core.methods.mean_teacher import with_noise
from leuda_core.networks.unet import two_level_logits
from leuda_core.training.ahead import Ahead
from leuda_core.types import Batch

CPU = torch.device("cpu")
LATE = 0.9
WARM = 3
PARTS = ("waiting", "appearance", "optimiser")


class Bench:
    """Phantom volumes and the sizes of the networks."""

    def __init__(self, folder: Path, side: int, repeats: int) -> None:
        self.folder, self.side, self.repeats = folder, side, repeats
        self.dataset = make_phantom(
            folder / "phantom", source_cases=6, labelled=3, target_cases=6, test_cases=1, target_labels=True
        )

    @contextmanager
    def loader(self, kind: type[Method], **settings: object) -> Iterator[tuple[SliceLoader, Method]]:
        sizes = {"patch_size": self.side, "spacing_mm": 120.0 / self.side, "augmentation": "strong", **settings}
        made = make_config(kind.Config, {name: x for name, x in sizes.items() if name in kind.Config.__struct_fields__})
        data = load_dataset(self.dataset)
        task = make_task(data, made, target_labels=kind.reads_target_labels)
        with tempfile.TemporaryDirectory() as cache:
            only = {"target_labels": kind.reads_target_labels, "target_only": kind.reads_target_labels}
            loader = SliceLoader(data, task, made, Path(cache), episodes=kind.draws_episodes, **only)
            torch.manual_seed(0)
            method = kind(task, made)
            method.train()
            method.teacher.eval()
            yield loader, method

    def steps(self) -> Iterator[str]:
        """Yield a line for each phase of each method: milliseconds of a step and the shares of its parts."""
        yield f"| method | phase | ms a step | {' | '.join(PARTS)} | networks and losses |"
        yield "|---" * (len(PARTS) + 4) + "|"
        for name, kind in METHODS.items():
            with self.loader(kind) as (loader, method):
                for phase in method.phases(1000):
                    seconds, parts = self._timed(loader, phase)
                    shares = [parts[part] / seconds for part in PARTS]
                    cells = [f"{share:.1%}" for share in (*shares, 1 - sum(shares))]
                    yield f"| `{name}` | {phase.name} | {1e3 * seconds:.0f} | {' | '.join(cells)} |"

    def _timed(self, loader: SliceLoader, phase: base.Phase) -> tuple[float, dict[str, float]]:
        """Return the median seconds of a step, and those of its parts in that step."""
        spent: dict[str, float] = defaultdict(float)
        phase.begin()
        found = []
        with (
            timed(base, "random_appearance", spent, "appearance"),
            timed(Adam, "step", spent, "optimiser"),
            timed(base, "update_average", spent, "optimiser"),
            timed(SliceLoader, "batch", spent, "waiting"),
        ):
            for index in range(WARM + self.repeats):
                spent.clear()
                start = time.perf_counter()
                batch = loader.batch(index, phase.streams(LATE))
                with autocast(CPU):
                    phase.step(batch, LATE)
                found.append((time.perf_counter() - start, dict.fromkeys(PARTS, 0.0) | spent))
        return sorted(found[WARM:], key=lambda one: one[0])[self.repeats // 2]

    def against_plain(self) -> Iterator[str]:
        """Yield what a step of LE-UDA takes, as it is and plainly written, and how far their losses are apart."""
        times: dict[str, list[float]] = defaultdict(list)
        settings = {"translator_steps": 1, "translator_channels": 16, "translator_blocks": 4, "translator_halvings": 2}
        with self.loader(LeUda, **settings) as (loader, method):
            assert isinstance(method, LeUda)
            kinds: dict[str, Callable[[Batch], Any]] = {
                "as it is": lambda batch: in_half(method, batch),
                "plain, float32": lambda batch: plain_step(method, batch),
            }
            for index in range(WARM + self.repeats):
                batch = loader.batch(index)
                for name, step in kinds.items():
                    start = time.perf_counter()
                    step(batch)
                    times[name].append(time.perf_counter() - start)
        medians = {name: statistics.median(seconds[WARM:]) for name, seconds in times.items()}
        yield "| LE-UDA | ms a step | steps a second, relative |\n|---|---|---|"
        for name, seconds in medians.items():
            yield f"| {name} | {1e3 * seconds:.0f} | {medians['plain, float32'] / seconds:.2f} |"
        yield f"\nLargest difference of a loss in {self.repeats} steps in float32: {self._difference(settings):.1e}."

    def _difference(self, settings: dict[str, object]) -> float:
        """Return how far losses of the two are apart at most, both in float32 and without random appearances."""
        found = []
        for step in (lambda method, batch: method.main_step(batch, LATE), plain_step):
            with self.loader(LeUda, **settings, augmentation="paper") as (loader, method):
                without_dropout(method)
                torch.manual_seed(0)
                steps = (step(method, loader.batch(index)) for index in range(self.repeats))
                found.append(torch.stack([torch.stack([*losses.values()]) for losses in steps]))
        return float((found[0] - found[1]).abs().max())

    def feeding(self, side: int) -> Iterator[str]:
        """Yield how many slices of ``side`` pixels a second are drawn for a device that computes in no time."""
        yield f"| threads that draw | slices of {side} x {side} a second |\n|---|---|"
        torch.set_num_threads(1)
        with self.loader(METHODS["self_training"], patch_size=side, spacing_mm=120.0 / side) as (loader, _):
            for threads in (0, 1, 2):
                with Ahead(loader.batch, 10**6, threads=threads) as batches:
                    batches.batch(0)
                    start, slices = time.perf_counter(), 0
                    for index in range(1, 1 + self.repeats):
                        batch = batches.batch(index)
                        slices += len(batch.source) + len(batch.source_unlabelled) + len(batch.target)
                    yield f"| {threads or 'none, as they are used'} | {slices / (time.perf_counter() - start):,.0f} |"


@contextmanager
def timed(owner: Any, name: str, spent: dict[str, float], part: str) -> Iterator[None]:
    """Add the time of every call of a function to a part."""
    original = getattr(owner, name)

    def call(*args: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return original(*args, **options)
        finally:
            spent[part] += time.perf_counter() - start

    with mock.patch.object(owner, name, call):
        yield


def in_half(method: Method, batch: Batch) -> base.Losses:
    with autocast(CPU):
        return method.main_step(batch, LATE)


def without_dropout(method: Method) -> None:
    for module in method.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def plain_step(method: LeUda, batch: Batch) -> base.Losses:
    """Take the step of LE-UDA as its equations are written: every stream goes through every network by itself."""
    m, s, t = method, method.settings, method.translator
    x_l, y, x_s, x_t = batch.source, batch.source_labels, batch.source_unlabelled, batch.target
    with torch.no_grad():
        cycled = t.to_source(t.to_target(x_l))
        x_st = t.to_target(x_s)
        x_sts = t.to_source(x_st)
        x_ts = t.to_source(x_t)
        x_tst = t.to_target(x_ts)
        noisy = with_noise(torch.cat([x_s, x_ts, x_st, x_t, x_tst]))
        n_s, n_t = len(x_s), len(x_t)
        noisy_s, noisy_ts, noisy_st, noisy_t, noisy_tst = noisy.split([n_s, n_t, n_s, n_t, n_t])

    def student(images: Tensor) -> tuple[Tensor, Tensor]:
        return two_level_logits(m.segmenter, m.auxiliary_head, images)

    @torch.no_grad()
    def teacher(images: Tensor) -> tuple[Tensor, Tensor]:
        return two_level_logits(m.teacher, m.auxiliary_teacher, images)

    together = m.appearance(torch.cat([x_l, cycled]), torch.cat([batch.source_structures] * 2))
    labelled, relabelled = (student(images) for images in together.split(len(x_l)))
    shown_s, shown_ts, shown_sts = m.appearance(torch.cat([x_s, x_ts, x_sts])).split([n_s, n_t, n_s])
    f_s, f_ts, f_sts = student(shown_s), student(shown_ts), student(shown_sts)
    g_s, g_ts = teacher(noisy_s), teacher(noisy_ts)
    g_st, g_t, g_tst = teacher(noisy_st), teacher(noisy_t), teacher(noisy_tst)

    # Dice is over the whole batch, so labelled streams meet in it.
    joined = [torch.cat(maps) for maps in zip(labelled, relabelled, strict=True)]
    segmentation, auxiliary = (2 * segmentation_loss(logits, torch.cat([y, y])) for logits in joined)
    intra_pairs = [(f_s, g_s), (f_ts, g_ts)]
    inter_pairs = [(f_s, g_st), (f_sts, g_st), (f_ts, g_t), (f_ts, g_tst)]
    intra = torch.stack([consistency_loss(f[0], g[0]) for f, g in intra_pairs]).sum()
    inter = torch.stack([structure(f[0], g[0]) for f, g in inter_pairs]).sum()
    adversarial = torch.zeros(())
    weights = (s.adversarial_weight, s.auxiliary_adversarial_weight)
    sides = ((m.intra_discriminators, intra_pairs), (m.inter_discriminators, inter_pairs))
    for discriminators, pairs in sides:
        for level, (weight, judge) in enumerate(zip(weights, discriminators, strict=True)):
            scores = [adversarial_loss(judge(f[level].softmax(1))) for f, _ in pairs]
            adversarial = adversarial + weight * torch.stack(scores).mean()
    ramp = le_uda.delayed_ramp(LATE, s.ramp_start)
    teachers = s.intra_weight * intra + s.inter_weight * inter + adversarial
    method.minimize(segmentation + s.auxiliary_weight * auxiliary + ramp * teachers, "segmenter")

    discrimination = torch.zeros(())
    for discriminators, pairs in sides:
        for level, judge in enumerate(discriminators):
            losses = [
                discriminator_loss(judge(g[level].softmax(1)), judge(f[level].detach().softmax(1))) for f, g in pairs
            ]
            discrimination = discrimination + torch.stack(losses).mean()
    method.minimize(discrimination, "map_discriminators")
    method.update_teacher()
    return base.detached(
        segmentation=segmentation, intra=intra, inter=inter, adversarial=adversarial, discriminator=discrimination
    )


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=96, help="pixels of a patch")
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, patches of {given.side} pixels\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), given.side, given.repeats)
        for lines in (bench.steps(), bench.against_plain(), bench.feeding(256)):
            for line in lines:
                print(line, flush=True)
            print()


if __name__ == "__main__":
    main()
