"""Channels of a dataset and of a generator."""

from __future__ import annotations

import pytest

from synthaug.errors import ConfigurationError
from synthaug.volumes.channels import match_channels


@pytest.mark.parametrize("name", ["T1", "t1", "T1w", "T1-weighted", "T1_MRI", "MPRAGE", "MR T1"])
def test_t1_in_any_spelling(name: str) -> None:
    assert match_channels([name], ["T1"]) == (0,)


@pytest.mark.parametrize("name", ["T1ce", "T1Gd", "T1c", "T2", "FLAIR", "MRI", "CT"])
def test_other_contrasts_are_not_t1(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        match_channels([name], ["T1"])


def test_order_may_differ() -> None:
    assert match_channels(["FLAIR", "T1w"], ["T1", "T2-FLAIR"]) == (1, 0)


def test_the_user_may_say_what_is_the_same() -> None:
    assert match_channels(["MRI"], ["T1"], {"MRI": "T1"}) == (0,)
    with pytest.raises(ConfigurationError, match="'T3'"):
        match_channels(["MRI"], ["T1"], {"MRI": "T3"})


def test_another_number_of_channels() -> None:
    with pytest.raises(ConfigurationError, match=r"has 2 channel\(s\).*makes 1"):
        match_channels(["T1", "T2"], ["T1"])


def test_one_generator_channel_for_two() -> None:
    with pytest.raises(ConfigurationError, match="same generator channel"):
        match_channels(["T1", "t1w"], ["T1", "T2"])
