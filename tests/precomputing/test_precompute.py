"""Exactly what is missing is made, by one process or several, whatever became of those before."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from synthaug.conditions import Condition
from synthaug.errors import BoundsError, StoreError
from synthaug.precomputing import Progress, Share, plan_requests, precompute
from synthaug.precomputing.summary import PrecomputeSummary
from synthaug.quality import QualityConfig
from synthaug.schedules import parse_schedule
from synthaug.store import Store, StoreInfo
from synthaug.volumes import LabeledVolume
from tests.precomputing.small_runs import SCHEDULE, names, run
from tests.stand_in_generator import StandInGenerator


class Clumsy(StandInGenerator):
    """Every pair of a volume above a limit has a dirty background."""

    limit_ml = 1e9

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        pairs = super().generate(conditions, seeds)
        for pair, condition in zip(pairs, conditions, strict=True):
            if condition.targets_ml["ventricles"] > self.limit_ml:
                pair.image[0, 0, 0, 0] = 9.0
        return pairs


class Interrupted(StandInGenerator):
    """Stops at its third pair, as Ctrl-C would."""

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        if len(self.calls) == 2:
            raise KeyboardInterrupt
        return super().generate(conditions, seeds)


def test_the_requested_cases_are_made_with_their_request_on_record(tmp_path: Path) -> None:
    generator = StandInGenerator()
    summary = run(tmp_path / "cache", generator)
    store = Store.open(tmp_path / "cache")
    assert store.names() == names(generator, 4)
    assert summary.complete
    assert (summary.requested, summary.stored_before, summary.stored, summary.made_here) == (4, 0, 4, 4)
    for request in plan_requests(generator, SCHEDULE, num=4):
        record = store.provenance(request.name)
        assert record["request"] == request.to_dict()
        assert record["quality"]["passed"] is True
    assert store.verify() == []
    assert store.claims().names() == []


def test_a_second_run_makes_nothing_and_a_larger_one_only_the_difference(tmp_path: Path) -> None:
    run(tmp_path / "cache", StandInGenerator())
    again, more = StandInGenerator(), StandInGenerator()
    assert run(tmp_path / "cache", again).made_here == 0
    assert again.calls == []
    assert run(tmp_path / "cache", more, num=6).made_here == 2
    assert len(more.calls) == 2
    assert Store.open(tmp_path / "cache").names() == names(more, 6)


def test_a_case_that_was_removed_is_made_again_with_the_same_bytes(tmp_path: Path) -> None:
    run(tmp_path / "cache", StandInGenerator())
    case = tmp_path / "cache" / "cases" / names(StandInGenerator(), 4)[2]
    image = (case / "image.b2nd").read_bytes()
    for path in case.iterdir():
        path.unlink()
    case.rmdir()
    generator = StandInGenerator()
    run(tmp_path / "cache", generator)
    assert len(generator.calls) == 1
    assert (case / "image.b2nd").read_bytes() == image


def test_an_interruption_leaves_whole_cases_and_no_claim(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cache", Interrupted())
    store = Store.open(tmp_path / "cache")
    assert len(store) == 2
    assert store.claims().names() == []
    assert store.verify() == []
    assert run(tmp_path / "cache", StandInGenerator()).made_here == 2


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("count", [2, 3])
def test_processes_at_once_make_each_case_once_with_the_same_bytes(tmp_path: Path, count: int, batch_size: int) -> None:
    run(tmp_path / "alone", StandInGenerator(), num=9)
    generators = [StandInGenerator() for _ in range(count)]
    Store.open_or_create(tmp_path / "cache", StoreInfo.of(generators[0]))
    threads = [
        threading.Thread(
            target=run,
            args=(tmp_path / "cache", generator, 9),
            kwargs={"share": Share(index, count), "batch_size": batch_size},
        )
        for index, generator in enumerate(generators)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(generator.calls) for generator in generators) == 9
    alone, together = Store.open(tmp_path / "alone"), Store.open(tmp_path / "cache")
    assert together.names() == alone.names()
    assert together.verify() == []
    for name in alone.names():
        files = [store.provenance(name)["files"] for store in (alone, together)]
        assert files[0] == files[1]


def test_one_share_of_two_finishes_the_other_ones_part_if_it_never_comes(tmp_path: Path) -> None:
    generator = StandInGenerator()
    summary = run(tmp_path / "cache", generator, share=Share(1, 2))
    assert summary.complete
    volumes = [request.condition.targets_ml["ventricles"] for request in plan_requests(generator, SCHEDULE, num=4)]
    made = [volume for volume, _ in generator.calls]
    assert set(made[:2]) == {volumes[1], volumes[3]}
    assert set(made[2:]) == {volumes[0], volumes[2]}


@pytest.mark.parametrize("length", [0, 1, 5, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_share_covers_everything_and_the_first_parts_do_not_overlap(length: int, count: int) -> None:
    orders = [Share(index, count).order(length) for index in range(count)]
    assert all(sorted(order) == list(range(length)) for order in orders)
    own = [i for index, order in enumerate(orders) for i in order[: len(range(index, length, count))]]
    assert sorted(own) == list(range(length))


def test_rejects_are_counted_by_reason_recorded_and_never_stored(tmp_path: Path) -> None:
    generator = Clumsy()
    volumes = {r.name: r.condition.targets_ml["ventricles"] for r in plan_requests(generator, SCHEDULE, num=4)}
    generator.limit_ml = sorted(volumes.values())[2]
    summary = run(tmp_path / "cache", generator, quality=QualityConfig(max_attempts=3))
    largest = max(volumes, key=lambda name: volumes[name])
    assert summary.given_up == (largest,)
    assert not summary.complete
    assert summary.rejects == {"non-zero-background": 3}
    store = Store.open(tmp_path / "cache")
    assert store.names() == sorted(set(volumes) - {largest})
    assert store.rejects == {"non-zero-background": 3}
    events = [event for event in store.events.read() if event["event"] == "rejected"]
    assert {event["name"] for event in events} == {largest}
    assert len({event["seed"] for event in events}) == 3
    assert "1 request(s) found no pair" in str(summary)
    assert "non-zero-background 3" in str(summary)


def test_a_request_that_was_given_up_is_tried_again_only_with_more_attempts(tmp_path: Path) -> None:
    def attempt(max_attempts: int, limit_ml: float) -> tuple[PrecomputeSummary, int]:
        generator = Clumsy()
        generator.limit_ml = limit_ml
        summary = run(tmp_path / "cache", generator, num=2, quality=QualityConfig(max_attempts=max_attempts))
        return summary, len(generator.calls)

    assert attempt(2, 0.0)[1] == 4
    assert attempt(2, 0.0)[1] == 0
    summary, calls = attempt(3, 1e9)
    assert summary.complete
    assert summary.given_up == ()
    assert calls == 2


def test_other_weights_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    run(tmp_path / "cache", StandInGenerator())
    store, other = Store.open(tmp_path / "cache"), StandInGenerator(version=2)
    with pytest.raises(StoreError, match="made with"):
        precompute(other, store, num=4, schedule=SCHEDULE)
    assert other.calls == []
    assert len(store) == 4


def test_a_target_out_of_bounds_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    generator = StandInGenerator()
    with pytest.raises(BoundsError):
        run(tmp_path / "cache", generator, schedule=parse_schedule("uniform:100:400"))
    assert generator.calls == []
    assert len(Store.open(tmp_path / "cache")) == 0


def test_progress_ends_at_the_requested_number_and_counts_what_was_there(tmp_path: Path) -> None:
    run(tmp_path / "cache", StandInGenerator(), num=2)
    moments: list[Progress] = []
    run(tmp_path / "cache", StandInGenerator(), on_progress=moments.append)
    assert moments[-1].settled == moments[-1].requested == 4
    assert moments[-1].settled_before == 2


@pytest.mark.parametrize("file", ["image.b2nd", "label.b2nd", "provenance.json", "done"])
@pytest.mark.parametrize("kept_bytes", [None, 0, 40])
def test_a_truncated_or_missing_file_is_no_settled_case(tmp_path: Path, file: str, kept_bytes: int | None) -> None:
    generator = StandInGenerator()
    run(tmp_path / "cache", generator, num=2)
    store = Store.open(tmp_path / "cache")
    name = store.names()[0]
    path = store.folder / "cases" / name / file
    content = path.read_bytes()
    if kept_bytes is None:
        path.unlink()
    else:
        path.write_bytes(content[:kept_bytes])
    moments: list[Progress] = []
    summary = run(tmp_path / "cache", StandInGenerator(), num=2, on_progress=moments.append)
    assert (summary.stored_before, summary.made_here, summary.complete) == (1, 1, True)
    assert path.read_bytes() == content
    assert store.verify() == []
    if (file, kept_bytes) != ("done", None):  # without its marker it was no case
        assert summary.remade == (name,)
        assert f"removed to be made anew ({name})" in str(summary)
    assert moments[-1].settled_before == 1


def test_a_linked_case_is_told_and_left_alone(tmp_path: Path) -> None:
    generator = StandInGenerator()
    run(tmp_path / "cache", generator, num=1)
    case = next((tmp_path / "cache" / "cases").iterdir())
    case.rename(tmp_path / "elsewhere")
    case.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="symbolic link"):
        run(tmp_path / "cache", generator, num=1)
    assert len(list((tmp_path / "elsewhere").iterdir())) == 4


class OutOfReach(StandInGenerator):
    """Cannot come near volumes above a limit, although its bounds allow them."""

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        if any(condition.targets_ml["ventricles"] > 80 for condition in conditions):
            raise BoundsError("ventricles misses the target")
        return super().generate(conditions, seeds)


def test_targets_that_no_attempt_reaches_are_given_up_and_the_rest_is_made(tmp_path: Path) -> None:
    generator = OutOfReach()
    summary = run(tmp_path / "cache", generator, num=6, quality=QualityConfig(max_attempts=2), batch_size=3)
    above = [r for r in plan_requests(generator, SCHEDULE, num=6) if r.condition.targets_ml["ventricles"] > 80]
    assert 0 < len(above) < 6
    assert (summary.stored, len(summary.given_up)) == (6 - len(above), len(above))
    assert summary.rejects == {"out-of-reach": 2 * len(above)}
    again = run(tmp_path / "cache", generator, num=6, quality=QualityConfig(max_attempts=2))
    assert (again.made_here, again.given_up) == (0, summary.given_up)


def test_rejects_in_a_batch_are_tried_again_and_lead_to_the_same_cases(tmp_path: Path) -> None:
    class Moody(StandInGenerator):
        """A third of all seeds gives a dirty background."""

        def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
            pairs = super().generate(conditions, seeds)
            for pair, seed in zip(pairs, seeds, strict=True):
                if seed % 3 == 0:
                    pair.image[0, 0, 0, 0] = 9.0
            return pairs

    quality = QualityConfig(max_attempts=8)
    alone = run(tmp_path / "alone", Moody(), num=12, quality=quality, overlap=False)
    together = run(tmp_path / "cache", Moody(), num=12, quality=quality, batch_size=5)
    assert alone.rejects == together.rejects
    assert alone.rejects["non-zero-background"] > 0
    one, other = Store.open(tmp_path / "alone"), Store.open(tmp_path / "cache")
    assert one.names() == other.names()
    for name in one.names():
        records = [store.provenance(name) for store in (one, other)]
        assert records[0]["files"] == records[1]["files"]
        assert records[0]["attempts"] == records[1]["attempts"]


def test_progress_tells_what_all_processes_did(tmp_path: Path) -> None:
    store = Store.open_or_create(tmp_path / "cache", StoreInfo.of(StandInGenerator()))
    first, *_ = plan_requests(StandInGenerator(), SCHEDULE, num=3)
    moments: list[Progress] = []

    class Beside(StandInGenerator):
        """Another process rejects an attempt and is at work on nothing of ours."""

        def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
            if not self.calls:
                store.events.write("rejected", name=first.name, seed=12, reasons=["missing-structure"])
            return super().generate(conditions, seeds)

    summary = run(tmp_path / "cache", Beside(), num=3, on_progress=moments.append)
    assert moments[-1].rejects == {"missing-structure": 1}
    assert summary.rejects == {"missing-structure": 1}
    assert summary.processes == 1
    assert summary.to_dict()["cases_per_hour"] > 0


def test_a_process_that_was_stopped_and_overtaken_changes_nothing_when_it_wakes_up(tmp_path: Path) -> None:
    overtaken: list[str] = []

    class Stopped(StandInGenerator):
        """While its first case is generated, everything is made by somebody who found its claim void."""

        def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
            if not self.calls:
                claims = tmp_path / "cache" / "claims"
                overtaken.extend(path.name for path in claims.iterdir())
                for path in claims.iterdir():
                    path.unlink()
                run(tmp_path / "cache", StandInGenerator())
            return super().generate(conditions, seeds)

    summary = run(tmp_path / "cache", Stopped())
    assert len(overtaken) == 1
    assert (summary.made_here, summary.stored) == (0, 4)
    store = Store.open(tmp_path / "cache")
    stored = [event["name"] for event in store.events.read() if event["event"] == "stored"]
    assert sorted(stored) == store.names()
    assert store.verify() == []
    assert store.claims().names() == []


def test_every_event_is_one_line_of_json_with_its_time(tmp_path: Path) -> None:
    run(tmp_path / "cache", StandInGenerator(), num=2)
    (file,) = (tmp_path / "cache" / "events").iterdir()
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [event["event"] for event in events] == ["started", "stored", "stored", "finished"]
    times = [datetime.fromisoformat(event["at"]) for event in events]
    assert times == sorted(times)


def test_claims_of_other_machines_on_cases_of_other_requests_stay(tmp_path: Path) -> None:
    generator = StandInGenerator()
    run(tmp_path, generator, num=2, seed=1)  # another run's: such a case may be on its way into a training's form
    theirs, ours = names(generator, 2, seed=1)[0], names(generator, 2)[0]
    claims = tmp_path / "claims"
    elsewhere = json.dumps({"process": f"{'f' * 12}-1-1"})

    def claim(_: str, __: LabeledVolume) -> None:
        (claims / theirs).write_text(elsewhere)

    run(tmp_path, generator, num=2, on_stored=claim)
    assert (claims / theirs).read_text() == elsewhere
    (claims / ours).write_text(elsewhere)
    run(tmp_path, generator, num=2)
    assert [path.name for path in claims.iterdir()] == [theirs]
