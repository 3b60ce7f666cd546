"""Files that are there completely or not at all, whatever kills the writer."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from synthaug.files.process_identity import ProcessIdentity

_counter = itertools.count()

TEMPORARY_SUFFIX = ".tmp"


def temporary_name(name: str) -> str:
    """A hidden name beside ``name`` that says which process writes it: ``.NAME.PROCESS.COUNT.tmp``."""
    return f".{name}.{ProcessIdentity.current().tag}.{next(_counter)}{TEMPORARY_SUFFIX}"


def parse_temporary_name(name: str) -> tuple[str, ProcessIdentity | None] | None:
    """The final name and the writer of a temporary name; None for any other name."""
    if not (name.startswith(".") and name.endswith(TEMPORARY_SUFFIX)):
        return None
    parts = name[1 : -len(TEMPORARY_SUFFIX)].rsplit(".", 2)
    return (parts[0], ProcessIdentity.from_tag(parts[1])) if len(parts) == 3 else (name[1:], None)


def write_synced(path: Path, content: bytes) -> None:
    """Write a new file and wait until the disk has it; nothing stays where that fails."""
    _write_new(path, content, durable=True)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors name the file that was to be there: the system names none that is open, or a temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def sync_folder(folder: Path) -> None:
    """Wait until the disk has a folder's entries; systems that cannot open a folder do without."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it over ``path``."""
    temporary = path.with_name(temporary_name(path.name))
    with _naming(path):
        try:
            write_synced(temporary, content)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def create_file(path: Path, content: bytes, *, durable: bool = True) -> bool:
    """Make ``path`` appear with its content, if it is not there yet; exactly one of several processes gets True.

    Args:
        path: the file.
        content: of the file.
        durable: wait until the disk has it; of no use for what means nothing after a power cut.
    """
    temporary = path.with_name(temporary_name(path.name))
    with _naming(path):
        try:
            _write_new(temporary, content, durable)
            try:
                os.link(temporary, path)
            except FileExistsError:
                # a network file system repeats a request whose answer was lost, and meets the link that it has made
                if temporary.stat().st_nlink != 2:
                    return False
            except OSError:
                # a file system without hard links: the content follows the name, and readers must bear an empty file
                return _create_exclusively(path, content, durable)
        finally:
            temporary.unlink(missing_ok=True)
        if durable:
            sync_folder(path.parent)
    return True


def _create_exclusively(path: Path, content: bytes, durable: bool) -> bool:
    try:
        _write_new(path, content, durable)
    except FileExistsError:
        return False
    if durable:
        sync_folder(path.parent)
    return True


def _write_new(path: Path, content: bytes, durable: bool) -> None:
    with _naming(path):
        file = open(path, "xb")  # noqa: SIM115
        try:
            with file:
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            raise


def publish_folder(temporary: Path, final: Path) -> bool:
    """Rename a complete folder to its final name; False where a folder of that name was already there."""
    try:
        os.rename(temporary, final)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        if not temporary.exists() and final.exists():
            pass  # a network file system that answered late: the rename has happened
        else:
            raise
    sync_folder(final.parent)
    return True


def remove_folder(folder: Path) -> None:
    """Remove a folder that another process may be removing as well."""
    shutil.rmtree(folder, ignore_errors=True)


def can_write(folder: Path) -> bool:
    """Whether a file can be made in a folder, or in the nearest one above it that is there; found by making one.

    What permissions say is not asked: network file systems and read-only mounts have their own mind.
    """
    while not os.path.isdir(folder) and folder != folder.parent:
        folder = folder.parent
    probe = folder / temporary_name("probe")
    try:
        probe.touch(exist_ok=False)
    except OSError:
        return False
    with contextlib.suppress(OSError):
        probe.unlink()
    return True


def folder_entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder; none where it does not exist."""
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except FileNotFoundError:
        return
