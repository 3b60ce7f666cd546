"""Options that every command with a generator shares, and the generator that they name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthaug.cli.completion import (
    DEVICES,
    FOLDS,
    complete_dataset,
    complete_generator,
    complete_scheme,
    one_of,
)
from synthaug.cli.verbosity import detail, is_verbose
from synthaug.errors import ConfigurationError

if TYPE_CHECKING:
    from synthaug.generators import CasePaths
    from synthaug.generators.protocol import PairGenerator

DEFAULT_GENERATOR = "ventricles-t1-1mm"

GeneratorOption = Annotated[
    str,
    typer.Option(
        "--generator",
        "-g",
        help="Name of a shipped generator, or a folder of weights.",
        autocompletion=complete_generator,
    ),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.", autocompletion=one_of(DEVICES))]
StepsOption = Annotated[
    int | None, typer.Option(min=1, help="Sampling steps of each diffusion stage; default: the generator's own.")
]
GuidanceOption = Annotated[
    float | None,
    typer.Option(
        "--guidance-scale",
        "--guidance",
        min=0.0,
        help="Weight of classifier-free guidance; default: the generator's own.",
    ),
]
ToleranceOption = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        max=1.0,
        help="Relative error of the volumes at which a label map is taken; else its noise is sampled again with a "
        "corrected condition, up to five times. Default: the generator's own.",
    ),
]
TOLERANCE_ROUNDS = 5
FurtherOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="KEY=VALUE",
        help="Any other option of the generator, volume_rounds=0 for example; repeats.",
    ),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        help="For counterfactual and domain-randomization: nnU-Net dataset (number or name) whose training cases they "
        "draw from.",
        autocompletion=complete_dataset,
    ),
]
DEFAULT_FOLD = "0"
FoldOption = Annotated[
    str,
    typer.Option(
        help="Fold of --dataset: 0 to 4, or all. Validation cases are left out.", autocompletion=one_of(FOLDS)
    ),
]
CasesOption = Annotated[
    list[str] | None,
    typer.Option("--cases", metavar="IMAGE,LABEL", help="For the same: files of a real pair; repeats."),
]
DEFAULT_SCHEME = "ventricles-t1"
OWN_OPTIONS = ("device", "cases", "scheme")
SchemeOption = Annotated[
    str,
    typer.Option(help="Label scheme of --cases: a shipped name or a JSON file.", autocompletion=complete_scheme),
]
FLAGS = {"steps": "--steps", "guidance_scale": "--guidance-scale", "volume_tolerance": "--tolerance"}
"""Options of a generator that have an option of their own on the command line."""


class SamplingOptions(dict[str, Any]):
    """Options of a generator by name.

    Attributes:
        given_as: what the user wrote for them, by name: ``{"volume_rounds": "--tolerance 0.1"}``.
    """

    def __init__(self, options: Mapping[str, Any], given_as: Mapping[str, str]) -> None:
        super().__init__(options)
        self.given_as = dict(given_as)


def sampling_options(
    further: Sequence[str] | None,
    *,
    steps: int | None = None,
    guidance_scale: float | None = None,
    tolerance: float | None = None,
) -> SamplingOptions:
    """The generator's options that were given; those that were not are left to the generator.

    Args:
        further: ``KEY=VALUE`` texts; a value is read as JSON where it is JSON, else as text.
        steps: of each diffusion stage.
        guidance_scale: weight of classifier-free guidance.
        tolerance: relative error of the volumes at which a label map is taken.

    Raises:
        ConfigurationError: not ``KEY=VALUE``, or an option that is given twice or otherwise.
    """
    named = {"steps": steps, "guidance_scale": guidance_scale, "volume_tolerance": tolerance}
    options: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    given_as = {key: f"{FLAGS[key]} {value}" for key, value in options.items()}
    for text in further or ():
        key, separator, value = text.partition("=")
        if not separator or not key.isidentifier():
            raise ConfigurationError(f"--option {text}: KEY=VALUE is expected, for example steps=20")
        if key in OWN_OPTIONS:
            raise ConfigurationError(f"--option {text}: has an option of its own; give --{key} {value}")
        if key in options:
            told = f"{given_as[key]} says so" if key in given_as else f"{key} is {options[key]}"
            raise ConfigurationError(f"--option {text}: {told} already; give it once")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    if tolerance is not None and "volume_rounds" not in options:
        options["volume_rounds"] = TOLERANCE_ROUNDS
        given_as["volume_rounds"] = given_as["volume_tolerance"]
    return SamplingOptions(options, given_as)


@dataclass(frozen=True)
class GeneratorChoice:
    """The generator that the command line describes.

    Attributes:
        name: a shipped generator, a folder of weights, or ``python:MODULE:FACTORY``.
        options: of the generator, from :func:`sampling_options`.
        device: auto, cpu, cuda or cuda:N.
        dataset: nnU-Net dataset whose training cases the generator draws from.
        fold: of the dataset.
        cases: ``IMAGE,LABEL`` texts; instead of a dataset.
        scheme: of the label maps of ``cases``.
    """

    name: str = DEFAULT_GENERATOR
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    dataset: str | None = None
    fold: str = DEFAULT_FOLD
    cases: Sequence[str] = ()
    scheme: str = DEFAULT_SCHEME

    def open(self) -> PairGenerator:
        """Load it.

        Raises:
            SynthAugError: no such generator, dataset, fold or file, or options that exclude each other.
        """
        from synthaug.precomputing.factory import load_named_generator

        drawn_from = self._drawn_from()
        for key in drawn_from:
            if key in self.options:
                raise ConfigurationError(f"--option {key}={self.options[key]}: the cases have their own; leave it out")
        try:
            generator = load_named_generator(self.name, device=self.device, **drawn_from, **self.options)
        except ConfigurationError as error:
            raise _in_the_users_words(error, self.options) from None
        if is_verbose():
            _describe(generator, self.name)
        return generator

    def _drawn_from(self) -> dict[str, Any]:
        """The real pairs that the generator changes, as its options."""
        if self.dataset is not None and self.cases:
            raise ConfigurationError("--dataset and --cases: both name the cases to draw from; give one of them")
        if self.fold != DEFAULT_FOLD and self.dataset is None:
            raise ConfigurationError(f"--fold {self.fold}: is of a dataset; give --dataset too, or leave --fold out")
        if self.scheme != DEFAULT_SCHEME and not self.cases:
            raise ConfigurationError(
                f"--scheme {self.scheme}: is of the label maps of --cases; give --cases too, or leave it out"
            )
        if self.dataset is not None:
            from synthaug.integrations.nnunet.prepare import training_case_paths

            case_scheme, channels, paths = training_case_paths(self.dataset, self.fold)
            return {"cases": paths, "scheme": case_scheme, "channels": channels}
        if self.cases:
            from synthaug.labels import LabelScheme

            paths = [parse_case(text) for text in self.cases]
            return {"cases": paths, "scheme": LabelScheme.load(self.scheme), "channels": ("T1",)}
        return {}


def _in_the_users_words(error: ConfigurationError, options: Mapping[str, Any]) -> ConfigurationError:
    """The same about ``--tolerance`` where the user never heard of the options that it stands for."""
    given_as = options.given_as if isinstance(options, SamplingOptions) else {}
    for key, text in given_as.items():
        if f"option '{key}'" in str(error):
            generator = str(error).partition(":")[0]
            return ConfigurationError(
                f"{text}: {generator} has no such option; leave it out, or take another generator"
            )
        if f"{key} is " in str(error):
            return ConfigurationError(f"{text}: {error}")
    return error


def _describe(generator: PairGenerator, name: str) -> None:
    """What ``--verbose`` tells of a generator."""
    from synthaug.generators.registry import pretrained_folders
    from synthaug.volumes.geometry import spacing_of

    folder = pretrained_folders().get(name)
    detail(f"generator {generator.name}, sha256 {generator.fingerprint}" + (f", in {folder}" if folder else ""))
    spacing = " x ".join(f"{edge:.3g}" for edge in spacing_of(generator.affine))
    detail(f"makes {' x '.join(map(str, generator.shape))} voxels of {spacing} mm, {', '.join(generator.channels)}")
    limits = (f"{key} {low:g} to {high:g} mL" for key, (low, high) in generator.bounds.limits_ml.items())
    detail(f"can be asked for {', '.join(limits)}")
    computed_with = getattr(generator, "computed_with", None)
    if computed_with:
        detail("computed with " + ", ".join(f"{key} {value}" for key, value in computed_with.items()))


def parse_case(text: str) -> CasePaths:
    """``IMAGE,LABEL`` as the files of a case, named after the image.

    Raises:
        ConfigurationError: not two file names, or a file that is not there.
    """
    from synthaug.generators import CasePaths
    from synthaug.volumes import case_identifier

    parts = [Path(part).expanduser() for part in text.split(",")]
    if len(parts) != 2:
        raise ConfigurationError(f"--cases {text}: two file names with a comma between are expected, IMAGE,LABEL")
    for path in parts:
        if not path.is_file():
            raise ConfigurationError(f"--cases {text}: {path} is not there; give an image and its label map")
    image, label = parts
    return CasePaths(case_identifier(image), (image,), label)
