"""``nnUNetv2_train DATASET CONFIGURATION FOLD -tr TRAINER -num_gpus 2`` where there is no GPU.

nnU-Net has DDP for CUDA alone. Its own ``run_ddp`` runs here in two spawned processes, with what names CUDA replaced:
the device, the backend (gloo in place of NCCL) and the device of the wrapped network.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Any

import torch
import torch.distributed
import torch.multiprocessing

WORLD_SIZE = 2


def of_group(rank: int, dataset: str, configuration: str, fold: str, trainer: str) -> None:
    """One process of the group."""
    from nnunetv2.run import run_training
    from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as module

    stock_init = module.nnUNetTrainer.__init__

    @functools.wraps(stock_init)
    def on_cpu(self: Any, *arguments: Any, **named: Any) -> None:
        stock_init(self, *arguments, **named)
        self.device, self.grad_scaler = torch.device("cpu"), None

    def set_up(rank: int, world_size: int) -> None:
        torch.distributed.init_process_group("gloo", rank=rank, world_size=world_size)

    module.nnUNetTrainer.__init__ = on_cpu
    module.DDP = lambda network, device_ids: torch.nn.parallel.DistributedDataParallel(network)
    torch.cuda.set_device = lambda device: None
    run_training.setup_ddp = set_up
    torch.set_num_threads(1)
    run_training.run_ddp(
        rank, dataset, configuration, int(fold), trainer, "nnUNetPlans",
        disable_checkpointing=False, c=False, val=False, pretrained_weights=None, npz=False, val_with_best=False,
        world_size=WORLD_SIZE,
    )  # fmt: skip


if __name__ == "__main__":
    from nnunetv2.run.run_training import find_free_network_port

    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT=str(find_free_network_port()))
    torch.multiprocessing.spawn(of_group, args=tuple(sys.argv[1:]), nprocs=WORLD_SIZE)
