"""``synthaug evaluate``: what a generator or a cache is worth, in figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthaug.cli.completion import complete_mapping
from synthaug.cli.generator_options import (
    DEFAULT_FOLD,
    DEFAULT_GENERATOR,
    DEFAULT_SCHEME,
    CasesOption,
    DatasetOption,
    DeviceOption,
    FoldOption,
    FurtherOption,
    GeneratorChoice,
    GeneratorOption,
    GuidanceOption,
    SchemeOption,
    StepsOption,
    ToleranceOption,
    sampling_options,
)
from synthaug.cli.given_options import given_options
from synthaug.cli.verbosity import JsonOption, is_quiet, print_json
from synthaug.errors import ConfigurationError

if TYPE_CHECKING:
    from synthaug.cli.evaluate_parts import ControlPlan, EvaluationParts
    from synthaug.generators.protocol import PairGenerator
    from synthaug.schedules import VolumeSchedule


def evaluate(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for tables and pictures; made if it is not there.")],
    generated: Annotated[Path | None, typer.Option(metavar="CACHE", help="Evaluate the pairs of this cache.")] = None,
    real: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Real label maps to compare with: an nnU-Net raw dataset (its folder, number or name) or a folder of "
            "NIfTI label maps; repeats.",
        ),
    ] = None,
    generator: GeneratorOption = DEFAULT_GENERATOR,
    control: Annotated[
        int | None,
        typer.Option(min=2, metavar="N", help="Sample N pairs from --generator, unfiltered; measure volume control."),
    ] = None,
    schedule: Annotated[
        list[str] | None,
        typer.Option(
            help="Targets of --control: log-uniform:8:120, thalamus=uniform:10:16, or a JSON file; repeats, and each "
            "structure gets its own N pairs. Default: all that the generator allows of its first control."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of --control: the same seed makes the same pairs; default 0.")
    ] = None,
    anatomy: Annotated[
        bool,
        typer.Option(
            "--anatomy",
            help="Look at the anatomy of the pairs of --control or --generated; with --real, against real label maps.",
        ),
    ] = False,
    memorisation: Annotated[
        bool,
        typer.Option(
            "--memorisation",
            help="Audit the pairs of --control or --generated: is one nearer to a training case than held-out cases "
            "are? Both kinds are looked for among --real.",
        ),
    ] = False,
    fidelity: Annotated[
        bool,
        typer.Option(
            "--fidelity",
            help="Compare the images of the pairs of --control or --generated with those of --real: Fréchet distances, "
            "diversity, intensities by structure.",
        ),
    ] = False,
    extractor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="Of --fidelity, beside the two that ship: medicalnet=FILE, radimagenet=FILE or inception=FILE, with "
            "weights that you have; alexnet=FILE has LPIPS compared by AlexNet; repeats.",
        ),
    ] = None,
    alignment: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="MODEL",
            help="Ask this segmentation network whether images show what their label maps say: a folder of "
            "nnUNet_results, or a JSON file that describes a network of MONAI; with --real, real cases too; repeats. "
            "Name folders that you trust alone: their plans say which classes nnU-Net imports.",
        ),
    ] = None,
    alignment_mapping: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON: label of the --alignment network for structures of the pairs that names do not settle.",
        ),
    ] = None,
    round_trip: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Send these label maps through the label-map autoencoder of --generator."),
    ] = None,
    label_mapping: Annotated[
        str | None,
        typer.Option(
            "--mapping",
            "--label-mapping",
            autocompletion=complete_mapping,
            help="From the scheme of --real and --round-trip to the generator's: freesurfer-to-ventricles-t1, "
            "neuromorphometrics-to-ventricles-t1, or a JSON file.",
        ),
    ] = None,
    steps: StepsOption = None,
    guidance_scale: GuidanceOption = None,
    tolerance: ToleranceOption = None,
    option: FurtherOption = None,
    device: DeviceOption = "auto",
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Allow volumes beyond what the generator was trained for.")
    ] = False,
    dataset: DatasetOption = None,
    fold: FoldOption = DEFAULT_FOLD,
    cases: CasesOption = None,
    scheme: SchemeOption = DEFAULT_SCHEME,
    as_json: JsonOption = False,
) -> None:
    """Measure what a generator or a cache is worth; parts can be combined.

    Control, volumes by structure, anatomy, fidelity, alignment, memorisation, round trip. Writes evaluation.json,
    evaluation.md, report.html (one file with figures, their 95 % intervals, pairs and worst cases), and for each
    control measurement a picture.

    Example: synthaug evaluate --generator ventricles-t1-1mm --control 32 --schedule log-uniform:8:120 --out report
    """
    has_pairs = generated is not None or control is not None
    if not has_pairs and round_trip is None:
        raise ConfigurationError("evaluate: nothing to do; give --generated CACHE, --control N or --round-trip DIR")
    pairs_needed = "--generated CACHE or --control N"
    _refuse_idle(
        {
            "--real": (bool(real), has_pairs, pairs_needed),
            "--anatomy": (anatomy, has_pairs, pairs_needed),
            "--memorisation": (memorisation, has_pairs and bool(real), f"--real DIR and {pairs_needed}"),
            "--fidelity": (fidelity, has_pairs and bool(real), f"--real DIR and {pairs_needed}"),
            "--extractor": (bool(extractor), fidelity, "--fidelity"),
            "--alignment": (bool(alignment), has_pairs, pairs_needed),
            "--alignment-mapping": (alignment_mapping is not None, bool(alignment), "--alignment MODEL"),
            "--schedule": (bool(schedule), control is not None, "--control N"),
            "--seed": (seed is not None, control is not None, "--control N"),
            "--extrapolate": (extrapolate, control is not None, "--control N"),
            "--mapping": (label_mapping is not None, bool(real) or round_trip is not None, "--real or --round-trip"),
        }
    )
    real_folders = [_real_folder(given) for given in real or []]
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"--out {out}: is a file; give a folder, which is made if it is not there")
    from synthaug.cli.evaluate_parts import ControlPlan, EvaluationParts
    from synthaug.cli.label_table import read_label_table
    from synthaug.cli.pair_look import LookWishes
    from synthaug.evaluation.trained_extractors import parse_extractors
    from synthaug.files.canonical_json import canonical_json
    from synthaug.labels import LabelMapping

    mapping = LabelMapping.load(label_mapping) if label_mapping is not None else None
    schedules = _read_schedules(schedule or [])
    wishes = LookWishes(
        anatomy,
        memorisation,
        fidelity,
        parse_extractors(extractor or []),
        alignment or [],
        read_label_table(alignment_mapping, "--alignment-mapping"),
        device,
    )
    is_silent = as_json or is_quiet()
    parts = EvaluationParts(out, real_folders, mapping, wishes, quiet=is_silent, options=given_options(context))
    if generated is not None:
        parts.add_cache(generated)
    if control is not None or round_trip is not None:
        options = sampling_options(option, steps=steps, guidance_scale=guidance_scale, tolerance=tolerance)
        opened = GeneratorChoice(generator, options, device, dataset, fold, cases or (), scheme).open()
        plan = ControlPlan(control, seed or 0, extrapolate) if control is not None else None
        _add_generator(parts, opened, schedules, plan, round_trip)
    text = parts.write()
    if as_json:
        print_json(json.loads(canonical_json(parts.result)))
    else:
        _show(text, out)


def _refuse_idle(options: Mapping[str, tuple[bool, bool, str]]) -> None:
    """Refuse options that change nothing: by name whether one is given, whether what it needs is, and what that is."""
    for name, (given, is_used, needed) in options.items():
        if given and not is_used:
            raise ConfigurationError(f"{name}: changes nothing here; give {needed} too, or leave it out")


def _real_folder(given: Path) -> Path:
    """The folder of real cases, where a data set of nnU-Net's may be given by its number or name.

    Raises:
        ConfigurationError: there is neither.
    """
    if given.is_dir():
        return given
    text = str(given)
    if not (text.isdecimal() or text.startswith("Dataset")):
        raise ConfigurationError(
            f"--real {given}: no such folder; give one of label maps, or an nnU-Net dataset (folder, number or name)"
        )
    from synthaug.integrations.nnunet.dataset import NnunetDataset

    dataset = NnunetDataset.find(text)
    if dataset.raw is None:
        raise ConfigurationError(
            f"--real {given}: {dataset.name} is not in nnUNet_raw; give the folder of its raw files"
        )
    return dataset.raw


def _read_schedules(texts: Sequence[str]) -> list[VolumeSchedule]:
    from synthaug.schedules import parse_schedule

    schedules = [parse_schedule(text) for text in texts]
    structures = [one.structure for one in schedules]
    if len(set(structures)) < len(structures):
        raise ConfigurationError(f"--schedule: names {', '.join(structures)}; give each structure once")
    return schedules


def _add_generator(
    parts: EvaluationParts,
    generator: PairGenerator,
    schedules: Sequence[VolumeSchedule],
    plan: ControlPlan | None,
    round_trip: Path | None,
) -> None:
    from synthaug.precomputing.requests import control_schedule

    # checked before the control pairs are made, which may take long
    add_round_trip = parts.plan_round_trip(generator, round_trip) if round_trip is not None else None
    if plan is not None:
        parts.add_control(generator, schedules or [control_schedule(generator)], plan)
    if add_round_trip is not None:
        add_round_trip()


def _show(text: str, out: Path) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))
    typer.echo(f"written to {out}; to read: {out / 'report.html'}")
