"""Writing safetensors files whole."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from synthaug.files.atomic import sync_folder, temporary_name


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors to a safetensors file, which is there completely or not at all, whatever kills the writer.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(temporary_name(path.name))
    try:
        try:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary)
        except SafetensorError as error:  # how safetensors tells of what the system refused
            refused = re.search(r"os error (\d+)", str(error))
            if refused is None:
                raise
            number = int(refused[1])
            raise OSError(number, os.strerror(number), str(path)) from error
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
