"""The image sequence generator: flows move what they should, and each slice comes from those before it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from synthaug.networks.image_sequence import (
    FLOW_LIMIT,
    GeneratedSlice,
    ImageSequenceGenerator,
    generate_slices,
    pad_ends,
    warp_slice,
)
from synthaug.networks.label_modulation import LabelModulation
from synthaug.networks.voxel_norm import VoxelNorm

CLASSES = 4


@pytest.fixture
def generator() -> ImageSequenceGenerator:
    """Weights that no training made, but that no layer ignores."""
    torch.manual_seed(0)
    network = ImageSequenceGenerator(2, CLASSES, embedding_channels=3, channels=(8, 8, 12))
    nn.init.normal_(network.head.weight, std=0.2)
    network.set_intensities(torch.tensor([[0.0, 0.0], [0.3, 0.9], [0.6, 0.6], [0.9, 0.3]]))
    return network.eval()


def blocks(slices: int, *, height: int = 16, width: int = 20, seed: int = 0) -> torch.Tensor:
    """Labels ``(1, slices, height, width)`` in blocks of 4 pixels, within a frame of background."""
    ids = torch.randint(1, CLASSES, (1, slices, height // 4, width // 4), generator=torch.Generator().manual_seed(seed))
    labels = ids.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    labels[:, :, :2] = labels[:, :, -2:] = 0
    return labels


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def make(network: ImageSequenceGenerator, labels: torch.Tensor, previous: torch.Tensor, bit: float) -> GeneratedSlice:
    return network(labels, previous, torch.full((len(labels),), bit))


@torch.no_grad()
def make_all(network: ImageSequenceGenerator, labels: torch.Tensor) -> torch.Tensor:
    """Images ``(B, n, C, H, W)``."""
    slices = generate_slices(network, pad_ends(labels, slices=network.slices))
    return torch.stack([one.image for one in slices], dim=1)


@pytest.mark.parametrize(("height", "width"), [(16, 20), (17, 22), (5, 7)])
def test_a_slice_of_any_size_comes_with_what_it_was_made_of(
    generator: ImageSequenceGenerator, height: int, width: int
) -> None:
    labels = torch.ones(3, 4, height, width, dtype=torch.long)
    made = make(generator, labels, noise(3, 4, height, width), 1)
    for tensor, channels in ((made.image, 2), (made.texture, 2), (made.flow, 2), (made.blend, 1), (made.warped, 2)):
        assert tensor.shape == (3, channels, height, width)
        assert tensor.dtype == torch.float32
        assert tensor.isfinite().all()


def test_the_image_is_the_blend_of_texture_and_warped_slice_and_exactly_zero_in_the_background(
    generator: ImageSequenceGenerator,
) -> None:
    labels = blocks(4)
    made = make(generator, labels, noise(1, 4, 16, 20), 1)
    tissue = labels[:, 2:3] > 0
    expected = made.blend * made.texture + (1 - made.blend) * made.warped
    torch.testing.assert_close(made.image, expected * tissue)
    assert (made.image[(~tissue).expand_as(made.image)] == 0).all()
    assert ((made.blend > 0) & (made.blend < 1)).all()
    assert float(made.flow.abs().max()) > 0.1


def test_the_bit_switches_the_warp_off_whatever_the_previous_images_are(generator: ImageSequenceGenerator) -> None:
    labels = blocks(4)
    made = make(generator, labels, noise(1, 4, 16, 20), 0)
    assert (made.blend == 1).all()
    assert (made.flow == 0).all()
    torch.testing.assert_close(made.image, made.texture * (labels[:, 2:3] > 0))
    torch.testing.assert_close(made.image, make(generator, labels, torch.zeros(1, 4, 16, 20), 0).image)
    assert not torch.equal(made.image, make(generator, labels, torch.zeros(1, 4, 16, 20), 1).image)


def test_no_flow_is_longer_than_its_limit(generator: ImageSequenceGenerator) -> None:
    with torch.no_grad():
        for parameter in generator.head.parameters():
            parameter.fill_(100.0 if parameter.ndim == 1 else 0.0)
    made = make(generator, blocks(4), noise(1, 4, 16, 20), 1)
    torch.testing.assert_close(made.flow, torch.full_like(made.flow, FLOW_LIMIT))


def test_fresh_weights_give_every_label_its_intensity_in_place() -> None:
    fresh = ImageSequenceGenerator(1, CLASSES, channels=(8, 8, 8))
    fresh.set_intensities(torch.tensor([[0.0], [0.2], [0.4], [0.8]]))
    labels = blocks(4)
    made = make(fresh, labels, torch.zeros(1, 2, 16, 20), 0)
    torch.testing.assert_close(made.image[:, 0], fresh.intensities[labels[:, 2], 0])


def test_a_flow_fetches_each_pixel_from_itself_plus_so_many_pixels() -> None:
    image = noise(2, 3, 9, 12)
    flow = torch.zeros(2, 2, 9, 12)
    torch.testing.assert_close(warp_slice(image, flow), image)
    flow[:, 0], flow[:, 1] = 2, -3
    torch.testing.assert_close(warp_slice(image, flow)[:, :, :-2, 3:], image[:, :, 2:, :-3])
    flow[:, 0], flow[:, 1] = 0.5, 0
    torch.testing.assert_close(
        warp_slice(image, flow)[:, :, :-1], (image[:, :, :-1] + image[:, :, 1:]) / 2, atol=1e-5, rtol=1e-5
    )


def test_pixels_from_beyond_the_edge_repeat_the_edge() -> None:
    image = noise(1, 1, 6, 6)
    flow = torch.full((1, 2, 6, 6), 20.0)
    torch.testing.assert_close(warp_slice(image, flow), image[:, :, -1:, -1:].expand(1, 1, 6, 6))


def test_a_flow_learns_from_how_well_it_moves_a_picture() -> None:
    image = torch.sin(torch.arange(32.0) / 4).view(1, 1, 32, 1).expand(1, 1, 32, 8)
    flow = torch.zeros(1, 2, 32, 8, requires_grad=True)
    target = warp_slice(image, torch.ones(1, 2, 32, 8))
    (warp_slice(image, flow) - target).square().sum().backward()
    assert flow.grad is not None
    # rows in which the picture is not flat at its crest
    assert (flow.grad[:, 0] < 0).float().mean() > 0.8
    assert float(flow.grad[:, 1].abs().max()) < 1e-4


def test_a_label_changes_the_image_where_it_is_and_hardly_elsewhere(generator: ImageSequenceGenerator) -> None:
    labels = blocks(4, height=64, width=64)
    other = labels.clone()
    other[:, :, 8:16, 8:16] = labels[:, :, 8:16, 8:16] % (CLASSES - 1) + 1
    previous = noise(1, 4, 64, 64)
    change = (make(generator, labels, previous, 1).image - make(generator, other, previous, 1).image).abs()
    there = float(change[:, :, 8:16, 8:16].mean())
    assert there > 0.05
    assert float(change[:, :, 24:, 24:].mean()) < 0.01 * there
    assert float(change[:, :, 48:, 48:].max()) < 1e-4, "further than any convolution sees"


def test_labels_of_the_current_slice_enter_at_full_resolution() -> None:
    torch.manual_seed(0)
    modulation = LabelModulation(VoxelNorm(6, affine=False), 3, 5, 6, dimensions=2)
    x, features = noise(1, 6, 8, 12), noise(1, 3, 8, 12, seed=1)
    other = features.clone()
    other[:, :, :, 6:] = 9
    change = (modulation(x, features) - modulation(x, other)).abs().detach()
    assert float(change[:, :, :, :4].max()) == 0
    assert float(change[:, :, :, 6:].mean()) > 0.1


def test_a_slice_depends_on_no_later_one_but_on_the_next_label(generator: ImageSequenceGenerator) -> None:
    labels = blocks(6)
    image = make_all(generator, labels)
    for changed in range(6):
        other = labels.clone()
        other[:, changed] = labels[:, changed] * 2 % CLASSES
        difference = (make_all(generator, other) - image).abs().amax(dim=(0, 2, 3, 4))
        assert (difference[: max(changed - 1, 0)] == 0).all()
        assert (difference[max(changed - 1, 0) :] > 1e-4).all(), "and it is passed on to all that follow"


def test_every_slice_is_made_from_the_slices_just_made(generator: ImageSequenceGenerator) -> None:
    labels = pad_ends(blocks(4), slices=3)
    with torch.no_grad():
        made = [one.image for one in generate_slices(generator, labels)]
    again = make(generator, labels[:, 2:6], torch.cat(made[:2], dim=1), 1)
    torch.testing.assert_close(made[2], again.image)


def test_the_slice_after_empty_ones_is_made_from_nothing(generator: ImageSequenceGenerator) -> None:
    labels = blocks(5)
    labels[:, :2] = 0
    made = list(generate_slices(generator, pad_ends(labels, slices=3)))
    assert [bool((one.blend == 1).all()) for one in made] == [True, True, True, False, False]


def test_real_slices_to_start_from_are_used_where_a_sequence_has_them(generator: ImageSequenceGenerator) -> None:
    labels = pad_ends(blocks(3), slices=3).expand(2, -1, -1, -1)
    start = noise(2, 2, 2, 16, 20)
    start[1] = 0
    with torch.no_grad():
        first = next(generate_slices(generator, labels, start))
        nothing = next(generate_slices(generator, labels))
    torch.testing.assert_close(first.warped[:1], warp_slice(start[:1, 1], first.flow[:1]))
    torch.testing.assert_close(first.image[1:], nothing.image[1:])
    assert float((first.image[0] - first.image[1]).abs().max()) > 0.01


def test_no_gradient_reaches_the_slices_before(generator: ImageSequenceGenerator) -> None:
    made = list(generate_slices(generator, pad_ends(blocks(3), slices=3)))
    made[0].image.retain_grad()
    made[-1].image.sum().backward()
    assert made[0].image.grad is None
    assert generator.enter.weight.grad is not None


def test_a_volume_does_not_depend_on_its_batch(generator: ImageSequenceGenerator) -> None:
    labels = torch.cat([blocks(4, seed=seed) for seed in range(3)])
    labels[1, :2] = 0
    together = make_all(generator, labels)
    for index in range(3):
        torch.testing.assert_close(
            together[index : index + 1], make_all(generator, labels[index : index + 1]), atol=1e-5, rtol=1e-4
        )


def test_ends_are_repeated() -> None:
    labels = torch.arange(3).view(1, 3, 1, 1)
    assert pad_ends(labels, slices=3).flatten().tolist() == [0, 0, 0, 1, 2, 2]


def test_half_precision_gives_nearly_the_same(generator: ImageSequenceGenerator) -> None:
    labels = blocks(4)
    full = make_all(generator, labels)
    with torch.autocast("cpu", torch.bfloat16):
        half = make_all(generator, labels)
    assert half.dtype == torch.float32
    assert float((half - full).abs().mean()) < 0.02


def test_it_learns_from_more_previous_slices_and_more_blocks_too() -> None:
    network = ImageSequenceGenerator(1, CLASSES, slices=4, channels=(8, 8, 8), num_res_blocks=2)
    made = list(generate_slices(network, pad_ends(blocks(3), slices=4)))
    made[-1].image.sum().backward()
    assert [one.image.shape for one in made] == [(1, 1, 16, 20)] * 3
    assert network.head.weight.grad is not None


@pytest.mark.parametrize("wrong", [{"slices": 1}, {"channels": (8, 8)}])
def test_what_cannot_be_built_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="take"):
        ImageSequenceGenerator(1, CLASSES, **wrong)  # type: ignore[arg-type]
