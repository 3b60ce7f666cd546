"""Images made slice by slice from whole label maps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from synthaug.generators.image_sequence_stage import ImageSequenceStage
from synthaug.networks.image_sequence import ImageSequenceGenerator

SHAPE = (18, 21, 6)


@pytest.fixture
def stage() -> ImageSequenceStage:
    torch.manual_seed(0)
    generator = ImageSequenceGenerator(2, 4, embedding_channels=3, channels=(8, 8, 8))
    nn.init.normal_(generator.head.weight, std=0.2)
    generator.set_intensities(torch.tensor([[0.0, 0.0], [0.3, 0.9], [0.6, 0.6], [0.9, 0.3]]))
    return ImageSequenceStage(generator.eval(), torch.device("cpu"), torch.float32)


def label_map(seed: int) -> torch.Tensor:
    """Half of it tissue, all over the field of view but for an empty slice at its lower end."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(1, 4, SHAPE, generator=generator) * torch.randint(2, SHAPE, generator=generator)
    label[..., 0] = 0
    return label.to(torch.uint8)


def test_images_are_of_the_label_maps_shape_and_exactly_zero_in_the_background(stage: ImageSequenceStage) -> None:
    labels = [label_map(0), label_map(1)]
    images = stage.sample(labels)
    for label, image in zip(labels, images, strict=True):
        assert image.shape == (2, *SHAPE)
        assert image.dtype == torch.float32
        assert not image.requires_grad
        assert (image[:, label == 0] == 0).all()
        assert (image[:, label > 0] != 0).all()


def test_slices_are_made_in_order_along_z(stage: ImageSequenceStage) -> None:
    label = label_map(0)
    (image,) = stage.sample([label])
    other = label.clone()
    other[..., 4] = 3 - other[..., 4].clamp(max=3)
    (changed,) = stage.sample([other])
    difference = (image - changed).abs().amax(dim=(0, 1, 2))
    assert (difference[:3] == 0).all()
    assert (difference[3:] > 0).all()


def test_x_and_y_stay_what_they_are(stage: ImageSequenceStage) -> None:
    label = torch.ones(SHAPE, dtype=torch.uint8)
    label[5:9, 2:4] = 0
    (image,) = stage.sample([label])
    assert (image[:, 5:9, 2:4] == 0).all()
    assert (image[:, 9:, 4:] != 0).all()


def test_the_same_label_map_gives_the_same_image_in_any_batch(stage: ImageSequenceStage) -> None:
    labels = [label_map(seed) for seed in range(3)]
    together = stage.sample(labels)
    for label, image in zip(labels, together, strict=True):
        (alone,) = stage.sample([label])
        torch.testing.assert_close(alone, image, atol=1e-5, rtol=1e-4)
        assert torch.equal(alone, stage.sample([label])[0])
    assert not torch.equal(together[0], together[1])


def test_half_precision_gives_nearly_the_same_in_full_precision_numbers(stage: ImageSequenceStage) -> None:
    label = label_map(0)
    half = ImageSequenceStage(stage.generator, stage.device, torch.bfloat16).sample([label])[0]
    assert half.dtype == torch.float32
    assert float((half - stage.sample([label])[0]).abs().mean()) < 0.02
