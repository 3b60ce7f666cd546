"""Segmentation networks that a study trains, each with its size; all of MONAI's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from synthaug.configuration import allowed, load_config
from synthaug.errors import ConfigurationError, did_you_mean

LEAST_LEVELS = 3
SHARED_LEVELS = 5
"""Levels of the networks whose number of levels is not a setting."""


class Segmenter(ABC):
    """What is trained to segment, by name and size.

    Attributes:
        kind: its name in a study.
    """

    kind: ClassVar[str]


class NetworkSegmenter(Segmenter):
    """A network that the study trains itself."""

    @property
    def multiple(self) -> int:
        """The edge of a volume must be a multiple of so many voxels."""
        return int(2 ** (SHARED_LEVELS - 1))

    def build(self, channels: int, classes: int, shape: Sequence[int]) -> nn.Module:
        """A network with fresh weights, drawn from torch's global generator.

        Args:
            channels: of the image.
            classes: of the label map, background included.
            shape: voxels of the volumes, any.

        Returns:
            Module from images ``(B, C, X, Y, Z)`` to logits ``(B, classes, X, Y, Z)``.
        """
        padded = [max(2, -(-size // self.multiple)) * self.multiple for size in shape]
        return Padded(self.network(channels, classes, padded), padded)

    @abstractmethod
    def network(self, channels: int, classes: int, shape: Sequence[int]) -> nn.Module:
        """The network for volumes whose shape is a multiple of `multiple`."""


@dataclass(frozen=True)
class DynUNetSegmenter(NetworkSegmenter):
    """nnU-Net's architecture (MONAI ``DynUNet``).

    Attributes:
        filters: channels of each level.
    """

    kind: ClassVar[str] = "dynunet"
    filters: tuple[int, ...] = field(default=(16, 32, 64, 128, 192), metadata=allowed(low=1))

    def __post_init__(self) -> None:
        _check_levels(self.kind, "filters", self.filters)

    @property
    def multiple(self) -> int:
        return int(2 ** (len(self.filters) - 1))

    def network(self, channels: int, classes: int, shape: Sequence[int]) -> nn.Module:
        from monai.networks.nets import DynUNet

        levels = len(self.filters)
        strides = [1, *[2] * (levels - 1)]
        return EachPartOnce(DynUNet(3, channels, classes, [3] * levels, strides, strides[1:], filters=self.filters))


@dataclass(frozen=True)
class UNet3DSegmenter(NetworkSegmenter):
    """3D U-Net (MONAI ``UNet``).

    Attributes:
        channels: of each level.
        residual_units: in each level.
    """

    kind: ClassVar[str] = "unet3d"
    dimensions: ClassVar[int] = 3
    channels: tuple[int, ...] = field(default=(16, 32, 64, 128, 256), metadata=allowed(low=1))
    residual_units: int = field(default=2, metadata=allowed(low=0))

    def __post_init__(self) -> None:
        _check_levels(self.kind, "channels", self.channels)

    @property
    def multiple(self) -> int:
        return int(2 ** (len(self.channels) - 1))

    def network(self, channels: int, classes: int, shape: Sequence[int]) -> nn.Module:
        from monai.networks.nets import UNet

        strides = [2] * (len(self.channels) - 1)
        return _module(
            UNet(self.dimensions, channels, classes, self.channels, strides, num_res_units=self.residual_units)
        )


@dataclass(frozen=True)
class UNet2DSegmenter(UNet3DSegmenter):
    """2D U-Net of axial slices (MONAI ``UNet``); a step sees all slices of the volumes that the others see."""

    kind: ClassVar[str] = "unet2d"
    dimensions: ClassVar[int] = 2

    def network(self, channels: int, classes: int, shape: Sequence[int]) -> nn.Module:
        return SliceWise(super().network(channels, classes, shape))


@dataclass(frozen=True)
class UNETRSegmenter(NetworkSegmenter):
    """UNETR (Hatamizadeh et al. 2022), of MONAI.

    Attributes:
        feature_size: channels of the finest level.
        hidden_size: of the transformer; a multiple of ``heads``.
        mlp_dim: of its feed-forward layers.
        heads: of its attention.
    """

    kind: ClassVar[str] = "unetr"
    feature_size: int = field(default=16, metadata=allowed(low=1))
    hidden_size: int = field(default=768, metadata=allowed(low=1))
    mlp_dim: int = field(default=3072, metadata=allowed(low=1))
    heads: int = field(default=12, metadata=allowed(low=1))

    def __post_init__(self) -> None:
        if self.hidden_size % self.heads:
            raise ConfigurationError(
                f"unetr: hidden_size {self.hidden_size} is no multiple of heads {self.heads}; change one of them"
            )

    def network(self, channels: int, classes: int, shape: Sequence[int]) -> nn.Module:
        from monai.networks.nets import UNETR

        sizes = {"feature_size": self.feature_size, "hidden_size": self.hidden_size, "mlp_dim": self.mlp_dim}
        return _module(UNETR(channels, classes, tuple(shape), num_heads=self.heads, **sizes))


@dataclass(frozen=True)
class SwinUNETRSegmenter(NetworkSegmenter):
    """Swin UNETR (Hatamizadeh et al. 2022), of MONAI.

    Attributes:
        feature_size: channels of the finest level, a multiple of 12.
        depths: transformer blocks of each of the four levels.
    """

    kind: ClassVar[str] = "swin-unetr"
    feature_size: int = field(default=24, metadata=allowed(low=12))
    depths: tuple[int, int, int, int] = field(default=(2, 2, 2, 2), metadata=allowed(low=1))

    def __post_init__(self) -> None:
        if self.feature_size % 12:
            raise ConfigurationError(
                f"swin-unetr: feature_size {self.feature_size} is no multiple of 12; take 12 or 24"
            )

    @property
    def multiple(self) -> int:
        return int(2**SHARED_LEVELS)

    def network(self, channels: int, classes: int, shape: Sequence[int]) -> nn.Module:
        from monai.networks.nets import SwinUNETR

        return _module(SwinUNETR(channels, classes, depths=self.depths, feature_size=self.feature_size))


@dataclass(frozen=True)
class NnunetSegmenter(Segmenter):
    """nnU-Net v2 by its own commands: its grid, augmentation, batch and learning rate, on a planned data set.

    Attributes:
        configuration: of the plans.
        plans: name of the plans.
        iterations: in an epoch; the steps of the study are a multiple of it.
        validation_iterations: after each epoch.
    """

    kind: ClassVar[str] = "nnunet"
    configuration: str = "3d_fullres"
    plans: str = "nnUNetPlans"
    iterations: int = field(default=250, metadata=allowed(low=1))
    validation_iterations: int = field(default=1, metadata=allowed(low=1))


class EachPartOnce(nn.Module):
    """A ``DynUNet`` whose weights have one name each.

    MONAI's registers every block a second time, among its skip layers: a moving average over its state would count each
    weight twice, and safetensors refuses it.

    Args:
        network: a ``DynUNet`` without deep supervision.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.down: nn.ModuleList = nn.ModuleList([network.input_block, *network.downsamples])
        self.bottleneck: nn.Module = network.bottleneck
        self.up: nn.ModuleList = network.upsamples
        self.head: nn.Module = network.output_block

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits ``(B, classes, X, Y, Z)`` of images ``(B, C, X, Y, Z)``."""
        skipped = []
        for block in self.down:
            image = block(image)
            skipped.append(image)
        image = self.bottleneck(image)
        for block in self.up:
            image = block(image, skipped.pop())
        logits: torch.Tensor = self.head(image)
        return logits


class Padded(nn.Module):
    """Zeros around volumes, up to the shape that a network takes, and none around its result.

    Args:
        network: takes volumes of ``shape``.
        shape: at least as large as the volumes.
    """

    def __init__(self, network: nn.Module, shape: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self._shape = tuple(shape)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits ``(B, classes, X, Y, Z)`` of images ``(B, C, X, Y, Z)``."""
        sizes = image.shape[2:]
        before = [(wanted - size) // 2 for wanted, size in zip(self._shape, sizes, strict=True)]
        after = [wanted - size - low for wanted, size, low in zip(self._shape, sizes, before, strict=True)]
        edges = [edge for pair in zip(reversed(before), reversed(after), strict=True) for edge in pair]
        logits: torch.Tensor = self.network(functional.pad(image, edges))
        inner = tuple(slice(low, low + size) for low, size in zip(before, sizes, strict=True))
        return logits[(slice(None), slice(None), *inner)]


class SliceWise(nn.Module):
    """A network of axial slices, applied to every slice of a volume.

    Args:
        network: from ``(B, C, X, Y)`` to ``(B, classes, X, Y)``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits ``(B, classes, X, Y, Z)`` of images ``(B, C, X, Y, Z)``."""
        slices = image.movedim(-1, 1)
        logits: torch.Tensor = self.network(slices.flatten(0, 1))
        return logits.unflatten(0, slices.shape[:2]).movedim(1, -1)


NETWORKS: dict[str, type[NetworkSegmenter]] = {
    one.kind: one for one in (DynUNetSegmenter, UNet3DSegmenter, UNet2DSegmenter, UNETRSegmenter, SwinUNETRSegmenter)
}
"""Networks that a study trains itself, by name."""

SEGMENTERS: dict[str, type[Segmenter]] = {**NETWORKS, NnunetSegmenter.kind: NnunetSegmenter}
"""All that a study may name."""


def parse_segmenters(value: Any) -> dict[str, Segmenter]:
    """Read a list of names, or an object with the sizes of each: ``{"dynunet": {"filters": [8, 16, 32]}}``.

    Raises:
        ConfigurationError: another form, no name at all, an unknown one, or sizes that are not allowed.
    """
    if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        if len(set(value)) < len(value):
            raise ConfigurationError(f"names {', '.join(value)}; name each segmenter once")
        value = {name: {} for name in value}
    if not isinstance(value, Mapping) or not value:
        raise ConfigurationError(f"a list of names, or an object of sizes by name: {', '.join(SEGMENTERS)}")
    found = {}
    for name, size in value.items():
        if isinstance(size, Segmenter):
            found[name] = size
            continue
        if name not in SEGMENTERS:
            raise ConfigurationError(f"no segmenter {name!r}{did_you_mean(name, SEGMENTERS)}; {', '.join(SEGMENTERS)}")
        found[name] = load_config(SEGMENTERS[name], size, where=f"segmenter {name}")
    return found


def _check_levels(kind: str, what: str, levels: Sequence[int]) -> None:
    if len(levels) < LEAST_LEVELS:
        raise ConfigurationError(f"{kind}: {what} has {len(levels)} entries; {LEAST_LEVELS} levels at least are needed")


def _module(network: Any) -> nn.Module:
    assert isinstance(network, nn.Module)
    return network
