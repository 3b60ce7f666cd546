"""Configuration that, with the weights, is all a guided LDM needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from synthaug.anatomy import NormalRange
from synthaug.errors import ConfigurationError, did_you_mean
from synthaug.generators.config_checks import check_format, told_with_file
from synthaug.generators.generator_config import GeneratorConfig, read_common
from synthaug.generators.guided_ldm_checks import SECTIONS, check_keys, check_values
from synthaug.generators.latent_scale import LatentScale
from synthaug.generators.sampling_config import SamplingConfig
from synthaug.generators.volume_prior import VolumePrior

FORMAT_VERSION = 6
SYSTEM = "guided-ldm"


@dataclass(frozen=True, kw_only=True)
class GuidedLDMConfig(GeneratorConfig):
    """Everything but the weights.

    Attributes:
        label_autoencoder: arguments of :class:`~synthaug.networks.label_autoencoder.LabelAutoencoder`.
        mask_diffusion: arguments of :class:`~synthaug.networks.mask_diffusion.MaskDiffusionUNet`.
        mask_detail_0: arguments of the :class:`~synthaug.networks.mask_detail.MaskDetailUNet` of the coarser detail.
        mask_detail_1: likewise, of the finer.
        image_autoencoder: arguments of :class:`~synthaug.networks.image_autoencoder.ImageAutoencoder`.
        image_diffusion: arguments of :class:`~synthaug.networks.image_diffusion.ImageDiffusionUNet`.
        mask_latent: scale of the label-map latents.
        image_latent: scale of the image latents.
        volume_prior: volumes of the controls that go together, in the order of ``limits_ml``.
        sampling: default sampler settings.
        normal_range: volumes and contacts of the training label maps; None: nothing is known of them.
    """

    label_autoencoder: Mapping[str, Any]
    mask_diffusion: Mapping[str, Any]
    mask_detail_0: Mapping[str, Any]
    mask_detail_1: Mapping[str, Any]
    image_autoencoder: Mapping[str, Any]
    image_diffusion: Mapping[str, Any]
    mask_latent: LatentScale
    image_latent: LatentScale
    volume_prior: VolumePrior
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    normal_range: NormalRange | None = None

    def with_sampling(self, **options: Any) -> GuidedLDMConfig:
        """Copy with other sampler settings; None leaves a setting as it is, ``steps`` sets the steps of all."""
        given = {key: value for key, value in options.items() if value is not None}
        steps = given.pop("steps", None)
        if steps is not None:
            given = {"mask_steps": steps, "detail_steps": steps, "image_steps": steps, **given}
        known = set(asdict(self.sampling))
        for key in given:
            if key not in known:
                raise ConfigurationError(
                    f"unknown sampler option {key!r}{did_you_mean(key, known)}; "
                    f"the options are {', '.join(sorted(known))}"
                )
        sampling = replace(self.sampling, **given)
        for name in (*sampling.thin, *sampling.one_piece, *sampling.enclosed):
            self.scheme.resolve(name)
        return replace(self, sampling=sampling)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "format_version": FORMAT_VERSION,
            "system": SYSTEM,
            **self.common_dict(),
            **{key: getattr(self, key) for key in SECTIONS},
            "mask_latent": asdict(self.mask_latent),
            "image_latent": asdict(self.image_latent),
            "volume_prior": asdict(self.volume_prior),
            "null_condition": "value 0, presence 0 for every control",
            "noise_schedule": "rectified flow, logit-normal times",
            "weights": "exponential moving average",
            "sampling": asdict(self.sampling),
            **({} if self.normal_range is None else {"normal_range": self.normal_range.to_dict()}),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: str) -> GuidedLDMConfig:
        """Read the JSON form; see :meth:`GeneratorConfig.from_dict`."""
        check_format(content, (SYSTEM,), FORMAT_VERSION, where)
        with told_with_file(where, SYSTEM):
            check_keys(content)
            config = cls(
                **read_common(content),
                **{key: content[key] for key in SECTIONS},
                mask_latent=LatentScale(**{key: tuple(value) for key, value in content["mask_latent"].items()}),
                image_latent=LatentScale(**{key: tuple(value) for key, value in content["image_latent"].items()}),
                volume_prior=VolumePrior(
                    tuple(map(float, content["volume_prior"]["mean"])),
                    tuple(tuple(map(float, row)) for row in content["volume_prior"]["covariance"]),
                ),
                sampling=_read_sampling(content["sampling"]),
                normal_range=NormalRange.from_dict(content["normal_range"]) if "normal_range" in content else None,
            )
            check_values(config)
            return config


def _read_sampling(content: Mapping[str, Any]) -> SamplingConfig:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    return SamplingConfig(**values)
