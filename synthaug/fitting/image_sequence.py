"""Training losses of the image sequence generator and of its discriminators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from synthaug.configuration.limits import allowed
from synthaug.fitting.bank import Bank
from synthaug.fitting.crops import LabelMirror, draw_bool, draw_crop, draw_index
from synthaug.fitting.stage import Turn
from synthaug.networks.image_sequence import (
    GeneratedSlice,
    ImageSequenceGenerator,
    generate_slices,
    pad_ends,
    warp_slice,
)
from synthaug.networks.sequence_discriminators import ImageDiscriminator, Judgement, SequenceDiscriminator


class ImageSequenceGame(nn.Module):
    """The generator and its two opponents, in one module.

    Args:
        generator: makes slices in order.
        image_discriminator: judges single slices.
        sequence_discriminator: judges consecutive slices.
    """

    def __init__(
        self,
        generator: ImageSequenceGenerator,
        image_discriminator: ImageDiscriminator,
        sequence_discriminator: SequenceDiscriminator,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.image_discriminator = image_discriminator
        self.sequence_discriminator = sequence_discriminator

    def judge(self, label: torch.Tensor, images: torch.Tensor, flows: torch.Tensor) -> list[Judgement]:
        """What both discriminators say of windows of slices.

        Args:
            label: ``(B, n, H, W)`` label ids.
            images: ``(B, n, C, H, W)``, real or made.
            flows: ``(B, n, 2, H, W)`` in pixels, from each slice to the one before.

        Raises:
            ValueError: there are fewer slices than the sequence discriminator judges together.
        """
        between = torch.cat([one[:, 1:] for one in self._sequences(flows)])
        return [
            self.image_discriminator(label.flatten(0, 1), images.flatten(0, 1)),
            self.sequence_discriminator(torch.cat(self._sequences(images)), between),
        ]

    def tissue(self, label: torch.Tensor) -> list[torch.Tensor]:
        """Where ``(b, 1, H, W)`` there is tissue in what either discriminator judges of label ids ``(B, n, H, W)``."""
        tissue = (label > 0).float()
        sequences = torch.cat(self._sequences(tissue))
        return [tissue.flatten(0, 1).unsqueeze(1), sequences.amax(dim=1, keepdim=True)]

    def _sequences(self, slices: torch.Tensor) -> list[torch.Tensor]:
        """All runs of consecutive slices, along axis 1, of the length that is judged together."""
        length = self.sequence_discriminator.slices
        if slices.shape[1] < length:
            raise ValueError(
                f"{length} consecutive slices are judged together and a window has {slices.shape[1]}: give longer "
                "windows of volumes with as many axial slices"
            )
        return [slices[:, first : first + length] for first in range(slices.shape[1] - length + 1)]


@dataclass(frozen=True)
class ImageSequenceBatch:
    """What a step sees, and what counts how much.

    Attributes:
        windows: sequences in a batch.
        length: slices of a sequence, each made from those made before; at least as many as the sequence
            discriminator judges together.
        crop: pixels along x and y; axes shorter than it are taken whole.
        lowest_probability: share of sequences that begin with the lowest slice that holds tissue, as samples do.
        nothing_probability: share of the other sequences that begin anywhere from nothing; the rest begins from real
            slices.
        image_weight: weight of the L1 distance of the image, and of its texture alone; it takes the place of Vid2Vid's
            perceptual loss.
        adversarial_weight: weight of what the discriminators say.
        feature_weight: weight of feature matching.
        flow_weight: weight of the L1 distance between the real slice and the real one before, moved by the flow.
        smoothness_weight: weight of the flow's differences between neighbouring pixels, in pixels.
    """

    windows: int = field(default=2, metadata=allowed(low=1))
    length: int = field(default=4, metadata=allowed(low=1))
    crop: tuple[int, int] = field(default=(96, 96), metadata=allowed(low=32))
    lowest_probability: float = field(default=0.2, metadata=allowed(low=0, high=1))
    nothing_probability: float = field(default=0.25, metadata=allowed(low=0, high=1))
    image_weight: float = field(default=10.0, metadata=allowed(low=0))
    adversarial_weight: float = field(default=1.0, metadata=allowed(low=0))
    feature_weight: float = field(default=10.0, metadata=allowed(low=0))
    flow_weight: float = field(default=10.0, metadata=allowed(low=0))
    smoothness_weight: float = field(default=0.1, metadata=allowed(low=0))


@dataclass(frozen=True, eq=False)
class SequenceWindow:
    """Consecutive axial slices, and neighbours that they are made from.

    Attributes:
        label: ``(..., slices - 1 + n + 1, H, W)`` label ids, with those of the slices before and of the one after.
        image: ``(..., slices - 1 + n, C, H, W)``, with the slices before; zeros where there are none.
    """

    label: torch.Tensor
    image: torch.Tensor


class SequenceWindows:
    """Draws windows of axial slices from the bank; H and W are the axes x and y.

    Args:
        paths: pair files of the bank.
        mirror: left-right flip.
        batch: what a step sees.
        device: where the network is.
    """

    def __init__(
        self, paths: Sequence[Path], mirror: LabelMirror, batch: ImageSequenceBatch, device: torch.device
    ) -> None:
        self._paths = paths
        self._mirror = mirror
        self._batch = batch
        self._device = device

    def draw(self, slices: int, generator: torch.Generator) -> SequenceWindow:
        """A batch for a generator that makes a slice out of so many, the slice itself included."""
        drawn = [self._draw(slices, generator) for _ in range(self._batch.windows)]
        return SequenceWindow(
            label=torch.stack([one.label for one in drawn]).to(self._device),
            image=torch.stack([one.image for one in drawn]).to(self._device),
        )

    def _draw(self, slices: int, generator: torch.Generator) -> SequenceWindow:
        item = Bank.read(self._paths[draw_index(len(self._paths), generator)])
        assert item.image is not None
        label, image = item.label, item.image
        if draw_bool(0.5, generator):
            label, image = self._mirror(label), self._mirror.image(image)
        x, y, z = draw_crop(label, (*self._batch.crop, self._batch.length), multiple=1, generator=generator)
        label, image = label[x, y], image[:, x, y].float()
        first, length = z.start, z.stop - z.start
        lowest = draw_bool(self._batch.lowest_probability, generator)
        if lowest:
            tissue = (label > 0).flatten(0, 1).any(dim=0)
            first = min(int(tissue.int().argmax()), len(tissue) - length)
        # as `generate_slices` meets the ends of a volume: labels go on there, images do not
        padded = pad_ends(label.movedim(-1, 0).unsqueeze(0).long(), slices=slices)[0]
        nothing = image.new_zeros(slices - 1, *image.shape[:3])
        label = padded[first : first + slices + length].clone()
        image = torch.cat([nothing, image.movedim(-1, 0)])[first : first + slices - 1 + length]
        if not lowest and draw_bool(self._batch.nothing_probability, generator):
            label[: slices - 1] = label[slices - 1]
            image[: slices - 1] = 0
        gain = 1 + 0.1 * float(torch.randn(1, generator=generator))
        # A gain that no slice before tells of would only be noise.
        return SequenceWindow(label, image * gain if bool(image[slices - 2].any()) else image)


class GeneratorLoss:
    """What the generator is to lower: distance to the real slices, and what tells its own from them.

    Vid2Vid's objective (Wang et al. 2018, equation 4) with least-squares adversarial losses and feature matching. No
    flow of another network is given here: flows are learned from how well they move the real slice before. Those for
    the sequence discriminator are the generator's own, for real and for made slices.

    Args:
        windows: draws the batches.
        batch: what counts how much.
    """

    def __init__(self, windows: SequenceWindows, batch: ImageSequenceBatch) -> None:
        self._windows = windows
        self._batch = batch

    def __call__(self, network: ImageSequenceGame, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one batch, and figures to log."""
        slices = network.generator.slices
        window = self._windows.draw(slices, generator)
        made = _generate(network.generator, window)
        label = window.label[:, slices - 1 : -1]
        before, real = window.image[:, slices - 2 : -1], window.image[:, slices - 1 :]
        tissue = (label > 0).unsqueeze(2).float()

        def distance(images: torch.Tensor) -> torch.Tensor:
            # Averaged over tissue only: the background is set to zero and needs no capacity.
            return ((images - real).abs() * tissue).mean() / tissue.mean().clamp(min=1e-3)

        moved = warp_slice(before.flatten(0, 1), made.flow.flatten(0, 1)).view_as(before)
        terms = {
            "image": distance(made.image),
            "texture": distance(made.texture),
            "flow": distance(moved),
            "smoothness": (torch.diff(made.flow, dim=-2).abs().mean() + torch.diff(made.flow, dim=-1).abs().mean()) / 2,
            **self._opinions(network, label, real, made),
        }
        batch = self._batch
        loss = (
            batch.image_weight * (terms["image"] + terms["texture"])
            + batch.flow_weight * terms["flow"]
            + batch.smoothness_weight * terms["smoothness"]
            + batch.adversarial_weight * terms["adversarial"]
            + batch.feature_weight * terms["features"]
        )
        return loss, {name: float(term.detach()) for name, term in terms.items()}

    def _opinions(
        self, network: ImageSequenceGame, label: torch.Tensor, real: torch.Tensor, made: GeneratedSlice
    ) -> dict[str, torch.Tensor]:
        flows = made.flow.detach()
        with torch.no_grad():
            of_real = network.judge(label, real, flows)
        of_made = network.judge(label, made.image, flows)
        adversarial: list[torch.Tensor] = []
        features: list[torch.Tensor] = []
        for tissue, mine, theirs in zip(network.tissue(label), of_made, of_real, strict=True):
            adversarial.append(_least_squares(mine, tissue, 1))
            pairs = zip(mine.features, theirs.features, strict=True)
            features.extend(_over_tissue((one.float() - other.float()).abs(), tissue) for one, other in pairs)
        return {"adversarial": torch.stack(adversarial).sum(), "features": torch.stack(features).mean()}


class DiscriminatorLoss:
    """What the discriminators are to lower: how often they take real slices for made ones, or the reverse.

    Args:
        windows: draws the batches.
    """

    def __init__(self, windows: SequenceWindows) -> None:
        self._windows = windows

    def __call__(self, network: ImageSequenceGame, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one batch, and figures to log."""
        slices = network.generator.slices
        window = self._windows.draw(slices, generator)
        with torch.no_grad():
            made = _generate(network.generator, window)
        label = window.label[:, slices - 1 : -1]
        real = window.image[:, slices - 1 :]
        terms = {}
        for name, images, target in (("real", real, 1), ("made", made.image, 0)):
            judgements = zip(network.judge(label, images, made.flow), network.tissue(label), strict=True)
            terms[name] = torch.stack([_least_squares(one, tissue, target) for one, tissue in judgements]).sum()
        return (terms["real"] + terms["made"]) / 2, {name: float(term.detach()) for name, term in terms.items()}


def image_sequence_turns(
    paths: Sequence[Path], mirror: LabelMirror, batch: ImageSequenceBatch, *, device: torch.device
) -> tuple[Turn[ImageSequenceGame], ...]:
    """Turns of a training step: the generator's, then that of the discriminators.

    Args:
        paths: pair files of the bank.
        mirror: left-right flip.
        batch: what a step sees, and what counts how much.
        device: where the networks are.
    """
    windows = SequenceWindows(paths, mirror, batch, device)
    return (
        Turn(GeneratorLoss(windows, batch), ("generator",)),
        Turn(DiscriminatorLoss(windows), ("image_discriminator", "sequence_discriminator")),
    )


def _generate(generator: ImageSequenceGenerator, window: SequenceWindow) -> GeneratedSlice:
    """All slices of a window, along axis 1 of every tensor."""
    made = list(generate_slices(generator, window.label, window.image[:, : generator.slices - 1]))
    return GeneratedSlice(
        image=torch.stack([one.image for one in made], dim=1),
        texture=torch.stack([one.texture for one in made], dim=1),
        flow=torch.stack([one.flow for one in made], dim=1),
        blend=torch.stack([one.blend for one in made], dim=1),
        warped=torch.stack([one.warped for one in made], dim=1),
    )


def _least_squares(judgement: Judgement, tissue: torch.Tensor, target: int) -> torch.Tensor:
    """Mean over the scales of the squared distance of scores from a target."""
    return torch.stack([_over_tissue((one.float() - target).square(), tissue) for one in judgement.scores]).mean()


def _over_tissue(values: torch.Tensor, tissue: torch.Tensor) -> torch.Tensor:
    """Mean of ``(B, c, h, w)`` patch values over patches in which there is tissue, of ``(B, 1, H, W)``.

    All other patches are the same in real and in made slices, and nothing is to be learned from them.
    """
    height, width = values.shape[2:]
    weight = functional.adaptive_max_pool2d(tissue, (height, width))
    return (values * weight).mean() / weight.mean().clamp(min=1e-3)
