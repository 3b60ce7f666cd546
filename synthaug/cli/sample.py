"""``synthaug sample``: a few pairs as NIfTI files with their provenance and a picture.

Label maps of the user's own are :mod:`synthaug.cli.sample_labels`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthaug.cli.completion import SCHEDULES, complete_dataset, complete_mapping, one_of
from synthaug.cli.generator_options import (
    DEFAULT_FOLD,
    DEFAULT_GENERATOR,
    DEFAULT_SCHEME,
    CasesOption,
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
from synthaug.cli.remake import remake_from
from synthaug.cli.sample_files import finish_folder, refuse_other_pairs, write_labels, write_pair
from synthaug.cli.sample_labels import print_table as print_labels_table
from synthaug.cli.sample_labels import sample_for_labels
from synthaug.cli.verbosity import JsonOption, print_json
from synthaug.errors import ConfigurationError, SynthAugError

if TYPE_CHECKING:
    from synthaug.conditions import Condition
    from synthaug.generators.protocol import PairGenerator
    from synthaug.volumes import LabeledVolume


BESIDE_NO_PROVENANCE = (
    "--target", "--schedule", "--num", "--seed", "--extrapolate", "--labels", "--mapping", "--check"
)  # fmt: skip
"""Options that ``--from-provenance`` settles."""
BESIDE_NO_LABELS = (
    "--target", "--schedule", "--extrapolate", "--check", "--guidance-scale", "--tolerance", "--fold", "--case",
    "--cases", "--scheme",
)  # fmt: skip
"""Options that ``--labels`` settles."""


@dataclass(frozen=True)
class SampleRequest:
    """One pair to write: its name, what it shall look like, and the seed that it is drawn with.

    The cases of a cache have a ``Request`` of their own, which is numbered and has a name from its content.
    """

    name: str
    condition: Condition
    seed: int


def sample(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files; made if it is not there.", show_default=False)
    ] = None,
    generator: GeneratorOption = DEFAULT_GENERATOR,
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=ML", help="Volume in mL of a structure or group, ventricles=40; repeats."),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="Instead of --target: uniform:20:120, log-uniform:8:120, normal:40:10, or a JSON file.",
            autocompletion=one_of(SCHEDULES),
        ),
    ] = None,
    num: Annotated[int, typer.Option(min=1, help="Number of pairs; with --labels, for each label map.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same pairs.")] = 0,
    steps: StepsOption = None,
    guidance_scale: GuidanceOption = None,
    tolerance: ToleranceOption = None,
    option: FurtherOption = None,
    device: DeviceOption = "auto",
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Allow volumes beyond what the generator was trained for.")
    ] = False,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|FOLDER|GLOB",
            help="Your own label maps, for which images are made instead; repeats. Quote a glob.",
        ),
    ] = None,
    mapping: Annotated[
        str | None,
        typer.Option(
            "--mapping",
            "--label-mapping",
            help="For --labels: mapping to the generator's structures, a shipped name or a JSON file; with --dataset "
            "also {label: structure}.",
            autocompletion=complete_mapping,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="nnU-Net dataset (number or name). For counterfactual and domain-randomization: whose training cases "
            "they draw from. For "
            "--labels: whose labels they have.",
            autocompletion=complete_dataset,
        ),
    ] = None,
    fold: FoldOption = DEFAULT_FOLD,
    case: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--case", metavar="IMAGE LABEL", help="For counterfactual: the one real pair to change."),
    ] = None,
    cases: CasesOption = None,
    scheme: SchemeOption = DEFAULT_SCHEME,
    from_provenance: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Make the case of a provenance again, compare it bit for bit, and write it if --out is given.",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check/--no-check", help="Replace pairs that fail quality control."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a few pairs as NIfTI files, with a preview picture; with --labels, images for your own label maps.

    Writes NAME_image.nii.gz, NAME_label.nii.gz and NAME_provenance.json for each pair, labels.json and preview.png.
    NAME is the generator, --seed and a number: the same command again replaces its own pairs, and one that asks for
    other volumes or another generator under the same names is refused.

    With --labels there are --num images for each label map. NAME begins with the label map's name; image and label
    have its shape, orientation and affine, and the label map keeps its ids wherever the image shows them.

    Example: synthaug sample --generator ventricles-t1-1mm --target ventricles=40 --num 2 --seed 7 --out pairs

    With --from-provenance, the generator, its options, volumes and seed are those of the file: a NAME_provenance.json
    of this command, or cases/NAME/provenance.json of a cache. Exit code 1 where the pair does not come out the same.

    Example: synthaug sample --labels 'maps/*.nii.gz' --mapping freesurfer-to-ventricles-t1 --out pairs
    """
    options = sampling_options(option, steps=steps, guidance_scale=guidance_scale, tolerance=tolerance)
    drawn_from = [*([",".join(map(str, case))] if case else []), *(cases or [])]
    chosen = GeneratorChoice(generator, options, device, dataset, fold, drawn_from, scheme)
    given = given_options(context)
    if from_provenance is not None:
        _refuse_beside(
            "--from-provenance, which says what is made; leave it out",
            BESIDE_NO_PROVENANCE,
            given,
        )
        remake_from(from_provenance, out, chosen, generator_given="--generator" in given, as_json=as_json)
        return
    if out is None:
        raise ConfigurationError("--out: is missing; name a folder for the files, see `synthaug sample --help`")
    if labels:
        _refuse_beside(
            "--labels, whose label maps are taken as they are; leave one of the two out",
            BESIDE_NO_LABELS,
            given,
        )
        facts = sample_for_labels(
            labels,
            out,
            generator=generator,
            options=options,
            device=device,
            dataset=dataset,
            mapping=mapping,
            num=num,
            seed=seed,
            quiet=as_json,
        )
        _show(facts, print_labels_table, as_json=as_json)
        return
    if mapping is not None:
        raise ConfigurationError(f"--mapping {mapping}: is of your own label maps; give --labels too, or leave it out")
    targets_ml = parse_targets(target or [])
    opened = chosen.open()
    requests = plan_requests(opened, targets_ml, schedule, num=num, seed=seed, extrapolate=extrapolate)
    _show(write_samples(opened, requests, out, check=check, quiet=as_json), _print_table, as_json=as_json)


def _refuse_beside(other: str, options: Sequence[str], given: Container[str]) -> None:
    """Refuse options that another one settles.

    Args:
        other: the option that settles them, why, and what to do.
        options: those that it settles.
        given: those of the command line.

    Raises:
        ConfigurationError: names the first that was.
    """
    for name in options:
        if name in given:
            raise ConfigurationError(f"{name}: does not go with {other}")


def parse_targets(texts: Sequence[str]) -> dict[str, float]:
    """``["ventricles=40", "thalamus=15"]`` as mL by name.

    Raises:
        ConfigurationError: not NAME=ML, or a name given twice.
    """
    targets_ml: dict[str, float] = {}
    for text in texts:
        name, separator, number = text.partition("=")
        try:
            volume_ml = float(number)
        except ValueError:
            separator = ""
        if not separator or not name:
            raise ConfigurationError(f"--target {text}: NAME=ML is expected, for example ventricles=40")
        if name in targets_ml:
            raise ConfigurationError(f"--target {text}: {name} has a target already; give each name once")
        targets_ml[name] = volume_ml
    return targets_ml


def plan_requests(
    generator: PairGenerator,
    targets_ml: dict[str, float],
    schedule: str | None,
    *,
    num: int,
    seed: int,
    extrapolate: bool,
) -> list[SampleRequest]:
    """Condition and seed of each pair; all are checked before the first is made.

    Raises:
        SynthAugError: neither or both of targets and schedule, an unknown structure, or a volume out of bounds.
    """
    from synthaug.precomputing.requests import draw_conditions
    from synthaug.schedules import parse_schedule

    if bool(targets_ml) == (schedule is not None):
        name, (low, high) = next(iter(generator.bounds.limits_ml.items()))
        raise ConfigurationError(
            f"--target and --schedule: give one of them, for example --target {name}={(low * high) ** 0.5:.3g}"
        )
    volumes = None if schedule is None else parse_schedule(schedule)
    # drawn as `synthaug precompute` draws: pair i of a seed is the cache's first attempt at its case i
    drawn = draw_conditions(generator, volumes, num=num, seed=seed, extrapolate=extrapolate, targets_ml=targets_ml)
    return [
        SampleRequest(f"{generator.name}_seed{seed}_{index:03d}", condition, own_seed)
        for index, (condition, own_seed) in enumerate(drawn)
    ]


def write_samples(
    generator: PairGenerator, requests: Sequence[SampleRequest], out: Path, *, check: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Make the pairs one by one and write them; what ``--json`` prints.

    Args:
        generator: makes the pairs.
        requests: what to make.
        out: folder for the files; pairs that the same request made before are replaced.
        check: put each pair through quality control, and retry with other seeds where it fails.
        quiet: no progress bar.

    Raises:
        SynthAugError: the folder holds pairs of another label scheme, or of the same names and another request, or no
            attempt at a pair passed the checks.
    """
    from synthaug.cli.progress import track
    from synthaug.generators.recipe import unrecorded_recipe
    from synthaug.quality import generate_checked

    expected = {
        one.name: {"generator_sha256": generator.fingerprint, "requested_ml": dict(one.condition.targets_ml)}
        for one in requests
    }
    refuse_other_pairs(out, expected, "other volumes or another generator")
    labels = write_labels(out, generator.scheme)
    pairs: dict[str, LabeledVolume] = {}
    facts: list[dict[str, Any]] = []
    for request in track(requests, "sampling", quiet=quiet):
        if check:
            checked = generate_checked(generator, request.condition, request.seed)
            if checked.pair is None:
                reasons = ", ".join(f"{reason} ({count})" for reason, count in checked.rejects.items())
                raise SynthAugError(
                    f"{request.name}: none of {checked.attempts} attempts passed quality control: {reasons}; "
                    "take another seed or target, or leave --check out"
                )
            pair = checked.pair
        else:
            (pair,) = generator.generate([request.condition], [request.seed])
        record = {"condition": request.condition.to_dict(), **unrecorded_recipe(generator, pair)}
        paths = write_pair(out, request.name, pair, request=record)
        pairs[request.name] = pair
        facts.append(
            {
                "name": request.name,
                **paths,
                **{key: pair.provenance[key] for key in ("seed", "requested_ml", "realised_ml", "seconds")},
                "generator_sha256": pair.provenance["generator_sha256"],
            }
        )
    return finish_folder(out, generator, labels, pairs, facts)


def _show(facts: dict[str, Any], print_table: Callable[[dict[str, Any]], None], *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
    else:
        print_table(facts)


def _print_table(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{facts['generator']} ({facts['generator_sha256'][:12]})")
    table.add_column("pair", no_wrap=True)
    table.add_column("structure")
    for heading in ("requested mL", "realised mL", "seconds"):
        table.add_column(heading, justify="right")
    for pair in facts["pairs"]:
        for number, (name, asked) in enumerate(pair["requested_ml"].items()):
            first = (pair["name"], f"{pair['seconds']:.1f}") if number == 0 else ("", "")
            table.add_row(first[0], name, f"{asked:.1f}", f"{pair['realised_ml'][name]:.1f}", first[1])
    console = Console()
    console.print(table)
    console.print(f"preview: {facts['preview']}", highlight=False, soft_wrap=True)
