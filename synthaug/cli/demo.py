"""``synthaug demo``: sample, train nnU-Net on real and synthetic cases, predict, and show what came of it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthaug.cli.generator_options import DEFAULT_GENERATOR, GeneratorOption
from synthaug.cli.verbosity import JsonOption, is_quiet, print_json
from synthaug.errors import ConfigurationError

if TYPE_CHECKING:
    from synthaug.demo.workspace import Workspace


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that the demo writes.")] = Path("demo-output"),
    data: Annotated[
        Path | None,
        typer.Option(help="Your own data: a raw nnU-Net dataset folder, DatasetXXX_Name. It is only read."),
    ] = None,
    generator: GeneratorOption = DEFAULT_GENERATOR,
    num: Annotated[int, typer.Option(min=1, help="Synthetic pairs in the cache.")] = 6,
    schedule: Annotated[str, typer.Option(help="Their ventricular volumes in mL.")] = "uniform:20:120",
    epochs: Annotated[int, typer.Option(min=1, help="Training epochs.")] = 3,
    iterations: Annotated[int, typer.Option(min=1, help="Iterations in each epoch.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the synthetic pairs.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """The main job end to end, with what is shipped: under ten minutes on two CPU cores.

    Without --data the "real" cases are stand-ins, made by the generator itself and then degraded: the demo shows that
    everything works together, and no figure of it says anything about patients.
    """
    from rich.console import Console

    from synthaug.demo.pipeline import DemoPipeline
    from synthaug.demo.workspace import Workspace
    from synthaug.files.atomic import replace_file

    start = time.monotonic()
    own_data = _check_data(data) if data is not None else None
    workspace = Workspace(out, Console(highlight=False, quiet=is_quiet()))
    os.environ.update(workspace.environment)
    raw = _link(own_data, workspace) if own_data is not None else _stand_ins(generator, workspace)
    pipeline = DemoPipeline(workspace, raw, stand_ins=own_data is None)
    pipeline.plan()
    facts: dict[str, Any] = {
        "stand_ins": pipeline.stand_ins,
        "synthetic": pipeline.precompute(generator, num=num, schedule=schedule, seed=seed),
        "training": pipeline.train(epochs=epochs, iterations=iterations),
        "dice": pipeline.predict(),
    }
    picture = pipeline.draw()
    minutes = (time.monotonic() - start) / 60
    facts |= {"minutes": round(minutes, 2), "out": str(workspace.folder), "picture": str(picture)}
    replace_file(workspace.folder / "demo.json", (json.dumps(facts, indent=1) + "\n").encode())
    if as_json:
        print_json(facts)
        return
    typer.echo(f"\npicture of real and synthetic pairs: {picture}")
    typer.echo(f"everything else: {workspace.folder} ({minutes:.1f} minutes)")


def _check_data(data: Path) -> Path:
    """The folder, if it is a raw nnU-Net dataset with cases.

    Raises:
        ConfigurationError: it is not; nothing has been written then.
    """
    folder = data.expanduser().resolve()
    number, separator, name = folder.name.removeprefix("Dataset").partition("_")
    if not (folder.name.startswith("Dataset") and number.isdigit() and separator and name):
        raise ConfigurationError(f"--data {data}: the folder must be named DatasetXXX_Name; rename or link it")
    for part in ("dataset.json", "imagesTr", "labelsTr"):
        if not (folder / part).exists():
            raise ConfigurationError(f"--data {data}: {part} is missing; give a raw nnU-Net dataset folder")
    return folder


def _link(folder: Path, workspace: Workspace) -> Path:
    link = workspace.raw / folder.name
    if link.is_symlink():
        link.unlink()
    link.symlink_to(folder, target_is_directory=True)
    return link


def _stand_ins(generator: str, workspace: Workspace) -> Path:
    from synthaug.demo.stand_ins import DATASET_NAME, DESCRIPTION, make_stand_ins
    from synthaug.precomputing import load_named_generator

    workspace.heading("stand-ins for real cases")
    workspace.console.print(DESCRIPTION, style="yellow")
    if not (workspace.raw / DATASET_NAME / "dataset.json").is_file():
        opened = load_named_generator(generator)
        make_stand_ins(opened, workspace.raw, on_case=lambda name: workspace.console.print(f"  {name}", style="dim"))
    return workspace.raw / DATASET_NAME
