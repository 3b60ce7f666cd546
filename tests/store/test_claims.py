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


def test_a_claim_of_another_machine_holds_until_it_expires(tmp_path: Path) -> None:
    write_claim(tmp_path, "case", elsewhere())
    assert not Claims(tmp_path, expiry_s=600).take("case")
    old = (tmp_path / "case").stat().st_mtime - 601
    os.utime(tmp_path / "case", (old, old))
    assert Claims(tmp_path, expiry_s=600).take("case")


def test_a_touched_claim_does_not_expire(tmp_path: Path) -> None:
    claims = Claims(tmp_path, expiry_s=600)
    assert claims.take("case")
    old = (tmp_path / "case").stat().st_mtime - 601
    os.utime(tmp_path / "case", (old, old))
    claims.refresh()
    assert not Claims(tmp_path, expiry_s=600).take("case")


def test_a_claim_without_readable_content_is_judged_by_its_age(tmp_path: Path) -> None:
    (tmp_path / "case").write_bytes(b"")
    assert not Claims(tmp_path, expiry_s=600).take("case")
    os.utime(tmp_path / "case", (1, 1))
    assert Claims(tmp_path, expiry_s=600).take("case")


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


def _take_all(folder: Path, names: list[str], sender: multiprocessing.connection.Connection) -> None:
    claims = Claims(folder)
    sender.send([name for name in names if claims.take(name)])
    sender.recv()  # stay alive until the others have tried


def test_of_processes_that_claim_at_once_each_case_goes_to_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    names = [f"case{i}" for i in range(40)]
    for name in names[::2]:
        write_claim(tmp_path, name, dead_process() if name == "case0" else elsewhere())
        os.utime(tmp_path / name, (1, 1))  # void: to be taken over
    pipes = [context.Pipe() for _ in range(4)]
    processes = [context.Process(target=_take_all, args=(tmp_path, names, pipe[1])) for pipe in pipes]
    for process in processes:
        process.start()
    taken = [name for pipe in pipes for name in pipe[0].recv()]
    for pipe, process in zip(pipes, processes, strict=True):
        pipe[0].send(None)
        process.join()
    assert sorted(taken) == sorted(names)
