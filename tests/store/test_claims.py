"""One process gets a case; the claim of a process that is gone, or silent for too long, is void."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from synthaug.files.process_identity import ProcessIdentity
from synthaug.store import Claims


def write_claim(folder: Path, name: str, identity: ProcessIdentity) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps({"process": identity.tag}))


def dead_process() -> ProcessIdentity:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe()
    process = context.Process(target=lambda: sender.send(ProcessIdentity.current().tag))
    process.start()
    tag = receiver.recv()
    process.join()
    identity = ProcessIdentity.from_tag(tag)
    assert identity is not None
    return identity


def elsewhere() -> ProcessIdentity:
    return ProcessIdentity("0" * 12, 1, 1)


def test_a_claim_is_exclusive_until_it_is_released(tmp_path: Path) -> None:
    one, two = Claims(tmp_path / "claims"), Claims(tmp_path / "claims")
    assert one.take("case")
    assert not two.take("case")
    one.release("case")
    assert two.take("case")


def test_the_claim_of_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    claims = Claims(tmp_path, expiry_s=1e6)
    write_claim(tmp_path, "case", dead_process())
    assert claims.take("case")


def test_a_reused_process_number_is_another_process(tmp_path: Path) -> None:
    own = ProcessIdentity.current()
    if own.start == 0:
        pytest.skip("this system does not tell when a process began")
    write_claim(tmp_path, "case", ProcessIdentity(own.machine, own.pid, own.start + 1))
    assert Claims(tmp_path, expiry_s=1e6).take("case")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_claim_of_another_machine_holds_until_it_was_seen_untouched_for_the_expiry(tmp_path: Path) -> None:
    write_claim(tmp_path, "case", elsewhere())
    clock = Clock()
    claims = Claims(tmp_path, expiry_s=600, clock=clock)
    assert not claims.take("case")
    clock.now = 600
    assert not claims.take("case")
    clock.now = 601
    assert claims.take("case")


@pytest.mark.parametrize("skew_s", [-1e6, -3600, 3600, 1e6])
def test_a_clock_that_is_wrong_on_another_machine_does_not_void_its_claims(tmp_path: Path, skew_s: float) -> None:
    write_claim(tmp_path, "case", elsewhere())
    clock = Clock()
    claims = Claims(tmp_path, expiry_s=600, clock=clock)
    for beat in range(20):
        wrong = (tmp_path / "case").stat().st_mtime + skew_s + beat
        os.utime(tmp_path / "case", (wrong, wrong))
        assert not claims.take("case")
        clock.now += 500
    clock.now += 101
    assert claims.take("case")


def test_a_touched_claim_does_not_expire(tmp_path: Path) -> None:
    owner, clock = Claims(tmp_path, expiry_s=600), Clock()
    other = Claims(tmp_path, expiry_s=600, clock=clock)
    assert owner.take("case")
    os.utime(tmp_path / "case", (1, 1))
    assert not other.take("case")
    owner.refresh()
    clock.now = 601
    assert not other.take("case")
    clock.now = 1202
    assert other.take("case")


def test_a_claim_without_readable_content_is_judged_by_its_silence(tmp_path: Path) -> None:
    (tmp_path / "case").write_bytes(b"")
    clock = Clock()
    claims = Claims(tmp_path, expiry_s=600, clock=clock)
    assert not claims.take("case")
    clock.now = 601
    assert claims.take("case")


def test_a_process_that_wakes_up_leaves_the_claim_that_was_taken_over_alone(tmp_path: Path) -> None:
    former = Claims(tmp_path)
    assert former.take("case")
    write_claim(tmp_path, "case", elsewhere())
    os.utime(tmp_path / "case", (1, 1))
    former.refresh()
    former.release_all()
    assert (tmp_path / "case").stat().st_mtime == 1


def test_who_looks_once_waits_for_a_sign_of_life_and_no_longer(tmp_path: Path) -> None:
    write_claim(tmp_path, "case", elsewhere())

    class Beating(Clock):
        def __call__(self) -> float:
            self.now += 100
            if self.now == 500:
                os.utime(tmp_path / "case", (1, 1))
            return self.now

    clock = Beating()
    claims = Claims(tmp_path, expiry_s=600, clock=clock)
    assert not claims.take_from_silent("case", poll_s=0)
    assert clock.now == 500
    assert claims.take_from_silent("case", poll_s=0)
    assert clock.now > 1100


def test_a_process_of_this_machine_that_lives_is_not_waited_for(tmp_path: Path) -> None:
    assert Claims(tmp_path).take("case")
    assert not Claims(tmp_path).take_from_silent("case", poll_s=1e6)


def test_a_link_that_was_made_although_its_answer_says_otherwise_is_a_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def repeated(*arguments: object) -> None:
        link(*arguments)  # type: ignore[arg-type]
        raise FileExistsError

    monkeypatch.setattr(os, "link", repeated)
    assert Claims(tmp_path).take("case")


def test_a_claim_that_was_taken_over_is_not_released_by_its_former_owner(tmp_path: Path) -> None:
    former = Claims(tmp_path, expiry_s=600)
    assert former.take("case")
    write_claim(tmp_path, "case", elsewhere())
    former.release("case")
    assert (tmp_path / "case").exists()


def test_everything_is_released_when_the_work_ends_by_an_error(tmp_path: Path) -> None:
    claims = Claims(tmp_path)

    def work() -> None:
        with claims.kept_alive():
            claims.take("one")
            claims.take("two")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert claims.names() == []


def test_leftovers_are_void_claims_and_files_of_dead_writers(tmp_path: Path) -> None:
    gone = dead_process()
    write_claim(tmp_path, "dead", gone)
    write_claim(tmp_path, "alive", ProcessIdentity.current())
    (tmp_path / f".case.{gone.tag}.0.tmp").touch()
    (tmp_path / f".case.{ProcessIdentity.current().tag}.0.tmp").touch()
    assert {path.name for path in Claims(tmp_path).leftovers()} == {"dead", f".case.{gone.tag}.0.tmp"}


def test_claims_of_other_machines_on_settled_cases_are_discarded_and_no_others(tmp_path: Path) -> None:
    write_claim(tmp_path, "settled", elsewhere())
    write_claim(tmp_path, "open", elsewhere())
    write_claim(tmp_path, "own", ProcessIdentity.current())
    Claims(tmp_path).discard({"settled", "own"})
    assert Claims(tmp_path).names() == ["open", "own"]


def test_owners_are_those_that_may_be_alive(tmp_path: Path) -> None:
    write_claim(tmp_path, "dead", dead_process())
    write_claim(tmp_path, "one", elsewhere())
    write_claim(tmp_path, "two", elsewhere())
    write_claim(tmp_path, "own", ProcessIdentity.current())
    clock = Clock()
    claims = Claims(tmp_path, expiry_s=600, clock=clock)
    assert claims.owners() == {elsewhere(), ProcessIdentity.current()}
    clock.now = 601
    os.utime(tmp_path / "own", (1, 1))
    assert claims.owners() == {ProcessIdentity.current()}


def _take_all(folder: Path, names: list[str], sender: multiprocessing.connection.Connection) -> None:
    claims = Claims(folder)
    sender.send([name for name in names if claims.take(name)])
    sender.recv()  # stay alive until the others have tried


def test_of_processes_that_claim_at_once_each_case_goes_to_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    names, gone = [f"case{i}" for i in range(40)], dead_process()
    for name in names[::2]:
        write_claim(tmp_path, name, gone)  # void: to be taken over
    pipes = [context.Pipe() for _ in range(4)]
    processes = [context.Process(target=_take_all, args=(tmp_path, names, pipe[1])) for pipe in pipes]
    for process in processes:
        process.start()
    taken = [name for pipe in pipes for name in pipe[0].recv()]
    for pipe, process in zip(pipes, processes, strict=True):
        pipe[0].send(None)
        process.join()
    assert sorted(taken) == sorted(names)
