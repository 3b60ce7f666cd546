"""Writing tensors whole: safetensors files, and the state of a training."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from synthaug.files.atomic import sync_folder, temporary_name


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors to a safetensors file, which is there completely or not at all, whatever kills the writer.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    with _replaced(path) as temporary:
        temporary.touch(exist_ok=False)
        rights = temporary.stat().st_mode  # of any new file here; safetensors 0.8 makes files for their owner alone
        try:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary)
        except SafetensorError as error:  # how safetensors tells of what the system refused
            refused = re.search(r"os error (\d+)", str(error))
            if refused is None:
                raise
            number = int(refused[1])
            raise OSError(number, os.strerror(number), str(path)) from error
        os.chmod(temporary, stat.S_IMODE(rights))
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors, numbers and containers of them as ``torch.save`` does, completely or not at all.

    Such a file is read with ``torch.load(..., weights_only=True)``.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    with _replaced(path) as temporary, open(temporary, "xb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # torch's own, in the place of what the file told it
            cause = error.__context__
            if isinstance(cause, OSError):
                raise cause from None
            raise
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """Gives the path of a file to write and sync, which then takes the place of ``path`` at once."""
    temporary = path.with_name(temporary_name(path.name))
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
