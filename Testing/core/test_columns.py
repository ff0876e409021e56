"""The faster form of the translator's last convolution: the same numbers but for rounding, and only where it fits."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from leuda_core.networks.predictor import Predictor, PredictorSpec
from leuda_core.prediction.columns import ColumnConv2d, use_columns


@pytest.mark.parametrize("kernel", [(7, 7), (5, 7)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_numbers_are_those_of_the_convolution(kernel: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(0)
    padding = kernel[0] // 2, kernel[1] // 2
    conv = nn.Conv2d(6, 1, kernel, padding=padding, padding_mode="reflect", bias=bias)
    images = torch.randn(2, 6, 33, 20)
    with torch.inference_mode():
        torch.testing.assert_close(ColumnConv2d(conv)(images), conv(images), rtol=1e-5, atol=1e-5)


def test_a_predictor_draws_and_segments_the_same() -> None:
    torch.manual_seed(0)
    spec = PredictorSpec(in_channels=1, n_classes=3, base_channels=8, translator_channels=8, translator_blocks=1)
    plain = Predictor(spec).eval()
    quick = copy.deepcopy(plain)
    use_columns(quick)
    assert [type(layer) for layer in quick.modules()].count(ColumnConv2d) == 1
    images = torch.rand(1, 1, 64, 48) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(quick.translator(images), plain.translator(images), rtol=0, atol=1e-5)
        torch.testing.assert_close(quick(images), plain(images), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 2, 7, padding=3, padding_mode="reflect"),
        nn.Conv2d(4, 1, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 1, 7, padding=3),
        nn.Conv2d(4, 1, 7, padding=3, stride=2, padding_mode="reflect"),
    ],
    ids=["two channels", "narrow", "zeros around", "stride"],
)
def test_other_convolutions_are_left_alone(conv: nn.Conv2d) -> None:
    network = nn.Sequential(conv)
    use_columns(network)
    assert network[0] is conv
