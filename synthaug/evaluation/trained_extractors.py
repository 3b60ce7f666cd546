"""Feature extractors with trained weights, from files that the user has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from synthaug.errors import ConfigurationError, did_you_mean
from synthaug.evaluation.extractors import Extractor, head_slices
from synthaug.files.foreign_weights import file_sha256, read_weights, strip_prefix

RESNETS: dict[tuple[bool, tuple[int, ...]], str] = {
    # blocks of three convolutions or of two, number of blocks in each layer: MONAI's name
    (False, (1, 1, 1, 1)): "resnet10",
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
}
LAYERS = 4

RADIMAGENET_SIZE, INCEPTION_SIZE = 224, 299
"""Edge, in pixels, of the slices that the networks were trained on."""

BACKBONE = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
"""Names in RadImageNet's own files, where the network is a sequence: torchvision's names."""


class MedicalNet:
    """A whole image, seen by a 3D ResNet that was trained on medical segmentation (Chen et al. 2019, arXiv 1904.00625).

    One vector for each image: the mean over all voxels of the last layer. Intensities have mean 0 and deviation 1 over
    the head, and are 0 outside it.

    Args:
        path: weights as MedicalNet publishes them: ResNet-10, 18, 34 or 50.
        device: where the network runs.

    Raises:
        ConfigurationError: the file cannot be read, or holds other weights.
    """

    def __init__(self, path: Path, device: torch.device | None = None) -> None:
        from monai.networks import nets

        state = read_weights(path)
        counts = tuple(_blocks(state, layer) for layer in range(1, LAYERS + 1))
        name = RESNETS.get(("layer1.0.conv3.weight" in state, counts))
        if name is None:
            raise ConfigurationError(
                f"{path}: its weights are not those of a MedicalNet ResNet-10, 18, 34 or 50 (blocks in each layer: "
                f"{', '.join(map(str, counts))}); give one of MedicalNet's files, such as resnet_50_23dataset.pth"
            )
        self.title = f"MedicalNet {name.replace('resnet', 'ResNet-')}"
        shortcut = "B" if any(".downsample." in key for key in state) else "A"
        network = getattr(nets, name)(
            pretrained=False, spatial_dims=3, n_input_channels=1, conv1_t_stride=2, feed_forward=False,
            shortcut_type=shortcut, bias_downsample="layer2.0.downsample.0.bias" in state,
        )  # fmt: skip
        self._device = device or torch.device("cpu")
        self._network = _with_weights(network, state, ("fc.", "conv_seg."), path, self.title).to(self._device)

    @torch.inference_mode()
    def features(self, image: torch.Tensor, head: torch.Tensor) -> np.ndarray:
        """One vector ``(1, D)``; see `Extractor.features`."""
        inside = image[head]
        normal = torch.where(head, (image - inside.mean()) / inside.std().clamp(min=1e-6), torch.zeros(()))
        return np.asarray(self._network(normal[None, None].to(self._device)).cpu().numpy())


class SliceNetwork:
    """Slices in three views, seen by a 2D network that was trained on pictures of 8 bits.

    Args:
        network: from ``(N, 3, size, size)``, -1 to 1, to ``(N, D)``.
        size: edge of a slice in pixels; slices are padded to squares with 0 before they are brought to it.
        device: where the network runs.
    """

    def __init__(self, network: nn.Module, size: int, device: torch.device | None = None) -> None:
        self._device = device or torch.device("cpu")
        self._network, self._size = network.to(self._device), size

    @torch.inference_mode()
    def features(self, image: torch.Tensor, head: torch.Tensor) -> np.ndarray:
        """One vector for each slice ``(24, D)``; see `Extractor.features`."""
        slices = torch.stack([self._square(one) for one, _ in head_slices(image.clamp(0, 1), head)])
        pictures = (2 * slices - 1).expand(-1, 3, -1, -1)
        return np.asarray(self._network(pictures.to(self._device)).cpu().numpy())

    def _square(self, one: torch.Tensor) -> torch.Tensor:
        width = max(one.shape)
        padding = [part for size in reversed(one.shape) for part in ((width - size) // 2, (width - size + 1) // 2)]
        size = (self._size, self._size)
        padded = functional.pad(one, padding)[None, None]
        return functional.interpolate(padded, size, mode="bilinear", antialias=True)[0]


class RadImageNet(SliceNetwork):
    """Slices, seen by a ResNet-50 that was trained on radiological images (Mei et al. 2022, RadImageNet).

    Args:
        path: weights with the names of RadImageNet's PyTorch files or of torchvision.
        device: where the network runs.

    Raises:
        ConfigurationError: the file cannot be read, or holds other weights; torchvision is not installed.
    """

    title = "RadImageNet ResNet-50"

    def __init__(self, path: Path, device: torch.device | None = None) -> None:
        models = _torchvision_models()
        state = strip_prefix(read_weights(path), "backbone.")
        if "0.weight" in state:
            parts = [(name.split(".", 1), one) for name, one in state.items()]
            state = {f"{BACKBONE.get(part, part)}.{rest}": one for (part, *names), one in parts for rest in names}
        network = models.resnet50(weights=None)
        network.fc = nn.Identity()
        super().__init__(_with_weights(network, state, ("fc.",), path, "torchvision's ResNet-50"),
                         RADIMAGENET_SIZE, device)  # fmt: skip


class Inception(SliceNetwork):
    """Slices, seen by Inception v3, trained on photographs; the vectors are its last pooling layer (2048).

    The network and weights are torchvision's, not those of the first FID (Heusel et al. 2017): figures of other
    publications cannot be compared with these.

    Args:
        path: torchvision's weights of Inception v3.
        device: where the network runs.

    Raises:
        ConfigurationError: the file cannot be read, or holds other weights; torchvision is not installed.
    """

    title = "ImageNet Inception v3"

    def __init__(self, path: Path, device: torch.device | None = None) -> None:
        network = _torchvision_models().inception_v3(
            weights=None, init_weights=False, aux_logits=False, transform_input=False
        )
        network.fc = nn.Identity()
        state = read_weights(path)
        super().__init__(
            _with_weights(network, state, ("fc.", "AuxLogits."), path, "torchvision's Inception v3"),
            INCEPTION_SIZE,
            device,
        )


class TrainedExtractor(Extractor, Protocol):
    """An extractor with trained weights.

    Attributes:
        title: what reports call it.
    """

    title: str


LEARNED_LPIPS = "alexnet"
"""The network that LPIPS compares images by: no extractor, but given in the same way."""

TRAINED: dict[str, Callable[[Path, torch.device | None], TrainedExtractor]] = {
    "medicalnet": MedicalNet,
    "radimagenet": RadImageNet,
    "inception": Inception,
}
"""By the name that the command line has for them."""


def parse_extractors(texts: Sequence[str]) -> list[tuple[str, Path]]:
    """Names and files of ``NAME=FILE``.

    Raises:
        ConfigurationError: not of that form, or no extractor of that name.
    """
    found: list[tuple[str, Path]] = []
    for text in texts:
        name, sign, file = text.partition("=")
        known = (*TRAINED, LEARNED_LPIPS)
        if name not in known or not sign or not file:
            raise ConfigurationError(
                f"--extractor {text}: allowed is NAME=FILE with NAME one of {', '.join(known)}"
                f"{did_you_mean(name, known)}"
            )
        if name == LEARNED_LPIPS and any(other == name for other, _ in found):
            raise ConfigurationError(f"--extractor {text}: {name} is already given; give it once")
        found.append((name, Path(file)))
    return found


def trained_extractors(
    wanted: Iterable[tuple[str, Path]], device: torch.device | None = None
) -> tuple[dict[str, Extractor], dict[str, dict[str, str]]]:
    """Read extractors.

    Args:
        wanted: names and files; the network of LPIPS is left to `perceptual_maps`.
        device: where they run.

    Returns:
        Extractors by title, and the name, file and sha256 of each and of AlexNet, by title.

    Raises:
        ConfigurationError: a file that cannot be read or holds other weights, or two of one architecture.
    """
    extractors: dict[str, Extractor] = {}
    origins: dict[str, dict[str, str]] = {}
    for name, path in wanted:
        if name == LEARNED_LPIPS:
            origins["AlexNet"] = {"name": name, "file": str(path), "sha256": file_sha256(path)}
            continue
        extractor = TRAINED[name](path, device)
        title = extractor.title
        if title in extractors:
            raise ConfigurationError(
                f"--extractor {name}={path}: {title} is already {origins[title]['file']}; give each once"
            )
        extractors[title] = extractor
        origins[title] = {"name": name, "file": str(path), "sha256": file_sha256(path)}
    return extractors, origins


def _blocks(state: dict[str, torch.Tensor], layer: int) -> int:
    """Blocks of a layer that the weights are for."""
    before = f"layer{layer}."
    return len({name.removeprefix(before).split(".")[0] for name in state if name.startswith(before)})


def _torchvision_models() -> Any:
    try:
        from torchvision import models
    except ImportError as error:
        raise ConfigurationError("--extractor radimagenet, inception: pip install torchvision") from error
    return models


def _with_weights(
    network: nn.Module, state: dict[str, torch.Tensor], heads: tuple[str, ...], path: Path, what: str
) -> nn.Module:
    """Fill a network, in evaluation mode; weights of classification heads, which it has not, are left out."""
    kept = {name: one for name, one in state.items() if not name.startswith(heads)}
    try:
        network.load_state_dict(kept)
    except RuntimeError as error:
        reason = " ".join(str(error).split("\n\t")[1].split())[:200]
        raise ConfigurationError(f"{path}: its weights are not those of {what} ({reason}); give its file") from None
    return network.eval()
