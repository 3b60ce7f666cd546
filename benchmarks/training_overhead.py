"""What synthetic pairs cost a training: epoch times of nnU-Net and of a MONAI loop, with and without, in turn.

    synthaug demo --out demo-output
    python benchmarks/training_overhead.py --demo demo-output --json overhead.json

The plans, cases and cache of the demo are used (`--data` gives it your own). Every variant runs in a process
of its own, one after the other and so many rounds over; epochs after the first count, and medians are compared with
those of the stock trainer (of the plain dataset). `live` rows begin with the demo's cache and renew it by a generator
that works for the share of the time that is given. Exit code 1 where a limit is exceeded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthaug.evaluation.benchmarking import positive

REPOSITORY = Path(__file__).resolve().parents[1]
CACHE_LIMIT = 1.02
LIVE_SLACK = 0.03
PATCH = (64, 64, 64)


@dataclass(frozen=True)
class Variant:
    """One kind of training.

    Attributes:
        loop: ``nnunet`` or ``monai``.
        stock: whether it is the one that others are compared with.
        limit: of the epoch time, as a multiple of the stock one's.
        settings: environment of the trainer, or arguments of the wrapper.
    """

    loop: str
    stock: bool = False
    limit: float = 1.0
    settings: dict[str, str] = field(default_factory=dict)


def live(duty: float) -> Variant:
    """A training on pairs made meanwhile."""
    settings = {"SOURCE": "live", "LIVE__DUTY": str(duty), "RATIO": "0.5", "LIVE__FIRST": "6", "LIVE__CAPACITY": "16"}
    return Variant("nnunet", limit=1 + duty + LIVE_SLACK, settings=settings)


VARIANTS = {
    "nnU-Net, stock": Variant("nnunet", stock=True),
    **{
        f"nnU-Net, cache, ratio {ratio}": Variant("nnunet", limit=CACHE_LIMIT, settings={"RATIO": str(ratio)})
        for ratio in (0.25, 0.5, 1.0)
    },
    **{f"nnU-Net, live, duty {duty}": live(duty) for duty in (0.05, 0.1)},
    "MONAI, plain dataset": Variant("monai", stock=True),
    **{
        f"MONAI, cache, ratio {ratio}": Variant("monai", limit=CACHE_LIMIT, settings={"RATIO": str(ratio)})
        for ratio in (0.25, 0.5, 1.0)
    },
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every variant in turn, print the table; or, with ``--part``, one of them."""
    options = _parser().parse_args(arguments)
    if options.part is not None:
        variant = VARIANTS[options.part]
        measure = _train_nnunet if variant.loop == "nnunet" else _train_monai
        print(json.dumps(measure(variant, options)))
        return 0
    chosen = [name for name in VARIANTS if not options.only or any(word in name for word in options.only)]
    loops = {VARIANTS[name].loop for name in chosen}
    chosen = [name for name in VARIANTS if name in chosen or (VARIANTS[name].stock and VARIANTS[name].loop in loops)]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    for number in range(options.rounds):
        for name in chosen:
            runs[name].append(_run_part(name, options))
            seconds = statistics.median(runs[name][-1]["epochs_s"])
            print(f"round {number + 1}, {name}: {seconds:.2f} s an epoch", file=sys.stderr, flush=True)
    report = {"rounds": options.rounds, "iterations": options.iterations, "variants": _compare(runs)}
    print(_table(report["variants"]))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return int(any(row["ratio"] > row["limit"] for row in report["variants"].values() if row["limit"] is not None))


def _compare(runs: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Medians over all epochs of all rounds, beside those of the stock loop."""
    medians = {
        name: statistics.median([seconds for run in found for seconds in run["epochs_s"]])
        for name, found in runs.items()
    }
    stock = {VARIANTS[name].loop: medians[name] for name in runs if VARIANTS[name].stock}
    waits = {
        name: statistics.median([wait for run in found for wait in run["waits_s"]]) for name, found in runs.items()
    }
    return {
        name: {
            "epoch_s": seconds,
            "ratio": seconds / stock[VARIANTS[name].loop],
            "limit": None if VARIANTS[name].stock else VARIANTS[name].limit,
            "loader_wait_s": waits[name],
            "synthetic_share": statistics.mean(run["synthetic_share"] for run in runs[name]),
            "details": [run.get("live") for run in runs[name]],
        }
        for name, seconds in medians.items()
    }


def _table(rows: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| training | epoch, s | of stock | limit | waiting for the loader, s | synthetic |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, row in rows.items():
        limit = "-" if row["limit"] is None else f"{row['limit']:.2f}"
        lines.append(
            f"| {name} | {row['epoch_s']:.2f} | {row['ratio']:.3f} | {limit} | {row['loader_wait_s']:.2f} | "
            f"{row['synthetic_share']:.0%} |"
        )
    return "\n".join(lines)


# ---------------------------------------------------------------------- nnU-Net


def _train_nnunet(variant: Variant, options: argparse.Namespace) -> dict[str, Any]:
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from synthaug.integrations.nnunet.metrics import LoaderWait
    from synthaug.integrations.nnunet.mixin import METRICS_FILE, SynthAugMixin

    class Timed(nnUNetTrainer):
        """Notes how long its epochs take and how long they wait for the loader."""

        def initialize(self) -> None:
            super().initialize()
            self.num_epochs, self.num_iterations_per_epoch = options.epochs + 1, options.iterations
            self.num_val_iterations_per_epoch = 1
            self.disable_checkpointing = True
            self.epochs_s: list[float] = []
            self.waits_s: list[float] = []
            self.wait = LoaderWait()

        def on_train_epoch_start(self) -> None:
            super().on_train_epoch_start()
            self.wait.begin_epoch()
            self.began = time.perf_counter()

        def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
            self.wait.end()
            result: dict[str, Any] = super().train_step(batch)
            self.wait.begin()
            return result

        def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
            self.epochs_s.append(time.perf_counter() - self.began)
            self.waits_s.append(self.wait.seconds)
            super().on_train_epoch_end(train_outputs)

    class TimedSynthAug(SynthAugMixin, Timed):
        """The same with synthetic cases."""

    (preprocessed,) = (options.demo / "nnUNet_preprocessed").glob("Dataset*")
    plans = {**json.loads((preprocessed / "nnUNetPlans.json").read_text()), "continue_training": False}
    dataset_json = json.loads((preprocessed / "dataset.json").read_text())
    kind = Timed if variant.stock else TimedSynthAug
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = kind(plans, "3d_fullres", 0, dataset_json, device=device)
    trainer.run_training()
    log = Path(trainer.output_folder) / METRICS_FILE
    lines = [json.loads(line) for line in log.read_text().splitlines()] if not variant.stock else []
    later = lines[1:]
    return {
        "epochs_s": trainer.epochs_s[1:],
        "waits_s": trainer.waits_s[1:],
        "synthetic_share": statistics.mean(one["realised_ratio"] for one in later) if later else 0.0,
        "live": [one["live"] for one in later if "live" in one],
    }


# ---------------------------------------------------------------------- MONAI


def _train_monai(variant: Variant, options: argparse.Namespace) -> dict[str, Any]:
    import torch
    from monai.data import DataLoader, Dataset
    from monai.losses import DiceCELoss
    from monai.networks.nets import UNet
    from monai.transforms import Compose, RandSpatialCropd

    from synthaug import SynthAugment
    from synthaug.integrations.nnunet.metrics import LoaderWait
    from synthaug.store import Store

    store = Store.open(options.demo / "cache")
    pairs = [store.read(entry.name) for entry in store.entries()]
    crop = RandSpatialCropd(["image", "label"], PATCH, random_size=False)
    real = [{"image": pair.image, "label": pair.label[None].astype("float32")} for pair in pairs]
    items = [real[index % len(real)] for index in range(2 * options.iterations)]
    data = Dataset(items, Compose([crop]))
    if not variant.stock:
        data = SynthAugment(data, store, ratio=float(variant.settings["RATIO"]), transform=crop, seed=0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classes = pairs[0].scheme.num_classes
    network = UNet(3, len(pairs[0].channels), classes, (16, 32, 64), (2, 2)).to(device)
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    optimizer = torch.optim.AdamW(network.parameters())
    loader = DataLoader(data, batch_size=2, shuffle=True, num_workers=1, persistent_workers=True)
    epochs_s, waits_s, made, wait = [], [], [], LoaderWait()
    for epoch in range(options.epochs + 1):
        if not variant.stock:
            data.set_epoch(epoch)
        wait.begin_epoch()
        began = time.perf_counter()
        for batch in loader:
            wait.end()
            optimizer.zero_grad()
            loss(network(batch["image"].to(device).float()), batch["label"].to(device)).backward()
            optimizer.step()
            if not variant.stock:
                made += batch["synthaug"]["synthetic"].tolist()
            wait.begin()
        epochs_s.append(time.perf_counter() - began)
        waits_s.append(wait.seconds)
    share = statistics.mean(made) if made else 0.0
    return {"epochs_s": epochs_s[1:], "waits_s": waits_s[1:], "synthetic_share": share}


# ---------------------------------------------------------------------- processes


def _run_part(name: str, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).resolve()), "--part", name, "--demo", str(options.demo)]
    command += ["--epochs", str(options.epochs), "--iterations", str(options.iterations)]
    trees = {f"nnUNet_{kind}": str(options.demo / f"nnUNet_{kind}") for kind in ("raw", "preprocessed")}
    search_path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    settings = {f"SYNTHAUG_{key}": value for key, value in VARIANTS[name].settings.items()}
    finished = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={
            **os.environ,
            **trees,
            **(settings if VARIANTS[name].loop == "nnunet" else {}),
            "nnUNet_results": str(options.demo / "overhead"),
            "nnUNet_n_proc_DA": str(options.workers),
            "PYTHONPATH": search_path,
        },
    )
    result: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, required=True, help="output folder of synthaug demo")
    parser.add_argument("--rounds", type=positive, default=3, help="how often every variant runs")
    parser.add_argument("--epochs", type=positive, default=4, help="epochs that count, after one that does not")
    parser.add_argument("--iterations", type=positive, default=20, help="training iterations in an epoch")
    parser.add_argument("--workers", type=positive, default=1, help="nnU-Net's augmentation workers")
    parser.add_argument(
        "--only",
        action="append",
        help="variants with this in their name, and the stock loop that they are compared with; repeats",
    )
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    parser.add_argument("--part", choices=list(VARIANTS), help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
