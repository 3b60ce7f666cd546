"""Valid files and texts made wrong: at random bytes, and at random places of what they mean."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Mutation = Callable[[bytes, np.random.Generator], bytes]
"""Makes other content of a file's content."""

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 255, 2**15, 2**31, 2**32 - 1, 2**63, 10**30, 0.5, -0.0, 1e-320, 1e308, -1e308,
    float("nan"), float("inf"), float("-inf"), "", " ", "0", "1e999", "nan", "../../escaped", "/escaped", "~", ".",
    "a/b", "x\0y", "two\nlines", "\ud800", "é̂💥", "<script>alert(1)</script>", "{0.__class__}", "%s%n",
    "A" * 5000,
    [], {}, [[]], [None], [0, 0, 0], [1e9, 1e9, 1e9], [2**20] * 3, [-1], {"": ""}, {"..": {}}, {"name": None},
)  # fmt: skip
"""What stands in the place of a value."""

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**40, 2**63 - 1)
DEEP = 100_000

NIFTI_FIELDS: dict[str, tuple[int, str]] = {
    "sizeof_hdr": (0, "i"), "dim0": (40, "h"), "dim1": (42, "h"), "dim2": (44, "h"), "dim3": (46, "h"),
    "dim4": (48, "h"), "dim5": (50, "h"), "intent": (68, "h"), "datatype": (70, "h"), "bitpix": (72, "h"),
    "pixdim0": (76, "f"), "pixdim1": (80, "f"), "pixdim2": (84, "f"), "vox_offset": (108, "f"), "slope": (112, "f"),
    "inter": (116, "f"), "xyzt_units": (123, "B"), "qform": (252, "h"), "sform": (254, "h"), "quatern_b": (256, "f"),
    "srow_x": (280, "f"), "srow_y": (300, "f"), "srow_z": (320, "f"), "magic": (344, "I"), "extension": (348, "I"),
}  # fmt: skip
"""Place and type of fields of a NIfTI-1 header (nifti.nimh.nih.gov)."""


def mutate_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes flipped, overwritten, removed, repeated or cut off."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(0, len(changed) + 1))
        length = int(rng.integers(1, 1 + max(1, min(64, len(changed)))))
        what = int(rng.integers(0, 8))
        if what == 0 and at < len(changed):
            changed[at] ^= 1 << int(rng.integers(0, 8))
        elif what == 1:
            number = NUMBERS[int(rng.integers(0, len(NUMBERS)))].to_bytes(8, "little")
            width = int(rng.choice((1, 2, 4, 8)))
            changed[at : at + width] = number[:width]
        elif what == 2:
            del changed[at : at + length]
        elif what == 3:
            changed[at:at] = changed[at : at + length]
        elif what == 4:
            changed[at : at + length] = bytes(length)
        elif what == 5:
            changed[at:at] = rng.bytes(length)
        elif what == 6:
            del changed[at:]
        elif at < len(changed):
            changed[at] = int(rng.integers(0, 256))
    return bytes(changed)


def mutate_head(content: bytes, rng: np.random.Generator) -> bytes:
    """Other bytes in the first 256 or, now and then, the last 128: where formats keep sizes and places."""
    end = rng.random() < 0.3
    cut = max(0, len(content) - 128) if end else min(256, len(content))
    head, tail = content[:cut], content[cut:]
    return head + mutate_bytes(tail, rng) if end else mutate_bytes(head, rng) + tail


def mutate_text(content: bytes, rng: np.random.Generator) -> bytes:
    """Text with characters, words and numbers exchanged."""
    text = content.decode("utf-8", "replace")
    pieces = [
        "=",
        ":",
        ",",
        "-",
        ".",
        "e",
        "1e999",
        "nan",
        "inf",
        "-1",
        "0",
        " ",
        "",
        "\n",
        "\0",
        "💥",
        "{",
        "[",
        '"',
        "9" * 400,
        "/..",
        "ventricles",
    ]
    for _ in range(int(rng.integers(1, 4))):
        at, length = int(rng.integers(0, len(text) + 1)), int(rng.integers(0, 6))
        text = text[:at] + pieces[int(rng.integers(0, len(pieces)))] + text[at + length :]
    return text.encode("utf-8", "surrogatepass")


def mutate_json(content: bytes, rng: np.random.Generator) -> bytes:
    """JSON with values replaced, removed, renamed, repeated or nested; sometimes no JSON any more."""
    draw = rng.random()
    if draw < 0.15:
        return mutate_bytes(content, rng)
    if draw < 0.2:
        return _no_json(content, rng)
    try:
        tree = json.loads(content)
    except ValueError:
        return mutate_bytes(content, rng)
    for _ in range(int(rng.integers(1, 4))):
        tree = _mutate_tree(tree, rng)
    return json.dumps(tree).encode()


def _no_json(content: bytes, rng: np.random.Generator) -> bytes:
    return (
        b"[" * DEEP,
        b'{"a":' * DEEP,
        b"",
        b"\xff\xfe" + content,
        b"\xef\xbb\xbf" + content,
        content.replace(b"1", b"9" * 5000, 1),
        content[:-2] + b',"name":1,"name":2}',
        b"NaN",
        content + content,
    )[int(rng.integers(0, 9))]


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container with each of its keys or indices."""
    found: list[tuple[Any, Any]] = []
    if isinstance(tree, (dict, list)):
        for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
            found.append((tree, key))
            found += places(tree[key])
    return found


def _mutate_tree(tree: Any, rng: np.random.Generator) -> Any:
    found = places(tree)
    value = json.loads(json.dumps(HOSTILE[int(rng.integers(0, len(HOSTILE)))]))
    if not found or rng.random() < 0.02:
        return value
    shallow = [place for place in found if place[0] is tree]
    parent, key = (shallow if rng.random() < 0.3 else found)[int(rng.integers(0, 10**9)) % len(shallow or found)]
    what = int(rng.integers(0, 10))
    if what < 5:
        parent[key] = value
    elif what == 5:
        del parent[key]
    elif what == 6 and isinstance(parent, dict):
        parent[str(value)] = parent.pop(key)
    elif what == 7:
        other_parent, other_key = found[int(rng.integers(0, len(found)))]
        parent[key] = json.loads(json.dumps(other_parent[other_key]))
    elif what == 8 and isinstance(parent[key], (int, float)) and not isinstance(parent[key], bool):
        parent[key] = parent[key] * float(rng.choice((-1.0, 0.5, 10.0, 1e6, 1e12)))
    elif isinstance(parent, list):
        parent.insert(key, value)
    else:
        parent["further"] = value
    return tree


def mutate_nifti(content: bytes, rng: np.random.Generator) -> bytes:
    """A gzipped NIfTI-1 file with other fields in its header, or damaged before or after compression."""
    if rng.random() < 0.25:
        return mutate_bytes(content, rng)
    plain = bytearray(gzip.decompress(content))
    for _ in range(int(rng.integers(1, 4))):
        if rng.random() < 0.2:
            plain = bytearray(mutate_bytes(bytes(plain), rng))
            plain += bytes(max(0, 352 - len(plain)))
            continue
        names: Sequence[str] = list(NIFTI_FIELDS)
        at, form = NIFTI_FIELDS[names[int(rng.integers(0, len(names)))]]
        struct.pack_into("<" + form, plain, at, _number(form, rng))
    return bytes(plain) if rng.random() < 0.1 else gzip.compress(bytes(plain), 1)


def _number(form: str, rng: np.random.Generator) -> int | float:
    if form == "f":
        wrong = (0.0, -1.0, 1e-40, 1e38, float("nan"), float("inf"), 352.0, 3.2e9, float(rng.normal()))
        return wrong[int(rng.integers(0, len(wrong)))]
    bits = struct.calcsize(form) * 8
    number = NUMBERS[int(rng.integers(0, len(NUMBERS)))] % (1 << bits)
    if rng.random() < 0.4:
        number = int(rng.choice((2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 2048, 30000))) % (1 << bits)
    return number if form.isupper() else number - (1 << bits) * (number >= 1 << (bits - 1))


def mutate_safetensors(content: bytes, rng: np.random.Generator) -> bytes:
    """Weights with another header: shapes, types, places that overlap or lie outside, a length that lies."""
    draw = rng.random()
    if draw < 0.2:
        return mutate_bytes(content, rng)
    (length,) = struct.unpack("<Q", content[:8])
    header, data = content[8 : 8 + length], content[8 + length :]
    if draw < 0.35:
        return NUMBERS[int(rng.integers(0, len(NUMBERS)))].to_bytes(8, "little") + header + data
    header = mutate_json(header, rng)
    return struct.pack("<Q", len(header)) + header + (data if rng.random() < 0.7 else data[: len(data) // 2])
