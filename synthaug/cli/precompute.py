"""``synthaug precompute``: build a cache, or continue one."""

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
    DeviceOption,
    FurtherOption,
    GeneratorOption,
    GuidanceOption,
    SchemeOption,
    StepsOption,
    ToleranceOption,
    open_generator,
    sampling_options,
)
from synthaug.cli.label_table import read_label_table
from synthaug.errors import ConfigurationError

if TYPE_CHECKING:
    from synthaug.generators.protocol import PairGenerator
    from synthaug.precomputing import PrecomputeSummary
    from synthaug.schedules import VolumeSchedule

EXIT_INCOMPLETE = 1


def precompute(
    generator: GeneratorOption = DEFAULT_GENERATOR,
    num: Annotated[int, typer.Option(min=1, help="Number of cases.")] = 16,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="Volumes in mL: uniform:20:120, log-uniform:8:120, constant:40, normal:40:10, or a JSON file; "
            "default: log-uniform over all that the generator allows."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed asks for the same cases; default: 0.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The cache: a new folder, or the one to continue; default with --dataset.")
    ] = None,
    steps: StepsOption = None,
    guidance_scale: GuidanceOption = None,
    tolerance: ToleranceOption = None,
    option: FurtherOption = None,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Allow volumes beyond what the generator was trained for.")
    ] = False,
    attempts: Annotated[int, typer.Option(min=1, help="Seeds to try for a case before it is given up.")] = 8,
    volume_tolerance: Annotated[
        float, typer.Option(min=0.0, help="Allowed relative difference of realised and requested volume.")
    ] = 0.25,
    batch_size: Annotated[int, typer.Option(min=1, help="Cases generated together.")] = 1,
    device: DeviceOption = "auto",
    claim_expiry: Annotated[
        float, typer.Option(min=1.0, help="Seconds after which a case of a silent process is taken over.")
    ] = 600.0,
    dataset: Annotated[
        str | None,
        typer.Option(help="nnU-Net dataset (number or name): also write what its trainer needs."),
    ] = None,
    fold: Annotated[
        str | None, typer.Option(help="Fold of --dataset: 0 to 4, or all; default: 0. Validation cases are left out.")
    ] = None,
    configuration: Annotated[
        list[str] | None, typer.Option(help="nnU-Net configuration to prepare (3d_fullres, 2d, ...); repeats.")
    ] = None,
    plans: Annotated[
        str | None, typer.Option(help="nnU-Net plans to prepare for, as nnUNetv2_train takes them with -p.")
    ] = None,
    ratio: Annotated[
        float | None, typer.Option(help="Share of synthetic cases in training, 0 to 1; default: as before, or half.")
    ] = None,
    mix: Annotated[
        str | None, typer.Option(help="Instead of --ratio: mixed:0.5, synthetic-then-real, mixed-then-real, ...")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="JSON file {structure: label of the dataset}; default: as before, or proposed.")
    ] = None,
    cases: CasesOption = None,
    scheme: SchemeOption = DEFAULT_SCHEME,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Build a cache, or continue one: exactly what is missing is made, so run it again after any interruption.

    Several processes share the work, on one machine or many, whenever and however they are started: with
    accelerate launch --multi_gpu --num_processes 2 -m synthaug precompute ... (on the CPU as well, where without
    --multi_gpu accelerate starts one process only), from a SLURM array, or by calling this command twice.

    With --dataset, the trainer's configuration and the preprocessed cases are written too; nnUNetv2_train DATASET
    3d_fullres FOLD -tr nnUNetTrainerSynthAug then needs nothing else.

    --generator also takes python:MODULE:FACTORY, a function of your own that returns a generator; its code is run.

    Example: synthaug precompute --generator ventricles-t1-1mm --num 16 --schedule uniform:20:120 --seed 0 --out CACHE
    """
    from synthaug.cli.interruption import sigterm_is_interrupt
    from synthaug.generators.registry import draws_from_cases
    from synthaug.precomputing import ProgressLine, current_share
    from synthaug.precomputing import precompute as make_cases
    from synthaug.precomputing.processes import left_at_the_end
    from synthaug.precomputing.requests import default_schedule
    from synthaug.quality import QualityConfig
    from synthaug.schedules import parse_mix, parse_schedule
    from synthaug.store import Store, StoreInfo

    if ratio is not None and mix is not None:
        raise ConfigurationError("--ratio and --mix: both say how much is synthetic; give one of them")
    if ratio is not None and not 0 <= ratio <= 1:
        raise ConfigurationError(f"--ratio {ratio}: it must be between 0 and 1")
    of_training = {
        "--fold": fold,
        "--configuration": configuration or None,
        "--plans": plans,
        "--ratio": ratio,
        "--mix": mix,
        "--mapping": mapping,
    }
    for text, given in of_training.items():
        if given is not None and dataset is None:
            raise ConfigurationError(f"{text}: belongs to a training; give --dataset too")
    share_of_synthetic = parse_mix(mix) if mix is not None else ratio
    label_table = read_label_table(mapping, "--mapping")
    wanted_schedule = parse_schedule(schedule) if schedule is not None else None
    folder = _cache_folder(out, dataset)
    quality = QualityConfig(volume_tolerance=volume_tolerance, max_attempts=attempts)
    options = sampling_options(option, steps=steps, guidance_scale=guidance_scale, tolerance=tolerance)

    chosen_fold, run_seed = _fold(fold or DEFAULT_FOLD), seed or 0
    training: dict[str, Any] = {
        "configurations": tuple(configuration) if configuration else None,
        "fold": chosen_fold,
        "mix": share_of_synthetic,
        "schedule": wanted_schedule,
        "mapping": label_table,
        "seed": seed,
        "plans": plans,
    }
    share = current_share(device)
    with sigterm_is_interrupt(), left_at_the_end():
        draws_from_dataset = draws_from_cases(generator, options) and not cases
        opened = open_generator(
            generator,
            options,
            device=share.device,
            dataset=dataset if draws_from_dataset else None,
            fold=fold or DEFAULT_FOLD if draws_from_dataset else DEFAULT_FOLD,
            cases=cases,
            scheme=scheme,
        )
        wanted_schedule = wanted_schedule or default_schedule(opened)
        _check_requests(opened, wanted_schedule, num, run_seed, extrapolate)
        if dataset is not None:
            training["cases"] = _check_training(opened, folder, dataset, **training, announce=_told)
        summary = make_cases(
            opened,
            Store.open_or_create(folder, StoreInfo.of(opened)),
            num=num,
            schedule=wanted_schedule,
            seed=run_seed,
            quality=quality,
            options=options,
            extrapolate=extrapolate,
            share=share,
            batch_size=batch_size,
            claim_expiry_s=claim_expiry,
            on_progress=ProgressLine() if share.is_main else None,
        )
    if not share.is_main:
        return
    facts = {"cache": str(folder), **summary.to_dict()}
    if not as_json:
        typer.echo(f"{folder}: {summary}")
    if dataset is not None and summary.stored:
        facts["training"] = _prepare_training(
            folder,
            dataset,
            **training,
            announce=_told,
        )
        if not as_json:
            typer.echo(facts["training"])
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    _leave_with(summary)


def _leave_with(summary: PrecomputeSummary) -> None:
    if not summary.complete:
        raise typer.Exit(EXIT_INCOMPLETE)


def _told(text: str) -> None:
    typer.echo(text, err=True)


def _prepare_training(folder: Path, dataset: str, **arguments: Any) -> str:
    from synthaug.integrations.nnunet.prepare import prepare_training

    return str(prepare_training(folder, dataset, **arguments))


def _check_requests(generator: PairGenerator, schedule: VolumeSchedule, num: int, seed: int, extrapolate: bool) -> None:
    """A target out of bounds is found before the cache's folder is made."""
    from synthaug.precomputing import plan_requests

    generator.scheme.resolve(schedule.structure)
    plan_requests(generator, schedule, num=num, seed=seed, extrapolate=extrapolate)


def _check_training(generator: PairGenerator, folder: Path, dataset: str, **arguments: Any) -> Any:
    """Whatever does not fit is found before hours of generation, not after."""
    from synthaug.integrations.nnunet.prepare import check_training
    from synthaug.store import StoreInfo

    return check_training(StoreInfo.of(generator), folder, dataset, **arguments)


def _cache_folder(out: Path | None, dataset: str | None) -> Path:
    if out is not None:
        return out
    if dataset is None:
        raise ConfigurationError("--out: say where the cache is to be, or give --dataset to put it beside the dataset")
    from synthaug.integrations.nnunet.prepare import default_cache_folder

    return Path(default_cache_folder(dataset))


def _fold(text: str) -> int | str:
    return int(text) if text.isdecimal() else text
