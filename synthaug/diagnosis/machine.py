"""Disk, shared memory, and nnU-Net's folders."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from synthaug.diagnosis.check import Check

NNUNET_FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
LOW_DISK_GB = 5.0
SHARED_MEMORY = Path("/dev/shm")
DEFAULT_BATCH_BYTES = 2 * 128**3 * (4 + 2)
"""Image and label map of nnU-Net's most common batch: two patches of 128 voxels an edge."""
DEFAULT_WORKERS = 12
"""nnU-Net's own number where it does not know the machine."""


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


def check_room(folder: Path | None = None, batch_bytes: int = DEFAULT_BATCH_BYTES) -> list[Check]:
    """Free disk where the work goes, and shared memory for the augmentation workers of nnU-Net.

    Args:
        folder: where the work goes; None: the current folder.
        batch_bytes: size of a training batch.
    """
    return [_check_disk(folder if folder is not None else Path.cwd()), check_shared_memory(batch_bytes)]


def _check_disk(folder: Path) -> Check:
    existing = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    found = f"{free_gb:.1f} GB free in {existing}"
    if free_gb < LOW_DISK_GB:
        mend = "free some space, or write to another disk with --out"
        return Check("disk", "warning", f"{found}, less than {LOW_DISK_GB:g} GB", mend)
    return Check("disk", "ok", found)


def check_shared_memory(
    batch_bytes: int = DEFAULT_BATCH_BYTES, workers: int | None = None, folder: Path = SHARED_MEMORY
) -> Check:
    """Whether the batches that wait for the training fit into shared memory, in which workers hand them over.

    Args:
        batch_bytes: size of a training batch, image and label map.
        workers: number of nnU-Net's augmentation workers; None: as nnU-Net will have it.
        folder: where shared memory is mounted.
    """
    if not folder.is_dir():
        return Check("shared memory", "ok", f"{folder} does not exist on this system")
    if workers is None:
        workers = augmentation_workers()
    free = shutil.disk_usage(folder).free
    needed = waiting_batches(workers) * batch_bytes
    found = (
        f"{free / 1e9:.2f} GB free in {folder}; {workers} augmentation worker(s) with batches of "
        f"{batch_bytes / 1e6:.0f} MB need up to {needed / 1e9:.2f} GB"
    )
    if needed <= free:
        return Check("shared memory", "ok", found)
    gigabytes = -(-int(needed * 1.5) // 10**9)
    fitting = max((n for n in range(1, workers) if waiting_batches(n) * batch_bytes <= free), default=0)
    mend = f"start the container with --shm-size={gigabytes}g, or export nnUNet_n_proc_DA={fitting}"
    return Check("shared memory", "failed" if free < 2 * batch_bytes else "warning", found, mend)


def waiting_batches(workers: int) -> int:
    """Batches of training and validation that nnU-Net may hold in shared memory: one in each worker, and those kept."""
    if workers == 0:  # no processes, nothing is handed over
        return 0
    of_training, of_validation = workers, max(1, workers // 2)
    return of_training + max(6, workers // 2) + of_validation + max(3, workers // 4)


def augmentation_workers() -> int:
    """Number of nnU-Net's augmentation workers, as nnU-Net decides it."""
    try:
        from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA

        return int(get_allowed_n_proc_DA())
    except (ImportError, ValueError):  # the variable may hold anything
        return DEFAULT_WORKERS
