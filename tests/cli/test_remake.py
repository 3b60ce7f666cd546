"""``synthaug sample --from-provenance``: the same pair again, from what its provenance says, or what differs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from synthaug.cli.app import run
from synthaug.cli.generator_options import DEFAULT_GENERATOR
from synthaug.generators import registry
from synthaug.generators.hub import HubGenerator
from synthaug.store.arrays import digest
from tests.generators.real_cases import write_case
from tests.generators.tiny_guided_ldm import tiny_config, write_tiny_generator

CODE = "python:tests.stand_in_generator:make"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_generator(tmp_path_factory.mktemp("weights") / "tiny")


@pytest.fixture(scope="module")
def other_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_generator(tmp_path_factory.mktemp("weights") / "other", tiny_config(name="other"), seed=1)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("cases")
    written = [write_case(folder, "small", 3.0), write_case(folder, "large_one", 7.0)]
    return [word for one in written for word in ("--cases", f"{one.images[0]},{one.label}")]


def sampled(out: Path, *arguments: str) -> Path:
    assert run(["sample", *arguments, "--num", "1", "--seed", "3", "--out", str(out)]) == 0
    return sorted(out.glob("*_provenance.json"))[0]


def remade(capsys: pytest.CaptureFixture[str], path: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["sample", "--from-provenance", str(path), "--json", *arguments]) == code
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert run(["sample", "--from-provenance", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    return error


def changed(path: Path, **values: Any) -> Path:
    """A copy of a provenance with other values."""
    copy = path.with_name("changed_provenance.json")
    copy.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return copy


def test_a_sampled_pair_comes_out_the_same_with_its_options_and_files(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sampled(
        tmp_path / "first", "--generator", str(weights), "--target", "ventricles=40", "--option", "image_steps=3"
    )
    facts = remade(capsys, path, "--generator", str(weights), "--out", str(tmp_path / "second"))
    assert facts["identical"]
    assert facts["circumstances"] == []
    name = path.name.removesuffix("_provenance.json")
    for kind in ("image", "label"):
        file = f"{name}_{kind}.nii.gz"
        assert (tmp_path / "second" / file).read_bytes() == (tmp_path / "first" / file).read_bytes()
    assert remade(capsys, tmp_path / "second" / path.name, "--generator", str(weights))["identical"]


def test_a_case_of_a_cache_comes_out_the_same_after_rejected_attempts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    arguments = ["--schedule", "uniform:20:60", "--option", "shape=40x40x40", "--out", str(cache)]
    assert run(["precompute", "--generator", CODE, "--num", "2", *arguments]) == 0
    for path in sorted(cache.glob("cases/*/provenance.json")):
        assert "is code" in refused(capsys, str(path))
        assert remade(capsys, path, "--generator", CODE)["identical"]
        assert remade(capsys, path.parent, "--generator", CODE)["name"] == path.parent.name


@pytest.mark.parametrize("number", [1, 2])
def test_the_number_of_threads_is_that_of_then(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    now = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        path = sampled(tmp_path / "first", "--generator", str(weights), "--target", "ventricles=40")
    finally:
        torch.set_num_threads(now)
    assert json.loads(path.read_text())["threads"] == number
    facts = remade(capsys, path, "--generator", str(weights))
    assert (facts["identical"], facts["circumstances"]) == (True, [])
    assert torch.get_num_threads() == now


def combined(weights: Path, other: Path, cases: list[str]) -> list[str]:
    return ["--generator", str(weights), "--option", f"masks={other}", "--target", "ventricles=40"]


def randomised(weights: Path, other: Path, cases: list[str]) -> list[str]:
    options = ["--option", f"masks={weights}", "--target", "ventricles=40"]
    return ["--generator", "domain-randomization", *options]


def warped(weights: Path, other: Path, cases: list[str]) -> list[str]:
    return ["--generator", "counterfactual", "--option", "flip=false", "--target", "ventricles=5", *cases]


def warped_and_randomised(weights: Path, other: Path, cases: list[str]) -> list[str]:
    return ["--generator", "domain-randomization", "--target", "ventricles=5", *cases]


@pytest.mark.parametrize("asked", [combined, randomised, warped, warped_and_randomised])
def test_every_kind_of_generator_makes_its_pair_again(
    asked: Callable[[Path, Path, list[str]], list[str]],
    weights: Path,
    other_weights: Path,
    cases: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = asked(weights, other_weights, cases)
    path = sampled(tmp_path / "first", *arguments)
    again = arguments[: arguments.index("--target")] + (cases if "--cases" in arguments else [])
    assert remade(capsys, path, *again)["identical"]


def test_where_weights_lie_is_written_nowhere(
    weights: Path, other_weights: Path, cases: list[str], tmp_path: Path
) -> None:
    for number, asked in enumerate((combined, randomised)):
        path = sampled(tmp_path / str(number), *asked(weights, other_weights, cases))
        recipe = json.loads(path.read_text())["recipe"]
        assert recipe["options"]["masks"] == ("other", "tiny")[number]
        assert str(weights.parent) not in path.read_text()
        assert str(other_weights.parent) not in path.read_text()


@pytest.fixture
def closed_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*arguments: Any, **options: Any) -> Any:
        raise AssertionError(f"the Hub was asked for {arguments}")

    monkeypatch.setattr(registry, "fetch_generator", fetch)


@pytest.mark.usefixtures("closed_hub")
def test_a_file_fetches_no_repository(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sampled(tmp_path / "first", "--generator", str(weights), "--target", "ventricles=40")
    for name in ("foreign/weights", "foreign/weights@main", "fits/heart", "foreign/weights@" + "a" * 39):
        then = changed(path, recipe={"generator": name, "options": {}})
        assert "fetches nothing but one commit" in refused(capsys, str(then))
        assert remade(capsys, then, "--generator", str(weights))["identical"]
        for option in ("masks", "painter"):
            then = changed(path, recipe={"generator": str(weights), "options": {option: name}})
            error = refused(capsys, str(then), "--generator", str(weights))
            assert f"give --option {option}=FOLDER" in error
    then = changed(path, recipe={"generator": "tiny", "options": {"masks": "python:os:getcwd"}})
    assert "is code" in refused(capsys, str(then), "--generator", str(weights))


def test_one_commit_of_the_hub_may_be_named_by_a_file(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sampled(tmp_path / "first", "--generator", str(weights), "--target", "ventricles=40")
    pinned = "lab/tiny@" + "a" * 40
    asked = []

    def fetch(name: str, revision: str | None) -> HubGenerator:
        asked.append(name)
        return HubGenerator(weights, name)

    monkeypatch.setattr(registry, "fetch_generator", fetch)
    assert remade(capsys, changed(path, recipe={"generator": pinned, "options": {}}))["identical"]
    assert asked == [pinned]


def test_real_cases_are_to_be_given_again_and_the_same_ones(
    cases: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sampled(tmp_path / "first", *warped(Path(), Path(), cases))
    assert "needs cases" in refused(capsys, str(path))
    assert "from 2 real case(s), and the 1 given now" in refused(capsys, str(path), *cases[:2])
    assert "the same cases in the same order" in refused(capsys, str(path), *cases[2:], *cases[:2])


def test_other_weights_or_options_are_told_by_their_hash(
    weights: Path, other_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sampled(tmp_path / "first", "--generator", str(weights), "--target", "ventricles=40")
    fingerprint = json.loads(path.read_text())["generator_sha256"]
    error = refused(capsys, str(path), "--generator", str(other_weights))
    assert fingerprint[:12] in error
    assert "weights, configuration or options differ" in error
    assert fingerprint[:12] in refused(capsys, str(path), "--generator", str(weights), "--option", "mask_steps=3")


def test_the_default_generator_can_be_named_in_the_place_of_the_recorded_one(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sampled(tmp_path / "first", "--generator", str(weights), "--target", "ventricles=40")
    assert f"{DEFAULT_GENERATOR} is " in refused(capsys, str(path), "--generator", DEFAULT_GENERATOR)


def test_weights_that_were_moved_are_named_again(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved"
    before = write_tiny_generator(tmp_path / "before")
    path = sampled(tmp_path / "first", "--generator", str(before), "--target", "ventricles=40")
    before.rename(moved)
    error = refused(capsys, str(path))
    assert "give --generator FOLDER" in error
    assert str(before) not in error
    assert remade(capsys, path, "--generator", str(moved))["identical"]


def test_a_pair_that_comes_out_otherwise_says_what_may_have_done_it(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sampled(tmp_path / "first", "--generator", str(weights), "--target", "ventricles=40")
    content = json.loads(path.read_text())
    then = changed(
        path,
        arrays={**content["arrays"], "image": "0" * 64},
        device="cuda:1",
        dtype="float16",
        versions={**content["versions"], "torch": "2.0.0"},
    )
    facts = remade(capsys, then, "--generator", str(weights), code=1)
    assert facts["differing"] == ["image"]
    told = " ".join(facts["circumstances"])
    assert "device: cuda then" in told or torch.cuda.is_available()
    assert "float16 then" in told
    assert f"torch: 2.0.0 then, {torch.__version__} now" in told
    assert run(["sample", "--from-provenance", str(then), "--generator", str(weights)]) == 1
    assert "image differ" in capsys.readouterr().out


def test_circumstances_that_changed_nothing_are_told_and_do_no_harm(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sampled(tmp_path / "first", "--generator", str(weights), "--target", "ventricles=40")
    versions = json.loads(path.read_text())["versions"]
    facts = remade(capsys, changed(path, versions={**versions, "torch": "2.0.0"}), "--generator", str(weights))
    assert facts["identical"]
    assert len(facts["circumstances"]) == 1


def test_a_provenance_of_earlier_releases_has_nothing_to_compare(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sampled(tmp_path / "first", "--generator", str(weights), "--target", "ventricles=40")
    content = json.loads(path.read_text())
    old = {key: value for key, value in content.items() if key not in ("arrays", "affine", "recipe", "request")}
    path.write_text(json.dumps(old))
    assert "give --generator FOLDER" in refused(capsys, str(path))
    facts = remade(capsys, path, "--generator", str(weights), code=1)
    assert "no digests" in facts["verdict"]


def test_a_changed_byte_in_a_cache_is_seen_by_its_marker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--schedule", "uniform:20:60", "--out", str(tmp_path / "cache")]
    assert run(["precompute", "--generator", CODE, "--num", "1", *arguments]) == 0
    (path,) = (tmp_path / "cache").glob("cases/*/provenance.json")
    path.write_bytes(path.read_bytes().replace(b'"attempts": 1', b'"attempts": 2'))
    assert "a byte is wrong" in refused(capsys, str(path), "--generator", CODE)
    path.with_name("done").write_text("x" * 5000)  # longer than any marker is no missing one
    assert "a byte is wrong" in refused(capsys, str(path), "--generator", CODE)
    path.with_name("done").write_text(digest(path.read_bytes()) + "\n")
    assert remade(capsys, path, "--generator", CODE)["identical"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON"),
        ("[]", "no JSON object"),
        ("{}", "is no provenance"),
        ('{"pair": 1, "files": {}}', "is no provenance"),
        ('{"generator": "x", "generator_sha256": "y", "requested_ml": [], "seed": 1}', "is no provenance"),
        ('{"generator": "x", "generator_sha256": "y", "requested_ml": {"a": "b"}, "seed": 1}', "a volume in mL"),
        ('{"generator": "x", "generator_sha256": "y", "requested_ml": {}, "seed": true}', "is no provenance"),
        ('{"generator": "x", "generator_sha256": "y", "requested_ml": {}, "seed": 1' + "0" * 30 + "}", "below 2**53"),
        ('{"name": "../../x", "generator": "x", "requested_ml": {}}', "case name"),
        ('{"generator": "python:os:getcwd", "generator_sha256": "y", "requested_ml": {}, "seed": 1}', "is code"),
        ('{"label_file": "map.nii.gz", "generator": "x"}', "sample --labels"),
    ],
)
def test_a_file_that_is_none_is_one_line(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a_provenance.json"
    path.write_text(content)
    assert message in refused(capsys, str(path))
    assert message not in refused(capsys, str(tmp_path / "missing.json"))


@pytest.mark.parametrize(
    "values",
    [
        {"requested_ml": {"v" * 100_000: 40}},
        {"requested_ml": {"v" * 150: "9" * 100_000}},
        {"name": "n" * 100_000},
        {"recipe": {"generator": "g" * 100_000}},
        {"recipe": {"options": {"o" * 100_000: 1}}},
        {"recipe": {"options": {"masks": "m" * 100_000}}},
        {"label_file": "f" * 100_000},
        {"seed": "s" * 100_000},
        {"affine": [["a" * 100_000]]},
    ],
    ids=lambda values: next(iter(values)),
)
def test_a_long_text_of_a_file_does_not_come_back_whole(
    values: dict[str, Any], weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sampled(tmp_path / "first", "--generator", str(weights), "--target", "ventricles=40")
    content = json.loads(path.read_text())
    old = {key: value for key, value in content.items() if key not in ("recipe", "request")}
    path.write_text(json.dumps({**old, "generator": str(weights), **values}))
    assert len(refused(capsys, str(path))) < 1000


def test_what_the_provenance_says_is_not_to_be_said_again(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sampled(tmp_path / "first", "--generator", str(weights), "--target", "ventricles=40")
    for words in ("--target ventricles=20", "--seed 4", "--seed 0", "--num 2", "--num 1", "--check"):
        arguments = words.split()
        assert f"{arguments[0]}: does not go with" in refused(capsys, str(path), *arguments)
    assert "give another folder" in refused(capsys, str(path), "--out", str(tmp_path / "first"))
    capsys.readouterr()
    assert run(["sample", "--target", "ventricles=20"]) == 2
    assert "--out: is missing" in capsys.readouterr().err
