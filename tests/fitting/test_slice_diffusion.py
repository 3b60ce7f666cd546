"""The loss of the slice models: 0 for who knows the slices, of the view that was asked for, and learned from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from synthaug.files.tensors import write_tensors
from synthaug.fitting.class_intensities import measure_classes
from synthaug.fitting.crops import LabelMirror
from synthaug.fitting.slice_diffusion import SliceDiffusionBatch, SliceDiffusionLoss
from synthaug.networks.slice_diffusion import SliceDiffusionUNet, to_slices, to_states
from synthaug.volumes.views import VIEWS

CLASSES = 4
SHAPE = (16, 24, 32)
MIRROR = LabelMirror({0: 0, 1: 1, 2: 3, 3: 2})
MEANS = torch.tensor([0.0, 0.3, 0.7, 0.7])  # the last two are one structure, left and right


class Recorder(SliceDiffusionUNet):
    """Keeps what it is given, and knows how intensity follows from the label."""

    def __init__(self) -> None:
        super().__init__(1, CLASSES, label_channels=4, channels=(4, 8))
        self.labels: list[torch.Tensor] = []
        self.times: list[torch.Tensor] = []

    def forward(self, noisy: torch.Tensor, time: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        self.labels.append(label)
        self.times.append(time)
        return to_states(MEANS[label].unsqueeze(1), (label > 0).unsqueeze(1))


@pytest.fixture
def label() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, CLASSES, (2, 3, 4), generator=generator, dtype=torch.uint8)
    label = coarse.repeat_interleave(8, 0).repeat_interleave(8, 1).repeat_interleave(8, 2)
    label[:, :, :4] = 0
    return label


@pytest.fixture
def path(tmp_path: Path, label: torch.Tensor) -> Path:
    return write_pair(tmp_path / "pairs_case_00.safetensors", label, MEANS[label.long()])


def write_pair(path: Path, label: torch.Tensor, image: torch.Tensor) -> Path:
    write_tensors(path, {"label": label, "image": image.unsqueeze(0).half()})
    return path


def make_loss(path: Path, view: str = "axial", **batch: object) -> SliceDiffusionLoss:
    batch = {"crop": (16, 16), "gain_deviation": 0.0, **batch}
    return SliceDiffusionLoss([path], MIRROR, view, SliceDiffusionBatch(**batch), device=torch.device("cpu"))  # type: ignore[arg-type]


@pytest.mark.parametrize("view", list(VIEWS))
def test_slices_are_of_the_view_and_who_knows_them_has_no_loss(path: Path, label: torch.Tensor, view: str) -> None:
    recorder, generator = Recorder(), torch.Generator().manual_seed(0)
    for _ in range(6):
        value, _ = make_loss(path, view, crop=(32, 32), slices=3)(recorder, generator)
        # what the oracle misses is the rounding of images to half precision
        assert float(value) == pytest.approx(0, abs=1e-3)
    whole = [one for both in (label, MIRROR(label)) for one in to_slices(both.long(), view)]
    height, width = whole[0].shape
    for drawn in torch.cat(recorder.labels):
        assert any(torch.equal(drawn[:height, :width], one) for one in whole)
        assert (drawn[:height, :width] > 0).any(), "slices have tissue"
        assert (drawn[height:] == 0).all()
        assert (drawn[:, width:] == 0).all()
    assert recorder.labels[0].shape == (3, 32, 32)


def test_gain_is_what_the_label_map_cannot_tell(path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    value, _ = make_loss(path, gain_deviation=0.2)(Recorder(), generator)
    assert float(value) > 1e-2


def test_the_share_of_low_noise_is_kept(path: Path) -> None:
    recorder, generator = Recorder(), torch.Generator().manual_seed(0)
    loss = make_loss(path, slices=200, crop=(8, 8), low_noise_share=0.5, low_noise_steps=10)
    loss(recorder, generator)
    times = recorder.times[0]
    low = float((times < 10).float().mean())
    assert 0.4 < low < 0.6
    assert 0 <= int(times.min()) < 10 < 900 < int(times.max()) < 1000


def test_the_loss_decreases_on_a_tiny_set(tmp_path: Path, label: torch.Tensor) -> None:
    # stripes within classes: a class's mean does not tell them, but pixels at low noise and their neighbours do
    stripes = 0.1 * (torch.arange(SHAPE[0]) // 2 % 2).view(-1, 1, 1)
    path = write_pair(tmp_path / "pairs_case_00.safetensors", label, (MEANS[label.long()] + stripes) * (label > 0))
    torch.manual_seed(0)
    network = SliceDiffusionUNet(1, CLASSES, label_channels=8, channels=(8, 16))
    network.set_prior(*measure_classes([path], CLASSES))
    loss = make_loss(path)
    fresh = mean_loss(loss, network)
    assert fresh == pytest.approx(1, abs=0.3), "a fresh network makes the errors that it states"
    optimiser, generator = torch.optim.Adam(network.parameters(), lr=5e-3), torch.Generator().manual_seed(1)
    for _ in range(60):
        value, _ = loss(network, generator)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    assert mean_loss(loss, network) < 0.7 * fresh


@torch.no_grad()
def mean_loss(loss: SliceDiffusionLoss, network: SliceDiffusionUNet) -> float:
    """Of batches that are the same at each call."""
    generator = torch.Generator().manual_seed(0)
    return sum(float(loss(network, generator)[0]) for _ in range(8)) / 8


def test_the_same_generator_gives_the_same_loss(path: Path) -> None:
    torch.manual_seed(0)
    network = SliceDiffusionUNet(1, CLASSES, label_channels=4, channels=(4, 8))
    values = [make_loss(path)(network, torch.Generator().manual_seed(seed))[0].item() for seed in (3, 3, 4)]
    assert values[0] == values[1] != values[2]


def test_an_unknown_view_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match=r"'oblique'.*axial, coronal, sagittal"):
        make_loss(path, "oblique")
