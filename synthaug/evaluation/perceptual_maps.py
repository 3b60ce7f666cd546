"""What LPIPS compares: layers of a network that see slices in three views of an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from synthaug.errors import ConfigurationError
from synthaug.evaluation.extractors import HEAD_SHARE
from synthaug.evaluation.slice_extractors import SliceStatistics, slices_at
from synthaug.files.foreign_weights import read_weights

COMPARED_SLICES = 8
"""Of each view."""


class PerceptualMaps:
    """Slices so that the squared distance between two vectors is their LPIPS (Zhang et al. 2018, equation 1).

    Args:
        title: what reports call the network.
        maps: what each layer sees of slices ``(N, 1, H, W)``, 0 to 1.
        weights: of the channels of each layer, not negative; None: all are 1.
        places: as those of `SliceStatistics`.
    """

    def __init__(
        self,
        title: str,
        maps: Callable[[torch.Tensor], Sequence[torch.Tensor]],
        weights: Sequence[torch.Tensor] | None,
        places: torch.Tensor,
    ) -> None:
        self.title, self._maps, self._weights, self._places = title, maps, weights, places

    @classmethod
    def within(cls, shape: Sequence[int], alexnet: Path | None) -> PerceptualMaps:
        """Of heads at the middle of images of a shape ``(X, Y, Z)``, padded to cubes of its longest edge."""
        size = max(shape)
        along = HEAD_SHARE / 2 * torch.tensor(shape)[:, None] * torch.linspace(-1, 1, COMPARED_SLICES)
        return cls.at(((size - 1) / 2 + along).round().long().clamp(0, size - 1), alexnet)

    @classmethod
    def at(cls, places: torch.Tensor, alexnet: Path | None) -> PerceptualMaps:
        """Those of AlexNet with the weights of a file, or of random convolutions where there is none.

        Raises:
            ConfigurationError: the file cannot be read, or holds other weights.
        """
        if alexnet is None:
            return cls("random convolutions", SliceStatistics(places).maps, None, places)
        maps = AlexNetMaps(alexnet)
        return cls("AlexNet", maps, maps.weights, places)

    @torch.inference_mode()
    def vectors(self, image: torch.Tensor) -> np.ndarray:
        """Vectors ``(views * slices, D)`` of an image ``(X, Y, Z)``, padded to a cube, view by view."""
        layers = self._maps(torch.stack(slices_at(_as_cube(image.clamp(0, 1)), self._places))[:, None])
        vectors = []
        for index, one in enumerate(layers):
            unit = one / (one.norm(dim=1, keepdim=True) + 1e-10)
            weight = torch.ones(one.shape[1]) if self._weights is None else self._weights[index].flatten()
            scale = (weight.clamp(min=0) / (one.shape[2] * one.shape[3])).sqrt()
            vectors.append((unit * scale.view(1, -1, 1, 1)).flatten(1))
        return torch.cat(vectors, dim=1).numpy()


def _as_cube(image: torch.Tensor) -> torch.Tensor:
    """An image ``(X, Y, Z)`` in the middle of a cube of its longest edge."""
    edge = max(image.shape)
    padding = [part for size in reversed(image.shape) for part in ((edge - size) // 2, (edge - size + 1) // 2)]
    return functional.pad(image, padding)


class AlexNetMaps:
    """The layers of AlexNet that LPIPS compares, with the weights of its channels.

    Args:
        path: torchvision's weights of AlexNet, ``.pth`` or ``.safetensors``; with LPIPS's own (``lin0.model.1.weight``
            and so on) among them, or else those that come with torchmetrics.

    Raises:
        ConfigurationError: the file cannot be read, or holds other weights; torchvision is not installed, or
            torchmetrics where it is needed.
    """

    LAST_OF_LAYERS = (1, 4, 7, 9, 11)
    SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
    """Of the three colours, from -1 to 1, as LPIPS normalises them."""

    def __init__(self, path: Path) -> None:
        try:
            from torchvision.models import alexnet
        except ImportError as error:
            raise ConfigurationError("learned LPIPS: pip install torchvision") from error

        state = read_weights(path)
        if not any(name.startswith("lin") for name in state):
            state = {**read_weights(_shipped_channel_weights()), **state}
        features = {name.removeprefix("features."): one for name, one in state.items() if name.startswith("features.")}
        network = alexnet(weights=None).features[: self.LAST_OF_LAYERS[-1] + 1]
        try:
            network.load_state_dict(features)
            self.weights = [state[f"lin{index}.model.1.weight"] for index in range(len(self.LAST_OF_LAYERS))]
        except (RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise ConfigurationError(
                f"{path}: its weights are not those of torchvision's AlexNet ({reason}); give its .pth file"
            ) from None
        self._network: nn.Module = network.eval()

    def __call__(self, slices: torch.Tensor) -> list[torch.Tensor]:
        """What each layer sees of slices ``(N, 1, H, W)``, 0 to 1."""
        shift, scale = (torch.tensor(one).view(1, 3, 1, 1) for one in (self.SHIFT, self.SCALE))
        state, found = (2 * slices - 1 - shift) / scale, []
        for index, layer in enumerate(self._network.children()):
            state = layer(state)
            if index in self.LAST_OF_LAYERS:
                found.append(state.clone())  # the next layer may work in place
        return found


def _shipped_channel_weights() -> Path:
    """LPIPS's own weights of AlexNet's channels, as torchmetrics ships them."""
    try:
        import torchmetrics
    except ImportError as error:
        raise ConfigurationError("learned LPIPS: pip install torchmetrics") from error
    return Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / "alex.pth"
