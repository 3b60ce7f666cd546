"""The SLURM scripts, run with the variables and the ``srun`` that SLURM would give them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from synthaug.store import Store

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "examples" / "slurm").glob("*.sbatch"))
OPTIONS = ["--num", "6", "--device", "cpu", "--option", "seconds=0.05"]


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """``synthaug``, ``accelerate`` and a ``srun`` that starts its command once for each node."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "synthaug").write_text(f'#!/bin/bash\nexec {sys.executable} -m synthaug "$@"\n')
    # what comes after `launch` is for GPUs, which are not here; its processes are started by hand
    (commands / "accelerate").write_text(
        "#!/bin/bash\nset -e\n"
        f'{sys.executable} -m accelerate.commands.launch --help > /dev/null\nwhile [ "$1" != -m ]; do shift; done\n'
        "for rank in 0 1; do RANK=$rank LOCAL_RANK=$rank WORLD_SIZE=2 LOCAL_WORLD_SIZE=2 "
        f'{sys.executable} "$@" & done\nwait\n'
    )
    (commands / "srun").write_text(
        '#!/bin/bash\nwhile [[ "$1" == --* ]]; do shift; done\nfor node in 0 1; do '
        'SLURM_PROCID=$node SLURM_NODEID=$node SLURM_STEP_NUM_TASKS=2 "$@" & done\nwait\n'
    )
    for command in commands.iterdir():
        command.chmod(0o755)
    return commands


def environment(commands: Path, **more: str) -> dict[str, str]:
    """What SLURM sets, with these commands before all others."""
    return {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "GENERATOR": "python:tests.stand_in_generator:make",
        **more,
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_understands_the_script_and_the_shell_takes_its_options_from_the_top(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)
    lines = script.read_text().splitlines()
    first_command = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    directives = [i for i, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert directives  # SLURM ignores those behind the first command
    assert max(directives) < first_command


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_without_a_folder_the_script_says_so(commands: Path, script: Path) -> None:
    finished = subprocess.run(
        ["bash", str(script)], env=environment(commands), capture_output=True, text=True, check=False
    )
    assert finished.returncode != 0
    assert "folder of the cache" in finished.stderr


def test_the_tasks_of_an_array_make_each_case_once(tmp_path: Path, commands: Path) -> None:
    out = tmp_path / "cache"
    tasks = [
        subprocess.Popen(
            ["bash", str(ROOT / "examples/slurm/array.sbatch"), str(out), *OPTIONS],
            env=environment(
                commands, SLURM_ARRAY_TASK_ID=str(task), SLURM_ARRAY_TASK_COUNT="2", SLURM_ARRAY_TASK_MIN="0"
            ),
            stdout=subprocess.PIPE,
            text=True,
        )
        for task in (0, 1)
    ]
    told = [task.communicate()[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0]
    assert all("6 of 6 requested cases" in text for text in told)
    assert_each_once(out, 2)


@pytest.mark.slow
def test_the_processes_of_several_nodes_make_each_case_once(tmp_path: Path, commands: Path) -> None:
    out = tmp_path / "cache"
    script = ["bash", str(ROOT / "examples/slurm/nodes.sbatch"), str(out), *OPTIONS]
    finished = subprocess.run(
        script, env=environment(commands, SLURM_GPUS_ON_NODE="2"), capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert_each_once(out, 4)


def assert_each_once(out: Path, processes: int) -> None:
    store = Store.open(out)
    assert len(store) == 6
    assert store.verify() == []
    events = store.events.read()
    assert sorted(event["name"] for event in events if event["event"] == "stored") == store.names()
    assert {event["process"] for event in events if event["event"] == "started"} == set(range(processes))
