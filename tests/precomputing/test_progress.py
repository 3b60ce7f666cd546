"""The time to go comes from this run's pace."""

from __future__ import annotations

import io

from synthaug.precomputing import Progress, ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_cases_from_an_earlier_run_do_not_count_as_pace() -> None:
    assert Progress(10, 6, 20.0, settled_before=4).seconds_to_go == 40.0
    assert Progress(10, 4, 20.0, settled_before=4).seconds_to_go is None


def test_the_time_to_go_follows_the_pace_of_late_where_processes_came_and_went() -> None:
    assert Progress(10, 6, 20.0, settled_before=4, pace=2.0).seconds_to_go == 2.0


def test_the_text_tells_cases_rejects_and_time() -> None:
    text = str(Progress(10, 6, 20.0, 4, rejected=2))
    assert text == "6/10 cases, 2 rejected, 0:00:20 gone, 0:00:40 to go"
    text = str(Progress(10, 6, 20.0, 4, 2, {"volume-off-target": 1, "missing-structure": 2}, processes=8, waiting=3))
    assert text == (
        "6/10 cases, 2 rejected (missing-structure 2, volume-off-target 1), 8 processes, waiting for 3 that others "
        "hold, 0:00:20 gone, 0:00:40 to go"
    )
    assert "unknown" in str(Progress(10, 0, 1.0))


def test_a_finished_run_has_no_time_to_go() -> None:
    assert str(Progress(1, 1, 0.2, settled_before=1)) == "1/1 cases, done in 0:00:00"
    assert str(Progress(3, 3, 61.0, rejected=2)) == "3/3 cases, 2 rejected, done in 0:01:01"


def test_a_log_gets_the_first_line_then_one_per_interval_and_the_last() -> None:
    stream, times = io.StringIO(), iter([0.0, 10.0, 31.0, 32.0])
    line = ProgressLine(stream, log_every_s=30, clock=lambda: next(times))
    for settled in (1, 2, 3, 4):
        line(Progress(4, settled, 1.0))
    assert [text.split("/")[0] for text in stream.getvalue().splitlines()] == ["1", "3", "4"]


def test_a_terminal_gets_one_line_that_is_rewritten() -> None:
    stream = Terminal()
    line = ProgressLine(stream)
    line(Progress(2, 1, 1.0))
    line(Progress(2, 2, 2.0))
    assert stream.getvalue().count("\r") == 2
    assert stream.getvalue().count("\n") == 1
