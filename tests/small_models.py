"""Segmentation networks and weights of feature extractors, made on the spot with random weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from synthaug.labels import LabelScheme

LABELS = {"background": 0, **{name: LabelScheme.load("ventricles-t1").id_of(name) for name in
                              LabelScheme.load("ventricles-t1").names}}  # fmt: skip


def medicalnet_state(depth: int = 10) -> dict[str, torch.Tensor]:
    """Random weights with the names of MedicalNet's files, which were saved from DataParallel."""
    from monai.networks import nets
    from monai.networks.nets.resnet import get_medicalnet_pretrained_resnet_args

    torch.manual_seed(0)
    bias, shortcut = get_medicalnet_pretrained_resnet_args(depth)
    network = getattr(nets, f"resnet{depth}")(
        spatial_dims=3, n_input_channels=1, conv1_t_stride=2, feed_forward=False, shortcut_type=shortcut,
        bias_downsample=bias,
    )  # fmt: skip
    return {f"module.{name}": one for name, one in network.state_dict().items()}


def write_monai_model(folder: Path, *, labels: Mapping[str, int] | None = None, **changes: Any) -> Path:
    """A UNet without training that gives every voxel some class, and its JSON file."""
    from monai.networks.nets import UNet

    labels = dict(labels or LABELS)
    torch.manual_seed(0)
    arguments: dict[str, Any] = {
        "spatial_dims": 3, "in_channels": 1, "out_channels": max(labels.values()) + 1, "channels": [4, 8],
        "strides": [2],
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    save_file(UNet(**arguments).state_dict(), folder / "weights.safetensors")
    described = {
        "network": "UNet",
        "arguments": arguments,
        "weights": "weights.safetensors",
        "spacing_mm": [4.0, 4.0, 4.0],
        "channels": ["T1"],
        "labels": labels,
        "patch_size": [32, 32, 32],
        **changes,
    }
    path = folder / "segmenter.json"
    path.write_text(json.dumps(described))
    return path


def write_threshold_model(folder: Path, *, threshold: float = 0.5, **changes: Any) -> Path:
    """A MONAI network whose weights are set by hand: class 1 is where the normalised intensity exceeds a threshold."""
    arguments = {
        "spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": [1], "strides": [1], "kernel_size": 1,
        "up_kernel_size": 1, "act": "relu", "norm": None,
    }  # fmt: skip
    one = torch.ones(1, 1, 1, 1, 1)
    state = {
        "encode.encode_0.conv.weight": one,
        "encode.encode_0.conv.bias": torch.zeros(1),
        "decode.decode_0.conv.conv.weight": torch.cat([0 * one, 100 * one], dim=1),
        "decode.decode_0.conv.conv.bias": torch.tensor([0.0, -100 * threshold]),
    }
    given = {"network": "AutoEncoder", "arguments": arguments, **changes}
    path = write_monai_model(folder, labels={"background": 0, "bright": 1}, **given)
    save_file(state, folder / "weights.safetensors")
    return path
