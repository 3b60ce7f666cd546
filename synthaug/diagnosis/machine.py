"""Devices and their arithmetic, memory and disk, and nnU-Net's folders."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from pathlib import Path

from synthaug.diagnosis.check import Check

NNUNET_FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
LOW_DISK_GB = 5.0
LOW_SHARED_MEMORY_GB = 1.0
"""Augmentation workers hand over whole patches in shared memory; containers often start with 64 MB."""


def check_devices() -> list[Check]:
    """The CPU and each GPU with the floating-point type that generation will use there."""
    import torch

    from synthaug.networks.precision import choose_dtype

    cpu = torch.device("cpu")
    dtype = str(choose_dtype(cpu)).removeprefix("torch.")
    speedup = bf16_speedup()
    found = f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, generates in {dtype}"
    checks = [Check("cpu", "ok", f"{found} (a bfloat16 convolution runs {speedup:.1f} times as fast as in float32)")]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        dtype = str(choose_dtype(torch.device("cuda", index))).removeprefix("torch.")
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        checks.append(Check(f"cuda:{index}", "ok", f"{properties.name}, {memory}, generates in {dtype}"))
    if not torch.cuda.is_available():
        checks.append(Check("gpu", "ok", "none visible to torch: everything runs on the CPU"))
    return checks


def bf16_speedup(size: int = 32, channels: int = 32, repeats: int = 5) -> float:
    """How many times faster a 3D convolution is in bfloat16 than in float32, on the CPU."""
    import torch

    layer = torch.nn.Conv3d(channels, channels, 3, padding=1)
    values = torch.zeros(1, channels, size, size, size)
    layer = layer.to(memory_format=torch.channels_last_3d)
    values = values.to(memory_format=torch.channels_last_3d)
    seconds = {}
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            typed, data = layer.to(dtype), values.to(dtype)
            typed(data)
            measured = []
            for _ in range(repeats):
                start = time.perf_counter()
                typed(data)
                measured.append(time.perf_counter() - start)
            seconds[dtype] = statistics.median(measured)
    return seconds[torch.float32] / seconds[torch.bfloat16]


def check_folders() -> list[Check]:
    """nnU-Net's three folders, which training needs, and the room that they have."""
    checks = []
    for variable in NNUNET_FOLDERS:
        value = os.environ.get(variable)
        if not value:
            mend = f"export {variable}=FOLDER (not needed for MONAI or plain torch)"
            checks.append(Check(variable, "warning", "not set: nnU-Net cannot run", mend))
        elif not Path(value).is_dir():
            checks.append(Check(variable, "failed", f"{value} is not a folder", f"mkdir -p {value}"))
        elif not os.access(value, os.R_OK | (0 if variable == "nnUNet_raw" else os.W_OK)):
            checks.append(Check(variable, "failed", f"{value} may not be written", f"chmod u+rwx {value}"))
        else:
            checks.append(Check(variable, "ok", value))
    return checks


def check_room(folder: Path | None = None) -> list[Check]:
    """Free disk where the work goes (``folder``, else the current one), and shared memory."""
    where = folder if folder is not None else Path.cwd()
    return [
        _room("disk", where, LOW_DISK_GB, "free some space, or write to another disk with --out"),
        _room(
            "shared memory",
            Path("/dev/shm"),
            LOW_SHARED_MEMORY_GB,
            "start the container with --shm-size=8g, or set nnUNet_n_proc_DA=0",
        ),
    ]


def _room(name: str, folder: Path, low_gb: float, mend: str) -> Check:
    if not folder.is_dir():
        return Check(name, "ok", f"{folder} does not exist on this system")
    free_gb = shutil.disk_usage(folder).free / 1e9
    found = f"{free_gb:.1f} GB free in {folder}"
    if free_gb < low_gb:
        return Check(name, "warning", f"{found}, less than {low_gb:g} GB", mend)
    return Check(name, "ok", found)
