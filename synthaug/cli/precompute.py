"""``synthaug precompute``: build a cache, or continue one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthaug.cli.completion import CONFIGURATIONS, FOLDS, MISSING, MIXES, SCHEDULES, complete_dataset, one_of
from synthaug.cli.generator_options import (
    DEFAULT_FOLD,
    DEFAULT_GENERATOR,
    DEFAULT_SCHEME,
    CasesOption,
    DeviceOption,
    FurtherOption,
    GeneratorChoice,
    GeneratorOption,
    GuidanceOption,
    SchemeOption,
    StepsOption,
    ToleranceOption,
    sampling_options,
)
from synthaug.cli.verbosity import JsonOption, PreviewOption, is_quiet, print_json, tell
from synthaug.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from synthaug.generators.protocol import PairGenerator
    from synthaug.integrations.nnunet.prepare import PreparedTraining
    from synthaug.precomputing import PrecomputeSummary
    from synthaug.schedules import MissingVolumes, VolumeSchedule

EXIT_INCOMPLETE = 1


def precompute(
    generator: GeneratorOption = DEFAULT_GENERATOR,
    num: Annotated[int, typer.Option(min=1, help="Number of cases.")] = 16,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="Volumes in mL: uniform:20:120, log-uniform:8:120, constant:40, normal:40:10, missing:8:120 (with "
            "--dataset: what its training cases lack), or a JSON file; default: uniform over all that the "
            "generator allows.",
            autocompletion=one_of((*SCHEDULES, MISSING)),
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
    batch_size: Annotated[
        str,
        typer.Option(help="Cases generated together; auto: what fits into the free memory of the GPU, one on a CPU."),
    ] = "auto",
    device: DeviceOption = "auto",
    claim_expiry: Annotated[
        float, typer.Option(min=1.0, help="Seconds after which a case of a silent machine is taken over.")
    ] = 180.0,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="nnU-Net dataset (number or name): also write what its trainer needs.",
            autocompletion=complete_dataset,
        ),
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(
            help="Fold of --dataset: 0 to 4, or all; default: 0. Validation cases are left out.",
            autocompletion=one_of(FOLDS),
        ),
    ] = None,
    configuration: Annotated[
        list[str] | None,
        typer.Option(
            help="nnU-Net configuration to prepare (3d_fullres, 2d, ...); repeats.",
            autocompletion=one_of(CONFIGURATIONS),
        ),
    ] = None,
    plans: Annotated[
        str | None, typer.Option(help="nnU-Net plans to prepare for, as nnUNetv2_train takes them with -p.")
    ] = None,
    ratio: Annotated[
        float | None, typer.Option(help="Share of synthetic cases in training, 0 to 1; default: as before, or half.")
    ] = None,
    mix: Annotated[
        str | None,
        typer.Option(
            help="Instead of --ratio: mixed:0.5, synthetic-then-real, mixed-then-real, ...",
            autocompletion=one_of(MIXES),
        ),
    ] = None,
    mapping: Annotated[
        str | None,
        typer.Option(
            "--mapping",
            "--label-mapping",
            help="JSON file {structure: label of the dataset}; default: as before, or proposed.",
        ),
    ] = None,
    cases: CasesOption = None,
    scheme: SchemeOption = DEFAULT_SCHEME,
    preview: PreviewOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a cache, or continue one: exactly what is missing is made, so run it again after any interruption.

    Several processes share the work, on one machine or many, whenever and however they are started: with
    accelerate launch --multi_gpu --num_processes 2 -m synthaug precompute ... (on the CPU as well, where without
    --multi_gpu accelerate starts one process only), from a SLURM array (examples/slurm), or by calling this command
    twice. events/ in the cache has one line of JSON for each thing that happens.

    With --dataset, the trainer's configuration and the preprocessed cases are written too; nnUNetv2_train DATASET
    3d_fullres FOLD -tr nnUNetTrainerSynthAug then needs nothing else.

    --generator also takes python:MODULE:FACTORY, a function of your own that returns a generator; its code is run.

    Example: synthaug precompute --generator ventricles-t1-1mm --num 16 --schedule uniform:20:120 --seed 0 --out CACHE
    """
    from synthaug.cli.interruption import sigterm_is_interrupt
    from synthaug.cli.served_training import TrainingOptions
    from synthaug.precomputing import ProgressLine, current_share
    from synthaug.precomputing import precompute as make_cases
    from synthaug.precomputing.batch_size import parse_batch_size
    from synthaug.precomputing.processes import left_at_the_end
    from synthaug.quality import QualityConfig
    from synthaug.store import Store, StoreInfo

    of_training = TrainingOptions(fold, configuration or None, plans, ratio, mix, mapping)
    of_training.check(dataset)
    wanted = _wanted_schedule(schedule, dataset)
    cases_at_once = parse_batch_size(batch_size)
    folder = _cache_folder(out, dataset)
    quality = QualityConfig(volume_tolerance=volume_tolerance, max_attempts=attempts)
    options = sampling_options(option, steps=steps, guidance_scale=guidance_scale, tolerance=tolerance)
    training = of_training.served(folder, dataset, schedule=wanted, seed=seed) if dataset is not None else None
    share = current_share(device)
    with sigterm_is_interrupt(), left_at_the_end():
        opened = _choice(generator, options, share.device, dataset, fold, cases, scheme).open()
        schedule_of_pairs = _schedule_of_pairs(opened, wanted, num=num, seed=seed or 0, extrapolate=extrapolate)
        known = training.check(opened) if training else {}
        store = Store.open_or_create(folder, StoreInfo.of(opened))
        summary = make_cases(
            opened,
            store,
            num=num,
            schedule=schedule_of_pairs,
            seed=seed or 0,
            quality=quality,
            options=options,
            extrapolate=extrapolate,
            share=share,
            batch_size=cases_at_once,
            claim_expiry_s=claim_expiry,
            on_progress=ProgressLine() if share.reports and not is_quiet() and not as_json else None,
            on_stored=training.preprocessing(store) if training else None,
            announce=tell,
        )
    if share.reports:
        ends = share.is_main and summary.stored > 0
        _tell(
            summary,
            folder,
            preview=preview if ends else None,
            prepare=partial(training.prepare, known) if training and ends else None,
            as_json=as_json,
        )
    if not summary.complete:
        raise typer.Exit(EXIT_INCOMPLETE)


def _wanted_schedule(text: str | None, dataset: str | None) -> VolumeSchedule | MissingVolumes | None:
    from synthaug.schedules import MissingVolumes, parse_schedule_or_missing

    wanted = None if text is None else parse_schedule_or_missing(text)
    if isinstance(wanted, MissingVolumes) and dataset is None:
        raise ConfigurationError(f"--schedule {text}: it depends on the real cases; give --dataset too")
    return wanted


def _choice(
    generator: str,
    options: dict[str, Any],
    device: str,
    dataset: str | None,
    fold: str | None,
    cases: list[str] | None,
    scheme: str,
) -> GeneratorChoice:
    """The generator; one that changes real cases draws from those given, or from the fold's training cases."""
    from synthaug.generators.registry import draws_from_cases

    if dataset is None or cases or not draws_from_cases(generator, options):
        return GeneratorChoice(generator, options, device=device, cases=cases or (), scheme=scheme)
    return GeneratorChoice(generator, options, device=device, dataset=dataset, fold=fold or DEFAULT_FOLD, scheme=scheme)


def _schedule_of_pairs(
    generator: PairGenerator,
    wanted: VolumeSchedule | MissingVolumes | None,
    *,
    num: int,
    seed: int,
    extrapolate: bool,
) -> VolumeSchedule:
    """The volumes that pairs are made with; no real case decides about a cache, which serves all folds.

    Raises:
        SynthAugError: A volume that the generator cannot make: found before the cache's folder is made.
    """
    from synthaug.precomputing import plan_requests
    from synthaug.precomputing.requests import check_ends, default_schedule
    from synthaug.schedules import MissingVolumes

    if isinstance(wanted, MissingVolumes):
        wanted = wanted.target
        check_ends(generator, wanted, extrapolate=extrapolate)
    schedule = wanted or default_schedule(generator)
    plan_requests(generator, schedule, num=num, seed=seed, extrapolate=extrapolate)
    return schedule


def _tell(
    summary: PrecomputeSummary,
    folder: Path,
    *,
    preview: Path | None,
    prepare: Callable[[], PreparedTraining] | None,
    as_json: bool,
) -> None:
    """Say what came of it, draw the cache, and prepare the training."""
    facts: dict[str, Any] = {"cache": str(folder), **summary.to_dict()}
    lines = [f"{folder}: {summary}"]
    if preview is not None:
        from synthaug.reports.cache_sheet import draw_cache
        from synthaug.store import Store

        draw_cache(preview, Store.open(folder))
        facts["preview"] = str(preview)
        lines.append(f"preview: {preview}")
    if prepare is not None:
        facts["training"] = str(prepare())
        lines.append(facts["training"])
    if as_json:
        print_json(facts)
    else:
        typer.echo("\n".join(lines))


def _cache_folder(out: Path | None, dataset: str | None) -> Path:
    if out is not None:
        return out
    if dataset is None:
        raise ConfigurationError("--out: say where the cache is to be, or give --dataset to put it beside the dataset")
    from synthaug.integrations.nnunet.prepare import default_cache_folder

    return Path(default_cache_folder(dataset))
