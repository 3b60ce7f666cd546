"""A short form of the cluster on one machine: each case once, whatever is killed, stopped or begun twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import cluster
from synthaug.store import Store


@pytest.mark.slow
def test_every_case_is_made_once_although_processes_are_killed_and_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chaos = [
        "chaos",
        "--processes",
        "3",
        "--cases",
        "60",
        "--seconds",
        "0.15",
        "--kill-every",
        "1",
        "--most-kills",
        "4",
    ]
    assert cluster.main([*chaos, "--stop", "3", "--expiry", "1", "--work", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "60 of 60 cases" in told
    assert "each once, sound, digests identical" in told


def test_a_case_that_is_missing_differs_or_is_damaged_is_noticed(tmp_path: Path) -> None:
    reference = cluster.alone(tmp_path, 3, cluster.SLEEPING)
    (cache,) = tmp_path.glob("alone-*")
    assert cluster.judge(cache, 3, reference) == []
    one, two, three = reference
    assert cluster.judge(cache, 4, reference) == ["3 cases instead of 4"]
    assert cluster.judge(cache, 3, {**reference, one: "{}"}) == [f"{one} has other digests"]
    store = Store.open(cache)
    store.events.write("stored", **store.entries()[1].to_dict())
    assert cluster.judge(cache, 3, reference) == [f"{two} was stored 2 times"]
    (cache / "claims").mkdir(exist_ok=True)
    (cache / "claims" / three).touch()
    assert any("still claimed" in line for line in cluster.judge(cache, 3, reference))
    image = cache / "cases" / three / "image.b2nd"
    image.write_bytes(image.read_bytes()[:-1])
    assert any(three in line and "image.b2nd" in line for line in cluster.judge(cache, 3, reference))


def test_the_rate_counts_the_time_in_which_all_are_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = {"one": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "two": [3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5]}
    monkeypatch.setattr(cluster, "stored_at", lambda _: moments)
    assert cluster.steady_rate(tmp_path) == pytest.approx((2 + 4) / 2)
