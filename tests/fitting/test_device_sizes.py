"""Batches and networks follow the memory of a GPU and the time, in all systems."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from synthaug.fitting.device_sizes import COUNTS, WIDE_CHANNELS, DeviceSizes
from synthaug.fitting.systems import SYSTEMS
from synthaug.generators.guided_ldm import GuidedLDMNetworks
from synthaug.generators.sequence_generator import SequenceNetworks
from tests.generators.tiny_guided_ldm import tiny_config
from tests.generators.tiny_sequences import tiny_sequence_config

GB = 10**9


@pytest.mark.parametrize(
    ("gpu_bytes", "minutes", "expected"),
    [
        (0, 1000, DeviceSizes()),
        (8 * GB, 1000, DeviceSizes()),
        (16 * GB, 1000, DeviceSizes()),
        (40 * GB, 20, DeviceSizes(3)),
        (40 * GB, 60, DeviceSizes(1, wide=True)),
        (80 * GB, 60, DeviceSizes(3, wide=True)),
        (500 * GB, 20, DeviceSizes(8)),
    ],
)
def test_sizes_follow_memory_and_time(gpu_bytes: int, minutes: float, expected: DeviceSizes) -> None:
    assert DeviceSizes.of(gpu_bytes, 60 * minutes) == expected


@pytest.mark.parametrize("system", sorted(SYSTEMS))
def test_every_batch_of_every_system_grows(system: str) -> None:
    settings = SYSTEMS[system].settings()
    grown = DeviceSizes(3).applied(settings)
    batches = [(getattr(settings, one.name), getattr(grown, one.name)) for one in fields(settings)]
    found = [
        (getattr(getattr(before, "batch", before), name), getattr(getattr(after, "batch", after), name))
        for before, after in batches
        for name in COUNTS
        if hasattr(getattr(before, "batch", before), name)
    ]
    assert found
    assert all(after == 3 * before for before, after in found)
    assert DeviceSizes().applied(settings) == settings


def test_what_the_settings_say_of_a_network_is_kept() -> None:
    settings = DeviceSizes(1, wide=True).applied(SYSTEMS["guided-ldm"].settings())
    assert settings.image_diffusion.network == {"channels": [64, 128, 256], "preconditioned": True}  # type: ignore[attr-defined]


def test_wide_networks_can_be_built_and_have_more_weights() -> None:
    def weights(networks: GuidedLDMNetworks | SequenceNetworks) -> dict[str, int]:
        return {name: sum(one.numel() for one in part.parameters()) for name, part in networks.by_name().items()}

    plain: dict[str, dict[str, Any]] = {
        "label_autoencoder": {},
        "mask_diffusion": {},
        "mask_detail_0": {},
        "mask_detail_1": {},
        "image_diffusion": {},
    }
    wide = {name: {"channels": list(WIDE_CHANNELS[name])} if name in WIDE_CHANNELS else {} for name in plain}
    few, many = (weights(GuidedLDMNetworks.build(tiny_config(**one))) for one in (plain, wide))
    assert all(many[name] > 3 * few[name] for name in plain if name in WIDE_CHANNELS)
    names = ("mask_sequence", "image_sequence", "slice_diffusion")
    plain, wide = {name: {} for name in names}, {name: {"channels": list(WIDE_CHANNELS[name])} for name in names}
    few, many = (weights(SequenceNetworks.build(tiny_sequence_config("medgen3d", **one))) for one in (plain, wide))
    assert all(many[name] > 3 * few[name] for name in ("mask_sequence", "image_sequence", "slice_diffusion_axial"))
