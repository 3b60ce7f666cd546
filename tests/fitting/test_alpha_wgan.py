"""The losses of alpha-WGAN: what they draw, what they lower, and what they leave alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from synthaug.files.tensors import write_tensors
from synthaug.fitting.alpha_wgan import (
    AlphaWGANBatch,
    CodeDiscriminatorLoss,
    DiscriminatorLoss,
    GeneratorLoss,
    VolumeDraw,
    alpha_wgan_turns,
    gradient_penalty,
)
from synthaug.fitting.crops import LabelMirror
from synthaug.fitting.stage import Turn
from synthaug.labels import LabelScheme
from synthaug.networks.alpha_wgan import AlphaWGAN

SCHEME = LabelScheme.load("ventricles-t1")
SIZE = 32
VOXEL_ML = 0.064
LIMITS_ML = {"lateral_ventricle_left": (5.0, 80.0), "ventricles": (5.0, 80.0)}
LEFT, RIGHT = 10, 6
"""Voxels of x that the ventricles of the first case are wide, each 8 x 8 voxels in y and z."""


def make_label(left: int, right: int) -> torch.Tensor:
    label = torch.zeros(SIZE, SIZE, SIZE, dtype=torch.uint8)
    label[2:30, 4:28, 4:28] = 1
    label[4 : 4 + left, 12:20, 12:20] = SCHEME.id_of("lateral_ventricle_left")
    label[18 : 18 + right, 12:20, 12:20] = SCHEME.id_of("lateral_ventricle_right")
    return label


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = []
    for index, label in enumerate((make_label(LEFT, RIGHT), make_label(3, 4))):
        image = (0.2 + 0.6 * (label == 1)) * (label > 0)
        found.append(tmp_path / f"pairs_case_{index}_00.safetensors")
        write_tensors(found[-1], {"label": label, "image": image[None].half()})
    return found


def make_draw(paths: list[Path], **batch: Any) -> VolumeDraw:
    mirror = LabelMirror(SCHEME.mirror_ids())
    settings = AlphaWGANBatch(**{"samples": 2, **batch})
    return VolumeDraw(paths, mirror, SCHEME, LIMITS_ML, settings, voxel_volume_ml=VOXEL_ML, device=torch.device("cpu"))


def make_network(draw: VolumeDraw) -> AlphaWGAN:
    torch.manual_seed(0)
    network = AlphaWGAN(
        SCHEME.num_classes, 1, (SIZE,) * 3, num_controls=len(LIMITS_ML), code_size=16, channels=(8, 8, 8, 8, 16)
    )
    network.set_prior(*draw.mean())
    return network


def learn(
    network: AlphaWGAN,
    turn: Turn[AlphaWGAN],
    *,
    steps: int,
    seed: int | None = None,
    precision: torch.dtype | None = None,
) -> list[dict[str, float]]:
    """Take one turn again and again, with the same draws where a seed is given; what each step has logged."""
    network.requires_grad_(False)
    parameters = [parameter for name in turn.children for parameter in getattr(network, name).parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimiser = torch.optim.Adam(parameters, lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    logged = []
    for _ in range(steps):
        if seed is not None:
            generator.manual_seed(seed)
        with torch.autocast("cpu", precision or torch.bfloat16, enabled=precision is not None):
            value, figures = turn.loss(network, generator)
        optimiser.zero_grad()
        value.backward()
        assert all(bool(parameter.grad.isfinite().all()) for parameter in parameters if parameter.grad is not None)
        optimiser.step()
        logged.append({"loss": float(value.detach()), **figures})
    return logged


def normalised(volume_ml: float) -> float:
    return 2 * math.log(volume_ml / 5) / math.log(80 / 5) - 1


def test_a_drawn_pair_has_the_condition_that_its_volumes_are(paths: list[Path]) -> None:
    draw = make_draw(paths[:1], samples=1, null_probability=0.0, first_control_probability=1.0)
    generator = torch.Generator().manual_seed(0)
    sides = set()
    for _ in range(12):
        batch = draw(generator)
        torch.testing.assert_close(batch.shares.sum(dim=1), torch.ones(1, 16, 16, 16))
        left = float(batch.shares[0, SCHEME.id_of("lateral_ventricle_left")].sum()) * 8 * VOXEL_ML
        assert float(batch.condition[0, 0, 0]) == pytest.approx(normalised(left), abs=1e-4)
        assert batch.condition[0, :, 1].tolist() == [1, 0]
        assert float(batch.condition[0, 1, 0]) == 0
        sides.add(round(left / VOXEL_ML / 64))
    assert sides == {LEFT, RIGHT}, "the mirror image has the right ventricle on the left"


def test_conditions_are_left_out_as_often_as_asked(paths: list[Path]) -> None:
    draw = make_draw(paths, samples=64, null_probability=0.25, first_control_probability=0.0)
    given = draw(torch.Generator().manual_seed(0)).condition[:, :, 1]
    assert set(given.flatten().tolist()) == {0, 1}
    assert 0.3 < float(given.mean()) < 0.45  # half of three quarters
    nothing = make_draw(paths, null_probability=1.0)(torch.Generator().manual_seed(0)).condition
    assert not nothing.any()


def test_the_mean_of_the_bank_is_that_of_its_draws(paths: list[Path]) -> None:
    shares, image = make_draw(paths).mean()
    batch = make_draw(paths, samples=200)(torch.Generator().manual_seed(0))
    torch.testing.assert_close(batch.shares.mean(dim=0), shares, atol=0.15, rtol=0)
    torch.testing.assert_close(batch.image.mean(dim=0), image, atol=0.1, rtol=0)
    assert float(image[shares[:1] == 1].abs().max()) == 0


def test_logits_that_decide_for_the_asked_volume_have_no_volume_error(paths: list[Path]) -> None:
    draw = make_draw(paths, null_probability=0.0, first_control_probability=1.0)
    batch = draw(torch.Generator().manual_seed(0))
    label = batch.shares.argmax(dim=1)  # borders of the ventricles lie between voxels of half the resolution
    logits = 20 * functional.one_hot(label, SCHEME.num_classes).movedim(-1, 1).float()
    assert float(draw.volume_error(logits, batch.condition)) == pytest.approx(0, abs=0.01)
    veil = (batch.shares + 1e-3).log().mean(dim=(2, 3, 4), keepdim=True).expand_as(batch.shares)
    assert float(draw.volume_error(veil, batch.condition)) > 0.3
    assert float(draw.volume_error(veil, torch.zeros_like(batch.condition))) == 0


@pytest.mark.parametrize("slope", [0.0, 1.0, 3.0])
def test_the_penalty_is_the_square_of_what_a_slope_has_above_or_below_1(slope: float) -> None:
    weight = torch.tensor(slope, requires_grad=True)
    direction = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    direction = direction / direction.norm() / math.sqrt(direction.numel())
    generator = torch.Generator().manual_seed(1)
    real, made = (torch.randn(2, 3, 4, 4, 4, generator=generator) for _ in range(2))
    penalty = gradient_penalty(lambda mixed: weight * (mixed * direction).flatten(1).sum(dim=1), real, made, generator)
    assert float(penalty.detach()) == pytest.approx((slope - 1) ** 2, abs=1e-4)
    penalty.backward()
    assert weight.grad is not None
    assert bool(weight.grad.isfinite())
    if slope:
        assert float(weight.grad) == pytest.approx(2 * (slope - 1), abs=1e-4)


def test_the_penalty_reaches_every_weight_of_the_discriminator(paths: list[Path]) -> None:
    draw = make_draw(paths)
    network = make_network(draw)
    batch = draw(torch.Generator().manual_seed(0))
    penalty = gradient_penalty(
        lambda mixed: network.discriminator(mixed, batch.condition),
        batch.volume,
        torch.zeros_like(batch.volume),
        torch.Generator().manual_seed(1),
    )
    penalty.backward()
    for name, parameter in network.discriminator.named_parameters():
        if name.endswith("weight"):
            assert parameter.grad is not None, name
            assert bool(parameter.grad.isfinite().all()), name
            assert float(parameter.grad.abs().max()) > 0, name


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
@pytest.mark.parametrize("number", range(3))
def test_a_turn_changes_its_own_networks_alone(paths: list[Path], number: int, precision: torch.dtype | None) -> None:
    draw = make_draw(paths)
    network, turn = make_network(draw), alpha_wgan_turns(draw)[number]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    learn(network, turn, steps=2, precision=precision)
    for child, _ in network.named_children():
        moved = [
            name
            for name, value in network.state_dict().items()
            if name.startswith(f"{child}.") and not torch.equal(value, before[name])
        ]
        assert bool(moved) == (child in turn.children), child


def test_turns_come_in_the_paper_s_order(paths: list[Path]) -> None:
    kinds = [(one.children, type(one.loss)) for one in alpha_wgan_turns(make_draw(paths, generator_turns=2))]
    learning = (("generator", "encoder"), GeneratorLoss)
    rest = [(("discriminator",), DiscriminatorLoss), (("code_discriminator",), CodeDiscriminatorLoss)]
    assert kinds == [learning, learning, *rest]


def test_generator_and_encoder_learn_to_reconstruct(paths: list[Path]) -> None:
    draw = make_draw(paths, samples=1)
    logged = learn(make_network(draw), Turn(GeneratorLoss(draw), ("generator", "encoder")), steps=40)
    for figure in ("image", "label"):
        first, last = (sum(one[figure] for one in part) / 5 for part in (logged[:5], logged[-5:]))
        assert last < 0.8 * first, figure


def test_the_discriminator_tells_real_from_made_and_keeps_its_slope(paths: list[Path]) -> None:
    draw = make_draw(paths, samples=1, penalty_weight=1.0)
    network = make_network(draw)
    logged = learn(network, Turn(DiscriminatorLoss(draw), ("discriminator",)), steps=40, seed=5)
    assert logged[-1]["loss"] < logged[0]["loss"]
    assert logged[-1]["distance"] > max(5 * logged[0]["distance"], 0.02)
    assert logged[-1]["penalty"] < 0.3


def test_the_code_discriminator_tells_normal_codes_from_encoded_ones(paths: list[Path]) -> None:
    draw = make_draw(paths, samples=1)
    network = make_network(draw)
    logged = learn(network, Turn(CodeDiscriminatorLoss(draw), ("code_discriminator",)), steps=40, seed=5)
    assert logged[-1]["loss"] < logged[0]["loss"] - 0.5
    assert logged[-1]["code_distance"] > 0.5


def test_the_same_seed_gives_the_same_losses_whatever_else_is_drawn(paths: list[Path]) -> None:
    draw = make_draw(paths)
    network = make_network(draw)
    for loss in (turn.loss for turn in alpha_wgan_turns(draw)):
        values = []
        for disturbance in (1, 2):
            torch.manual_seed(disturbance)
            values.append(float(loss(network, torch.Generator().manual_seed(7))[0].detach()))
        assert values[0] == values[1]
        assert values[0] != float(loss(network, torch.Generator().manual_seed(8))[0].detach())
