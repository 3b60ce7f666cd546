"""The devices that generation and training can use, how fast they are, and a torch that cannot use them."""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from synthaug.diagnosis.check import Check

if TYPE_CHECKING:
    import torch

REINSTALL = "pip install --force-reinstall -c constraints.txt torch torchvision"
NVIDIA_FILES = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"))
CPU_EDGE, GPU_EDGE = 32, 96
"""Voxels along an edge of the volume that is convolved: about a second altogether."""


def check_devices() -> list[Check]:
    """The CPU and each GPU, with the floating-point type that generation uses there, and how fast it is."""
    import torch

    from synthaug.networks.precision import choose_dtype

    cpu = torch.device("cpu")
    dtype = str(choose_dtype(cpu)).removeprefix("torch.")
    found = f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, generates in {dtype}"
    checks = [Check("cpu", "ok", f"{found} ({_speed(bf16_speedup(cpu))})")]
    checks += [_check_gpu(torch.device("cuda", index)) for index in range(torch.cuda.device_count())]
    if not torch.cuda.is_available():
        checks.append(check_unused_gpu(torch.__version__, torch.version.cuda, has_driver=has_nvidia_driver()))
    return checks


def has_nvidia_driver() -> bool:
    """Whether the machine has a driver for NVIDIA's GPUs."""
    return any(path.exists() for path in NVIDIA_FILES) or shutil.which("nvidia-smi") is not None


def check_unused_gpu(torch_version: str, cuda: str | None, *, has_driver: bool) -> Check:
    """Why torch sees no GPU.

    Args:
        torch_version: of the installation.
        cuda: version of CUDA that torch was built for; None for a build without.
        has_driver: whether the machine has a driver for NVIDIA's GPUs.
    """
    import os

    if not has_driver:
        return Check("gpu", "ok", "none in this machine: everything runs on the CPU")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return Check("gpu", "ok", f"hidden by CUDA_VISIBLE_DEVICES={hidden!r}: everything runs on the CPU")
    if cuda is None:
        found = f"torch {torch_version} is built without CUDA, and this machine has an NVIDIA driver"
        return Check("gpu", "warning", found, REINSTALL)
    found = f"torch {torch_version} is built for CUDA {cuda}, and cannot use this machine's driver"
    mend = (
        f"update the NVIDIA driver (nvidia-smi shows up to which CUDA it goes), or install a torch for it: {REINSTALL}"
    )
    return Check("gpu", "warning", found, mend)


def _check_gpu(device: torch.device) -> Check:
    import torch

    from synthaug.networks.precision import choose_dtype

    properties = torch.cuda.get_device_properties(device)
    free, total = torch.cuda.mem_get_info(device)
    found = f"{properties.name}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
    try:
        speed = _speed(bf16_speedup(device, edge=GPU_EDGE))
    except RuntimeError as error:  # a GPU that this build has no code for, or that others have filled
        reason = str(error).splitlines()[0]
        mend = f"free the GPU, or set CUDA_VISIBLE_DEVICES to another one; where torch has no code for it: {REINSTALL}"
        return Check(str(device), "failed", f"{found}: a convolution fails: {reason}", mend)
    dtype = str(choose_dtype(device)).removeprefix("torch.")
    return Check(str(device), "ok", f"{found}, generates in {dtype} ({speed})")


def _speed(speedup: float) -> str:
    return f"a bfloat16 convolution runs {speedup:.1f} times as fast as in float32"


def bf16_speedup(
    device: torch.device | str = "cpu", *, edge: int = CPU_EDGE, channels: int = 32, repeats: int = 5
) -> float:
    """How many times faster a 3D convolution is in bfloat16 than in float32.

    Args:
        device: where.
        edge: of the volume, in voxels.
        channels: of it.
        repeats: the median of so many runs counts.
    """
    import torch

    layer = torch.nn.Conv3d(channels, channels, 3, padding=1, device=device)
    values = torch.zeros(1, channels, edge, edge, edge, device=device)
    layer = layer.to(memory_format=torch.channels_last_3d)
    values = values.to(memory_format=torch.channels_last_3d)
    seconds = {}
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            typed, data = layer.to(dtype), values.to(dtype)
            measured = []
            for _ in range(repeats + 1):
                _wait_for(device)
                start = time.perf_counter()
                typed(data)
                _wait_for(device)
                measured.append(time.perf_counter() - start)
            seconds[dtype] = statistics.median(measured[1:])  # the first chooses the algorithm
    return seconds[torch.float32] / seconds[torch.bfloat16]


def _wait_for(device: torch.device | str) -> None:
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
