"""Volumes refined and made slice by slice: each view along its axis, background of 0, alike for the same draws."""

from __future__ import annotations

import pytest
import torch

from synthaug.generators.slice_refiner import SliceRefiner
from synthaug.networks.slice_diffusion import SliceDiffusionUNet
from synthaug.volumes.views import VIEWS

CLASSES = 4
SHAPE = (20, 28, 36)


class Recorder(SliceDiffusionUNet):
    """Tiny network that keeps the shapes and times that it is given."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        super().__init__(1, CLASSES, label_channels=4, channels=(4, 8))
        self.shapes: list[tuple[int, ...]] = []
        self.times: list[int] = []
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))

    def forward(self, noisy: torch.Tensor, time: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(noisy.shape))
        self.times.append(int(time[0]))
        return super().forward(noisy, time, label)


def make_refiner(views: tuple[str, ...] = tuple(VIEWS), *, slices_a_batch: int = 64) -> SliceRefiner:
    networks = {view: Recorder(VIEWS[view]).eval() for view in views}
    return SliceRefiner(networks, torch.device("cpu"), torch.float32, slices_a_batch)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def label() -> torch.Tensor:
    label = torch.zeros(SHAPE, dtype=torch.uint8)
    label[5:15, 2:26, 3:33] = torch.randint(0, CLASSES, (10, 24, 30), generator=seeded(5), dtype=torch.uint8)
    label[5:15, 2:26, 3], label[5:15, 2:26, 32] = 1, 1
    return label


@pytest.fixture
def image(label: torch.Tensor) -> torch.Tensor:
    return (0.2 * label + 0.1 * torch.rand(SHAPE, generator=seeded(6))).unsqueeze(0) * (label > 0)


@pytest.mark.parametrize(("view", "slices"), [("axial", 30), ("coronal", 24), ("sagittal", 10)])
def test_each_view_denoises_the_slices_with_tissue_along_its_own_axis(
    label: torch.Tensor, image: torch.Tensor, view: str, slices: int
) -> None:
    refiner = make_refiner((view,))
    refiner.refine(image, label, seeded(), noising_steps=4, steps=2)
    # 10 x 24 x 30 voxels of tissue with a margin and filled up to multiples of 4
    sizes = [16, 28, 36]
    del sizes[VIEWS[view]]
    network = refiner.networks[view]
    assert isinstance(network, Recorder)
    assert network.shapes == [(slices, 1, *sizes)] * 2
    assert network.times == [3, 1]


def test_background_is_exactly_0_and_shape_and_type_are_kept(label: torch.Tensor, image: torch.Tensor) -> None:
    refiner = make_refiner()
    for made in (
        refiner.refine(image.half(), label, seeded(), steps=2),
        refiner.generate(label, seeded(), steps=2),
        refiner.generate(label, seeded(), steps=2, views=("coronal",)),
    ):
        assert made.shape == (1, *SHAPE)
        assert made.dtype == torch.float32
        assert (made[:, label == 0] == 0).all()
        assert (made[:, label > 0] != 0).all()


def test_no_noise_leaves_the_image_and_more_noise_changes_it_more(label: torch.Tensor, image: torch.Tensor) -> None:
    refiner = make_refiner()
    assert torch.equal(refiner.refine(image, label, seeded(), noising_steps=0), image)
    changes = [
        float((refiner.refine(image, label, seeded(), noising_steps=count, steps=3) - image).abs().mean())
        for count in (1, 10, 100, 1000)
    ]
    assert 0 < changes[0] < changes[1] < changes[2] < changes[3]


def test_a_refined_image_is_the_mean_of_the_views(label: torch.Tensor, image: torch.Tensor) -> None:
    each = [make_refiner((view,)).refine(image, label, seeded(), steps=2) for view in VIEWS]
    assert not torch.allclose(each[0], each[1], atol=1e-3)
    torch.testing.assert_close(make_refiner().refine(image, label, seeded(), steps=2), torch.stack(each).mean(0))


def test_networks_are_evaluated_no_more_often_than_noise_was_added(label: torch.Tensor, image: torch.Tensor) -> None:
    refiner = make_refiner(("axial",))
    refiner.refine(image, label, seeded(), noising_steps=3, steps=10)
    network = refiner.networks["axial"]
    assert isinstance(network, Recorder)
    assert network.times == [2, 1, 0]


def test_a_volume_is_made_from_noise_down_to_its_last_steps(label: torch.Tensor) -> None:
    refiner = make_refiner()
    refiner.generate(label, seeded(), steps=8)
    for network in refiner.networks.values():
        assert isinstance(network, Recorder)
        assert network.times[0] == 999
        assert network.times[-1] < 20
        assert len(network.times) == 8


def test_the_same_draws_give_the_same_volume_whatever_the_batch(label: torch.Tensor, image: torch.Tensor) -> None:
    first, again = make_refiner(), make_refiner(slices_a_batch=7)
    for made, other in (
        (first.refine(image, label, seeded(), steps=2), again.refine(image, label, seeded(), steps=2)),
        (first.generate(label, seeded(), steps=3), again.generate(label, seeded(), steps=3)),
    ):
        torch.testing.assert_close(made, other, atol=1e-4, rtol=1e-4)
    repeated = [first.generate(label, seeded(seed), steps=3) for seed in (0, 0, 1)]
    assert torch.equal(repeated[0], repeated[1])
    assert not torch.allclose(repeated[0], repeated[2], atol=1e-2)


def test_another_label_map_gives_another_volume_there(label: torch.Tensor) -> None:
    refiner = make_refiner()
    for network in refiner.networks.values():
        network.set_prior(torch.tensor([[0.0], [0.3], [0.6], [0.9]]), torch.full((CLASSES, 1), 0.05))
    other = label.clone()
    other[5:9] = torch.where(label[5:9] > 0, label[5:9] % (CLASSES - 1) + 1, 0)
    difference = (refiner.generate(other, seeded(), steps=3) - refiner.generate(label, seeded(), steps=3)).abs()[0]
    tissue = label > 0
    assert float(difference[5:9][tissue[5:9]].mean()) > 5 * float(difference[13:][tissue[13:]].mean())


def test_a_label_map_without_tissue_gives_an_image_of_zeros() -> None:
    empty = torch.zeros(SHAPE, dtype=torch.uint8)
    assert (make_refiner().generate(empty, seeded(), steps=2) == 0).all()


def test_what_cannot_be_done_is_refused(label: torch.Tensor, image: torch.Tensor) -> None:
    refiner = make_refiner(("axial",))
    with pytest.raises(ValueError, match=r"no network for coronal, sagittal; there are: axial"):
        refiner.generate(label, seeded())
    with pytest.raises(ValueError, match="no network for no view"):
        refiner.generate(label, seeded(), views=())
    with pytest.raises(ValueError, match="1001 noising steps"):
        refiner.refine(image, label, seeded(), noising_steps=1001)
    with pytest.raises(ValueError, match="0 steps"):
        refiner.refine(image, label, seeded(), steps=0)
