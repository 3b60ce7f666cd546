"""Discriminators of slices and sequences: what they see, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from synthaug.networks.sequence_discriminators import ImageDiscriminator, MultiScaleDiscriminator, SequenceDiscriminator


@pytest.fixture(autouse=True)
def _fixed_weights() -> None:
    torch.manual_seed(0)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_each_scale_judges_patches_twice_as_large_and_tells_what_it_saw() -> None:
    judgement = MultiScaleDiscriminator(3, channels=4, layers=2, scales=2)(noise(2, 3, 48, 64))
    (fine, coarse) = judgement.scores
    assert fine.shape[:2] == coarse.shape[:2] == (2, 1)
    assert fine.shape[2] > 1.5 * coarse.shape[2]
    assert [one.shape[1] for one in judgement.features] == [4, 8, 16, 4, 8, 16]


def test_the_smallest_slice_that_it_takes_is_told_and_a_smaller_one_refused() -> None:
    discriminator = MultiScaleDiscriminator(1, channels=4, layers=2, scales=2)
    size = discriminator.least_size
    assert all(score.isfinite().all() for score in discriminator(noise(1, 1, size, size)).scores)
    with pytest.raises(ValueError, match=f"give at least {size}"):
        discriminator(noise(1, 1, size, size - 1))


def test_an_image_is_judged_together_with_its_label_map() -> None:
    discriminator = ImageDiscriminator(2, 5, channels=4)
    image = noise(2, 2, 32, 40)
    label = torch.randint(5, (2, 32, 40), generator=torch.Generator().manual_seed(0))
    scores = discriminator(label, image).scores
    assert not torch.equal(scores[0], discriminator(label.flip(1), image).scores[0])
    assert not torch.equal(scores[0], discriminator(label, image.flip(1)).scores[0])


def test_a_sequence_is_judged_by_the_order_of_its_slices_and_the_flows_between_them() -> None:
    discriminator = SequenceDiscriminator(1, slices=3, channels=4)
    images, flows = noise(2, 3, 1, 32, 40), noise(2, 2, 2, 32, 40, seed=1)
    scores = discriminator(images, flows).scores
    assert not torch.equal(scores[0], discriminator(images.flip(1), flows).scores[0])
    assert not torch.equal(scores[0], discriminator(images, -flows).scores[0])


def test_a_score_does_not_depend_on_the_batch() -> None:
    discriminator = SequenceDiscriminator(1, channels=4)
    images, flows = noise(3, 3, 1, 32, 32), noise(3, 2, 2, 32, 32)
    together = discriminator(images, flows).scores[0]
    torch.testing.assert_close(together[1:2], discriminator(images[1:2], flows[1:2]).scores[0])


def test_half_precision_gives_nearly_the_same() -> None:
    discriminator = ImageDiscriminator(1, 3, channels=4)
    label, image = torch.ones(1, 32, 32, dtype=torch.long), noise(1, 1, 32, 32)
    full = discriminator(label, image).scores[1]
    with torch.autocast("cpu", torch.bfloat16):
        half = discriminator(label, image).scores[1]
    torch.testing.assert_close(half.float(), full, atol=0.05, rtol=0.05)
