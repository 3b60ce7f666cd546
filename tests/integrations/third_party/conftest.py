"""Files and a cache that all scripts are given."""

from __future__ import annotations

from typing import Any

import pytest
from monai.utils import set_determinism

from tests.integrations.third_party.cases import make_cache, write_cases
from tests.stand_in_generator import StandInGenerator


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    return write_cases(tmp_path_factory.mktemp("real"), StandInGenerator())


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_cache(tmp_path_factory.mktemp("cache") / "cache", StandInGenerator())


@pytest.fixture(autouse=True)
def _determined() -> Any:
    set_determinism(0)
    yield
    set_determinism(None)
