"""Training losses of 3D-alpha-WGAN on pairs, and the order in which its networks learn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from monai.losses import DiceCELoss
from torch.nn import functional

from synthaug.configuration.limits import allowed
from synthaug.fitting.bank import Bank
from synthaug.fitting.crops import LabelMirror, draw_bool, draw_index
from synthaug.fitting.drawn_condition import PresenceProbabilities, draw_presence
from synthaug.fitting.stage import Turn
from synthaug.labels import LabelScheme
from synthaug.networks.alpha_wgan import HALVING, AlphaWGAN
from synthaug.networks.condition_encoder import condition_vector
from synthaug.networks.label_autoencoder import count_in_blocks

LEAST_VOLUME_ML = 1e-3

SHARPNESS = 4.0
"""Factor of the logits whose volumes are compared with the condition. Else a thin veil over the whole head would have
the volume, and the label map, which is the maximum, nothing."""


@dataclass(frozen=True)
class AlphaWGANBatch:
    """What a step sees, and what counts in it.

    Attributes:
        samples: cases in each turn.
        null_probability: share of samples with the null condition.
        first_control_probability: share of samples that give the first control alone; the rest give a random subset.
        image_weight: weight of the L1 distance between image and reconstruction.
        label_weight: weight of cross-entropy and Dice loss between labels and their reconstruction.
        adversarial_weight: weight of the discriminator's scores against the reconstruction.
        code_weight: weight of the code discriminator's scores.
        volume_weight: weight of the squared error between the volumes that a condition asks for and those of what is
            generated, in units of the conditions. The paper has no conditions; with this term they are obeyed long
            before the discriminator knows what they mean.
        penalty_weight: weight of the gradient penalties of the discriminator. Its distances are far below 1, and a
            larger weight would drown them.
        code_penalty_weight: weight of that of the code discriminator, whose distances are about 1.
        generator_turns: how often generator and encoder learn before the discriminators do once.
    """

    samples: int = field(default=1, metadata=allowed(low=1))
    null_probability: float = field(default=0.1, metadata=allowed(low=0, high=1))
    first_control_probability: float = field(default=0.5, metadata=allowed(low=0, high=1))
    image_weight: float = field(default=10.0, metadata=allowed(low=0))
    label_weight: float = field(default=10.0, metadata=allowed(low=0))
    adversarial_weight: float = field(default=10.0, metadata=allowed(low=0))
    code_weight: float = field(default=0.1, metadata=allowed(low=0))
    volume_weight: float = field(default=1.0, metadata=allowed(low=0))
    penalty_weight: float = field(default=0.2, metadata=allowed(low=0))
    code_penalty_weight: float = field(default=2.0, metadata=allowed(low=0))
    generator_turns: int = field(default=1, metadata=allowed(low=1))


@dataclass(frozen=True)
class VolumeBatch:
    """Cases as the networks see them.

    Attributes:
        shares: ``(B, classes, x, y, z)`` float32, share of each label in a voxel on half the resolution.
        image: ``(B, C, x, y, z)`` float32, the image there.
        condition: ``(B, controls, 2)``, volumes of the controls that are given.
    """

    shares: torch.Tensor
    image: torch.Tensor
    condition: torch.Tensor

    @property
    def volume(self) -> torch.Tensor:
        """Both in one, ``(B, C + classes, x, y, z)``."""
        return AlphaWGAN.join(self.shares, self.image)


class VolumeDraw:
    """Random cases of the bank, mirrored or not, with conditions from their own volumes.

    Args:
        paths: pair files of the bank.
        mirror: left-right flip.
        scheme: label scheme.
        limits_ml: bounds of the controls in mL, in the network's order.
        batch: what a step sees.
        voxel_volume_ml: volume of a voxel of the pairs.
        device: where the network is.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        mirror: LabelMirror,
        scheme: LabelScheme,
        limits_ml: Mapping[str, tuple[float, float]],
        batch: AlphaWGANBatch,
        *,
        voxel_volume_ml: float,
        device: torch.device,
    ) -> None:
        self.batch = batch
        self._presence = PresenceProbabilities(batch.null_probability, batch.first_control_probability)
        self._paths = paths
        self._mirror = mirror
        self._num_classes = scheme.num_classes
        self._limits_ml = limits_ml
        self._ids = {name: list(scheme.resolve(name)) for name in limits_ml}
        self._voxel_volume_ml = voxel_volume_ml
        self._device = device

    def __call__(self, generator: torch.Generator) -> VolumeBatch:
        """Draw a batch."""
        drawn = []
        for _ in range(self.batch.samples):
            path = self._paths[draw_index(len(self._paths), generator)]
            drawn.append(self._read(path, mirrored=draw_bool(0.5, generator)))
        shares, image, condition = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        presence = draw_presence(self.batch.samples, len(self._limits_ml), self._presence, generator)
        condition = condition * presence
        return VolumeBatch(shares.to(self._device), image.to(self._device), condition.to(self._device))

    def mean(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean shares ``(classes, x, y, z)`` and image ``(C, x, y, z)`` of all cases and their mirror images, for
        :meth:`AlphaWGAN.set_prior`.
        """
        shares, image = torch.zeros(1), torch.zeros(1)
        for path in self._paths:
            for mirrored in (False, True):
                one = self._read(path, mirrored=mirrored)
                shares = shares + one[0] / (2 * len(self._paths))
                image = image + one[1] / (2 * len(self._paths))
        return shares, image

    def volume_error(self, logits: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Mean error of the volumes in ``(B, classes, x, y, z)`` logits, squared where it is small, in units of the
        conditions.
        """
        voxels = (SHARPNESS * logits.float()).softmax(dim=1).sum(dim=(2, 3, 4))
        errors = []
        for row, (name, limits) in enumerate(self._limits_ml.items()):
            low, high = (math.log(limit) for limit in limits)
            volume_ml = voxels[:, self._ids[name]].sum(dim=1) * HALVING**3 * self._voxel_volume_ml
            # Added, not clamped: what has vanished must find its way back.
            found = 2 * ((volume_ml + LEAST_VOLUME_ML).log() - low) / (high - low) - 1
            error = functional.smooth_l1_loss(found, condition[:, row, 0], reduction="none")
            errors.append(error * condition[:, row, 1])
        return torch.stack(errors).mean()

    def _read(self, path: Path, *, mirrored: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Shares, image and full condition of one case."""
        item = Bank.read(path)
        assert item.image is not None
        label, image = item.label, item.image.float()
        if mirrored:
            label, image = self._mirror(label), self._mirror.image(image)
        voxels = torch.bincount(label.flatten(), minlength=self._num_classes)
        volumes_ml = {
            name: max(float(voxels[ids].sum()) * self._voxel_volume_ml, LEAST_VOLUME_ML)
            for name, ids in self._ids.items()
        }
        shares = count_in_blocks(label[None], self._num_classes, HALVING)[0].float() / HALVING**3
        condition = condition_vector(volumes_ml, tuple(self._limits_ml), self._limits_ml)
        return shares, functional.avg_pool3d(image, HALVING), condition


class GeneratorLoss:
    """Loss of generator and encoder: reconstruction, and the scores of both discriminators (Kwon et al. 2019,
    section 2.1).

    Args:
        draw: of the bank.
    """

    def __init__(self, draw: VolumeDraw) -> None:
        self._draw = draw
        # Smoothed by a voxel, so that structures that a case does not have cost nothing where none is made.
        self._label_loss = DiceCELoss(softmax=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)

    def __call__(self, network: AlphaWGAN, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one batch, and figures to log."""
        real, weights = self._draw(generator), self._draw.batch
        count = len(real.shares)
        encoded = network.encoder(real.volume)
        code = torch.cat([encoded, _normal_code(encoded, generator)])
        condition = real.condition.repeat(2, 1, 1)
        logits, intensity = network.generator(code, condition)
        shares = logits.softmax(dim=1)
        image = network.partial_image(shares, intensity)
        # Averaged over tissue only: the background is easily told.
        tissue = (1 - real.shares[:, 0]).mean().clamp(min=1e-3)
        image_error = (image[:count] - real.image).abs().mean() / tissue
        label_error = self._label_loss(logits[:count], real.shares)
        scores = network.discriminator(network.join(shares, image), condition)
        code_score = network.code_discriminator(encoded).mean()
        volume_error = self._draw.volume_error(logits, condition)
        loss = (
            weights.image_weight * image_error
            + weights.label_weight * label_error
            - weights.adversarial_weight * (scores[:count].mean() + scores[count:].mean())
            - weights.code_weight * code_score
            + weights.volume_weight * volume_error
        )
        return loss, {
            "image": float(image_error.detach()),
            "label": float(label_error.detach()),
            "reconstructed_score": float(scores[:count].detach().mean()),
            "generated_score": float(scores[count:].detach().mean()),
            "code_score": float(code_score.detach()),
            "volume": float(volume_error.detach()),
        }


class DiscriminatorLoss:
    """Loss of the discriminator: scores of real volumes against generated and reconstructed ones, with gradient
    penalties between each of these and the real ones (Kwon et al. 2019, section 2.1).

    Args:
        draw: of the bank.
    """

    def __init__(self, draw: VolumeDraw) -> None:
        self._draw = draw

    def __call__(self, network: AlphaWGAN, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one batch, and figures to log."""
        real = self._draw(generator)
        condition = real.condition.repeat(2, 1, 1)
        with torch.no_grad():
            encoded = network.encoder(real.volume)
            logits, intensity = network.generator(torch.cat([encoded, _normal_code(encoded, generator)]), condition)
            shares = logits.softmax(dim=1)
            made = network.join(shares, network.partial_image(shares, intensity))
        volume = real.volume
        # In float32: scores differ little, and the penalty takes the gradient of a gradient.
        with torch.autocast(made.device.type, enabled=False):
            real_score = network.discriminator(volume, real.condition).mean()
            made_score = network.discriminator(made, condition).mean()
            penalty = gradient_penalty(
                lambda mixed: network.discriminator(mixed, condition), volume.repeat(2, 1, 1, 1, 1), made, generator
            )
        # Means over reconstructed and generated volumes together, hence twice, as in the paper.
        distance = 2 * (real_score - made_score)
        loss = -distance + 2 * self._draw.batch.penalty_weight * penalty
        return loss, {"distance": float(distance.detach()), "penalty": float(penalty.detach())}


class CodeDiscriminatorLoss:
    """Loss of the code discriminator: scores of normal codes against encoded ones, with a gradient penalty (Kwon et al.
    2019, section 2.1).

    Args:
        draw: of the bank.
    """

    def __init__(self, draw: VolumeDraw) -> None:
        self._draw = draw

    def __call__(self, network: AlphaWGAN, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one batch, and figures to log."""
        with torch.no_grad():
            encoded = network.encoder(self._draw(generator).volume)
        normal = _normal_code(encoded, generator)
        with torch.autocast(encoded.device.type, enabled=False):
            distance = (network.code_discriminator(normal) - network.code_discriminator(encoded)).mean()
            penalty = gradient_penalty(network.code_discriminator, normal, encoded, generator)
        loss = -distance + self._draw.batch.code_penalty_weight * penalty
        return loss, {"code_distance": float(distance.detach()), "code_penalty": float(penalty.detach())}


def alpha_wgan_turns(draw: VolumeDraw) -> tuple[Turn[AlphaWGAN], ...]:
    """Turns of one step in the paper's order: generator and encoder, discriminator, code discriminator."""
    learning = Turn(GeneratorLoss(draw), ("generator", "encoder"))
    return (
        *(learning for _ in range(draw.batch.generator_turns)),
        Turn(DiscriminatorLoss(draw), ("discriminator",)),
        Turn(CodeDiscriminatorLoss(draw), ("code_discriminator",)),
    )


def gradient_penalty(
    critic: Callable[[torch.Tensor], torch.Tensor], real: torch.Tensor, made: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Mean squared deviation from 1 of a critic's slope between real and made samples (Gulrajani et al. 2017).

    Distances are root mean squares over the elements of a sample, where the paper has Euclidean ones. Scores then are
    of the size of a reconstruction's error, whatever the number of voxels, and the weights of both can be compared.

    Args:
        critic: gives scores ``(B,)`` of samples ``(B, ...)``.
        real: ``(B, ...)``.
        made: ``(B, ...)``.
        generator: source of the draws.
    """
    share = torch.rand(len(real), *[1] * (real.ndim - 1), generator=generator).to(real.device)
    mixed = (share * real + (1 - share) * made).detach().float().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    elements = mixed[0].numel()
    # The small number keeps the root differentiable where a critic is flat.
    length = (slope.flatten(1).square().sum(dim=1) * elements + 1e-12).sqrt()
    return (length - 1).square().mean()


def _normal_code(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(like.shape, generator=generator).to(like)
