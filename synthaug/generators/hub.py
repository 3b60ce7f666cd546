"""Generators on the Hugging Face Hub: a repository is a folder of weights, laid out as those in ``pretrained/``.

Only JSON, safetensors, the model card and the licence are fetched and published; nothing that could hold code.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.errors import ConfigurationError
from synthaug.files.bounded_reading import read_bounded
from synthaug.files.canonical_json import canonical_json
from synthaug.files.hugging_face import REPOSITORY, SPARE_BYTES, hub_errors, is_commit, reason_of
from synthaug.generators.config_file import CONFIG_NAME, read_config_file
from synthaug.generators.licence import hub_licence, is_same_licence, is_stated

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FETCHED = (CONFIG_NAME, "settings.json", "*.safetensors", "README.md", "LICENSE")
"""Files of a repository that are fetched or published, by pattern."""
MAX_BYTES = 32 << 30
"""Of all files of a repository that are fetched."""
CARD_NAME = "README.md"
MAX_CARD_BYTES = 16 << 20
LIBRARY = "synthaug"

_NAME = re.compile(rf"(?P<repository>{REPOSITORY})(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class HubGenerator:
    """A generator that was fetched.

    Attributes:
        folder: of the weights, in the Hub's local cache.
        origin: ``org/name@commit``, which gives the same files for ever.
    """

    folder: Path
    origin: str


def is_hub_name(name: str) -> bool:
    """Whether a text has the form ``org/name`` or ``org/name@revision``."""
    return _NAME.fullmatch(name) is not None


def is_pinned(name: str) -> bool:
    """Whether a text has the form ``org/name@commit``, which stands for the same files for ever."""
    found = _NAME.fullmatch(name)
    return found is not None and is_commit(found["revision"])


def fetch_generator(name: str, revision: str | None = None) -> HubGenerator:
    """Fetch a generator, or take it from the local cache where the commit is there.

    A branch or tag, or none (the main branch), is looked up first and the commit that it stands for is fetched: what
    was loaded can be named later although branches move. A commit that was fetched is taken from the cache where there
    is no network, with ``HF_HUB_OFFLINE=1`` at once.

    Args:
        name: ``org/name``, or ``org/name@revision``.
        revision: commit, tag or branch.

    Raises:
        ConfigurationError: two revisions, no such repository or revision, no network, a repository that holds no
            generator, or one that is too large.
    """
    from huggingface_hub import HfApi, snapshot_download

    found = _NAME.fullmatch(name)
    if found is None:
        raise ConfigurationError(f"{name!r} is no name on the Hub; the form is org/name or org/name@revision")
    repository, named = found["repository"], found["revision"]
    if revision is not None and named is not None and revision != named:
        raise ConfigurationError(f"generator {name!r}: revision is {revision!r}, the name says {named!r}; give one")
    wanted = revision or named
    try:
        commit = wanted if is_commit(wanted) else None
        there = _cached(repository, commit) if commit else None
        try:
            listed = HfApi().model_info(repository, revision=wanted, files_metadata=True)
        except hub_errors():
            if there is None:
                raise
        else:
            commit = str(listed.sha)
            _refuse_too_large(f"{repository}@{commit}", listed.siblings or (), _cached(repository, commit))
        folder = Path(snapshot_download(repository, revision=commit, allow_patterns=list(FETCHED)))
    except hub_errors() as error:
        raise ConfigurationError(
            f"generator {name!r}: neither a folder nor fetched from the Hub ({reason_of(error)}); check name and "
            "network, or name a commit that was fetched before: org/name@COMMIT"
        ) from error
    if not (folder / CONFIG_NAME).is_file():
        raise ConfigurationError(f"{repository}@{commit}: holds no {CONFIG_NAME}, so it is no generator of synthaug")
    return HubGenerator(folder, f"{repository}@{commit}")


def _cached(repository: str, commit: str | None) -> Path | None:
    """Folder of a commit in the Hub's local cache, which may lack files of it; None where there is none."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, revision=commit, local_files_only=True))
    except hub_errors():
        return None


def _refuse_too_large(name: str, files: Iterable[Any], there: Path | None) -> None:
    """Refuse a repository whose files are more than a generator has, or more than the disk holds.

    Args:
        name: ``org/name@commit``.
        files: with ``rfilename`` and ``size``, as the Hub lists them.
        there: folder with those that were fetched before.

    Raises:
        ConfigurationError: too large.
    """
    from huggingface_hub import constants

    wanted = {
        str(one.rfilename): int(one.size or 0)
        for one in files
        if any(fnmatch(str(one.rfilename), pattern) for pattern in FETCHED)
    }
    if (total := sum(wanted.values())) > MAX_BYTES:
        raise ConfigurationError(
            f"generator {name}: has {total >> 20} MB, at most {MAX_BYTES >> 20} MB are fetched; download it yourself "
            "and name its folder"
        )
    missing = sum(size for file, size in wanted.items() if there is None or not (there / file).is_file())
    cache = Path(constants.HF_HUB_CACHE)
    free = shutil.disk_usage(next(one for one in (cache, *cache.parents) if one.is_dir())).free
    if missing and missing + SPARE_BYTES > free:
        raise ConfigurationError(
            f"generator {name}: {missing + SPARE_BYTES >> 20} MB are needed in {cache} and {free >> 20} MB free; free "
            "some, or set HF_HUB_CACHE to a folder on another disk"
        )


def push_generator(
    folder: str | Path,
    repository: str,
    *,
    licence: str | None = None,
    private: bool = True,
    token: str | None = None,
    message: str = "Generator of synthaug",
) -> str:
    """Publish a folder of weights as one commit, which ``load_generator`` takes by the name that is returned.

    ``config.json`` goes along as it is, with the identifiers and content hashes of the training cases: look at it
    before you publish, since identifiers may tell of people.

    Args:
        folder: of the weights, as ``synthaug fit`` wrote it.
        repository: ``org/name``; made where it does not exist.
        licence: of the weights; needed where the configuration states none, and not replaced where it does.
        private: whether a repository that is made is private.
        token: of the Hub; None: the one that ``hf auth login`` keeps.
        message: of the commit.

    Returns:
        ``org/name@commit``.

    Raises:
        ConfigurationError: no generator in the folder, weights that do not open, a link that leads out of the folder,
            no licence, or the Hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    folder = Path(folder)
    if not is_hub_name(repository) or "@" in repository:
        raise ConfigurationError(f"repository is {repository!r}; the form is org/name")
    config = read_config_file(folder)
    card = model_card(config, read_card(folder), licence=licence)
    operations = [
        CommitOperationAdd(path.name, card.encode() if path.name == CARD_NAME else path)
        for path in [*published_files(folder), folder / CARD_NAME]
    ]
    api = HfApi(token=token)
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.create_commit(repository, operations, commit_message=message)
    except hub_errors() as error:
        raise ConfigurationError(
            f"{repository}: not published ({reason_of(error)}); check the name, your rights and the network, and log "
            "in with `hf auth login`"
        ) from error
    return f"{repository}@{commit.oid}"


def published_files(folder: Path) -> list[Path]:
    """What goes along with the model card, sorted by name.

    Raises:
        ConfigurationError: the folder holds no weights, some that do not open, or a symbolic link that leads out of it.
    """
    patterns = [pattern for pattern in FETCHED if pattern != CARD_NAME]
    files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    if not any(path.suffix == ".safetensors" for path in files):
        raise ConfigurationError(f"{folder}: holds no safetensors files; name a folder that `synthaug fit` wrote")
    for path in files:
        _refuse_foreign(path)
        if path.suffix == ".safetensors":
            _refuse_damaged(path)
    return files


def read_card(folder: Path) -> str | None:
    """The model card of a folder; None where it has none.

    Raises:
        ConfigurationError: it is no UTF-8, too large, or a symbolic link that leads out of the folder.
    """
    path = folder / CARD_NAME
    if not path.is_file():
        return None
    _refuse_foreign(path)
    content = read_bounded(path, MAX_CARD_BYTES, error=ConfigurationError, mend="put a model card there")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path}: is no UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None


def _refuse_foreign(path: Path) -> None:
    """What a symbolic link brings in from elsewhere is nobody's to publish; the Hub's cache links to its own blobs."""
    folder, target = path.parent.resolve(), path.resolve()
    allowed = [folder, *([folder.parents[1] / "blobs"] if folder.parent.name == "snapshots" else [])]
    if not any(target.is_relative_to(one) for one in allowed):
        raise ConfigurationError(
            f"{path}: is a symbolic link out of its folder, to {target}; copy the file if it is to go along"
        )


def _refuse_damaged(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            pass
    except SafetensorError as error:
        raise ConfigurationError(f"{path}: cannot be opened as safetensors ({error}); fit or fetch it again") from None


def model_card(config: dict[str, Any], text: str | None = None, *, licence: str | None = None) -> str:
    """A model card with the metadata that the Hub reads.

    Args:
        config: content of ``config.json``.
        text: a card that is there; None: one is written from the configuration.
        licence: of weights whose configuration states none.

    Raises:
        ConfigurationError: no licence is known, or another one than that which the configuration states.
    """
    stated = str(config.get("licence", "unknown"))
    if licence and is_stated(stated) and not is_same_licence(licence, stated):
        raise ConfigurationError(
            f"generator {config.get('name')!r}: licence={licence!r}, but its configuration states {stated!r}; leave it "
            "out, or mend the configuration if it is wrong"
        )
    licence = stated if is_stated(stated) else licence
    if licence is None or not is_stated(licence):
        raise ConfigurationError(
            f"generator {config.get('name')!r}: no licence of the weights is known, which is that of their data; "
            'give licence="..."'
        )
    body = _described(config, licence) if text is None else text
    if body.startswith("---\n"):
        return body  # has metadata of its own
    identifier = hub_licence(licence)
    lines = [f"license: {identifier or 'other'}"]
    if identifier is None:
        lines.append(f"license_name: {canonical_json(licence).strip()}")
    lines += [f"library_name: {LIBRARY}", "tags: [medical, segmentation, synthetic-data, " + LIBRARY + "]"]
    return "\n".join(["---", *lines, "---", "", body])


def _described(config: dict[str, Any], licence: str) -> str:
    grid, structures = config["grid"], [one["name"] for one in config["scheme"]["structures"]]
    shape = "x".join(map(str, grid["shape"]))
    spacing = "x".join(f"{one:g}" for one in grid["spacing_mm"])
    bounds = [f"| `{name}` | {low:.4g} to {high:.4g} mL |" for name, (low, high) in config["limits_ml"].items()]
    return "\n".join([
        f"# {config['name']}",
        "",
        f"Generator of synthaug (`{config['system']}`): label maps and images with the structure volumes asked for.",
        "",
        f"- **Pairs**: {shape} voxels of {spacing} mm, RAS+; {_joined(config['channels'])}.",
        f"- **Structures**: {_joined(structures)}.",
        f"- **Fitted on**: {len(config.get('training_cases', []))} cases; identifiers and content hashes are in "
        f"`{CONFIG_NAME}`, so that a training that is validated on one of them is refused.",
        f"- **Licence**: {licence}. Research use only, not a medical device.",
        "",
        "| control | range |",
        "|---|---|",
        *bounds,
        "",
    ])  # fmt: skip


def _joined(names: Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)
