"""A segmentation network of MONAI with its weights, described by a JSON file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from synthaug.configuration import allowed, load_config
from synthaug.errors import ConfigurationError, did_you_mean
from synthaug.files.foreign_weights import file_sha256, read_weights
from synthaug.generators.intensity_scale import BRIGHT_PERCENTILE
from synthaug.labels import LabelScheme
from synthaug.volumes.grid import Grid, place_on_grid


@dataclass(frozen=True)
class MonaiModelConfig:
    """The JSON file.

    Attributes:
        network: class of ``monai.networks.nets``, such as ``DynUNet``.
        arguments: of the class.
        weights: file of its weights, ``.safetensors`` or ``.pth``; beside the JSON file where the path is relative.
        spacing_mm: voxels that it was trained on, along x, y, z (RAS+).
        channels: names of the image channels, in its order.
        labels: ids by name, as nnU-Net's ``dataset.json`` has them.
        patch_size: voxels that it takes at once, along x, y, z; whole images are cut into overlapping patches.
        percentile: intensity of the head, which is what the label map calls no background, that becomes 1, channel by
            channel; 0 stays 0.
        head_only: whether all outside the head is set to 0 before, for networks that never saw anything there.
    """

    network: str
    weights: Path
    spacing_mm: tuple[float, float, float] = field(metadata=allowed(low=0.01))
    channels: tuple[str, ...]
    labels: dict[str, int]
    patch_size: tuple[int, int, int] = field(metadata=allowed(low=1))
    arguments: dict[str, Any] = field(default_factory=dict)
    head_only: bool = False
    percentile: float = field(default=BRIGHT_PERCENTILE, metadata=allowed(low=50.0, high=100.0))


class MonaiModel:
    """See `SegmentationModel`.

    Args:
        config: what the JSON file says.
        path: of that file.
        device: where the network runs.

    Raises:
        ConfigurationError: no such class, arguments that it does not take, or weights of another network.
    """

    OVERLAP = 0.5

    def __init__(self, config: MonaiModelConfig, path: Path, device: torch.device) -> None:
        weights = config.weights if config.weights.is_absolute() else path.parent / config.weights
        self.title = path.stem
        self.scheme = LabelScheme.from_nnunet({"labels": config.labels}, name=path.stem)
        self.channels = config.channels
        self._config, self._device = config, device
        network = _build(config, path)
        wrong = _fill(network, read_weights(weights))
        if wrong:
            raise ConfigurationError(
                f"{weights}: its weights are not those of the {config.network} that {path} describes ({wrong}); "
                "correct 'arguments', or give its own file"
            )
        self._network = network.to(device).eval()
        self.facts = {"model": str(path), "network": config.network, "weights": {str(weights): file_sha256(weights)}}

    @classmethod
    def read(cls, path: Path, device: torch.device) -> MonaiModel:
        """Read the JSON file and the weights that it names.

        Raises:
            SynthAugError: a file that cannot be read, or an entry that is not allowed.
        """
        return cls(load_config(MonaiModelConfig, path), path, device)

    @torch.inference_mode()
    def segment(self, image: np.ndarray, head: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """See `SegmentationModel.segment`; images that are resampled have the probabilities brought back, not ids."""
        from monai.inferers import sliding_window_inference

        grid, grid_affine = _covering(head.shape, affine, self._config.spacing_mm)
        channels = []
        for one in image:
            bright = float(np.percentile(one[head], self._config.percentile)) if head.any() else 0.0
            kept = np.where(head, one, 0) if self._config.head_only else one
            placed = place_on_grid(kept, affine, grid, grid_affine, is_label=False)
            channels.append(placed / (bright if bright > 0 else 1.0))
        batch = torch.from_numpy(np.stack(channels)[None]).float()
        try:
            logits = sliding_window_inference(
                batch, self._config.patch_size, 1, self._whole, overlap=self.OVERLAP, mode="gaussian",
                sw_device=self._device, device=torch.device("cpu"),
            )  # fmt: skip
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigurationError(
                f"{self.facts['model']}: {self._config.network} cannot take patches of "
                f"{len(image)} channel(s) and {self._config.patch_size} voxels ({reason}); correct 'patch_size', "
                "'channels' or 'arguments'"
            ) from None
        probabilities = logits[0].float().softmax(0).numpy()
        return _most_probable(probabilities, grid, grid_affine, head.shape, affine, self._ids(len(probabilities)))

    def _whole(self, patch: torch.Tensor) -> torch.Tensor:
        """Logits; networks with deep supervision give several, the finest first."""
        found = self._network(patch)
        if isinstance(found, (list, tuple)):
            found = found[0]
        if found.shape[2:] != patch.shape[2:]:  # the inferer would stretch it
            raise ValueError(f"segmentations have {tuple(found.shape[2:])} voxels")
        return torch.as_tensor(found)

    def _ids(self, classes: int) -> np.ndarray:
        """Id of each class of the network: the class's number, so that a network without some is told."""
        if classes <= max(self.scheme.ids):
            raise ConfigurationError(
                f"{self.facts['model']}: the network gives {classes} classes, 'labels' has ids up to "
                f"{max(self.scheme.ids)}; a label's id is the number of its class: correct 'labels'"
            )
        known = {0, *self.scheme.ids}
        return np.array([one if one in known else 0 for one in range(classes)], dtype=np.int16)


def _build(config: MonaiModelConfig, path: Path) -> nn.Module:
    from monai.networks import nets

    classes = {name: one for name, one in vars(nets).items() if isinstance(one, type) and issubclass(one, nn.Module)}
    if config.network not in classes:
        raise ConfigurationError(
            f"{path}: network: 'monai.networks.nets' has no class {config.network!r}"
            f"{did_you_mean(config.network, classes)}; name one of them, such as DynUNet or UNet"
        )
    try:
        network: nn.Module = classes[config.network](**config.arguments)
    except (TypeError, ValueError, AssertionError, RuntimeError, KeyError, IndexError, NotImplementedError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigurationError(
            f"{path}: {config.network} does not take these arguments ({reason}); give those it was trained with"
        ) from None
    return network


def _fill(network: nn.Module, state: dict[str, torch.Tensor]) -> str:
    """Fill a network; the result says what is wrong, or is empty.

    Some networks of MONAI have one tensor under two names, of which safetensors keeps one.
    """
    try:
        left = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        return " ".join(str(error).split("\n\t")[-1].split())[:200]
    own = network.state_dict()
    filled = {own[name].data_ptr() for name in own if name in state}
    missing = [name for name in left.missing_keys if own[name].data_ptr() not in filled]
    if missing:
        return f"{len(missing)} of {len(own)} are missing, such as {missing[0]}"
    return f"it has no {left.unexpected_keys[0]}" if left.unexpected_keys else ""


def _covering(
    shape: tuple[int, ...], affine: np.ndarray, spacing_mm: tuple[float, float, float]
) -> tuple[Grid, np.ndarray]:
    """A grid of this spacing over a whole image, with the image's directions, and its affine."""
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if np.allclose(edges, spacing_mm, rtol=1e-3):
        x, y, z = shape
        return Grid((x, y, z), spacing_mm), affine
    x, y, z = (max(1, round(size * edge / mm)) for size, edge, mm in zip(shape, edges, spacing_mm, strict=True))
    placed = affine.astype(np.float64).copy()
    placed[:3, :3] = affine[:3, :3] / edges * np.array(spacing_mm)
    centre = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
    placed[:3, 3] = centre - placed[:3, :3] @ ((np.array([x, y, z]) - 1) / 2)
    return Grid((x, y, z), spacing_mm), placed


def _most_probable(
    probabilities: np.ndarray, grid: Grid, affine: np.ndarray, shape: tuple[int, ...], to: np.ndarray, ids: np.ndarray
) -> np.ndarray:
    """Ids on the grid of an image, from probabilities ``(classes, x, y, z)`` on that of the network."""
    if tuple(shape) == grid.shape and np.allclose(affine, to):
        return np.asarray(ids[probabilities.argmax(0)])
    x, y, z = shape
    edge_x, edge_y, edge_z = np.linalg.norm(to[:3, :3], axis=0).tolist()
    goal = Grid((x, y, z), (edge_x, edge_y, edge_z))
    best, found = np.full(shape, -np.inf, np.float32), np.zeros(shape, np.int16)
    for number, one in zip(ids, probabilities, strict=True):
        placed = place_on_grid(one, affine, goal, to, is_label=False)
        better = placed > best
        best[better], found[better] = placed[better], number
    return found
