"""Configuration of the systems that make label maps slice by slice: `medgen3d`, `vid2vid` and `ddpm2d`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from synthaug.configuration import load_config
from synthaug.configuration.limits import allowed
from synthaug.errors import ConfigurationError
from synthaug.generators.config_checks import check_format, check_keys, check_values, told_with_file
from synthaug.generators.generator_config import GeneratorConfig, read_common
from synthaug.volumes.views import VIEWS

FORMAT_VERSION = 1
SECTIONS = ("mask_sequence", "image_sequence", "slice_diffusion")
INFORMATIVE = ("system", "null_condition", "noise_schedule", "weights")

IMAGE_SECTIONS = {
    "medgen3d": ("image_sequence", "slice_diffusion"),
    "vid2vid": ("image_sequence",),
    "ddpm2d": ("slice_diffusion",),
}
"""By system, the sections of the networks that make its images; label maps are made by ``mask_sequence`` in all."""


@dataclass(frozen=True)
class SequenceSampling:
    """How pairs are sampled.

    Attributes:
        mask_steps: network evaluations for each subsequence of label slices.
        mask_shift: above 1 spends more of them at high noise.
        mask_temperature: deviation of the noise that label slices begin from; below 1 they are more typical.
        given_slices: slices that each further subsequence is given (n in the paper).
        overlap_noise: noise fraction that a grown label map is given before overlapping subsequences denoise it once
            more, all together, so that slices agree across joins as within; the more, the smoother; 0: as it was grown.
        guidance_scale: classifier-free guidance of label maps; 1 is the conditional model alone.
        volume_shift: up to so much is added to the logits of a structure when its label is decided, which moves its
            border by fractions of a voxel towards the volume asked for; 0 decides for the most probable label.
        volume_rounds: label maps after the first one, from the same noise, in search of the volumes asked for.
        volume_tolerance: relative error of the volumes at which that search ends.
        noising_steps: of a thousand, that the refiner noises an image by (10 in the paper, whose networks learned for
            days; fewer do little after minutes); 0 leaves it as it is.
        refine_steps: network evaluations of each view of the refiner, at most ``noising_steps``.
        image_steps: network evaluations of each view where images are made of noise alone (`ddpm2d`).
        views: whose mean the image is.
    """

    mask_steps: int = field(default=8, metadata=allowed(low=1, high=1000))
    mask_shift: float = field(default=6.0, metadata=allowed(low=0.01, high=100))
    mask_temperature: float = field(default=1.0, metadata=allowed(low=0, high=2))
    given_slices: int = field(default=2, metadata=allowed(low=1))
    overlap_noise: float = field(default=0.55, metadata=allowed(low=0, high=0.95))
    guidance_scale: float = field(default=1.0, metadata=allowed(low=0, high=20))
    volume_shift: float = field(default=4.0, metadata=allowed(low=0, high=20))
    volume_rounds: int = field(default=2, metadata=allowed(low=0, high=20))
    volume_tolerance: float = field(default=0.02, metadata=allowed(low=0.001, high=1))
    noising_steps: int = field(default=50, metadata=allowed(low=0, high=1000))
    refine_steps: int = field(default=4, metadata=allowed(low=1, high=1000))
    image_steps: int = field(default=20, metadata=allowed(low=1, high=1000))
    views: tuple[str, ...] = field(default=tuple(VIEWS), metadata=allowed(choices=tuple(VIEWS)))

    def __post_init__(self) -> None:
        if not self.views or len(set(self.views)) < len(self.views):
            raise ConfigurationError(
                f"sampling.views is {list(self.views)}; name one or more of {', '.join(VIEWS)}, each once"
            )


IMAGE_OPTIONS = {
    "medgen3d": ("noising_steps", "refine_steps"),
    "vid2vid": (),
    "ddpm2d": ("image_steps", "views"),
}
"""By system, the settings of the sampler that say how its images are made."""


@dataclass(frozen=True, kw_only=True)
class SequenceConfig(GeneratorConfig):
    """Everything but the weights.

    Attributes:
        system: ``medgen3d``, ``vid2vid`` or ``ddpm2d``.
        mask_sequence: arguments of :class:`~synthaug.networks.mask_sequence.MaskSequenceUNet`.
        image_sequence: arguments of :class:`~synthaug.networks.image_sequence.ImageSequenceGenerator`; not in
            ``ddpm2d``.
        slice_diffusion: arguments of each :class:`~synthaug.networks.slice_diffusion.SliceDiffusionUNet`; not in
            ``vid2vid``.
        sampling: default sampler settings.
    """

    system: str
    mask_sequence: Mapping[str, Any] = field(default_factory=dict)
    image_sequence: Mapping[str, Any] = field(default_factory=dict)
    slice_diffusion: Mapping[str, Any] = field(default_factory=dict)
    sampling: SequenceSampling = field(default_factory=SequenceSampling)

    @property
    def sections(self) -> tuple[str, ...]:
        """Of the networks that the system has."""
        return ("mask_sequence", *IMAGE_SECTIONS[self.system])

    def with_sampling(self, **options: Any) -> SequenceConfig:
        """Copy with other sampler settings; None leaves a setting as it is, ``steps`` sets the steps of all.

        Raises:
            ConfigurationError: an unknown option, or a value that is not allowed.
        """
        given = {key: value for key, value in options.items() if value is not None}
        others = {one for names in IMAGE_OPTIONS.values() for one in names} - {*IMAGE_OPTIONS[self.system]}
        if unused := sorted(others & set(given)):
            raise ConfigurationError(
                f"generator {self.name!r} is of the system {self.system}, whose images have no {', '.join(unused)}; "
                "leave that option out"
            )
        steps = given.pop("steps", None)
        if steps is not None:
            own = [name for name in ("refine_steps", "image_steps") if name in IMAGE_OPTIONS[self.system]]
            given = {**dict.fromkeys(["mask_steps", *own], steps), **given}
        where = f"options of generator {self.name!r} ({self.system})"
        sampling = load_config(SequenceSampling, {**asdict(self.sampling), **given}, where=where)
        return replace(self, sampling=sampling)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "format_version": FORMAT_VERSION,
            "system": self.system,
            **self.common_dict(),
            **{key: getattr(self, key) for key in self.sections},
            "null_condition": "value 0, presence 0 for every control",
            "noise_schedule": "label maps: rectified flow, logit-normal times; images: DDPM, 1000 steps",
            "weights": "exponential moving average",
            "sampling": asdict(self.sampling),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: str) -> SequenceConfig:
        """Read the JSON form; see :meth:`GeneratorConfig.from_dict`."""
        check_format(content, tuple(IMAGE_SECTIONS), FORMAT_VERSION, where)
        sections = ("mask_sequence", *IMAGE_SECTIONS[content["system"]])
        with told_with_file(where, content["system"]):
            check_keys(content, sections, INFORMATIVE)
            config = cls(
                **read_common(content),
                system=content["system"],
                **{key: content[key] for key in sections},
                sampling=load_config(SequenceSampling, content["sampling"], where="sampling"),
            )
            check_values(config)
            return config
