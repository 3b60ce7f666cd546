"""This process among those of a launcher: each trains networks of its own and waits for no other."""

from __future__ import annotations

import os

from synthaug.precomputing.processes import Share

_OF_THE_LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def leave_the_launcher(device: str) -> Share:
    """The share of this process, and its device; to be called before anything of accelerate is.

    ``accelerate launch`` and ``torchrun`` tell their processes apart by variables, from which accelerate would make one
    process group, and one network of all copies. Without them every process stands alone.

    Args:
        device: ``auto``: the GPU of this process, where there are GPUs; or a torch device.

    Raises:
        ConfigurationError: the device does not exist here.
    """
    import torch

    from synthaug.networks.precision import choose_device

    index, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_RANK", 0))
    for name in _OF_THE_LAUNCHER:
        os.environ.pop(name, None)
    if device == "auto" and torch.cuda.is_available():
        device = f"cuda:{local % torch.cuda.device_count()}"
    if device.startswith("cuda:"):
        choose_device(device)
        torch.cuda.set_device(device)  # accelerate takes the current one
    return Share(index, count, device)
