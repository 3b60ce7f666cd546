"""Slices are seen as LPIPS sees them where the weights of its network are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from synthaug.errors import ConfigurationError
from synthaug.evaluation.perceptual_maps import COMPARED_SLICES, AlexNetMaps, PerceptualMaps


def test_given_weights_of_alexnet_make_the_distance_of_lpips(tmp_path: Path) -> None:
    from torchmetrics.functional.image.lpips import _LPIPS
    from torchvision.models import alexnet

    torch.manual_seed(0)
    network = alexnet(weights=None)
    features = {name: one for name, one in network.state_dict().items() if name.startswith("features.")}
    path = tmp_path / "alexnet.pth"
    torch.save(features, path)
    reference = _LPIPS(pretrained=True, net="alex", pnet_rand=True)
    for part in reference.net.children():
        for name, layer in part.named_children():
            layer.load_state_dict(network.features[int(name)].state_dict())
    one, other = torch.rand(2, 64, 64, 64, generator=torch.Generator().manual_seed(0))
    places = torch.tensor([[20, 40]] * 3)
    maps = PerceptualMaps.at(places, path)
    found = [maps.vectors(image) for image in (one, other)]
    distance = np.square(found[0] - found[1]).sum(axis=1)
    axial = [image[:, :, [20, 40]].movedim(2, 0)[:, None].expand(-1, 3, -1, -1) for image in (one, other)]
    with torch.no_grad():
        expected = reference(*axial, normalize=True).flatten().numpy()
    np.testing.assert_allclose(distance[4:], expected, rtol=1e-3)


def test_a_head_in_a_field_of_view_that_is_no_cube_is_seen_as_in_one() -> None:
    cube = torch.rand(12, 12, 12, generator=torch.Generator().manual_seed(0))
    cube[:2], cube[10:], cube[:, :, :3], cube[:, :, 9:] = 0, 0, 0, 0
    maps = PerceptualMaps.within((8, 12, 6), None)
    found = maps.vectors(cube[2:10, :, 3:9])
    np.testing.assert_array_equal(found, maps.vectors(cube))
    assert len(found) == 3 * COMPARED_SLICES
    assert found.any(axis=1).all()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(2, 3, 3, 3)}, path)
    with pytest.raises(ConfigurationError, match="not those of torchvision's AlexNet"):
        AlexNetMaps(path)
