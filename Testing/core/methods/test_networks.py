"""Layers of the networks that are computed in another way than their definition."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import max_pool2d

from leuda_core.networks.generator import ToImage
from leuda_core.networks.unet import halved


@pytest.mark.parametrize(("number", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)], ids=str)
def test_a_convolution_row_by_row_is_the_convolution(number: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    row_by_row, plain = ToImage(6), nn.Conv2d(6, 1, 7, padding=3, padding_mode="reflect")
    plain.load_state_dict(row_by_row.state_dict())
    images = torch.randn(2, 6, 33, 20)
    expected = plain(images)
    torch.testing.assert_close(row_by_row.to(number)(images.to(number)), expected, rtol=tolerance, atol=tolerance)


def test_its_gradients_are_those_of_the_convolution() -> None:
    torch.manual_seed(0)
    row_by_row, plain = ToImage(6), nn.Conv2d(6, 1, 7, padding=3, padding_mode="reflect")
    plain.load_state_dict(row_by_row.state_dict())
    images, weight = torch.randn(2, 6, 12, 16, requires_grad=True), torch.randn(2, 1, 12, 16)
    found, expected = (
        torch.autograd.grad((layer(images) * weight).sum(), [images, *layer.parameters()])
        for layer in (row_by_row, plain)
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("number", [torch.float32, torch.bfloat16], ids=str)
def test_pooling_without_gradient_is_that_with_it(number: torch.dtype, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    maps = torch.randn(3, 8, 32, 48).to(number).contiguous(memory_format=layout)
    pooled = halved(maps)
    assert torch.equal(pooled, max_pool2d(maps, 2)) and pooled.is_contiguous(memory_format=layout)
    learnt = maps.clone().requires_grad_()
    halved(learnt).sum().backward()
    assert learnt.grad is not None and learnt.grad.sum() == pooled.numel()
