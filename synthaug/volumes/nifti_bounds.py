"""What a NIfTI file claims, held against what it can hold, before any memory is taken for it."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

from synthaug.errors import SynthAugError

ENDINGS = (".nii", ".nii.gz", ".hdr", ".img")
MAX_HEADER_BYTES = 64 << 20
"""Header and extensions; those of common tools take kilobytes."""

DEFLATE_RATIO = 1032
"""No gzip stream holds more bytes than this for each of its own (zlib's "Maximum Compression Factor")."""

_VERSIONS = {348: (108, "f"), 540: (168, "q")}
"""Size of the header of NIfTI-1 and NIfTI-2, with place and type of its ``vox_offset``."""


def check_header_size(path: Path) -> None:
    """Refuse a file of another ending, or one whose header and extensions claim too much: these are read at once.

    Raises:
        SynthAugError: it is; or the first bytes cannot be read.
    """
    name = path.name.lower()
    if not name.endswith(ENDINGS):
        raise SynthAugError(f"{path}: is no NIfTI file by its name; allowed: NIfTI (.nii or .nii.gz): convert it")
    try:
        with gzip.open(path) if name.endswith(".gz") else open(path, "rb") as file:
            head = file.read(176)
    except (OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SynthAugError(f"{path}: cannot be read as NIfTI ({reason}); write it as .nii or .nii.gz") from error
    for order in "<>":
        size = struct.unpack_from(order + "i", head)[0] if len(head) == 176 else 0
        if size in _VERSIONS:
            place, form = _VERSIONS[size]
            offset = struct.unpack_from(order + form, head, place)[0]
            if not 0 <= offset <= MAX_HEADER_BYTES:
                raise SynthAugError(
                    f"{path}: cannot be read as NIfTI (its data would begin at byte {offset:g}, allowed are 0 to "
                    f"{MAX_HEADER_BYTES}); the file is damaged: copy it anew"
                )


def check_data_size(image: Any, path: Path) -> None:
    """Refuse a file that cannot hold the voxels of its header.

    Args:
        image: as nibabel opened it, without its data.
        path: for errors.

    Raises:
        SynthAugError: it cannot.
    """
    voxels = 1
    for size in image.shape:
        voxels *= int(size)
    needed = int(image.dataobj.offset) + voxels * image.get_data_dtype().itemsize
    file = Path(image.file_map["image"].filename)
    held = file.stat().st_size * (DEFLATE_RATIO if file.name.lower().endswith(".gz") else 1)
    if needed > held:
        raise SynthAugError(
            f"{path}: data cannot be read (its header speaks of {needed} bytes, the file holds at most {held}); "
            "the file is damaged: copy it anew"
        )
