"""``synthaug fit``: train a generator on the training cases of one fold."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthaug.cli.completion import (
    FOLDS,
    complete_dataset,
    complete_generator,
    complete_mapping,
    complete_system,
    one_of,
)
from synthaug.cli.fit_wishes import Wishes
from synthaug.cli.verbosity import JsonOption, detail, log_to_stderr, print_json, tell
from synthaug.errors import ConfigurationError

if TYPE_CHECKING:
    from accelerate import Accelerator

    from synthaug.fitting.generator_fit import GeneratorFit

EXIT_STOPPED = 3
"""The deadline came before the budget was spent: run the same command again."""


def fit(
    dataset: Annotated[
        str,
        typer.Argument(
            help="nnU-Net dataset, number or name; its raw training cases are read.", autocompletion=complete_dataset
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the generator; an interrupted fit goes on from it.")],
    fold: Annotated[
        str,
        typer.Option(help="Fold 0 to 4, or all. Validation cases are never fitted on.", autocompletion=one_of(FOLDS)),
    ] = "0",
    generator: Annotated[
        str,
        typer.Option(
            "--generator", "-g", help="System to fit: guided-ldm, medgen3d...", autocompletion=complete_system
        ),
    ] = "guided-ldm",
    budget: Annotated[str, typer.Option(help="Training time over all runs: 45m, 2h, 600s.")] = "45m",
    deadline: Annotated[
        str | None, typer.Option(help="Stop this run after so long and keep a checkpoint: 9m. Exit code 3.")
    ] = None,
    label_maps: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of further label maps (NIfTI) for the mask stage; repeats. Validation cases are refused."
        ),
    ] = None,
    label_mapping: Annotated[
        str | None,
        typer.Option(
            "--mapping",
            "--label-mapping",
            help="Mapping from the label maps' scheme to the dataset's: shipped name or JSON file.",
            autocompletion=complete_mapping,
        ),
    ] = None,
    hold_out: Annotated[
        list[str] | None, typer.Option(help="Identifier of a label map to leave out, for evaluation; repeats.")
    ] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(help="Structures or groups whose volumes can be asked for: ventricles or tumor,edema; repeats."),
    ] = None,
    extend: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=LOW:HIGH", help="Warp a structure beyond the cases' volumes, in mL: ventricles=5:150."
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Generator to go on from; its label maps are kept, its images fitted to this dataset.",
            autocompletion=complete_generator,
        ),
    ] = None,
    train_masks: Annotated[
        bool, typer.Option("--train-masks", help="With --init: fit its label maps to this dataset, too.")
    ] = False,
    settings: Annotated[
        Path | None, typer.Option(help="JSON file of fit settings instead of a plan, as --dry-run prints it.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the generator; default: the folder's.")] = None,
    device: Annotated[
        str, typer.Option(help="auto (a GPU where there is one) or cpu.", autocompletion=one_of(("auto", "cpu")))
    ] = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check the cases, print the plan and its settings, and end.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a generator on the training cases of one fold, within a time budget; run it again to continue.

    The cases are read first: field of view, spacing, classes and volumes are chosen to suit them, the device and the
    budget, and printed. Where much of the body has no label, it is split by intensity into classes that images are
    made on and segmentation networks never see.

    Example: synthaug fit 501 --fold 0 --generator guided-ldm --budget 45m --out my-generator
    """
    from synthaug.generators.registry import refuse_unfitted

    refuse_unfitted(generator)
    _refuse_contradictions(generator, init, device, label_maps or [], label_mapping)
    budget_seconds = parse_duration(budget, "--budget")
    stop_after = parse_duration(deadline, "--deadline") if deadline else None
    wishes = Wishes.parse(control or [], extend, init, settings, label_maps or [], train_masks=train_masks)
    started = time.time()

    from synthaug.cli.fit_cases import read_fit_cases
    from synthaug.cli.fit_preparation import read_settings
    from synthaug.configuration import config_to_dict
    from synthaug.fitting.systems import find_system
    from synthaug.networks.precision import choose_device

    log_to_stderr()
    system = find_system(generator)
    if not system.learns_label_maps and (label_maps or extend):
        raise ConfigurationError(
            f"{'--label-maps' if label_maps else '--extend'}: {generator} learns from pairs alone; leave it out, or "
            "fit another system"
        )
    cases = read_fit_cases(
        dataset,
        fold,
        wishes,
        read_settings(settings, system.settings) if settings else None,
        system.complete,
        label_maps=label_maps or [],
        held_out=hold_out or [],
        label_mapping=label_mapping,
        where=str(settings or "fit settings"),
        budget_seconds=budget_seconds,
        device=choose_device(device),
        progress=_log_progress("cases read"),
    )
    if dry_run:
        print_json(config_to_dict(cases.prepared.settings))
        return
    tell(f"{len(cases.pairs)} pairs and {len(cases.label_maps)} further label maps; budget {budget}")
    task = cases.task(name or out.resolve().name, out, budget_seconds, open_accelerator(device))
    begun = cases.prepared.begun
    goes_on = {"begun": begun, "train_masks": train_masks} if begun else {}
    facts = {
        "out": str(out),
        "system": generator,
        "pairs": len(cases.pairs),
        "label_maps": len(cases.label_maps),
        "budget_seconds": budget_seconds,
    }
    _run(system.fit(task, **goes_on), out, started + stop_after if stop_after else None, facts, as_json=as_json)


def _refuse_contradictions(
    generator: str, init: str | None, device: str, label_maps: Sequence[Path], label_mapping: str | None
) -> None:
    if init and generator != "guided-ldm":
        raise ConfigurationError(f"--init {init}: goes on from a guided-ldm, not from {generator}; leave it out")
    if device not in ("auto", "cpu"):
        raise ConfigurationError(
            f"--device {device}: auto or cpu; which GPU auto takes is said by the variable CUDA_VISIBLE_DEVICES"
        )
    if label_mapping and not label_maps:
        raise ConfigurationError(
            f"--mapping {label_mapping}: is of the label maps of --label-maps, and none are given; leave it out"
        )


def open_accelerator(device: str) -> Accelerator:
    """One device, in the floating-point type that it is fast in.

    Raises:
        ConfigurationError: several processes.
    """
    from accelerate import Accelerator

    from synthaug.networks.precision import choose_device, choose_dtype

    chosen = choose_device(device)
    dtype = choose_dtype(chosen)
    detail(f"fits on {chosen} in {str(dtype).removeprefix('torch.')}")
    accelerator = Accelerator(cpu=chosen.type == "cpu", mixed_precision="bf16" if "bfloat16" in str(dtype) else "no")
    if accelerator.num_processes > 1:
        raise ConfigurationError(
            f"{accelerator.num_processes} processes, but a fit uses one device: start it without accelerate launch"
        )
    return accelerator


def _run(
    work: GeneratorFit[Any, Any], out: Path, deadline: float | None, facts: dict[str, Any], *, as_json: bool
) -> None:
    """Fit until the generator is there or the deadline comes, and say what to do next."""
    from synthaug.fitting.stage import DeadlineReached
    from synthaug.generators.config_file import CONFIG_NAME, read_config_file

    was_complete = (out / CONFIG_NAME).exists()
    try:
        work.run(deadline=deadline, progress=_log_progress("augmentation bank, variants"))
    except DeadlineReached as stopped:
        if as_json:
            print_json({**facts, "complete": False})
        else:
            typer.echo(f"{stopped}; run the same command again to continue")
        raise typer.Exit(EXIT_STOPPED) from None
    limits_ml = read_config_file(out)["limits_ml"]
    if as_json:
        print_json({**facts, "complete": True, "limits_ml": limits_ml})
        return
    if was_complete:
        typer.echo(f"{out} was complete, and nothing was trained; for a longer budget give another --out")
    first, (low, high) = next(iter(limits_ml.items()))
    example = f"--target {first}={(low * high) ** 0.5:.4g} --num 2 --out samples"
    typer.echo(f"generator in {out}; try: synthaug sample --generator {out} {example}")


def _log_progress(what: str) -> Callable[[int, int], None]:
    def log(done: int, total: int) -> None:
        if done % 10 == 0 or done == total:
            logging.getLogger(__name__).info("%s: %d of %d", what, done, total)

    return log


def parse_duration(text: str, option: str) -> float:
    """Seconds in ``45m``, ``2h``, ``600s`` or ``600``.

    Raises:
        ConfigurationError: anything else, or no time at all.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if seconds <= 0:
        raise ConfigurationError(f"{option} {text!r}: write a time above 0 such as 45m, 2h or 600s")
    return seconds
