"""Training of the diffusion model of mask sequences on a bank of two tiny heads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from synthaug.files.tensors import write_tensors
from synthaug.fitting.crops import LabelMirror
from synthaug.fitting.mask_sequence import MaskSequenceBatch, MaskSequenceLoss, SequenceSurvey, survey_sequences
from synthaug.labels import LabelScheme, Structure
from synthaug.networks.mask_sequence import MaskSequenceUNet

SCHEME = LabelScheme("head", (Structure("brain", 1), Structure("left", 2, "right"), Structure("right", 3, "left")))
SHAPE = (32, 32, 12)
LIMITS_ML = {"left": (0.01, 1.0), "brain": (1.0, 20.0)}


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """A head with a left side of its own, small and large."""
    found = []
    for number, size in enumerate((2, 4)):
        label = torch.zeros(SHAPE, dtype=torch.uint8)
        label[6:26, 6:26, 2:10] = 1
        label[10 : 10 + size, 12:18, 4:8] = 2
        found.append(tmp_path / f"labels_case{number}_00.safetensors")
        write_tensors(found[-1], {"label": label})
    return found


def mirror() -> LabelMirror:
    return LabelMirror(SCHEME.mirror_ids())


def survey(paths: list[Path], folder: Path) -> SequenceSurvey:
    return survey_sequences(
        paths, mirror(), SCHEME, tuple(LIMITS_ML), SHAPE, 0.001, cache=folder / "survey.safetensors"
    )


def test_a_survey_knows_volumes_and_places_of_both_sides(paths: list[Path], tmp_path: Path) -> None:
    found = survey(paths, tmp_path)
    assert found.volumes_ml[:, 0, 0].tolist() == pytest.approx([0.048, 0.096])
    assert found.volumes_ml[:, 1, 0].tolist() == [0.0, 0.0]
    assert found.prior.shape == (4, 8, 8, 6)
    torch.testing.assert_close(found.prior.sum(dim=0), torch.ones(8, 8, 6))
    torch.testing.assert_close(found.prior[2], found.prior[3].flip(0))
    torch.testing.assert_close(survey(paths, tmp_path).prior, found.prior)


def test_slices_of_another_size_are_surveyed_at_the_networks(paths: list[Path], tmp_path: Path) -> None:
    found = survey_sequences(paths, mirror(), SCHEME, ("brain",), (16, 16, 12), 0.001, cache=tmp_path / "half.st")
    assert found.prior.shape == (4, 4, 4, 6)


def make_loss(paths: list[Path], tmp_path: Path, **batch: float) -> MaskSequenceLoss:
    settings = MaskSequenceBatch(**{"subsequences": 4, **batch})  # type: ignore[arg-type]
    return MaskSequenceLoss(paths, mirror(), survey(paths, tmp_path), LIMITS_ML, settings, device=torch.device("cpu"))


def test_the_loss_falls(paths: list[Path], tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = MaskSequenceUNet(4, 2, SHAPE, channels=(32, 32), embedding_channels=16)
    network.set_prior(survey(paths, tmp_path).prior)
    loss, generator = make_loss(paths, tmp_path), torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    values = []
    for _ in range(40):
        value, _ = loss(network, generator)
        value.backward()
        optimiser.step()
        optimiser.zero_grad()
        values.append(float(value.detach()))
    assert sum(values[-8:]) < 0.8 * sum(values[:8])


@pytest.mark.parametrize(
    ("forward", "backward", "ends"), [(1.0, 0.0, {0}), (0.0, 1.0, {5}), (0.0, 0.0, set()), (0.5, 0.5, {0, 5})]
)
def test_slices_are_given_from_either_end_or_not_at_all(
    paths: list[Path], tmp_path: Path, forward: float, backward: float, ends: set[int]
) -> None:
    loss = make_loss(paths, tmp_path, forward_probability=forward, backward_probability=backward)
    seen: list[torch.Tensor] = []

    class Watching(MaskSequenceUNet):
        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            seen.append(inputs[3])
            return super().forward(*inputs)

    network = Watching(4, 2, SHAPE, channels=(32, 32), embedding_channels=16)
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        loss(network, generator)
    given = torch.cat(seen)
    assert (given == 0).any(dim=1).all()
    assert {end for end in (0, 5) if (given[:, end] > 0).any()} == ends
    assert (given.diff(dim=1).abs().sum(dim=1) <= 1).all()
