"""Networks that compute a known layer another way."""

import torch
from torch import nn

from leuda_core.networks.generator import ToImage


def test_a_convolution_by_rows_is_the_convolution():
    torch.manual_seed(0)
    by_rows, plain = ToImage(5), nn.Conv2d(5, 1, 7, padding=3, padding_mode="reflect")
    plain.load_state_dict(by_rows.state_dict())
    images = torch.randn(2, 5, 12, 16)
    torch.testing.assert_close(by_rows(images), plain(images), rtol=1e-4, atol=1e-5)
