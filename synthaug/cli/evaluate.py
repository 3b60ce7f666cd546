"""``synthaug evaluate``: what a generator or a cache is worth, in figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthaug.cli.generator_options import (
    DEFAULT_FOLD,
    DEFAULT_GENERATOR,
    DEFAULT_SCHEME,
    CasesOption,
    DatasetOption,
    DeviceOption,
    FoldOption,
    FurtherOption,
    GeneratorOption,
    GuidanceOption,
    SchemeOption,
    StepsOption,
    open_generator,
    sampling_options,
)
from synthaug.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from synthaug.evaluation.anatomy_survey import AnatomySurvey
    from synthaug.evaluation.label_maps import LabelMaps
    from synthaug.generators.guided_ldm import GuidedLDM
    from synthaug.generators.protocol import PairGenerator
    from synthaug.labels import LabelMapping, LabelScheme
    from synthaug.volumes.grid import Grid

PAIRS_IN_PICTURE = 8


def evaluate(
    out: Annotated[Path, typer.Option(help="Folder for tables and pictures; made if it is not there.")],
    generated: Annotated[Path | None, typer.Option(metavar="CACHE", help="Evaluate the pairs of this cache.")] = None,
    real: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Real label maps to compare volumes with: an nnU-Net raw dataset or a folder of NIfTI label maps.",
        ),
    ] = None,
    generator: GeneratorOption = DEFAULT_GENERATOR,
    control: Annotated[
        int | None,
        typer.Option(min=2, metavar="N", help="Sample N pairs from --generator, unfiltered; measure volume control."),
    ] = None,
    schedule: Annotated[
        str, typer.Option(help="Targets of --control: uniform:20:120, log-uniform:8:120, or a JSON file.")
    ] = "log-uniform:8:120",
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same pairs.")] = 0,
    anatomy: Annotated[
        bool,
        typer.Option(
            "--anatomy",
            help="Look at the anatomy of the pairs of --control or --generated; with --real, against real label maps.",
        ),
    ] = False,
    round_trip: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Send these label maps through the label-map autoencoder of --generator."),
    ] = None,
    label_mapping: Annotated[
        str | None,
        typer.Option(
            help="From the scheme of --real and --round-trip to the generator's: freesurfer-to-ventricles-t1, "
            "neuromorphometrics-to-ventricles-t1, or a JSON file."
        ),
    ] = None,
    steps: StepsOption = None,
    guidance_scale: GuidanceOption = None,
    option: FurtherOption = None,
    device: DeviceOption = "auto",
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Allow volumes beyond what the generator was trained for.")
    ] = False,
    dataset: DatasetOption = None,
    fold: FoldOption = DEFAULT_FOLD,
    cases: CasesOption = None,
    scheme: SchemeOption = DEFAULT_SCHEME,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure what a generator or a cache is worth: control, volumes by structure, round trip; parts can be combined.

    Writes evaluation.json and evaluation.md, and for each control measurement a picture.

    Example: synthaug evaluate --generator ventricles-t1-1mm --control 32 --schedule log-uniform:8:120 --out report
    """
    from synthaug.files.atomic import replace_file
    from synthaug.files.canonical_json import canonical_json
    from synthaug.labels import LabelMapping

    if generated is None and control is None and round_trip is None:
        raise ConfigurationError("evaluate: nothing to do; give --generated CACHE, --control N or --round-trip DIR")
    if real is not None and generated is None and control is None:
        raise ConfigurationError("--real: needs something to compare with; give --generated CACHE or --control N too")
    if anatomy and generated is None and control is None:
        raise ConfigurationError("--anatomy: needs pairs to look at; give --generated CACHE or --control N too")
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"--out {out}: is a file; give a folder, which is made if it is not there")
    mapping = LabelMapping.load(label_mapping) if label_mapping is not None else None
    result: dict[str, Any] = {}
    parts: list[str] = []
    if generated is not None:
        parts += _evaluate_cache(generated, real, mapping, out, result, anatomy=anatomy, quiet=as_json)
    if control is not None or round_trip is not None:
        opened = open_generator(
            generator,
            sampling_options(option, steps=steps, guidance_scale=guidance_scale),
            device=device,
            dataset=dataset,
            fold=fold,
            cases=cases,
            scheme=scheme,
        )
        # before the control pairs, which may take long
        held_out = _round_trip_maps(opened, round_trip, mapping) if round_trip is not None else None
        result["generator"] = {"name": opened.name, "sha256": opened.fingerprint}
        if control is not None:
            compared = real if generated is None else None
            plan = {"num": control, "seed": seed, "extrapolate": extrapolate}
            parts += _measure_control(
                opened, schedule, plan, compared, mapping, out, result, anatomy=anatomy, quiet=as_json
            )
        if held_out is not None:
            parts += _measure_round_trip(*held_out, result, quiet=as_json)
    out.mkdir(parents=True, exist_ok=True)
    text = "\n".join(["# Evaluation", "", *parts])
    replace_file(out / "evaluation.md", text.encode())
    replace_file(out / "evaluation.json", canonical_json(result).encode())
    if as_json:
        typer.echo(json.dumps(json.loads(canonical_json(result)), indent=1))
    else:
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(text))
        typer.echo(f"written to {out}")


def _evaluate_cache(
    cache: Path,
    real: Path | None,
    mapping: LabelMapping | None,
    out: Path,
    result: dict[str, Any],
    *,
    anatomy: bool,
    quiet: bool,
) -> list[str]:
    """Control and volumes of a cache's pairs: they have passed quality control, the generator's own would be worse."""
    from synthaug.cli.progress import track
    from synthaug.evaluation.control import ControlPoint, ControlReport
    from synthaug.evaluation.volume_table import VolumeTable
    from synthaug.reports.control_picture import draw_control
    from synthaug.store import Store
    from synthaug.volumes.grid import Grid

    store = Store.open(cache)
    entries = store.entries()
    if not entries:
        raise ConfigurationError(f"{cache}: holds no pair; make some with `synthaug precompute --out {cache}`")
    damaged = [entry.name for entry in entries if not store.is_whole(entry.name)]
    if damaged:
        raise StoreError(
            f"{cache}: files of {len(damaged)} case(s) are missing or truncated ({', '.join(damaged[:3])}); "
            f"`synthaug cache verify {cache}` tells more, the same `synthaug precompute` again makes them anew"
        )
    table = VolumeTable([entry.realised_ml for entry in entries], _real_volumes(real, store.info.scheme, mapping))
    volumes = table.to_dict()
    out.mkdir(parents=True, exist_ok=True)
    controls, parts = {}, []
    for name in sorted({name for entry in entries for name in entry.requested_ml}):
        points = tuple(
            ControlPoint(entry.name, entry.requested_ml[name], entry.realised_ml[name])
            for entry in entries
            if entry.requested_ml.get(name, 0) > 0
        )
        if points:
            report = ControlReport(name, points)
            controls[name] = report.to_dict()
            draw_control(out / f"cache_control_{name}.png", report, [])
            parts.append(report.to_markdown())
    result["generated"] = {
        "cache": str(cache),
        "generator": store.info.generator,
        "generator_sha256": store.info.fingerprint,
        "cases": len(entries),
        "attempts": sum(entry.attempts for entry in entries),
        "rejects": dict(store.rejects),
        "real_cases": len(table.real),
        "control": controls,
        "volumes": volumes,
        "note": "the pairs of a cache have passed quality control; --control measures a generator unfiltered",
    }
    if anatomy:
        first = store.read(entries[0].name)
        survey = _survey(first.scheme, Grid(first.label.shape, first.spacing_mm), real, mapping)
        for entry in track(entries, "anatomy", quiet=quiet):
            survey.add(entry.name, store.read(entry.name))
        parts.append(_report_anatomy(survey, out / "cache_worst_anatomy.png", result["generated"]))
    counts = f"{len(entries)} pairs of {cache}, made by {store.info.generator}; they have passed quality control."
    return [f"{counts}\n", *parts, table.to_markdown()]


def _measure_control(
    generator: PairGenerator,
    schedule: str,
    plan: dict[str, Any],
    real: Path | None,
    mapping: LabelMapping | None,
    out: Path,
    result: dict[str, Any],
    *,
    anatomy: bool,
    quiet: bool,
) -> list[str]:
    import numpy as np

    from synthaug.cli.progress import track
    from synthaug.evaluation.control import ControlReport, plan_control, sample_control, spread_indices
    from synthaug.evaluation.volume_table import VolumeTable
    from synthaug.files.atomic import replace_file
    from synthaug.files.canonical_json import canonical_json
    from synthaug.reports.control_picture import draw_control
    from synthaug.schedules import parse_schedule
    from synthaug.volumes.grid import Grid

    parsed = parse_schedule(schedule)
    structure = parsed.structure
    requests = plan_control(generator, parsed, **plan)
    real_volumes = _real_volumes(real, generator.scheme, mapping)
    out.mkdir(parents=True, exist_ok=True)
    survey = None
    if anatomy:
        x, y, z = np.linalg.norm(generator.affine[:3, :3], axis=0).tolist()
        survey = _survey(generator.scheme, Grid(generator.shape, (x, y, z)), real, mapping)
    shown = spread_indices([request.condition.targets_ml[structure] for request in requests], PAIRS_IN_PICTURE)
    points, pairs, volumes = [], {}, []
    for index in track(range(len(requests)), "sampling", quiet=quiet):
        ((point, pair),) = sample_control(generator, requests[index : index + 1])
        points.append(point)
        volumes.append(pair.volumes_ml())
        if survey is not None:
            survey.add(point.name, pair)
        if index in shown:
            pairs[index] = pair
    report = ControlReport(structure, tuple(points))
    table = VolumeTable(volumes, real_volumes)
    result["control"] = {
        **report.to_dict(),
        "schedule": parsed.to_dict(),
        "seed": plan["seed"],
        "volumes": table.to_dict(),
    }
    parts = [report.to_markdown(), table.to_markdown()]
    if survey is not None:
        parts.append(_report_anatomy(survey, out / "worst_anatomy.png", result["control"]))
    draw_control(out / "control.png", report, [pairs[index] for index in shown])
    replace_file(out / "control.json", canonical_json(result["control"]).encode())
    replace_file(out / "control.md", "\n".join(parts).encode())
    return parts


def _round_trip_maps(
    generator: PairGenerator, folder: Path, mapping: LabelMapping | None
) -> tuple[GuidedLDM, LabelMaps]:
    """A generator that can make the round trip, and label maps of its scheme.

    Raises:
        ConfigurationError: a generator without label-map autoencoder, no label maps, or those of another scheme.
    """
    from synthaug.evaluation.label_maps import LabelMaps
    from synthaug.generators.guided_ldm import GuidedLDM

    if not isinstance(generator, GuidedLDM):
        raise ConfigurationError(
            f"--round-trip: generator {generator.name!r} has no label-map autoencoder; name one of system guided-ldm"
        )
    maps = LabelMaps.find(folder, generator.scheme, mapping)
    if _structures(maps.scheme) != _structures(generator.scheme):
        raise ConfigurationError(
            f"--round-trip {folder}: its labels are not those of {generator.scheme.name}; give --label-mapping to "
            "that scheme"
        )
    return generator, maps


def _structures(scheme: LabelScheme) -> dict[str, int]:
    return {name: scheme.id_of(name) for name in scheme.names}


def _measure_round_trip(generator: GuidedLDM, maps: LabelMaps, result: dict[str, Any], *, quiet: bool) -> list[str]:
    from synthaug.cli.progress import track
    from synthaug.evaluation.round_trip import reconstruct, summarise

    trips = [
        reconstruct(generator, path, generator.config.grid, maps.mapping)
        for path in track(maps.paths, "round trip", quiet=quiet)
    ]
    report = summarise(generator.scheme, trips)
    result["round_trip"] = report.to_dict()
    return [report.to_markdown()]


def _survey(scheme: LabelScheme, grid: Grid, real: Path | None, mapping: LabelMapping | None) -> AnatomySurvey:
    from synthaug.evaluation.anatomy_survey import AnatomySurvey, real_anatomies

    return AnatomySurvey(scheme, tuple(real_anatomies(real, scheme, grid, mapping)) if real is not None else ())


def _report_anatomy(survey: AnatomySurvey, picture: Path, result: dict[str, Any]) -> str:
    """Write the picture of the worst five, add the figures to a result, and give the table."""
    from synthaug.reports.preview import preview_pairs

    report = survey.report()
    result["anatomy"] = report.to_dict()
    names, pairs = zip(*survey.worst(), strict=True)
    preview_pairs(picture, pairs, names, title="Worst anatomy first")
    return report.to_markdown()


def _real_volumes(folder: Path | None, scheme: LabelScheme, mapping: LabelMapping | None) -> list[dict[str, float]]:
    from synthaug.evaluation.label_maps import LabelMaps

    if folder is None:
        return []
    return [volumes for _, volumes in LabelMaps.find(folder, scheme, mapping).volumes_ml()]
