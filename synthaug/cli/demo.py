"""``synthaug demo``: sample, train nnU-Net on real and synthetic cases, predict, and show what came of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthaug.cli.generator_options import DEFAULT_GENERATOR, GeneratorOption
from synthaug.cli.verbosity import JsonOption, is_quiet, print_json
from synthaug.errors import ConfigurationError, SynthAugError

if TYPE_CHECKING:
    from rich.console import Console

    from synthaug.demo.workspace import Workspace
    from synthaug.generators import CasePaths
    from synthaug.integrations.nnunet.dataset import NnunetDataset

CONFIGURATION = "3d_fullres"
TRAINER = "nnUNetTrainerSynthAug"
FOLD = 0
VALIDATION_ITERATIONS = 2
NUM_PREDICTED = 2
NUM_SHOWN = 3
LEARNED_DICE = 0.005
"""Below it a table of two digits would show nothing but zeros."""


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

    from synthaug.demo.predictions import held_out_dice, prediction_inputs
    from synthaug.demo.workspace import Workspace
    from synthaug.files.atomic import replace_file
    from synthaug.integrations.nnunet.dataset import NnunetDataset

    start = time.monotonic()
    console = Console(highlight=False, quiet=is_quiet())
    own_data = _check_data(data) if data is not None else None
    workspace = Workspace(out, console)
    os.environ.update(workspace.environment)
    raw = _link(own_data, workspace) if own_data is not None else _stand_ins(generator, workspace)
    dataset = NnunetDataset(raw.name, raw, workspace.preprocessed / raw.name)
    number = str(int(raw.name.removeprefix("Dataset").split("_")[0]))
    real_note = "" if own_data is not None else " (stand-ins)"

    _heading(console, "nnU-Net plans and preprocesses the real cases" + real_note)
    on_gpu = _has_gpu()
    _plan(workspace, dataset, number, on_gpu=on_gpu, own_data=own_data is not None)

    _heading(console, "synthaug fills a cache and prepares the training")
    pairs = ["--num", str(num), "--schedule", schedule, "--seed", str(seed), "--out", str(workspace.cache)]
    # exit code 1: some pairs failed quality control at every attempt; the training goes on with the others
    precompute = ["synthaug", "precompute", "--generator", generator, *pairs, "--dataset", number]
    workspace.run(precompute, accepted=(0, 1))
    synthetic = _synthetic_cases(workspace.cache)
    _print_volumes(console, synthetic)

    _heading(console, "nnU-Net trains on real" + real_note + " and synthetic cases")
    device = "cuda" if on_gpu else "cpu"
    lengths = {"EPOCHS": epochs, "ITERATIONS": iterations, "VALIDATION_ITERATIONS": VALIDATION_ITERATIONS}
    short = {f"SYNTHAUG_{name}": str(number) for name, number in lengths.items()}
    train = ["nnUNetv2_train", number, CONFIGURATION, str(FOLD), "-tr", TRAINER, "-device", device]
    workspace.run(train, extra=short)
    metrics = _training_metrics(workspace.results / raw.name)
    _print_training(console, metrics)

    _heading(console, "nnU-Net predicts held-out cases" + real_note)
    _, validation = dataset.split(FOLD)
    held_out = [dataset.cases[name] for name in validation[:NUM_PREDICTED]]
    ending = str(dataset.dataset_json["file_ending"])
    inputs = prediction_inputs(workspace.folder / "predict" / "input", held_out, ending)
    predictions = workspace.folder / "predict" / "output"
    workspace.run(
        ["nnUNetv2_predict", "-i", str(inputs), "-o", str(predictions), "-d", number, "-c", CONFIGURATION]
        + ["-f", str(FOLD), "-tr", TRAINER, "-device", device, "--disable_tta", "-npp", "1", "-nps", "1"]
    )
    dice = held_out_dice(predictions, held_out, dataset.scheme, ending)
    _print_dice(console, dice, stand_ins=own_data is None)

    picture = workspace.folder / "real-and-synthetic.png"
    _draw(picture, dataset, validation, workspace.cache, stand_ins=own_data is None)
    minutes = (time.monotonic() - start) / 60
    facts = {"stand_ins": own_data is None, "synthetic": synthetic, "training": metrics, "dice": dice}
    facts["minutes"] = round(minutes, 2)
    facts |= {"out": str(workspace.folder), "picture": str(picture)}
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

    _heading(workspace.console, "stand-ins for real cases")
    workspace.console.print(DESCRIPTION, style="yellow")
    if not (workspace.raw / DATASET_NAME / "dataset.json").is_file():
        opened = load_named_generator(generator)
        make_stand_ins(opened, workspace.raw, on_case=lambda name: workspace.console.print(f"  {name}", style="dim"))
    return workspace.raw / DATASET_NAME


def _plan(workspace: Workspace, dataset: NnunetDataset, number: str, *, on_gpu: bool, own_data: bool) -> None:
    from synthaug.demo.plans import CPU_SPACING_MM, halve_features

    coarse = ["-overwrite_target_spacing", *[f"{CPU_SPACING_MM:g}"] * 3] if own_data and not on_gpu else []
    command = ["nnUNetv2_plan_and_preprocess", "-d", number, "-c", CONFIGURATION, "-np", "2", "-npfp", "2"]
    workspace.run([*command, *coarse, "--verify_dataset_integrity"])
    if not on_gpu:
        features = halve_features(dataset.preprocessed / "nnUNetPlans.json", CONFIGURATION)
        workspace.console.print(f"  no GPU: half the features that were planned, {features}", style="dim")


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _synthetic_cases(cache: Path) -> list[dict[str, Any]]:
    from synthaug.store import Store

    cases = [entry.to_dict() for entry in Store.open(cache).entries()]
    if not cases:
        raise SynthAugError(f"{cache}: no pair passed quality control; `synthaug cache info {cache}` tells why")
    return cases


def _training_metrics(results: Path) -> list[dict[str, Any]]:
    """The trainer's own line for each epoch."""
    (log,) = results.glob(f"{TRAINER}__*__{CONFIGURATION}/fold_{FOLD}/synthaug_metrics.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]


def _print_training(console: Console, metrics: Sequence[dict[str, Any]]) -> None:
    from rich.table import Table

    ahead = "workers draw ahead: the first epoch counts what fills their queues, too"
    table = Table(title="training: synthetic share and volumes of each epoch", caption=ahead)
    for heading in ("epoch", "share asked for", "realised", "synthetic", "real", "volumes drawn, mL"):
        table.add_column(heading, justify="right")
    for epoch in metrics:
        volumes = epoch["volumes_ml"]
        drawn = f"{volumes['min']:.0f} to {volumes['max']:.0f}" if "min" in volumes else "-"
        realised = "-" if epoch["realised_ratio"] is None else f"{epoch['realised_ratio']:.2f}"
        counts = (str(epoch["synthetic"]), str(epoch["real"]))
        table.add_row(str(epoch["epoch"]), f"{epoch['ratio']:.2f}", realised, *counts, drawn)
    console.print(table)


def _print_volumes(console: Console, synthetic: Sequence[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(title="synthetic pairs: volumes in mL")
    for heading in ("case", "structure"):
        table.add_column(heading)
    for heading in ("requested", "realised", "ratio"):
        table.add_column(heading, justify="right")
    for case in synthetic:
        for name, asked in case["requested_ml"].items():
            got = case["realised_ml"][name]
            table.add_row(case["name"], name, f"{asked:.1f}", f"{got:.1f}", f"{got / asked:.2f}")
    console.print(table)


def _print_dice(console: Console, dice: dict[str, dict[str, float]], *, stand_ins: bool) -> None:
    from rich.table import Table

    title = "Dice of held-out cases after a few short epochs"
    table = Table(title=title + (" (stand-ins: no figure about patients)" if stand_ins else ""))
    table.add_column("structure")
    for case in dice:
        table.add_column(case, justify="right")
    names = list(dict.fromkeys(name for scores in dice.values() for name in scores))
    learned = [name for name in names if any(scores.get(name, 0.0) >= LEARNED_DICE for scores in dice.values())]
    for name in learned:
        table.add_row(name, *(f"{scores[name]:.2f}" if name in scores else "-" for scores in dice.values()))
    if len(learned) < len(names):
        more = "more iterations (--iterations, --epochs)"
        table.caption = f"{len(names) - len(learned)} of {len(names)} are not found yet: small structures take {more}"
    console.print(table)


def _draw(picture: Path, dataset: NnunetDataset, shown_first: Sequence[str], cache: Path, *, stand_ins: bool) -> None:
    """Real cases on the left, synthetic ones of spread volumes on the right."""
    from synthaug.reports.preview import Card, draw_pairs
    from synthaug.store import Store
    from synthaug.volumes import read_pair

    names = [*shown_first, *(name for name in dataset.cases if name not in shown_first)][:NUM_SHOWN]
    cases: list[CasePaths] = [dataset.cases[name] for name in names]
    real = [Card(read_pair(one.images, one.label, dataset.scheme, dataset.channels), one.identifier) for one in cases]
    store = Store.open(cache)
    entries = sorted(store.entries(), key=lambda entry: sum(entry.requested_ml.values()))
    count = min(len(real), len(entries))
    spread = [entries[round(i * (len(entries) - 1) / max(1, count - 1))] for i in range(count)]
    synthetic = [Card(store.read(entry.name), entry.name) for entry in spread]
    heading = "stand-ins for real cases" if stand_ins else "real"
    draw_pairs(picture, [real, synthetic], headings=[heading, "synthetic"], title=dataset.name)


def _heading(console: Console, text: str) -> None:
    console.print(f"\n[bold cyan]{text}[/]", highlight=False)
