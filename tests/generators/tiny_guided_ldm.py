"""A guided LDM with tiny random networks, as a folder of weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from synthaug.files.canonical_json import canonical_json
from synthaug.generators.guided_ldm import GuidedLDMNetworks
from synthaug.generators.guided_ldm_config import GuidedLDMConfig, LatentScale
from synthaug.generators.intensity_scale import IntensityScale
from synthaug.generators.sampling_config import SamplingConfig
from synthaug.generators.volume_prior import VolumePrior
from synthaug.labels import LabelScheme
from synthaug.volumes import CaseRecord
from synthaug.volumes.grid import Grid

SHAPE = (32, 32, 32)


def tiny_config(**changes: Any) -> GuidedLDMConfig:
    """Configuration with 32 voxels of 4 mm, two controls and networks of a few thousand weights."""
    network = {"channels": [8, 16], "norm_groups": 4, "latent_channels": 2}
    values: dict[str, Any] = {
        "name": "tiny",
        "scheme": LabelScheme.load("ventricles-t1"),
        "channels": ("T1",),
        "grid": Grid(SHAPE, (4.0, 4.0, 4.0)),
        "limits_ml": {"ventricles": (5.0, 150.0), "brain": (900.0, 1700.0)},
        "label_autoencoder": {"channels": 8, "num_res_blocks": 1},
        "mask_diffusion": {
            "channels": [8, 16],
            "attention_levels": [False, True],
            "head_channels": 8,
            "condition_dimension": 8,
        },
        "mask_detail_0": {"channels": [8, 16]},
        "mask_detail_1": {"channels": [8, 16]},
        "image_autoencoder": network,
        "image_diffusion": {"channels": [8, 16], "norm_groups": 4, "label_channels": 8},
        "mask_latent": LatentScale((0.1, -0.2) * 6 + (0.0,), (0.5,) * 13),
        "image_latent": LatentScale((0.0, 0.3), (1.0, 2.0)),
        "volume_prior": VolumePrior((3.4, 7.1), ((0.5, 0.01), (0.01, 0.02))),
        "intensities": (IntensityScale(0.0, 120.0),),
        "required_structures": LabelScheme.load("ventricles-t1").names,
        "sampling": SamplingConfig(mask_steps=2, detail_steps=2, image_steps=2),
        "licence": "CC0",
        "training_cases": (CaseRecord("case_a", "0" * 64, "1" * 64), CaseRecord("case_b", None, "2" * 64)),
        "versions": {"torch": "2"},
    }
    return GuidedLDMConfig(**{**values, **changes})


def write_tiny_generator(folder: Path, config: GuidedLDMConfig | None = None, *, seed: int = 0) -> Path:
    """Write configuration and random weights; no parameter is 0, so that conditions reach the output."""
    config = config or tiny_config()
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    for name, network in GuidedLDMNetworks.build(config).by_name().items():
        weights = {
            key: 0.1 * torch.randn(value.shape, generator=generator) if value.is_floating_point() else value
            for key, value in network.state_dict().items()
        }
        save_file(weights, folder / f"{name}.safetensors")
    (folder / "config.json").write_text(canonical_json(config.to_dict()), encoding="utf-8")
    return folder


def record_dicts(records: tuple[CaseRecord, ...]) -> list[dict[str, Any]]:
    """Records as plain dictionaries, for comparing."""
    return [asdict(record) for record in records]
