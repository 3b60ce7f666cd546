"""The processes of a DDP group draw from the pool that the first one has filled."""

from __future__ import annotations

import multiprocessing
from datetime import timedelta
from pathlib import Path
from typing import Any

STAND_IN = "python:tests.stand_in_generator:make"


def of_a_group(rank: int, meeting: Path, told: Any, done: Any) -> None:
    import torch.distributed

    from synthaug.integrations.nnunet.mixin import SynthAugMixin
    from synthaug.live import LiveOptions, LiveSource

    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    group = SynthAugMixin._synthaug_group()
    options = LiveOptions(capacity=4, first=4, niceness=0, most_uses=1000)
    if rank == 0:
        source = LiveSource(STAND_IN, "uniform:30:31", options=options)
        SynthAugMixin._synthaug_from_first(source.folder, group)
    else:
        pool = SynthAugMixin._synthaug_from_first(None, group)
        source = LiveSource(STAND_IN, "uniform:30:31", options=options, folder=pool, writes=False)
    with source:
        drawn = [draw for index in range(20) if (draw := source.draw(index, seed=0, epoch=0, rank=rank)) is not None]
        read = [draw.read() is not None for draw in drawn]
        told.put((rank, str(source.folder), len(drawn), all(read)))
        done.wait(60)
        torch.distributed.barrier()  # the pool goes when the first one leaves


def waits_for_the_first(rank: int, meeting: Path, told: Any, done: Any) -> None:
    import torch.distributed

    from synthaug.integrations.nnunet.mixin import SynthAugMixin

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=2, timeout=timedelta(seconds=1)
    )
    group = SynthAugMixin._synthaug_group()
    if rank == 0:
        done.wait(2)  # preprocesses a large cache
    told.put((rank, SynthAugMixin._synthaug_from_first(Path("pool") if rank == 0 else None, group)))


def test_the_others_wait_for_the_first_longer_than_the_training_would(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    told, done = context.Queue(), context.Event()
    group = [
        context.Process(target=waits_for_the_first, args=(rank, tmp_path / "meeting", told, done)) for rank in range(2)
    ]
    for process in group:
        process.start()
    for process in group:
        process.join(60)
    assert [process.exitcode for process in group] == [0, 0]
    assert sorted(told.get(timeout=60) for _ in group) == [(0, Path("pool")), (1, Path("pool"))]


def test_one_pool_serves_a_group(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    told, done = context.Queue(), context.Event()
    # no daemons: the first one starts a process of its own
    group = [context.Process(target=of_a_group, args=(rank, tmp_path / "meeting", told, done)) for rank in range(2)]
    for process in group:
        process.start()
    found = sorted(told.get(timeout=120) for _ in group)
    done.set()
    for process in group:
        process.join(60)
    assert [process.exitcode for process in group] == [0, 0]
    assert [rank for rank, *_ in found] == [0, 1]
    assert len({folder for _, folder, _, _ in found}) == 1
    assert all(drawn > 0 and whole for _, _, drawn, whole in found), found
    assert not Path(found[0][1]).exists()
