"""Trained extractors are filled from files of the real architectures; other files are refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from synthaug.errors import ConfigurationError
from synthaug.evaluation.trained_extractors import (
    BACKBONE,
    Inception,
    MedicalNet,
    RadImageNet,
    SliceNetwork,
    parse_extractors,
    trained_extractors,
)
from synthaug.files.foreign_weights import file_sha256
from tests.small_models import medicalnet_state


def head() -> tuple[torch.Tensor, torch.Tensor]:
    """An image and the mask of its head, an off-centre box."""
    inside = torch.zeros(24, 20, 16, dtype=torch.bool)
    inside[4:20, 3:18, 2:14] = True
    image = torch.rand(inside.shape, generator=torch.Generator().manual_seed(0))
    return image * inside, inside


@pytest.mark.parametrize(("depth", "dimensions"), [(10, 512), (18, 512), (50, 2048)])
def test_medicalnet_is_read_as_it_is_published(tmp_path: Path, depth: int, dimensions: int) -> None:
    state = medicalnet_state(depth)
    torch.save({"state_dict": state}, tmp_path / "resnet.pth")
    save_file({name: one.contiguous() for name, one in state.items()}, tmp_path / "resnet.safetensors")
    image, inside = head()
    found = [MedicalNet(tmp_path / name) for name in ("resnet.pth", "resnet.safetensors")]
    vectors = [one.features(image, inside) for one in found]
    assert found[0].title == f"MedicalNet ResNet-{depth}"
    assert vectors[0].shape == (1, dimensions)
    assert np.isfinite(vectors[0]).all()
    assert vectors[0].std() > 0
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_allclose(found[0].features(5 * image, inside), vectors[0], rtol=1e-3, atol=1e-4)


def test_the_weights_of_the_file_are_the_ones_that_are_used(tmp_path: Path) -> None:
    from monai.networks.nets import resnet10

    state = medicalnet_state(10)
    torch.save(state, tmp_path / "resnet.pth")
    network = resnet10(spatial_dims=3, n_input_channels=1, conv1_t_stride=2, feed_forward=False, bias_downsample=False)
    network.load_state_dict({name.removeprefix("module."): one for name, one in state.items()})
    image, inside = head()
    normal = torch.where(inside, (image - image[inside].mean()) / image[inside].std(), torch.zeros(()))
    with torch.no_grad():
        expected = network.eval()(normal[None, None]).numpy()
    np.testing.assert_allclose(MedicalNet(tmp_path / "resnet.pth").features(image, inside), expected, rtol=1e-5)


@pytest.mark.parametrize("own_names", [False, True])
def test_radimagenet_is_read_with_its_own_names_and_torchvisions(tmp_path: Path, own_names: bool) -> None:
    from torchvision.models import resnet50

    torch.manual_seed(0)
    state = resnet50(weights=None).state_dict()
    if own_names:
        numbers = {name: number for number, name in BACKBONE.items()}
        parts = {name: name.split(".", 1) for name in state if not name.startswith("fc.")}
        state = {f"backbone.{numbers[first]}.{rest}": state[name] for name, (first, rest) in parts.items()}
    torch.save(state, tmp_path / "ResNet50.pt")
    extractor = RadImageNet(tmp_path / "ResNet50.pt")
    vectors = extractor.features(*head())
    assert vectors.shape == (24, 2048)
    assert np.isfinite(vectors).all()
    torch.manual_seed(0)
    reference = resnet50(weights=None)
    reference.fc = torch.nn.Identity()
    expected = SliceNetwork(reference.eval(), 224).features(*head())
    np.testing.assert_allclose(vectors, expected, rtol=1e-4, atol=1e-5)


def test_inception_gives_its_last_pooling_layer(tmp_path: Path) -> None:
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    network = inception_v3(weights=None, init_weights=False)  # with the auxiliary head, as its file has it
    torch.save(network.state_dict(), tmp_path / "inception.pth")
    vectors = Inception(tmp_path / "inception.pth").features(*head())
    assert vectors.shape == (24, 2048)
    pooled = []
    network.eval().avgpool.register_forward_hook(lambda module, given, found: pooled.append(found.flatten(1)))
    slices = SliceNetwork(network, 299).features(*head())
    assert slices.shape == (24, 1000)
    np.testing.assert_allclose(vectors, pooled[0].numpy(), rtol=1e-4, atol=1e-5)


def test_slices_keep_their_proportions_and_their_order() -> None:
    seen: list[torch.Tensor] = []

    class Keep(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            seen.append(pictures)
            return pictures.mean((1, 2, 3))[:, None]

    image, inside = torch.zeros(20, 10, 10), torch.zeros(20, 10, 10, dtype=torch.bool)
    inside[:] = True
    image[:] = 2.0  # beyond what a picture has
    SliceNetwork(Keep(), 40).features(image, inside)
    (pictures,) = seen
    assert pictures.shape == (24, 3, 40, 40)
    assert (pictures.min(), pictures.max()) == (-1, 1)
    sagittal, axial = pictures[0, 0], pictures[-1, 0]
    assert (sagittal == 1).all()  # 10 x 10 voxels
    assert (axial[20, :8] == -1).all()  # 20 x 10 voxels, padded along y
    assert (axial[:, 20] == 1).all()


@pytest.mark.parametrize("name", ["medicalnet", "radimagenet", "inception"])
def test_missing_damaged_and_foreign_files_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.pth").write_text("no weights at all")
    torch.save(medicalnet_state(10), tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:-1000])
    (tmp_path / "cut.safetensors").write_bytes(b"\x00" * 20)
    torch.save({"features.0.weight": torch.zeros(2, 3)}, tmp_path / "foreign.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")  # a pickled class
    (tmp_path / "empty.pth").touch()
    for file, mend in (
        ("absent.pth", "no such file; give a file of weights"),
        ("text.pth", "check the file"),
        ("cut.pth", "check the file"),
        ("cut.safetensors", "check the file"),
        ("empty.pth", "check the file"),
        ("list.pth", "save its state_dict alone"),
        ("module.pth", "save its state_dict alone"),
        ("foreign.pth", "give"),
    ):
        with pytest.raises(ConfigurationError, match=mend) as caught:
            trained_extractors([(name, tmp_path / file)])
        assert str(tmp_path / file) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"weight": Hostile()}, tmp_path / "hostile.pth")
    with pytest.raises(ConfigurationError, match="cannot be read as weights"):
        trained_extractors([("medicalnet", tmp_path / "hostile.pth")])
    assert not (tmp_path / "touched").exists()


def test_a_resnet_of_another_depth_or_kind_is_refused_by_name(tmp_path: Path) -> None:
    state = medicalnet_state(10)
    torch.save({name: one for name, one in state.items() if "layer4" not in name}, tmp_path / "short.pth")
    with pytest.raises(ConfigurationError, match=r"blocks in each layer: 1, 1, 1, 0"):
        MedicalNet(tmp_path / "short.pth")
    state["module.conv1.weight"] = torch.zeros(64, 3, 7, 7, 7)
    torch.save(state, tmp_path / "colour.pth")
    with pytest.raises(ConfigurationError, match=r"conv1\.weight"):
        MedicalNet(tmp_path / "colour.pth")


def test_extractors_are_named_with_file_and_digest_and_given_once(tmp_path: Path) -> None:
    path = tmp_path / "resnet_10.pth"
    torch.save(medicalnet_state(10), path)
    extractors, origins = trained_extractors(parse_extractors([f"medicalnet={path}"]))
    assert list(extractors) == ["MedicalNet ResNet-10"]
    assert origins == {"MedicalNet ResNet-10": {"name": "medicalnet", "file": str(path), "sha256": file_sha256(path)}}
    with pytest.raises(ConfigurationError, match="MedicalNet ResNet-10 is already"):
        trained_extractors([("medicalnet", path)] * 2)


@pytest.mark.parametrize("text", ["medicalnet", "medicalnet=", "=file", "mednet=file", ""])
def test_what_is_no_name_and_file_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="allowed is NAME=FILE with NAME one of medicalnet, radimagenet"):
        parse_extractors([text])
