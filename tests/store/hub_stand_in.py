"""The few calls of the hub's API that caches need, on a folder: no network."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete


@dataclass
class HubStandIn:
    """One repository with its commits; each commit holds every file of it.

    Attributes:
        commits: path and content by commit, in order.
        fail_after: number of further commits, or downloaded files, after which the connection breaks.
        links: path and target of files that a download leaves as symbolic links.
        private: whether the repository is; None until it is made.
    """

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    fail_after: int | None = None
    links: dict[str, str] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    downloaded: list[str] = field(default_factory=list)
    private: bool | None = None

    @property
    def newest(self) -> str:
        return list(self.commits)[-1]

    def create_repo(self, repo_id: str, **options: Any) -> None:
        self.created.append({"repo_id": repo_id, **options})
        if self.private is None:
            self.private = options["private"]

    def create_commit(self, repo_id: str, operations: Sequence[Any], **options: Any) -> SimpleNamespace:
        self._count()
        assert options["repo_type"] == "dataset"
        files = dict(self.commits[self.newest]) if self.commits else {}
        for operation in operations:
            if isinstance(operation, CommitOperationDelete):
                del files[operation.path_in_repo]
            else:
                assert isinstance(operation, CommitOperationAdd)
                with operation.as_file() as file:
                    files[operation.path_in_repo] = file.read()
        return SimpleNamespace(oid=self.put(files))

    def put(self, files: dict[str, bytes]) -> str:
        commit = hashlib.sha1(repr((len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits[commit] = files
        return commit

    def repo_info(self, repo_id: str, *, revision: str | None = None, repo_type: str) -> SimpleNamespace:
        return SimpleNamespace(sha=self.newest if self.commits else None, private=self.private)

    def hf_hub_download(self, repo_id: str, filename: str, *, repo_type: str, local_dir: str) -> str:
        assert repo_type == "dataset"
        place = Path(local_dir, filename)
        place.write_bytes(self.commits[self.newest][filename])
        return str(place)

    def list_repo_tree(
        self, repo_id: str, *, recursive: bool, revision: str | None, repo_type: str
    ) -> Iterator[SimpleNamespace]:
        assert recursive
        files = self.commits[revision or self.newest] if self.commits else {}
        yield SimpleNamespace(path="cases", tree_id="0")  # a folder, which has no size
        for path, content in files.items():
            yield SimpleNamespace(path=path, size=len(content))

    def snapshot_download(
        self, repo_id: str, *, repo_type: str, revision: str, local_dir: str, allow_patterns: list[str]
    ) -> str:
        from huggingface_hub.utils import filter_repo_objects

        folder = Path(local_dir)
        (folder / ".cache" / "huggingface").mkdir(parents=True, exist_ok=True)
        for path in filter_repo_objects(self.commits[revision], allow_patterns=allow_patterns):
            place = folder / path
            if place.exists():  # as the hub does, of which every file appears whole
                continue
            self._count()
            place.parent.mkdir(parents=True, exist_ok=True)
            if path in self.links:
                os.symlink(self.links[path], place)
            else:
                place.write_bytes(self.commits[revision][path])
            self.downloaded.append(path)
        return local_dir

    def _count(self) -> None:
        if self.fail_after is not None:
            if self.fail_after == 0:
                self.fail_after = None
                raise ConnectionError("Connection reset by peer")
            self.fail_after -= 1
