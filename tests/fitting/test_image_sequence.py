"""Windows of axial slices, and the losses of the image sequence game."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from synthaug.files.tensors import write_tensors
from synthaug.fitting.crops import LabelMirror
from synthaug.fitting.image_sequence import (
    DiscriminatorLoss,
    GeneratorLoss,
    ImageSequenceBatch,
    ImageSequenceGame,
    SequenceWindows,
    image_sequence_turns,
)
from synthaug.fitting.stage import Turn
from synthaug.networks.image_sequence import ImageSequenceGenerator
from synthaug.networks.sequence_discriminators import ImageDiscriminator, SequenceDiscriminator

CPU = torch.device("cpu")
SHAPE = (32, 36, 12)
LOWEST = 3
"""Slices below it are empty."""

MIRROR = LabelMirror({0: 0, 1: 1, 2: 2})
BATCH = ImageSequenceBatch(windows=2, length=3, crop=(32, 32))


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Two pairs whose intensities tell the label and the slice: 0.5 or 1, plus a hundredth for each slice."""
    paths = []
    for index in range(2):
        label = torch.zeros(SHAPE, dtype=torch.uint8)
        label[4:28, 4:32, LOWEST:11] = 1
        label[8 + index : 16, 8:20, LOWEST:11] = 2
        image = (label * 0.5 + 0.01 * torch.arange(SHAPE[2]))[None] * (label > 0)
        path = tmp_path / f"pairs_{index}.safetensors"
        write_tensors(path, {"label": label, "image": image.half()})
        paths.append(path)
    return paths


@pytest.fixture
def game() -> ImageSequenceGame:
    torch.manual_seed(0)
    return ImageSequenceGame(
        ImageSequenceGenerator(1, 3, embedding_channels=3, channels=(8, 8, 8)),
        ImageDiscriminator(1, 3, channels=4),
        SequenceDiscriminator(1, channels=4),
    )


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def windows_of(paths: Sequence[Path], batch: ImageSequenceBatch) -> SequenceWindows:
    return SequenceWindows(paths, MIRROR, batch, CPU)


def test_a_window_holds_consecutive_slices_of_a_pair_with_their_neighbours(paths: list[Path]) -> None:
    batch = replace(BATCH, lowest_probability=0, nothing_probability=0)
    seen = set()
    for seed in range(10):
        window = windows_of(paths, batch).draw(3, seeded(seed))
        assert window.label.shape == (2, 2 + 3 + 1, 32, 32)
        assert window.image.shape == (2, 2 + 3, 1, 32, 32)
        torch.testing.assert_close(window.image[:, :, 0] > 0, window.label[:, :-1] > 0)
        for label, image in zip(window.label, window.image[:, :, 0], strict=True):
            whole = [(one[label[i] == 1] - 0.5) / 0.01 for i, one in enumerate(image) if bool((label[i] == 1).any())]
            steps = torch.diff(torch.stack([one.mean() for one in whole]))
            assert (steps > 0.7).all(), "slices are in order"
            assert (steps < 1.3).all(), "and none is left out"
            seen.add(round(float(image.max()), 2))
    assert len(seen) > 5, "a gain is drawn"


def test_a_lowest_window_begins_where_a_sample_does(paths: list[Path]) -> None:
    batch = replace(BATCH, lowest_probability=1, nothing_probability=1)
    window = windows_of(paths, batch).draw(3, seeded())
    tissue = (window.label > 0).flatten(2).any(dim=2)
    assert tissue.tolist() == [[False, False, True, True, True, True]] * 2
    assert (window.image[:, :2] == 0).all()
    torch.testing.assert_close(
        window.image[:, 2].flatten(1).amax(dim=1), torch.full((2,), 1 + 0.01 * LOWEST), atol=2e-3, rtol=0
    )


def test_a_window_from_nothing_begins_as_if_the_field_of_view_began_there(paths: list[Path]) -> None:
    batch = replace(BATCH, lowest_probability=0, nothing_probability=1)
    for seed in range(5):
        window = windows_of(paths, batch).draw(3, seeded(seed))
        assert (window.image[:, :2] == 0).all()
        assert (window.label[:, :2] == window.label[:, 2:3]).all()
        assert (window.image[:, 2:] > 0).any()


def test_a_body_that_fills_the_field_of_view_goes_on_beyond_its_ends(tmp_path: Path) -> None:
    path = tmp_path / "pairs_0.safetensors"
    label = torch.ones(32, 32, 3, dtype=torch.uint8)
    write_tensors(path, {"label": label, "image": label[None].half()})
    window = windows_of([path], replace(BATCH, nothing_probability=0)).draw(3, seeded())
    assert (window.label == 1).all()
    assert (window.image[:, :2] == 0).all()
    assert (window.image[:, 2:] == 1).all()


def test_the_turns_of_a_step_are_the_generators_and_the_discriminators(paths: list[Path]) -> None:
    turns = image_sequence_turns(paths, MIRROR, BATCH, device=CPU)
    assert [one.children for one in turns] == [("generator",), ("image_discriminator", "sequence_discriminator")]
    assert [type(one.loss) for one in turns] == [GeneratorLoss, DiscriminatorLoss]


def test_each_turn_reaches_every_weight_that_learns_in_it(paths: list[Path], game: ImageSequenceGame) -> None:
    torch.nn.init.normal_(game.generator.head.weight, std=0.1)
    for turn in image_sequence_turns(paths, MIRROR, BATCH, device=CPU):
        children = turn.children
        for name, child in game.named_children():
            child.requires_grad_(name in children)
        value, figures = turn.loss(game, seeded())
        value.backward()
        assert all(value == value for value in figures.values())
        for name, child in game.named_children():
            reached = [parameter.grad is not None for parameter in child.parameters()]
            assert all(reached) if name in children else not any(reached)
        game.zero_grad()


def learn(game: ImageSequenceGame, turns: Sequence[Turn[ImageSequenceGame]], steps: int) -> dict[str, list[float]]:
    """Figures of every step."""
    optimisers = [
        torch.optim.Adam([p for name in turn.children for p in getattr(game, name).parameters()], lr=3e-3)
        for turn in turns
    ]
    history: dict[str, list[float]] = {}
    generator = seeded()
    for _ in range(steps):
        for turn, optimiser in zip(turns, optimisers, strict=True):
            for name, child in game.named_children():
                child.requires_grad_(name in turn.children)
            value, figures = turn.loss(game, generator)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            for name, figure in figures.items():
                history.setdefault(name, []).append(figure)
    return history


def test_the_generator_nears_the_real_slices_of_a_tiny_set_in_the_whole_game(
    paths: list[Path], game: ImageSequenceGame
) -> None:
    history = learn(game, image_sequence_turns(paths, MIRROR, BATCH, device=CPU), steps=40)
    for name in ("image", "texture"):
        assert sum(history[name][-10:]) < 0.6 * sum(history[name][:10])


def test_the_discriminators_learn_to_tell_slices_that_a_fresh_generator_made(
    paths: list[Path], game: ImageSequenceGame
) -> None:
    history = learn(game, image_sequence_turns(paths, MIRROR, BATCH, device=CPU)[1:], steps=20)
    for name in ("real", "made"):
        # two discriminators that know nothing are off by a quarter each
        assert sum(history[name][-5:]) / 5 < 0.25


def test_windows_too_short_for_the_sequence_discriminator_are_refused(
    paths: list[Path], game: ImageSequenceGame
) -> None:
    loss = image_sequence_turns(paths, MIRROR, replace(BATCH, length=2), device=CPU)[0].loss
    with pytest.raises(ValueError, match="3 consecutive slices are judged together and a window has 2"):
        loss(game, seeded())


def test_the_same_generator_gives_the_same_loss_and_half_precision_nearly_so(
    paths: list[Path], game: ImageSequenceGame
) -> None:
    for loss in (turn.loss for turn in image_sequence_turns(paths, MIRROR, BATCH, device=CPU)):
        first, again, other = (float(loss(game, seeded(seed))[0].detach()) for seed in (1, 1, 2))
        assert first == again != other
        with torch.autocast("cpu", torch.bfloat16):
            half = float(loss(game, seeded(1))[0].detach())
        assert half == pytest.approx(first, rel=0.05)
