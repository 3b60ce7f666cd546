"""The networks of a study: each takes volumes of any shape and learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from synthaug.study.segmenters import NETWORKS, DynUNetSegmenter, Padded, SliceWise

SMALL: dict[str, dict[str, Any]] = {
    "dynunet": {"filters": [4, 8, 8]},
    "unet3d": {"channels": [4, 8, 8], "residual_units": 1},
    "unet2d": {"channels": [4, 8, 8], "residual_units": 0},
    "unetr": {"feature_size": 4, "hidden_size": 12, "mlp_dim": 16, "heads": 2},
    "swin-unetr": {"feature_size": 12, "depths": [1, 1, 1, 1]},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_lowers_the_loss(name: str) -> None:
    torch.manual_seed(0)
    shape = (10, 9, 11)  # no multiple of anything
    network = NETWORKS[name](**SMALL[name]).build(2, 3, shape)
    image = torch.randn(1, 2, *shape)
    label = (image[:, 0] > 0).long() + (image[:, 1] > 1).long()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(3):
        logits = network(image)
        assert logits.shape == (1, 3, *shape)
        loss = functional.cross_entropy(logits, label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_has_one_name(name: str) -> None:
    state = NETWORKS[name](**SMALL[name]).build(1, 2, (16, 16, 16)).state_dict()
    places = [value.data_ptr() for value in state.values() if value.numel()]
    assert len(places) == len(set(places))


def test_the_dynunet_is_that_of_monai() -> None:
    torch.manual_seed(0)
    ours = DynUNetSegmenter(filters=(4, 8, 8)).network(1, 2, (8, 8, 8))
    from monai.networks.nets import DynUNet

    torch.manual_seed(0)
    theirs = DynUNet(3, 1, 2, [3, 3, 3], [1, 2, 2], [2, 2], filters=[4, 8, 8])
    image = torch.randn(1, 1, 8, 8, 8)
    torch.testing.assert_close(ours(image), theirs(image))


def test_padding_comes_off_where_it_was_put_on() -> None:
    seen = []

    class Same(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(image.shape)
            return image

    image = torch.rand(1, 1, 3, 4, 5)
    assert torch.equal(Padded(Same(), (8, 8, 16))(image), image)
    assert seen == [(1, 1, 8, 8, 16)]


def test_slices_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    network = SliceWise(torch.nn.Conv2d(1, 2, 3, padding=1))
    image = torch.rand(2, 1, 4, 5, 6)
    changed = image.clone()
    changed[..., 3] += 1
    differs = (network(image) != network(changed)).any(dim=(0, 1, 2, 3))
    assert differs.tolist() == [False, False, False, True, False, False]
