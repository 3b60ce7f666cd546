"""``synthaug study``: what synthetic cases are worth, measured on real test cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthaug.cli.generator_options import DeviceOption
from synthaug.cli.verbosity import JsonOption, log_to_stderr, print_json
from synthaug.errors import ConfigurationError

if TYPE_CHECKING:
    from synthaug.study.experiment import Experiment
    from synthaug.study.results import StudyResults

EXIT_INCOMPLETE = 1


def study(
    plan: Annotated[Path, typer.Argument(metavar="STUDY.json", help="What is compared; see docs/how-to/study.md.")],
    out: Annotated[Path, typer.Option(help="Folder of the study; run again to continue.")],
    listed: Annotated[bool, typer.Option("--list", help="Show the runs with their numbers, and end.")] = False,
    run: Annotated[
        int | None, typer.Option(min=0, metavar="K", help="Make run K alone, as a task of a cluster's array does.")
    ] = None,
    collect: Annotated[bool, typer.Option("--collect", help="Only write the report of what is there.")] = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train segmentation networks with and without synthetic cases, equally long, and compare them on real test cases.

    Strategies, networks, generators, volume schedules, ratios, numbers of real cases and seeds are the axes; every
    combination is a run. What is there is not made again: run the same command after an interruption, or several times
    at once. accelerate launch spreads runs over its processes and GPUs. The report is written when all runs are done,
    and by --collect before. Exit code 1: --collect found runs missing, or another process is making the run of --run.

    A generator of the study file may be python:MODULE:FACTORY, whose code is run.

    Example: synthaug study examples/study/enlarged_ventricles.json --out study
    """
    if sum((listed, run is not None, collect)) > 1:
        raise ConfigurationError("--list, --run and --collect: each is a command of its own; give one of them")
    from synthaug.cli.interruption import sigterm_is_interrupt
    from synthaug.configuration import load_config
    from synthaug.study.configuration import StudyConfig
    from synthaug.study.experiment import Experiment, describe_runs
    from synthaug.study.processes import leave_the_launcher

    config = load_config(StudyConfig, plan)
    share = leave_the_launcher(device)
    experiment = Experiment(config, out, device=share.device)
    if listed:
        _show_runs(describe_runs(experiment.runs), as_json)
        return
    log_to_stderr()
    is_elsewhere = False
    if not collect:
        with sigterm_is_interrupt():
            experiment.check()
            if run is not None:
                is_elsewhere = not experiment.work_on(run)
            else:
                experiment.work(share)
    else:
        experiment.check_begun()
    if is_elsewhere:
        typer.echo(f"run {run} is being made by another process", err=True)
        raise typer.Exit(EXIT_INCOMPLETE)
    if not share.is_main:  # all processes end together, and one tells what came of it
        return
    results = _results(experiment)
    complete = not results.missing
    facts: dict[str, Any] = {"out": str(out), "runs": len(results.runs), "done": len(results.complete)}
    if complete or collect:
        from synthaug.study.report import write_report

        facts["report"] = [str(path) for path in write_report(out / "report", results)]
        facts |= results.to_dict()
    if as_json:
        from synthaug.files.canonical_json import canonical_json

        print_json(json.loads(canonical_json(facts)))
    else:
        _show(results, out, written=complete or collect)
    if not complete and run is None:
        raise typer.Exit(EXIT_INCOMPLETE)


def _results(experiment: Experiment) -> StudyResults:
    from synthaug.study.results import StudyResults

    runs = experiment.runs
    return StudyResults(experiment.config, tuple(runs), experiment.workspace.results(runs))


def _show_runs(described: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json({"runs": described})
        return
    for one in described:
        parts = {key: value for key, value in one.items() if key not in ("number", "name") and value is not None}
        typer.echo(f"{one['number']:>4}  {one['name']}  " + ", ".join(f"{key} {value}" for key, value in parts.items()))


def _show(results: StudyResults, out: Path, *, written: bool) -> None:
    if written:
        from synthaug.study.report import to_markdown

        typer.echo(to_markdown(results))
        typer.echo(f"written to {out / 'report'}")
    if results.missing:
        typer.echo(f"{len(results.missing)} of {len(results.runs)} runs are missing; without --run, all are made")
