"""Pools of processes that are gone are removed, those of others are not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from synthaug.files.process_identity import ProcessIdentity
from synthaug.live.pool_folder import PREFIX, new_pool_folder, remove_abandoned


def test_the_pool_of_a_process_that_is_gone_is_removed(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from synthaug.live.pool_folder import new_pool_folder; "
        "print(new_pool_folder(Path(sys.argv[1])))"
    )
    left = Path(subprocess.check_output([sys.executable, "-c", script, str(tmp_path)], text=True).strip())
    assert left.is_dir()
    own = new_pool_folder(tmp_path)
    assert own.is_dir()
    assert not left.exists()


def test_what_is_not_known_to_be_abandoned_stays(tmp_path: Path) -> None:
    elsewhere = replace(ProcessIdentity.current(), machine="0" * 12, pid=1)
    for name in (f"{PREFIX}{elsewhere.tag}-abc", f"{PREFIX}notes", "other"):
        (tmp_path / name).mkdir()
    remove_abandoned(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
