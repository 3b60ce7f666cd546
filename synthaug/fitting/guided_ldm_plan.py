"""Settings of a guided LDM's fit that suit a plan: stages that learn in minutes, crops that many classes allow."""

from __future__ import annotations

from dataclasses import replace

from synthaug.fitting.guided_ldm_settings import GuidedLDMSettings
from synthaug.fitting.settings import FitSettings
from synthaug.generators.sampling_config import SamplingConfig

MOST_LOGITS = 7_000_000
"""Voxels times classes of a crop that label maps are learned on: with many classes, crops are smaller."""

LEAST_CROP = 32

IMAGE_CROP = 64
"""Edge, in voxels, of the crops that the image autoencoder learns on: many small ones teach it sooner."""

IMAGE_LEARNING_RATE = 2e-3
"""Of the image stage: higher than for a fit of hours."""

DETAIL_TEMPERATURE = 0.5
"""Of the finer levels of label maps, whose networks have not learned in minutes to tell detail from noise."""

SHARES = {
    "label_autoencoder": 0.06,
    "mask_diffusion": 0.4,
    "mask_detail_0": 0.12,
    "mask_detail_1": 0.12,
    "image_autoencoder": 0.12,
    "image_diffusion": 0.24,
}
"""Of the training time, by network."""


def guided_ldm_settings(planned: FitSettings, classes: int) -> GuidedLDMSettings:
    """Settings with what a plan chose, for label maps of so many classes, the background included."""
    sampling = SamplingConfig(one_piece=(), thin=(), detail_temperature=DETAIL_TEMPERATURE)
    return _with_crops(_for_a_short_time(GuidedLDMSettings(**vars(planned), sampling=sampling)), classes)


def _for_a_short_time(settings: GuidedLDMSettings) -> GuidedLDMSettings:
    """Stages that learn in minutes."""
    parts = {name: getattr(settings, name) for name in SHARES}
    parts = {
        name: replace(part, stage=replace(part.stage, share=share))
        for (name, part), share in zip(parts.items(), SHARES.values(), strict=True)
    }
    for name in ("image_autoencoder", "image_diffusion"):
        parts[name] = replace(parts[name], stage=replace(parts[name].stage, learning_rate=IMAGE_LEARNING_RATE))
    batch = replace(settings.image_autoencoder.batch, crop=(IMAGE_CROP,) * 3)
    parts["image_autoencoder"] = replace(parts["image_autoencoder"], batch=batch)
    return replace(settings, **parts)


def _with_crops(settings: GuidedLDMSettings, classes: int) -> GuidedLDMSettings:
    """Crops no larger than the field of view, and than so many classes allow."""
    edge = max(int((MOST_LOGITS / classes) ** (1 / 3)) // LEAST_CROP * LEAST_CROP, LEAST_CROP)
    most = {"label_autoencoder": edge, "mask_detail_1": edge}

    def fitted(name: str, crop: tuple[int, int, int]) -> tuple[int, int, int]:
        x, y, z = (
            min(wanted, extent, most.get(name, extent)) for wanted, extent in zip(crop, settings.shape, strict=True)
        )
        return x, y, z

    return replace(
        settings,
        **{
            name: replace(part, batch=replace(part.batch, crop=fitted(name, part.batch.crop)))
            for name in ("label_autoencoder", "mask_detail_1", "image_autoencoder", "image_diffusion")
            for part in (getattr(settings, name),)
        },
    )
