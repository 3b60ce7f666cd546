"""Frames of arrays that somebody else wrote."""

from __future__ import annotations

import blosc2
import numpy as np
import pytest

from synthaug.errors import StoreError
from synthaug.store.arrays import decode, encode, open_frame

ARRAY = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def test_an_array_comes_back() -> None:
    assert np.array_equal(decode(encode(ARRAY), ARRAY.shape, np.int16, "x"), ARRAY)


@pytest.mark.parametrize("kind", ["LazyArray", "b2o", "proxy-source"])
def test_a_frame_that_stands_for_something_to_evaluate_is_refused(kind: str) -> None:
    packed = blosc2.asarray(ARRAY, meta={kind: {"kind": "x"}})
    with pytest.raises(StoreError, match="no plain blosc2 array"):
        open_frame(bytes(packed.to_cframe()), "x")


def test_a_frame_with_further_metadata_is_refused() -> None:
    packed = blosc2.asarray(ARRAY)
    packed.schunk.vlmeta["_LazyArray"] = {"expression": "o0 + 1"}
    with pytest.raises(StoreError, match="metadata of its own"):
        decode(bytes(packed.to_cframe()), ARRAY.shape, np.int16, "x")


def test_a_frame_that_claims_terabytes_is_refused_before_anything_is_decompressed() -> None:
    # two terabytes, in few large chunks: the frame itself is small
    huge = blosc2.zeros((100_000, 100_000, 100), dtype=np.int16, chunks=(10_000, 10_000, 5), blocks=(500, 500, 5))
    with pytest.raises(StoreError, match="its provenance says"):
        decode(bytes(huge.to_cframe()), ARRAY.shape, np.int16, "x")
    with pytest.raises(StoreError, match="allowed are 1 to"):
        decode(bytes(huge.to_cframe()), huge.shape, np.int16, "x")
