"""Configuration that, with the weights, is all a guided LDM needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from synthaug.conditions import VolumeBounds
from synthaug.errors import BoundsError, ConfigurationError, SynthAugError, did_you_mean
from synthaug.generators.guided_ldm_checks import SECTIONS, check_keys, check_values
from synthaug.generators.intensity_scale import IntensityScale
from synthaug.generators.latent_scale import LatentScale
from synthaug.generators.sampling_config import SamplingConfig
from synthaug.generators.volume_prior import VolumePrior
from synthaug.labels import LabelScheme
from synthaug.volumes import CaseRecord
from synthaug.volumes.grid import Grid

FORMAT_VERSION = 5
CONFIG_NAME = "config.json"


def refuse_no_volume(name: str, volume_ml: float) -> None:
    """Refuse a target whose logarithm, which the networks are given, does not exist.

    Raises:
        BoundsError: the volume is not above 0.
    """
    if not volume_ml > 0:
        raise BoundsError(f"target {name}={volume_ml:g} mL; allowed: a volume above 0; choose a larger one")


@dataclass(frozen=True)
class GuidedLDMConfig:
    """Everything but the weights.

    Attributes:
        name: name of the generator.
        scheme: label scheme.
        channels: names of the image channels.
        grid: shape and spacing of the pairs, RAS+.
        limits_ml: bounds of each volume control in mL; the controls and their order.
        label_autoencoder: arguments of :class:`~synthaug.networks.label_autoencoder.LabelAutoencoder`.
        mask_diffusion: arguments of :class:`~synthaug.networks.mask_diffusion.MaskDiffusionUNet`.
        mask_detail: arguments of each :class:`~synthaug.networks.mask_detail.MaskDetailUNet`.
        image_autoencoder: arguments of :class:`~synthaug.networks.image_autoencoder.ImageAutoencoder`.
        image_diffusion: arguments of :class:`~synthaug.networks.image_diffusion.ImageDiffusionUNet`.
        mask_latent: scale of the label-map latents.
        image_latent: scale of the image latents.
        volume_prior: volumes of the controls that go together, in the order of ``limits_ml``.
        intensities: what the networks' intensities stand for, by channel.
        required_structures: structures that every training case has, more than a few voxels of them, and that the
            generator made on trial each time; a label map without one of them is wrong.
        label_offsets: what is added to the normalised intensities of each label, background first, by channel, so that
            structures have the mean intensities of the training cases; empty: nothing.
        sampling: default sampler settings.
        licence: licence of the weights, which is that of their data.
        training_cases: what the weights were fitted on.
        versions: versions of the libraries that fitted them.
    """

    name: str
    scheme: LabelScheme
    channels: tuple[str, ...]
    grid: Grid
    limits_ml: Mapping[str, tuple[float, float]]
    label_autoencoder: Mapping[str, Any]
    mask_diffusion: Mapping[str, Any]
    mask_detail: Mapping[str, Any]
    image_autoencoder: Mapping[str, Any]
    image_diffusion: Mapping[str, Any]
    mask_latent: LatentScale
    image_latent: LatentScale
    volume_prior: VolumePrior
    intensities: tuple[IntensityScale, ...]
    required_structures: tuple[str, ...]
    label_offsets: tuple[tuple[float, ...], ...] = ()
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    licence: str = "unknown"
    training_cases: tuple[CaseRecord, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def bounds(self) -> VolumeBounds:
        """Bounds of the controls in mL."""
        return VolumeBounds(dict(self.limits_ml))

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
        for name in (*sampling.thin, *sampling.one_piece):
            self.scheme.resolve(name)
        return replace(self, sampling=sampling)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        content = {key: getattr(self, key) for key in ("name", "channels", "limits_ml", *SECTIONS)}
        return {
            "format_version": FORMAT_VERSION,
            "system": "guided-ldm",
            **content,
            "scheme": self.scheme.to_dict(),
            "grid": {**asdict(self.grid), "orientation": "RAS"},
            "mask_latent": asdict(self.mask_latent),
            "image_latent": asdict(self.image_latent),
            "volume_prior": asdict(self.volume_prior),
            "intensities": [asdict(one) for one in self.intensities],
            "required_structures": self.required_structures,
            "label_offsets": self.label_offsets,
            "null_condition": "value 0, presence 0 for every control",
            "noise_schedule": "rectified flow, logit-normal times",
            "weights": "exponential moving average",
            "sampling": asdict(self.sampling),
            "licence": self.licence,
            "training_cases": [asdict(case) for case in self.training_cases],
            "versions": dict(self.versions),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: str) -> GuidedLDMConfig:
        """Read the JSON form.

        Raises:
            ConfigurationError: a key is missing, unknown or of the wrong form, values contradict each other, or the
                format is of a later version.
        """
        if content.get("format_version") != FORMAT_VERSION:
            raise ConfigurationError(
                f"{where}: format_version is {content.get('format_version')!r}; "
                f"this version of synthaug reads {FORMAT_VERSION}: install the synthaug version that wrote it"
            )
        try:
            check_keys(content)
            config = cls(
                name=content["name"],
                scheme=LabelScheme.from_dict(content["scheme"]),
                channels=tuple(content["channels"]),
                grid=Grid(tuple(content["grid"]["shape"]), tuple(content["grid"]["spacing_mm"])),
                limits_ml={key: (float(low), float(high)) for key, (low, high) in content["limits_ml"].items()},
                label_autoencoder=content["label_autoencoder"],
                mask_diffusion=content["mask_diffusion"],
                mask_detail=content["mask_detail"],
                image_autoencoder=content["image_autoencoder"],
                image_diffusion=content["image_diffusion"],
                mask_latent=LatentScale(**{key: tuple(value) for key, value in content["mask_latent"].items()}),
                image_latent=LatentScale(**{key: tuple(value) for key, value in content["image_latent"].items()}),
                volume_prior=VolumePrior(
                    tuple(map(float, content["volume_prior"]["mean"])),
                    tuple(tuple(map(float, row)) for row in content["volume_prior"]["covariance"]),
                ),
                intensities=tuple(IntensityScale(**one) for one in content["intensities"]),
                required_structures=tuple(content["required_structures"]),
                label_offsets=tuple(tuple(row) for row in content.get("label_offsets", ())),
                sampling=_read_sampling(content["sampling"]),
                licence=content["licence"],
                training_cases=tuple(CaseRecord(**case) for case in content["training_cases"]),
                versions=content["versions"],
            )
            check_values(config)
            return config
        except SynthAugError as error:
            raise ConfigurationError(f"{where}: {error}") from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ConfigurationError(
                f"{where}: not a guided LDM configuration ({error!r}); fit or fetch the generator again"
            ) from error

    @classmethod
    def read(cls, folder: Path) -> GuidedLDMConfig:
        """Read ``config.json`` of a generator's folder."""
        path = folder / CONFIG_NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigurationError(f"{path} is missing; name a folder that `synthaug fit` wrote") from error
        except OSError as error:
            raise ConfigurationError(
                f"{path} cannot be read ({error.strerror or error}); check the path and its permissions"
            ) from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path} is not valid JSON ({error}); fit or fetch the generator again") from error
        if not isinstance(content, dict):
            raise ConfigurationError(f"{path} holds no JSON object; fit or fetch the generator again")
        return cls.from_dict(content, str(path))


def _read_sampling(content: Mapping[str, Any]) -> SamplingConfig:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    return SamplingConfig(**values)
