"""What a trainer draws from, while others go on filling the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthaug.integrations.nnunet.training_run import TrainingRun
from synthaug.sources import StoreSource
from synthaug.store import Store, StoreInfo
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill


def test_volumes_stay_those_of_one_moment(tmp_path: Path) -> None:
    generator = StandInGenerator()
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    fill(store, generator, (20.0, 35.0))
    unused: Any = None
    run = TrainingRun(unused, store, unused, unused, StoreSource(store), ())
    fill(store, generator, (60.0, 80.0, 100.0))
    assert len(run.volumes_ml) == 2
    assert run.live is None
