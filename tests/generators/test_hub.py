"""Generators of the Hub: one commit, JSON and safetensors alone, the folder as in ``pretrained/``."""

from __future__ import annotations

import fnmatch
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest

import synthaug
from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError
from synthaug.generators.hub import FETCHED, fetch_generator, model_card, push_generator
from synthaug.generators.licence import is_stated
from synthaug.generators.registry import pretrained_folders
from tests.generators.tiny_guided_ldm import tiny_config, write_tiny_generator

FIRST, SECOND = "a" * 40, "b" * 40


class FakeHub:
    """Repositories in a folder, one sub-folder for each commit; ``branches`` says which commit a name stands for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.online = folder, True
        self.branches: dict[str, str] = {"main": FIRST}
        self.sizes: dict[str, int] = {}
        self.made: list[tuple[str, bool]] = []

    def snapshot_download(
        self, repository: str, *, revision: str, allow_patterns: Sequence[str] = (), local_files_only: bool = False
    ) -> str:
        snapshot = self.folder / "cache" / repository.replace("/", "--") / revision
        if not snapshot.is_dir():
            if local_files_only:
                raise FileNotFoundError(f"{repository} at {revision} is not cached")
            self._go_online()
            source = self.folder / repository / revision
            if not source.is_dir():
                raise ValueError(f"404: no {repository} at {revision}")
            snapshot.mkdir(parents=True)
            for path in source.iterdir():
                if any(fnmatch.fnmatch(path.name, pattern) for pattern in allow_patterns):
                    shutil.copy(path, snapshot / path.name)
        return str(snapshot)

    def _go_online(self) -> None:
        if not self.online:
            raise ConnectionError("no route to host")

    def model_info(self, repository: str, *, revision: str | None, files_metadata: bool) -> Any:
        self._go_online()
        assert files_metadata
        commit = self.branches.get(revision or "main", revision)
        files = (self.folder / repository / str(commit)).glob("*")
        sizes = [SimpleNamespace(rfilename=one.name, size=self.sizes.get(one.name, 1)) for one in files]
        return SimpleNamespace(sha=commit, siblings=sizes)

    def create_repo(self, repository: str, *, private: bool, exist_ok: bool) -> None:
        self._go_online()
        assert exist_ok
        self.made.append((repository, private))

    def create_commit(self, repository: str, operations: list[Any], *, commit_message: str) -> Any:
        assert commit_message
        target = self.folder / repository / SECOND
        target.mkdir(parents=True)
        for one in operations:
            with one.as_file() as content:
                (target / one.path_in_repo).write_bytes(content.read())
        self.branches["main"] = SECOND
        return SimpleNamespace(oid=SECOND)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    hub = FakeHub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda **_: hub)
    folder = write_tiny_generator(hub.folder / "lab" / "brains" / FIRST)
    (folder / "README.md").write_text("# Brains\n")
    (folder / "weights.bin").write_bytes(b"a pickle")
    (folder / "code.py").write_text("raise SystemExit")
    return hub


def test_a_generator_of_the_hub_makes_the_pairs_of_its_folder_and_names_the_commit(hub: FakeHub) -> None:
    generator = synthaug.load_generator("lab/brains", device="cpu")
    at_home = synthaug.load_generator(hub.folder / "lab" / "brains" / FIRST, device="cpu")
    assert generator.fingerprint == at_home.fingerprint
    (pair,) = generator.generate([Condition({"ventricles": 40.0})], [3])
    (same,) = at_home.generate([Condition({"ventricles": 40.0})], [3])
    np.testing.assert_array_equal(pair.image, same.image)
    assert pair.provenance["generator_origin"] == f"lab/brains@{FIRST}"
    assert "generator_origin" not in same.provenance


def test_images_and_label_maps_of_the_hub_are_both_named_by_their_commits(hub: FakeHub) -> None:
    write_tiny_generator(hub.folder / "lab" / "masks" / FIRST, seed=1)
    generator = synthaug.load_generator("lab/brains", revision="main", masks="lab/masks", device="cpu")
    (pair,) = generator.generate([Condition({"ventricles": 40.0})], [3])
    brains, masks = f"lab/brains@{FIRST}", f"lab/masks@{FIRST}"
    assert pair.provenance["recipe"] == {"generator": brains, "options": {"masks": masks}}
    assert (pair.provenance["generator_origin"], pair.provenance["masks_origin"]) == (brains, masks)
    drawn = synthaug.load_generator("domain-randomization", masks="lab/masks", device="cpu")
    (pair,) = drawn.generate([Condition({"ventricles": 40.0})], [3])
    assert pair.provenance["recipe"]["options"] == {"masks": masks}
    assert pair.provenance["masks_origin"] == masks
    assert "generator_origin" not in pair.provenance


def test_parts_of_which_one_states_no_licence_state_none(hub: FakeHub) -> None:
    write_tiny_generator(hub.folder / "lab" / "masks" / FIRST, tiny_config(licence="unknown"))
    assert synthaug.load_generator("lab/brains", masks="lab/masks", device="cpu").licence is None  # type: ignore[attr-defined]
    assert not is_stated("unknown; CC BY-NC 4.0")
    assert is_stated("CC0; CC BY-NC 4.0")


def test_what_is_too_large_is_not_fetched(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.sizes = {"weights.bin": 1 << 50}  # not fetched, and so not counted
    cached = fetch_generator("lab/brains").folder
    hub.sizes = {"mask_diffusion.safetensors": 1 << 50}
    with pytest.raises(ConfigurationError, match="1073741824 MB, at most 32768 MB"):
        fetch_generator("lab/brains")
    hub.sizes = {"mask_diffusion.safetensors": 1 << 30}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 30))
    assert fetch_generator(f"lab/brains@{FIRST}").folder == cached
    shutil.rmtree(cached)
    with pytest.raises(ConfigurationError, match=r"1088 MB are needed in .* and 1024 MB free"):
        fetch_generator(f"lab/brains@{FIRST}")


def test_only_json_safetensors_card_and_licence_are_fetched(hub: FakeHub) -> None:
    fetched = fetch_generator("lab/brains")
    names = {path.name for path in fetched.folder.iterdir()}
    assert {"config.json", "README.md", "mask_diffusion.safetensors"} < names
    assert not {"weights.bin", "code.py"} & names


def test_a_branch_that_moves_is_noted_by_its_commit_and_a_commit_stays(hub: FakeHub) -> None:
    assert fetch_generator("lab/brains", "main").origin == f"lab/brains@{FIRST}"
    write_tiny_generator(hub.folder / "lab" / "brains" / SECOND, seed=1)
    hub.branches["main"] = SECOND
    assert fetch_generator("lab/brains@main").origin == f"lab/brains@{SECOND}"
    hub.online = False
    assert fetch_generator("lab/brains", FIRST).origin == f"lab/brains@{FIRST}"
    assert fetch_generator(f"lab/brains@{FIRST}").folder == fetch_generator("lab/brains", FIRST).folder
    with pytest.raises(ConfigurationError, match=r"no route to host.*org/name@COMMIT"):
        fetch_generator("lab/brains")


def test_wrong_names_and_revisions_are_told_in_one_line(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="404: no lab/hearts"):
        synthaug.load_generator("lab/hearts")
    with pytest.raises(ConfigurationError, match="revision is 'v2', the name says 'v1'"):
        synthaug.load_generator("lab/brains@v1", revision="v2")
    with pytest.raises(ConfigurationError, match="is for a name on the Hub"):
        synthaug.load_generator("ventricles-t1-1mm", revision=FIRST)
    (hub.folder / "lab" / "empty" / FIRST).mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"holds no config\.json, so it is no generator"):
        synthaug.load_generator("lab/empty")


def test_what_is_published_loads_as_it_was(hub: FakeHub, tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "fitted", tiny_config(licence="CC BY-NC 4.0"), seed=5)
    (folder / "log.txt").write_text("not for the world")
    name = push_generator(folder, "lab/fitted")
    assert name == f"lab/fitted@{SECOND}"
    assert hub.made == [("lab/fitted", True)]
    published = {path.name for path in (hub.folder / "lab" / "fitted" / SECOND).iterdir()}
    assert published == {path.name for path in folder.iterdir()} - {"log.txt"} | {"README.md"}
    card = (hub.folder / "lab" / "fitted" / SECOND / "README.md").read_text()
    assert card.startswith("---\nlicense: cc-by-nc-4.0\nlibrary_name: synthaug\n")
    assert "| `ventricles` | 5 to 150 mL |" in card
    assert synthaug.load_generator(name).fingerprint == synthaug.load_generator(folder).fingerprint


@pytest.mark.parametrize("name", ["evil.safetensors", "README.md", "LICENSE"])
def test_what_a_link_brings_in_from_elsewhere_is_not_published(hub: FakeHub, tmp_path: Path, name: str) -> None:
    folder = write_tiny_generator(tmp_path / "fitted", tiny_config(licence="CC0"))
    (tmp_path / "secret").write_text("not for the world")
    (folder / name).symlink_to(tmp_path / "secret")
    with pytest.raises(ConfigurationError, match=f"{name}: is a symbolic link out of its folder"):
        push_generator(folder, "lab/fitted")
    assert not hub.made


def test_a_link_within_the_folder_is_published(hub: FakeHub, tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "fitted", tiny_config(licence="CC0"))
    (folder / "terms.txt").write_text("CC0")
    (folder / "LICENSE").symlink_to("terms.txt")
    push_generator(folder, "lab/fitted")
    assert (hub.folder / "lab" / "fitted" / SECOND / "LICENSE").read_text() == "CC0"


def test_what_cannot_be_read_is_not_published(hub: FakeHub, tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "fitted", tiny_config(licence="CC0"))
    (folder / "README.md").write_bytes("Schädel".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"README\.md: is no UTF-8 \(.* at byte 3\); save it as UTF-8"):
        push_generator(folder, "lab/fitted")
    (folder / "README.md").unlink()
    weights = next(folder.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ConfigurationError, match=f"{weights.name}: cannot be opened as safetensors"):
        push_generator(folder, "lab/fitted")
    assert not hub.made


def test_a_licence_that_is_stated_is_not_replaced(hub: FakeHub, tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "fitted", tiny_config(licence="CC BY-NC 4.0"))
    with pytest.raises(ConfigurationError, match=r"licence='mit', but its configuration states 'CC BY-NC 4\.0'"):
        push_generator(folder, "lab/fitted", licence="mit")
    assert not hub.made
    assert push_generator(folder, "lab/fitted", licence="cc-by-nc-4.0") == f"lab/fitted@{SECOND}"


@pytest.mark.parametrize("stated", ["unknown", "that of the training data"])
def test_weights_without_a_licence_are_not_published(hub: FakeHub, tmp_path: Path, stated: str) -> None:
    folder = write_tiny_generator(tmp_path / "fitted", tiny_config(licence=stated))
    with pytest.raises(ConfigurationError, match="no licence of the weights is known"):
        push_generator(folder, "lab/fitted")
    assert not hub.made
    assert push_generator(folder, "lab/fitted", licence="own terms") == f"lab/fitted@{SECOND}"
    assert "license: other\nlicense_name: " in (hub.folder / "lab" / "fitted" / SECOND / "README.md").read_text()
    hub.online = False
    with pytest.raises(ConfigurationError, match="not published"):
        push_generator(folder, "lab/other", licence="mit")


@pytest.mark.parametrize("name", sorted(pretrained_folders()))
def test_shipped_folders_have_the_layout_of_the_hub(name: str) -> None:
    """All that a shipped generator needs would be fetched, and its card gets the Hub's metadata."""
    folder = pretrained_folders()[name]
    others = [one.name for one in folder.iterdir() if not any(fnmatch.fnmatch(one.name, kind) for kind in FETCHED)]
    assert others in ([], ["train.sh"])
    config = json.loads((folder / "config.json").read_text())
    card = model_card(config, (folder / "README.md").read_text())
    assert card.startswith("---\nlicense: cc-by-nc-4.0\n")
    assert f"# {name}" in card
