"""Generators by name: the shipped folders of weights, any other such folder, and the systems that need none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.errors import ConfigurationError, did_you_mean
from synthaug.generators.config_file import CONFIG_NAME, read_config_file
from synthaug.generators.hub import fetch_generator, is_hub_name
from synthaug.generators.recipe import remember

if TYPE_CHECKING:
    from synthaug.generators.cases import CasePaths
    from synthaug.generators.protocol import PairGenerator
    from synthaug.labels import LabelScheme

COUNTERFACTUAL = "counterfactual"
DOMAIN_RANDOMIZATION = "domain-randomization"
WITHOUT_WEIGHTS = (COUNTERFACTUAL, DOMAIN_RANDOMIZATION)

COMBINING_OPTIONS = ("masks", "label_mapping")
"""Options that take the label maps of another generator, and say what its structures become."""

GENERATOR_OPTIONS = ("masks", "painter")
"""Options that name another generator, as ``name_or_folder`` does."""

LABEL_MAP_OPTIONS = (
    "mask_steps", "mask_shift", "mask_temperature", "detail_steps", "detail_temperature", "given_slices",
    "overlap_noise", "candidates", "guidance_scale", "guidance_interval", "complete_volumes", "volume_feedback",
    "volume_shift", "volume_rounds", "volume_tolerance", "thin", "one_piece", "enclosed", "anatomy_rounds",
)  # fmt: skip
"""Options that say how label maps are made: with ``masks``, those of the generator that makes them."""

RESERVED_OPTIONS = ("device", "folder", "name", "name_or_folder")
"""Names that say which generator is loaded and where: no generator has options of these names."""


@dataclass(frozen=True)
class GeneratorInfo:
    """A generator that can be loaded by name.

    Attributes:
        name: what :func:`load_generator` takes.
        system: ``guided-ldm``, ``medgen3d``, ``counterfactual``...
        folder: folder of the weights; None for a system that needs none.
        needs_cases: whether it draws from real cases that have to be given.
        summary: one line for lists.
    """

    name: str
    system: str
    folder: Path | None
    needs_cases: bool
    summary: str


@dataclass(frozen=True)
class _System:
    """A system with weights.

    Attributes:
        loader: module and class that load a folder; imported when a generator is loaded.
        summary: one line for lists.
    """

    loader: tuple[str, str]
    summary: str

    def load(self, folder: Path, device: str, options: Mapping[str, Any]) -> PairGenerator:
        module, name = self.loader
        generator: PairGenerator = getattr(import_module(module), name).load(folder, device=device, **options)
        return generator


_SYSTEMS = {
    "guided-ldm": _System(
        ("synthaug.generators.guided_ldm", "GuidedLDM"),
        "guided mask latent diffusion, then SPADE image latent diffusion",
    ),
    "medgen3d": _System(
        ("synthaug.generators.medgen3d", "MedGen3D"),
        "label slices by diffusion, image slices by Vid2Vid, refined in three views",
    ),
    "vid2vid": _System(
        ("synthaug.generators.vid2vid", "Vid2Vid"), "label slices by diffusion, image slices by Vid2Vid"
    ),
    "ddpm2d": _System(
        ("synthaug.generators.ddpm2d", "DDPM2D"),
        "label slices by diffusion, image slices by diffusion in three views",
    ),
    "alpha-wgan": _System(
        ("synthaug.generators.alpha_wgan", "AlphaWGANGenerator"),
        "label map and image at once, by a generative adversarial network",
    ),
}
"""By the ``system`` of a configuration."""

FITTED_SYSTEMS = tuple(_SYSTEMS)
"""Names of the systems that have weights."""


def refuse_unfitted(system: str) -> None:
    """Refuse a system that cannot be fitted.

    Raises:
        ConfigurationError: there is no such system, or it has no weights.
    """
    if system in WITHOUT_WEIGHTS:
        raise ConfigurationError(
            f"--generator {system}: has no weights, so there is nothing to fit; use it with `synthaug sample` and "
            f"`precompute`, or fit one of: {', '.join(_SYSTEMS)}"
        )
    if system not in _SYSTEMS:
        raise ConfigurationError(f"--generator {system}{did_you_mean(system, _SYSTEMS)}: one of {', '.join(_SYSTEMS)}")


def pretrained_folders() -> dict[str, Path]:
    """The shipped folders of weights by name: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    found: dict[str, Path] = {}
    for parent in (package / "pretrained", package.parent / "pretrained"):
        if parent.is_dir():
            for folder in sorted(parent.iterdir()):
                if (folder / CONFIG_NAME).is_file():
                    found.setdefault(folder.name, folder)
    return found


def list_generators() -> list[GeneratorInfo]:
    """What :func:`load_generator` knows by name; a shipped folder whose configuration is damaged is listed too."""
    infos = []
    for name, folder in pretrained_folders().items():
        try:
            system = _system_of(folder)
        except ConfigurationError:
            system = "unknown"
        summary = _SYSTEMS[system].summary if system in _SYSTEMS else f"{folder / CONFIG_NAME} cannot be read"
        infos.append(GeneratorInfo(name, system, folder, False, summary))
    summary = "a real pair with its ventricles taken to a volume by a diffeomorphic warp; no weights"
    infos.append(GeneratorInfo(COUNTERFACTUAL, COUNTERFACTUAL, None, True, summary))
    summary = "label maps of real cases, warped, or of another generator, with images of any contrast; no weights"
    infos.append(GeneratorInfo(DOMAIN_RANDOMIZATION, DOMAIN_RANDOMIZATION, None, False, summary))
    return infos


def draws_from_cases(name: str, options: Mapping[str, Any]) -> bool:
    """Whether a generator, loaded with these options, needs real cases to draw from."""
    return name == COUNTERFACTUAL or (name == DOMAIN_RANDOMIZATION and "masks" not in options)


def load_generator(
    name_or_folder: str | Path,
    *,
    device: str = "auto",
    cases: Sequence[CasePaths] | None = None,
    scheme: LabelScheme | None = None,
    channels: Sequence[str] | None = None,
    revision: str | None = None,
    **options: Any,
) -> PairGenerator:
    """Load a generator.

    Args:
        name_or_folder: a name of :func:`list_generators`, a folder with a ``config.json`` (of ``synthaug fit``), or
            ``org/name`` on the Hugging Face Hub (``org/name@revision``), of which JSON and safetensors are fetched.
        device: where networks run: ``auto``, ``cpu``, ``cuda:0``...
        cases: real pairs, for ``counterfactual`` and ``domain-randomization`` only.
        scheme: label scheme of the cases.
        channels: names of the cases' image channels.
        revision: commit, tag or branch on the Hub; name a commit for the same weights for ever. The commit stands in
            the provenance of every pair as ``generator_origin``, those of other generators that options name as
            ``masks_origin`` and ``painter_origin``.
        **options: the generator's own options, for example ``steps`` or ``guidance_scale``. ``masks`` names another
            generator, whose label maps its images are made for; options of label maps are that generator's then.
            ``label_mapping`` says what the structures of these become where their names do not tell: see
            :class:`~synthaug.generators.combined.CombinedGenerator`.

    Raises:
        ConfigurationError: an unknown name, a folder without configuration, an unknown option, or cases given to a
            generator that draws from none.
    """
    refuse_reserved_options(options)
    name = str(name_or_folder)
    generator = _load(name, revision, device, cases, scheme, channels, options)
    drawn_from = generator.training_cases if cases is not None else None
    pinned = {**options, **getattr(generator, "origins", {})}
    remember(generator, getattr(generator, "origin", None) or name, pinned, drawn_from)
    return generator


def _load(
    name: str,
    revision: str | None,
    device: str,
    cases: Sequence[CasePaths] | None,
    scheme: LabelScheme | None,
    channels: Sequence[str] | None,
    options: dict[str, Any],
) -> PairGenerator:
    if name == COUNTERFACTUAL:
        return _load_counterfactual(cases, scheme, channels, options, device)
    if name == DOMAIN_RANDOMIZATION:
        from synthaug.generators.domain_randomization import DomainRandomization

        if "label_mapping" in options:
            raise ConfigurationError(
                f"generator {name!r}: option 'label_mapping' says nothing here, since images of any structures are "
                "drawn; leave it out"
            )
        return DomainRandomization.from_options(options, cases=cases, scheme=scheme, channels=channels, device=device)
    if "masks" in options and not str(options["masks"]):
        raise ConfigurationError("option 'masks' is empty; name the generator whose label maps are taken")
    folder, origin = _find(name, revision)
    if cases is not None:
        raise ConfigurationError(
            f"generator {name!r} makes its pairs from weights and draws from no cases; leave the cases out, "
            f"or take the generator {COUNTERFACTUAL!r}"
        )
    for key, value in (("scheme", scheme), ("channels", channels)):
        if value is not None:
            raise ConfigurationError(
                f"generator {name!r}: option {key!r} describes the cases of {COUNTERFACTUAL!r}; a folder of weights "
                "has its own: leave it out"
            )
    system = _system_of(folder)
    if system not in _SYSTEMS:
        raise ConfigurationError(
            f"{folder / CONFIG_NAME}: system {system!r}{did_you_mean(system, _SYSTEMS)}; "
            f"this version of synthaug has: {', '.join(_SYSTEMS)}"
        )
    if not set(COMBINING_OPTIONS) & set(options):
        return _from(origin, _SYSTEMS[system].load(folder, device, options))
    return _load_combined(name, options, device, lambda own: _from(origin, _SYSTEMS[system].load(folder, device, own)))


def _load_combined(
    name: str, options: Mapping[str, Any], device: str, load_images: Callable[[Mapping[str, Any]], PairGenerator]
) -> PairGenerator:
    """Label maps of the generator that ``masks`` names, images of the one that is loaded with the options left."""
    if "masks" not in options:
        raise ConfigurationError(f"generator {name!r}: option 'label_mapping' is for label maps of another: give masks")
    if str(options["masks"]) == COUNTERFACTUAL:
        raise ConfigurationError(
            f"option 'masks': {COUNTERFACTUAL} makes no label maps without images of its own; name a folder of weights"
        )
    of_labels = {key: value for key, value in options.items() if key in LABEL_MAP_OPTIONS or key == "steps"}
    of_images = {key: value for key, value in options.items() if key not in (*LABEL_MAP_OPTIONS, *COMBINING_OPTIONS)}
    images = load_images(of_images)
    masks = load_generator(str(options["masks"]), device=device, **of_labels)
    return _with_masks(images, masks, options.get("label_mapping"))


def _from(origin: str | None, generator: PairGenerator) -> PairGenerator:
    """A generator that notes in its pairs' provenance where its weights come from."""
    if origin is not None:
        generator.origin = origin  # type: ignore[attr-defined]
    return generator


def _with_masks(images: PairGenerator, masks: PairGenerator, mapping: object) -> PairGenerator:
    """Images of one generator for label maps of another."""
    from synthaug.generators.combined import CombinedGenerator

    if mapping is not None and not (
        isinstance(mapping, Mapping) and all(isinstance(one, str) for pair in mapping.items() for one in pair)
    ):
        raise ConfigurationError(
            f"option 'label_mapping' is {mapping!r}; it must be an object that names a structure of the image "
            'generator, or "background", by structure of the masks: {"csf": "background"}'
        )
    return CombinedGenerator.of(masks, images, mapping)


def refuse_reserved_options(options: Mapping[str, Any]) -> None:
    """Refuse options whose names say which generator is loaded and where.

    Raises:
        ConfigurationError: names the option.
    """
    for key in RESERVED_OPTIONS:
        if key in options:
            raise ConfigurationError(
                f"option {key!r} is no option of a generator; reserved are {', '.join(RESERVED_OPTIONS)}: name the "
                "generator and the device where the generator is named"
            )


def _load_counterfactual(
    cases: Sequence[CasePaths] | None,
    scheme: LabelScheme | None,
    channels: Sequence[str] | None,
    options: dict[str, Any],
    device: str,
) -> PairGenerator:
    from synthaug.labels import LabelScheme

    if scheme is not None and not isinstance(scheme, LabelScheme):
        raise ConfigurationError(
            f"generator {COUNTERFACTUAL!r}: option 'scheme' is {scheme!r}; it must be a label scheme: on the command "
            "line give --scheme, in Python LabelScheme.load(...)"
        )
    if not cases or scheme is None:
        missing = "cases" if not cases else "the label scheme of its cases"
        raise ConfigurationError(
            f"generator {COUNTERFACTUAL!r} needs {missing}: on the command line give --dataset or --cases IMAGE,LABEL; "
            "in Python, cases=[CasePaths(...)], scheme=LabelScheme.load(...) and channels=(...)"
        )
    from synthaug.generators.counterfactual import CounterfactualGenerator

    names = tuple(channels) if channels is not None else tuple(f"channel{i}" for i in range(len(cases[0].images)))
    return CounterfactualGenerator.from_options(cases, scheme, names, options, device=device)


def is_at_hand(name: str) -> bool:
    """Whether a name is one of ours or that of a folder of weights, so that the Hub is not asked."""
    return name in WITHOUT_WEIGHTS or name in pretrained_folders() or (Path(name).expanduser() / CONFIG_NAME).is_file()


def find_generator(name: str) -> Path:
    """Folder of weights by its shipped name, its path, or its name on the Hub.

    Raises:
        ConfigurationError: there is none.
    """
    return _find(name, None)[0]


def _find(name: str, revision: str | None) -> tuple[Path, str | None]:
    """Folder of weights, and ``org/name@commit`` of one from the Hub."""
    shipped, folder = pretrained_folders(), Path(name).expanduser()
    here = shipped.get(name, folder if (folder / CONFIG_NAME).is_file() else None)
    if here is not None:
        if revision is not None:
            raise ConfigurationError(
                f"generator {name!r}: revision {revision!r} is for a name on the Hub (org/name), and this is {here}; "
                "leave it out"
            )
        return here, None
    if folder.is_dir():
        raise ConfigurationError(
            f"{folder} holds no {CONFIG_NAME}, so it is no generator; name a folder that `synthaug fit` wrote"
        )
    if is_hub_name(name):
        fetched = fetch_generator(name, revision)
        return fetched.folder, fetched.origin
    if name in WITHOUT_WEIGHTS:
        raise ConfigurationError(
            f"generator {name!r} has no weights, which are asked for here; take one of: {', '.join(shipped)}, or a "
            "folder that `synthaug fit` wrote"
        )
    known = [*shipped, *WITHOUT_WEIGHTS]
    raise ConfigurationError(
        f"no generator {name!r}{did_you_mean(name, known)}: neither a folder nor one of: {', '.join(known)}"
    )


def _system_of(folder: Path) -> str:
    system = read_config_file(folder).get("system")
    if not isinstance(system, str):
        raise ConfigurationError(
            f"{folder / CONFIG_NAME}: names no 'system' (one of {', '.join(_SYSTEMS)}); name a folder that "
            "`synthaug fit` wrote"
        )
    return system
