"""The share of a process, by whatever started it."""

from __future__ import annotations

import pytest

from synthaug.precomputing.processes import current_share, share_of


def environment(text: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split())


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ("", (0, 1)),
        ("RANK=1 WORLD_SIZE=4 LOCAL_WORLD_SIZE=4", (1, 4)),
        ("SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_COUNT=8 SLURM_ARRAY_TASK_MIN=0", (3, 8)),
        ("SLURM_ARRAY_TASK_ID=14 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_STEP=2", (2, 3)),
        ("SLURM_PROCID=5 SLURM_STEP_NUM_TASKS=8", (5, 8)),
        # the batch script itself, where no step has begun
        ("SLURM_PROCID=0 SLURM_NTASKS=8", (0, 1)),
        # a launcher on each of two nodes; then one launcher that joins them
        ("SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2 RANK=2 WORLD_SIZE=4 LOCAL_WORLD_SIZE=4", (6, 8)),
        ("SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2 RANK=6 WORLD_SIZE=8 LOCAL_WORLD_SIZE=4", (6, 8)),
        ("SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=2 RANK=1 WORLD_SIZE=2 LOCAL_WORLD_SIZE=2", (3, 4)),
        # what does not fit together
        ("RANK=7 WORLD_SIZE=2", (0, 1)),
        ("SLURM_ARRAY_TASK_ID=%a", (0, 1)),
    ],
)
def test_the_share_follows_from_launcher_step_and_array(variables: str, place: tuple[int, int]) -> None:
    share = share_of(environment(variables))
    assert (share.index, share.count) == place


def test_one_process_of_each_array_task_reports_and_one_of_all_is_the_main_one() -> None:
    array = "SLURM_ARRAY_TASK_COUNT=2 WORLD_SIZE=2 LOCAL_WORLD_SIZE=2"
    shares = [
        share_of(environment(f"{array} SLURM_ARRAY_TASK_ID={task} RANK={rank}")) for task in (0, 1) for rank in (0, 1)
    ]
    assert [share.reports for share in shares] == [True, False, True, False]
    assert [share.is_main for share in shares] == [True, False, False, False]
    assert sorted(share.index for share in shares) == [0, 1, 2, 3]


def test_a_device_that_is_given_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    share = current_share("cuda:1")
    assert (share.index, share.count, share.device) == (1, 2, "cuda:1")
