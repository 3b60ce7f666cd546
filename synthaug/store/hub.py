"""Caches on the Hugging Face hub: pushed with a card, pulled at one commit, and trusted in nothing."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from synthaug.errors import ConfigurationError, StoreError, SynthAugError
from synthaug.files.atomic import folder_entries, publish_folder, remove_folder
from synthaug.files.hugging_face import REPOSITORY, SPARE_BYTES, hub_errors, is_commit, reason_of
from synthaug.store.arrays import array_digest, decode
from synthaug.store.case import CASE_FILES, IMAGE_FILE, LABEL_FILE, MARKER_FILE, PROVENANCE_FILE
from synthaug.store.dataset_card import dataset_card, licences_of
from synthaug.store.info import INFO_FILE, MAX_INFO_BYTES, StoreInfo
from synthaug.store.layout import MAX_MARKER_BYTES, MAX_PROVENANCE_BYTES
from synthaug.store.store import MAX_ARRAY_FILE_BYTES, Store
from synthaug.store.verification import MAY_STAY, verify_folder

CARD = "README.md"
MADE_BY_THE_HUB = ".gitattributes"
CASES_IN_A_COMMIT = 250
MAX_CARD_BYTES = 1 << 20
_CASE_FILE = re.compile(rf"cases/[A-Za-z0-9][A-Za-z0-9_-]{{0,99}}/({'|'.join(map(re.escape, CASE_FILES))})")
_LIMITS = {
    INFO_FILE: MAX_INFO_BYTES,
    CARD: MAX_CARD_BYTES,
    IMAGE_FILE: MAX_ARRAY_FILE_BYTES,
    LABEL_FILE: MAX_ARRAY_FILE_BYTES,
    PROVENANCE_FILE: MAX_PROVENANCE_BYTES,
    MARKER_FILE: MAX_MARKER_BYTES,
}
_PATTERNS = (INFO_FILE, CARD, *(f"cases/*/{file}" for file in CASE_FILES))
_LOCAL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Of a disk, never of a connection; other errors of the disk name a file."""


def push(
    store: Store,
    repository: str,
    *,
    licence: str | None = None,
    private: bool = True,
    announce: Callable[[str], None] | None = None,
    api: Any = None,
) -> str:
    """Upload a cache as a data set of the hub.

    Cases go first, in commits of some hundred, those that are there already are left out; the head and the card come
    last, and with them cases that the cache no longer has go. An interrupted push goes on when it is called again. No
    file is deleted or replaced but those of a cache of the same generators.

    Args:
        store: only read; every byte is checked first.
        repository: ``OWNER/NAME``; made if it is not there. One that is there is empty, or holds a cache of the same
            generators.
        licence: of weights that state none.
        private: whether a new repository can be seen by its owner alone; one that is there keeps its visibility.
        announce: called with a line about who sees the repository, where that is not what ``private`` asks for or
            everybody does; before anything is uploaded.
        api: an ``HfApi``; None: that of the user who is logged in.

    Returns:
        The commit, to be named on the other side.

    Raises:
        ConfigurationError: no such repository name, no licence, or the hub refuses.
        StoreError: the cache is empty or damaged; or the repository holds something else, of which nothing is changed.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    _check_repository(repository)
    licences = licences_of(store, licence)
    wrong = [problem for problem in verify_folder(store.folder) if problem.kind not in MAY_STAY]
    if wrong:
        raise StoreError(f"{wrong[0]} ({len(wrong)} such problems); mend the cache before it is shared")
    names = store.names()
    if not names:
        raise StoreError(f"{store.folder}: the cache is empty; fill it with `synthaug precompute`")
    api = HfApi() if api is None else api
    with _one_line(repository):
        api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
        there = dict(_files(api, repository, None))
        _refuse_other_content(api, repository, there, store, names)
        visibility = _visibility(api, repository, private)
        if announce is not None and visibility:
            announce(visibility)
        missing = [name for name in names if any(f"cases/{name}/{file}" not in there for file in CASE_FILES)]
        for start in range(0, len(missing), CASES_IN_A_COMMIT):
            batch = missing[start : start + CASES_IN_A_COMMIT]
            additions = [
                CommitOperationAdd(f"cases/{name}/{file}", str(store.folder / "cases" / name / file))
                for name in batch
                for file in CASE_FILES
            ]
            message = f"{len(batch)} cases ({start + len(batch)} of {len(missing)})"
            api.create_commit(repository, additions, commit_message=message, repo_type="dataset")
        kept = {f"cases/{name}/{file}" for name in names for file in CASE_FILES}
        stale = sorted(path for path in there if _CASE_FILE.fullmatch(path) and path not in kept)
        last = [
            *(CommitOperationDelete(path) for path in stale),
            CommitOperationAdd(INFO_FILE, (store.folder / INFO_FILE).read_bytes()),
            CommitOperationAdd(CARD, dataset_card(store, licences).encode()),
        ]
        done = api.create_commit(repository, last, commit_message=f"Cache of {len(names)} cases", repo_type="dataset")
    return str(done.oid)


def _refuse_other_content(
    api: Any, repository: str, there: Mapping[str, int], store: Store, names: Sequence[str]
) -> None:
    """Refuse a repository whose files are not those of a cache of the same generators, or of a push that broke.

    Raises:
        StoreError: it holds other files, or the cache of another generator.
    """
    mend = "name a new repository, or empty this one on the hub first"
    if INFO_FILE not in there:
        own = {f"cases/{name}/{file}" for name in names for file in CASE_FILES}  # the head comes last
        others = sorted(path for path in there if path not in own and path != MADE_BY_THE_HUB)
        if others:
            raise StoreError(
                f"{repository}: holds {', '.join(others[:3])} ({len(others)} such files) and no {INFO_FILE}, so it is "
                f"no cache, and a push would replace them; {mend}"
            )
        return
    if there[INFO_FILE] > MAX_INFO_BYTES:
        raise StoreError(f"{repository}: {INFO_FILE} has {there[INFO_FILE]} bytes, at most {MAX_INFO_BYTES}; {mend}")
    with tempfile.TemporaryDirectory() as folder:
        api.hf_hub_download(repository, INFO_FILE, repo_type="dataset", local_dir=folder)
        try:
            head = StoreInfo.read(Path(folder))
        except StoreError as error:
            reason = str(error).removeprefix(f"{Path(folder) / INFO_FILE}: ").rpartition(";")[0]
            raise StoreError(f"{repository}: {INFO_FILE} {reason}; {mend}") from None
    own_makers = {(maker.name, maker.fingerprint) for maker in store.info.makers}
    for maker in head.makers:
        if (maker.name, maker.fingerprint) not in own_makers:
            raise StoreError(
                f"{repository}: holds a cache of {maker}, and {store.folder} is of "
                f"{', '.join(map(str, store.info.makers))}; {mend}"
            )


def _visibility(api: Any, repository: str, private: bool) -> str:
    """A line about who sees a repository; empty where it is as private as was asked for."""
    is_private = api.repo_info(repository, repo_type="dataset").private
    if not is_private:
        kept = " (it was there before and stays so; its settings on the hub make it private)" if private else ""
        return f"{repository}: is public, everybody sees what is pushed{kept}"
    kept = "it was there before and stays so; its settings on the hub make it public"
    return "" if private else f"{repository}: is private ({kept})"


def pull(repository: str, folder: Path, *, revision: str | None, api: Any = None) -> Store:
    """Download a cache from the hub at one commit, and let nothing of it in that is no part of a cache.

    Args:
        repository: ``OWNER/NAME``.
        folder: a new or empty folder, which appears when everything is there and every byte was checked. An interrupted
            download goes on when it is called again.
        revision: the full number of a commit, 40 hex digits: a branch may hold something else tomorrow.
        api: an ``HfApi``; None: that of the user who is logged in.

    Raises:
        ConfigurationError: no such repository or commit, no commit given, or the hub cannot be reached.
        StoreError: what is there is no cache, damaged, too large, or would lead out of its folder; nothing stays of it.
    """
    from huggingface_hub import HfApi

    _check_repository(repository)
    api = HfApi() if api is None else api
    _check_place(folder)
    with _one_line(repository):
        if revision is None or not is_commit(revision):
            now = api.repo_info(repository, revision=revision, repo_type="dataset").sha
            given = f"--revision {revision}: is no commit" if revision else "--revision: is missing"
            raise ConfigurationError(
                f"{given}; name the commit that you mean to have, of 40 digits: {repository} is at {now} now"
            )
        wanted = _wanted(repository, list(_files(api, repository, revision)))
    staging = _staging(folder, revision, sum(wanted.values()))
    with _one_line(repository):
        api.snapshot_download(
            repository, repo_type="dataset", revision=revision, local_dir=str(staging), allow_patterns=list(_PATTERNS)
        )
    remove_folder(staging / ".cache")  # what the hub's program noted about its downloads
    try:
        _check_tree(staging, wanted)
        _check_cases(staging)
        if folder.is_dir():
            folder.rmdir()
        if not publish_folder(staging, folder):
            raise StoreError(f"{folder}: was made by somebody else meanwhile; give a new folder")
    except SynthAugError:
        remove_folder(staging)
        raise
    store = Store.open(folder)
    store.events.write("pulled", repository=repository, revision=revision)
    return store


def _check_place(folder: Path) -> None:
    """Refuse what a cache cannot be put in the place of.

    Raises:
        StoreError: the working folder, or something that is there already.
    """
    if not folder.name or folder.name == "..":
        raise StoreError(f"{folder}: cannot be replaced by what is pulled; give the path of a new folder")
    try:
        taken = folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder_entries(folder))))
    except OSError as error:
        raise _local(folder, error) from None
    if taken:
        raise StoreError(
            f"{folder}: is there already; give a new folder, and merge the two with `synthaug cache merge`"
        )


def _staging(folder: Path, revision: str, size: int) -> Path:
    """The folder beside a new one that is downloaded into, with what an interrupted download left in it.

    Raises:
        StoreError: the disk is too small, and nothing was made; or the folder cannot be made.
    """
    staging = folder.with_name(f".{folder.name}.{revision[:12]}.pull")
    try:
        there = next(place for place in staging.absolute().parents if place.is_dir())
        needed = size + SPARE_BYTES - _size_of(staging)
        free = shutil.disk_usage(there).free
        if needed > free:
            raise StoreError(f"{folder}: {needed >> 20} MB are needed and {free >> 20} MB free; choose another disk")
        staging.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _local(folder, error) from None
    return staging


def _local(place: Path | str, error: OSError) -> StoreError:
    """What this machine's disk refuses."""
    return StoreError(
        f"{place}: cannot be read or written here ({error.strerror or error}); free space or mend the path and its "
        "permissions, and run it again: what was done is kept"
    )


def _files(api: Any, repository: str, revision: str | None) -> Iterator[tuple[str, int]]:
    """Path and size of every file of a repository."""
    for entry in api.list_repo_tree(repository, recursive=True, revision=revision, repo_type="dataset"):
        size = getattr(entry, "size", None)
        if size is not None:
            yield str(entry.path), int(size)


def _wanted(repository: str, files: list[tuple[str, int]]) -> dict[str, int]:
    """Size of every file that belongs to a cache.

    Raises:
        StoreError: no head, a path that leads elsewhere, a file that would come along though no case has it, or one
            beyond what any cache has.
    """
    wanted = {}
    for path, size in files:
        if "\\" in path or path.startswith("/") or ".." in path.split("/"):
            raise StoreError(f"{repository}: holds {path!r}, which would lead out of the cache; it is not pulled")
        if any(fnmatch(path, pattern) for pattern in _PATTERNS):  # and with it all that would be downloaded
            if path not in (INFO_FILE, CARD) and not _CASE_FILE.fullmatch(path):  # "*" stands for "/" too
                raise StoreError(f"{repository}: holds {path!r}, which is no file of a case; it is not pulled")
            limit = _LIMITS[path.rpartition("/")[2]]
            if size > limit:
                raise StoreError(
                    f"{repository}: {path} has {size} bytes, at most {limit} are expected; it is not pulled"
                )
            wanted[path] = size
    if INFO_FILE not in wanted:
        raise StoreError(f"{repository}: has no {INFO_FILE}, so it is no cache; name another repository or commit")
    return wanted


def _check_tree(staging: Path, wanted: dict[str, int]) -> None:
    """Refuse whatever is no regular file of a cache.

    Raises:
        StoreError: a link, a pipe, another file, another size.
    """
    found = set()
    for parent, folders, files in os.walk(staging):
        for name in (*folders, *files):
            path = Path(parent, name)
            relative = path.relative_to(staging).as_posix()
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                continue
            if not stat.S_ISREG(status.st_mode):
                raise StoreError(
                    f"{relative}: is a link or no regular file, and might lead out of the cache; nothing is kept"
                )
            if wanted.get(relative) != status.st_size:
                raise StoreError(f"{relative}: is not what the repository lists; nothing is kept, pull it again")
            found.add(relative)
    if missing := sorted(set(wanted) - found):
        raise StoreError(f"{missing[0]}: was not downloaded ({len(missing)} such files); pull it again")


def _check_cases(staging: Path) -> None:
    """Look at every byte, and decode every array.

    Raises:
        StoreError: one is wrong.
    """
    wrong = [problem for problem in verify_folder(staging) if problem.kind not in MAY_STAY]
    if wrong:
        raise StoreError(f"{wrong[0]} ({len(wrong)} such problems); nothing is kept")
    store = Store.open(staging)
    for name in store.names():
        described = store.provenance(name)
        for file, dtype in ((IMAGE_FILE, "float32"), (LABEL_FILE, "int16")):
            expected = described["files"][file]
            frame = store.array_file(name, file, described)
            array = decode(frame, tuple(int(n) for n in expected["shape"]), dtype, f"case {name}: {file}")
            if array_digest(array) != expected["array_sha256"]:
                raise StoreError(
                    f"case {name}: {file} does not hold the array that its provenance names; nothing is kept"
                )
        store.read(name)  # shapes, affine and labels fit each other and the scheme


def _check_repository(repository: str) -> None:
    if not re.fullmatch(REPOSITORY, repository):
        raise ConfigurationError(
            f"repository {repository!r}: OWNER/NAME is expected, letters, digits, '-', '_' and '.'"
        )


def _size_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


@contextmanager
def _one_line(repository: str) -> Iterator[None]:
    """What the hub or the way to it refuses, as a mistake that the user can mend."""
    try:
        yield
    except SynthAugError:
        raise
    except hub_errors() as error:
        if isinstance(error, OSError) and (error.filename is not None or error.errno in _LOCAL_ERRORS):
            raise _local(error.filename or repository, error) from None
        raise ConfigurationError(
            f"{repository}: the hub refuses or cannot be reached ({reason_of(error)}); check the name, the connection "
            "and `hf auth login`, and run it again: what was done is kept"
        ) from None
