"""Generators of label slices with tiny random networks, as folders of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from synthaug.files.canonical_json import canonical_json
from synthaug.generators.intensity_scale import IntensityScale
from synthaug.generators.sequence_config import SequenceConfig, SequenceSampling
from synthaug.generators.sequence_generator import SequenceNetworks
from synthaug.labels import LabelScheme
from synthaug.volumes import CaseRecord
from synthaug.volumes.grid import Grid

SHAPE = (32, 48, 32)


def tiny_sequence_config(system: str = "medgen3d", **changes: Any) -> SequenceConfig:
    """Configuration with voxels of 4 mm, two controls and networks of a few thousand weights."""
    scheme = LabelScheme.load("ventricles-t1")
    values: dict[str, Any] = {
        "name": "tiny",
        "system": system,
        "scheme": scheme,
        "channels": ("T1",),
        "grid": Grid(SHAPE, (4.0, 4.0, 4.0)),
        "limits_ml": {"ventricles": (5.0, 150.0), "brain": (900.0, 1700.0)},
        "intensities": (IntensityScale(0.0, 120.0),),
        "required_structures": scheme.names,
        "mask_sequence": {"channels": [32, 32], "embedding_channels": 16},
        "image_sequence": {"channels": [8, 8, 8]},
        "slice_diffusion": {"channels": [16, 32, 32], "label_channels": 8},
        "sampling": SequenceSampling(mask_steps=2, refine_steps=2, image_steps=2, volume_rounds=0),
        "licence": "CC0",
        "training_cases": (CaseRecord("case_a", "0" * 64, "1" * 64),),
        "versions": {"torch": "2"},
    }
    return SequenceConfig(**{**values, **changes})


def write_tiny_sequences(folder: Path, config: SequenceConfig | None = None, *, seed: int = 0) -> Path:
    """Write configuration and random weights, with a prior of a head in the middle of the field of view."""
    config = config or tiny_sequence_config()
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    for name, network in SequenceNetworks.build(config).by_name().items():
        weights = {
            key: 0.05 * torch.randn(value.shape, generator=generator) if value.is_floating_point() else value
            for key, value in network.state_dict().items()
        }
        if "log_prior" in weights:
            weights["log_prior"] = _head_prior(weights["log_prior"].shape)
        save_file(weights, folder / f"{name}.safetensors")
    (folder / "config.json").write_text(canonical_json(config.to_dict()), encoding="utf-8")
    return folder


def _head_prior(shape: torch.Size) -> torch.Tensor:
    """Logarithms ``(K, x, y, z)``: background around a box of brain, with a ventricle on each side of its middle."""
    prior = torch.full(shape, -3.0)
    prior[0] = 2.0
    x, y, z = (size // 2 for size in shape[1:])
    prior[:, x - 2 : x + 2, y - 3 : y + 3, z - 5 : z + 5] = -3.0
    prior[1, x - 2 : x + 2, y - 3 : y + 3, z - 5 : z + 5] = 2.0
    prior[3, x - 1, y - 1 : y + 1, z - 2 : z + 2] = 5.0
    prior[4, x, y - 1 : y + 1, z - 2 : z + 2] = 5.0
    return prior
