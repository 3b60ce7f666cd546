"""``synthaug report``: what a training with synthetic cases drew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthaug.cli.verbosity import JsonOption, print_json


def report(
    run: Annotated[Path, typer.Argument(help="Output folder of a fold (nnUNet_results/.../fold_0), or its metrics.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for synthaug_report.html, .md and .png; by default they lie beside the metrics."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show, epoch by epoch, what a training drew: shares, volumes against the schedule, reuse, age, waiting.

    Works while the training runs.
    """
    from synthaug.files.atomic import replace_file
    from synthaug.reports.training_report import TrainingReport

    found = TrainingReport.read(run)
    folder = out or (run if run.is_dir() else run.parent)
    folder.mkdir(parents=True, exist_ok=True)
    text = found.to_markdown()
    replace_file(folder / "synthaug_report.md", text.encode())
    found.draw(folder / "synthaug_report.png")
    found.to_page(run).write(folder / "synthaug_report.html")
    picture, page = folder / "synthaug_report.png", folder / "synthaug_report.html"
    if as_json:
        print_json({"run": str(run), "picture": str(picture), "page": str(page), "epochs": list(found.epochs)})
        return
    typer.echo(text)
    typer.echo(f"picture: {picture}")
    typer.echo(f"page, with all of it: {page}")
