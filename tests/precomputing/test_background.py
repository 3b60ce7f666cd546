"""Work beside the main flow: in order, bounded, and never silent about an error."""

from __future__ import annotations

import threading

import pytest

from synthaug.precomputing.background import Background


class Gate:
    """Work that waits until it is let through."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def __call__(self, job: int) -> None:
        self.begun.release()
        self.go.acquire()
        self.done.append(job)


def test_jobs_are_done_in_order_by_another_thread() -> None:
    done: list[tuple[int, bool]] = []
    with Background[int](lambda job: done.append((job, threading.current_thread() is main))) as background:
        main = threading.current_thread()
        for first in (0, 2, 4):
            background.put([first, first + 1])
    assert done == [(job, False) for job in range(6)]


def test_without_overlap_the_caller_does_them() -> None:
    threads: list[threading.Thread] = []
    with Background[int](lambda _: threads.append(threading.current_thread()), overlap=False) as background:
        background.put([1, 2])
        assert background.is_idle()
    assert threads == [threading.current_thread()] * 2


def test_a_second_hand_over_waits_until_the_first_is_begun() -> None:
    gate = Gate()
    handed: list[int] = []

    def hand_over(background: Background[int]) -> None:
        for job in range(3):
            background.put([job])
            handed.append(job)

    with Background[int](gate) as background:
        caller = threading.Thread(target=hand_over, args=(background,))
        caller.start()
        gate.begun.acquire()  # the first is at work, the second may wait, the third has to be held back
        caller.join(timeout=0.2)
        assert caller.is_alive()
        assert not background.is_idle()
        assert len(handed) <= 2
        for _ in range(3):
            gate.go.release()
        caller.join()
    assert gate.done == [0, 1, 2]


def test_an_error_reaches_the_main_flow_and_drops_what_is_behind_it() -> None:
    done: list[int] = []

    def work(job: int) -> None:
        if job == 1:
            raise OSError("disk")
        done.append(job)

    def hand_over() -> None:
        with Background[int](work) as background:
            background.put([0, 1, 2])
            while not background.is_idle():
                background.wait()

    with pytest.raises(OSError, match="disk"):
        hand_over()
    assert done == [0]


def test_an_error_in_the_last_job_is_raised_when_the_block_ends() -> None:
    def fail(_: int) -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"), Background[int](fail) as background:
        background.put([0])


def test_an_interruption_lets_what_was_handed_over_be_finished() -> None:
    done: list[int] = []

    def interrupted() -> None:
        with Background[int](done.append) as background:
            background.put([0, 1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [0, 1]
