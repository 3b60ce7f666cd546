"""Seconds and peak memory for one pair, and how much faster that is than a guided LDM with 1000 steps a stage.

    python benchmarks/sample_speed.py --generator ventricles-t1-1mm --json speed.json

The recipe that it is compared with is that of Ruschke et al. (arXiv 2411.01351): a mask diffusion U-Net of 519 million
parameters with cross-attention, a SPADE diffusion U-Net of 224 million on the 33-class label map, latents of 24x32x24,
fp32, 1000 DDPM steps each. Its time is extrapolated, in its favour: one network evaluation a step, although guidance
takes two, and no decoding. Everything is measured in the same run, each part in a process of its own, one after the
other, so that peak memory belongs to that part. For each stage of the generator the share of the device's convolution
peak is told: the operations of its networks over its whole time, beside those of one large Conv3d that is timed alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synthaug.evaluation.benchmarking import peak_memory_gb, positive

REPOSITORY = Path(__file__).resolve().parents[1]
RECIPE_STEPS = 1000


@dataclass(frozen=True)
class RecipeSize:
    """Sizes of the networks that are compared with.

    Attributes:
        mask_channels: of the mask diffusion U-Net.
        image_channels: of the SPADE diffusion U-Net.
        latent_shape: grid of both latents.
        num_classes: classes of the label map.
    """

    mask_channels: tuple[int, int, int] = (256, 512, 768)
    image_channels: tuple[int, int, int] = (128, 256, 512)
    latent_shape: tuple[int, int, int] = (24, 32, 24)
    num_classes: int = 33


SIZES = {
    "published": RecipeSize(),
    "tiny": RecipeSize((32, 32, 64), (32, 32, 64), (8, 8, 8), 5),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, or one part of it in its own process."""
    options = _parser().parse_args(arguments)
    if options.part is not None:
        print(json.dumps(_PARTS[options.part](options)))
        return 0
    report: dict[str, Any] = {"machine": describe_machine(options.threads)}
    report["generator"] = _run_part("generator", options)
    if options.recipe != "none":
        report["recipe"] = {name: _run_part(name, options) for name in ("mask_network", "image_network")}
        steps = [part["seconds_per_step"] for part in report["recipe"].values()]
        report["recipe"]["seconds_per_pair_extrapolated"] = RECIPE_STEPS * sum(steps)
        report["times_faster"] = (
            report["recipe"]["seconds_per_pair_extrapolated"] / report["generator"]["seconds_per_pair"]
        )
    _print_report(report)
    if options.json is not None:
        text = json.dumps(report, indent=1)
        if str(options.json) == "-":
            print(text)
        else:
            options.json.write_text(text + "\n", encoding="utf-8")
    return 0


def describe_machine(threads: int | None) -> dict[str, Any]:
    """Processor, cores, and what they can do."""
    import torch

    model = platform.processor() or platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in cpu_info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": model,
        "cores": cores,
        "threads": threads or torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "amx": bool(torch.cpu._is_amx_tile_supported()),
        "avx512_bf16": bool(torch.cpu._is_avx512_bf16_supported()),
        "load_average": list(os.getloadavg()),
        "torch": torch.__version__,
    }


def measure_generator(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds by stage and peak memory of a generator; the first pair warms up and is not counted."""
    from synthaug.conditions import Condition
    from synthaug.precomputing import load_named_generator

    _set_threads(options.threads)
    started = time.perf_counter()
    chosen = {"steps": options.steps} if options.steps is not None else {}
    generator = load_named_generator(options.generator, device=options.device, **chosen)
    loaded = time.perf_counter() - started
    control, (low, high) = next(iter(generator.bounds.limits_ml.items()))
    condition = Condition({control: (low * high) ** 0.5})
    seconds: list[float] = []
    stages: dict[str, list[float]] = {}
    for index in range(options.num + 1):
        started = time.perf_counter()
        (pair,) = generator.generate([condition], [index])
        if index == 0:
            continue
        seconds.append(time.perf_counter() - started)
        label_seconds = pair.provenance.get("seconds_label")
        if label_seconds is not None:
            stages.setdefault("label_map", []).append(label_seconds)
            stages.setdefault("image", []).append(pair.provenance["seconds"] - label_seconds)
    memory = peak_memory_gb()
    means = {name: _mean(values) for name, values in stages.items()}
    return {
        "name": generator.name,
        "sha256": generator.fingerprint,
        "shape": list(generator.shape),
        "device": options.device,
        "dtype": pair.provenance.get("dtype"),
        "pairs": options.num,
        "seconds_to_load": loaded,
        "seconds_per_pair": _mean(seconds),
        "slowest_pair_seconds": max(seconds),
        "seconds_by_stage": means,
        "peak_memory_gb": memory,
        **(_share_of_peak(generator, condition, means) if means else {}),
    }


def _share_of_peak(generator: Any, condition: Any, seconds: dict[str, float]) -> dict[str, Any]:
    """Operations of each stage, and its share of what the device does in a convolution alone."""
    from torch.utils.flop_counter import FlopCounterMode

    operations: dict[str, float] = {}
    with FlopCounterMode(display=False) as counter:
        generator.sample_labels([condition], [0])
    operations["label_map"] = counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:
        generator.generate([condition], [0])  # the label map is kept: the image alone is made
    operations["image"] = counter.get_total_flops()
    peak = convolution_peak(generator.device, generator.dtype)
    return {
        "convolution_peak_tflops": peak,
        "tflop_by_stage": {name: count / 1e12 for name, count in operations.items()},
        "share_of_peak": {name: count / 1e12 / seconds[name] / peak for name, count in operations.items()},
    }


def convolution_peak(device: Any, dtype: Any) -> float:
    """TFLOP/s of a Conv3d with 64 channels and a kernel of 3 on 64 cubed voxels, channels last; the best of five."""
    import torch

    size, channels = 64, 64
    layout = torch.channels_last_3d
    layer = torch.nn.Conv3d(channels, channels, 3, padding=1).to(device, dtype).to(memory_format=layout)
    x = torch.randn(1, channels, size, size, size).to(device, dtype, memory_format=layout)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(6):  # the first one allocates, and is never the best
            started = time.perf_counter()
            layer(x)
            if x.is_cuda:
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - started)
    return 2 * channels**2 * 27 * size**3 / best / 1e12


def mask_network(size: RecipeSize) -> Any:
    """The recipe's mask diffusion U-Net, with fresh weights."""
    from monai.networks.nets import DiffusionModelUNet

    return DiffusionModelUNet(
        spatial_dims=3,
        in_channels=3,
        out_channels=3,
        channels=size.mask_channels,
        attention_levels=(False, True, True),
        num_res_blocks=2,
        num_head_channels=(0, *size.mask_channels[1:]),
        with_conditioning=True,
        cross_attention_dim=2,
    )


def image_network(size: RecipeSize) -> Any:
    """The recipe's SPADE image diffusion U-Net, with fresh weights."""
    from monai.networks.nets import SPADEDiffusionModelUNet

    return SPADEDiffusionModelUNet(
        spatial_dims=3,
        in_channels=6,
        out_channels=6,
        label_nc=size.num_classes,
        channels=size.image_channels,
        attention_levels=(False, True, True),
        num_res_blocks=2,
        num_head_channels=(0, *size.image_channels[1:]),
    )


def measure_mask_network(options: argparse.Namespace) -> dict[str, Any]:
    """One DDPM step of the recipe's mask stage, conditioned on two numbers."""
    import torch

    _set_threads(options.threads)
    size = SIZES[options.recipe]
    network = mask_network(size)
    context = torch.tensor([[[0.5, 1.0]]])
    return _time_steps(network, 3, size, options, lambda state, step: network(state, step, context=context))


def measure_image_network(options: argparse.Namespace) -> dict[str, Any]:
    """One DDPM step of the recipe's image stage, on a label map."""
    import torch

    _set_threads(options.threads)
    size = SIZES[options.recipe]
    network = image_network(size)
    label = torch.randint(0, size.num_classes, (1, *size.latent_shape), generator=torch.Generator().manual_seed(0))
    one_hot = torch.nn.functional.one_hot(label, size.num_classes).movedim(-1, 1).float()
    return _time_steps(network, 6, size, options, lambda state, step: network(state, step, seg=one_hot))


def _time_steps(
    network: Any, channels: int, size: RecipeSize, options: argparse.Namespace, predict: Callable[[Any, Any], Any]
) -> dict[str, Any]:
    import torch
    from diffusers import DDPMScheduler

    network.eval().requires_grad_(False)
    scheduler = DDPMScheduler(num_train_timesteps=RECIPE_STEPS)
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(1, channels, *size.latent_shape, generator=generator)
    seconds = []
    with torch.inference_mode():
        for index, timestep in enumerate(scheduler.timesteps[: options.timed_steps + 1]):
            started = time.perf_counter()
            noise = predict(state, timestep.view(1))
            state = scheduler.step(noise, timestep, state, generator=generator).prev_sample
            if index > 0:  # the first step allocates
                seconds.append(time.perf_counter() - started)
    return {
        "size": asdict(size),
        "parameters_million": sum(parameter.numel() for parameter in network.parameters()) / 1e6,
        "timed_steps": len(seconds),
        "seconds_per_step": _mean(seconds),
        "steps": RECIPE_STEPS,
        "dtype": "float32",
        "peak_memory_gb": peak_memory_gb(),
    }


_PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "generator": measure_generator,
    "mask_network": measure_mask_network,
    "image_network": measure_image_network,
}


def _run_part(part: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one part in a fresh process: its memory is its own, and given back before the next one starts."""
    command = [sys.executable, str(Path(__file__).resolve()), "--part", part]
    for name in ("generator", "device", "num", "steps", "threads", "recipe", "timed_steps"):
        value = getattr(options, name)
        if value is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    search_path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    # what goes wrong is printed by the part itself
    finished = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "PYTHONPATH": search_path}
    )
    result: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return result


def _print_report(report: dict[str, Any]) -> None:
    machine, made = report["machine"], report["generator"]
    out = sys.stderr
    print(
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, {machine['capability']}"
        f"{', AMX' if machine['amx'] else ''}{', AVX512-BF16' if machine['avx512_bf16'] else ''}; "
        f"torch {machine['torch']}",
        file=out,
    )
    print(
        f"{made['name']} {'x'.join(map(str, made['shape']))} {made['dtype'] or ''}: "
        f"{made['seconds_per_pair']:.2f} s a pair (mean of {made['pairs']}), "
        f"peak memory {made['peak_memory_gb']:.2f} GB, {made['seconds_to_load']:.1f} s to load",
        file=out,
    )
    for name, seconds in made["seconds_by_stage"].items():
        print(f"  {name}: {seconds:.2f} s", file=out)
    if "convolution_peak_tflops" in made:
        for name, share in made["share_of_peak"].items():
            print(f"  {name}: {made['tflop_by_stage'][name]:.2f} TFLOP, {share:.0%} of the Conv3d peak", file=out)
        print(f"  Conv3d alone: {made['convolution_peak_tflops']:.2f} TFLOP/s", file=out)
    if "recipe" in report:
        for name in ("mask_network", "image_network"):
            part = report["recipe"][name]
            print(
                f"recipe, {name.replace('_', ' ')}: {part['parameters_million']:.0f}M parameters, "
                f"{part['seconds_per_step']:.3f} s a step ({part['timed_steps']} timed), "
                f"peak {part['peak_memory_gb']:.1f} GB",
                file=out,
            )
        total = report["recipe"]["seconds_per_pair_extrapolated"]
        print(f"recipe, {RECIPE_STEPS} steps in each stage, extrapolated: {total:.0f} s a pair", file=out)
        print(f"times faster: {report['times_faster']:.0f}", file=out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--generator", default="ventricles-t1-1mm", help="name, folder of weights or python:MODULE:FACTORY"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--num", type=positive, default=3, help="pairs that are timed, after one that is not")
    parser.add_argument("--steps", type=positive, help="sampling steps of each stage; default: the generator's own")
    parser.add_argument("--threads", type=positive, help="threads of torch; default: its own choice")
    parser.add_argument("--recipe", choices=[*SIZES, "none"], default="published", help="networks to compare with")
    parser.add_argument(
        "--timed-steps", type=positive, default=3, help="steps of the recipe that are timed, after one that is not"
    )
    parser.add_argument("--json", type=Path, help="also write the report to this file; - prints it")
    parser.add_argument("--part", choices=sorted(_PARTS), help=argparse.SUPPRESS)
    return parser


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    sys.exit(main())
