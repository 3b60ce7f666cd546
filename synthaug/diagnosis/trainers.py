"""Whether ``nnUNetv2_train -tr nnUNetTrainerSynthAug`` will find the trainer."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

from synthaug.diagnosis.check import Check

TRAINER = "nnUNetTrainerSynthAug"
TRAIN_COMMAND = "nnUNetv2_train"
START_UP_TIMEOUT_S = 60
REINSTALL = "pip install --force-reinstall --no-deps synthaug"


def check_discovery() -> list[Check]:
    """The folder in ``nnUNet_extTrainer``, a fresh Python, the command on the path, and nnU-Net's own search."""
    return [check_folder(), check_start_up(), check_command(), check_search()]


def check_folder() -> Check:
    """Whether the variable lists the discovery folder, as the start-up file in site-packages makes it."""
    from nnunet_trainers.startup import DISCOVERY_FOLDER, OPT_OUT, VARIABLE

    listed = [os.path.abspath(one) for one in os.environ.get(VARIABLE, "").split(os.pathsep) if one.strip()]
    if os.path.abspath(DISCOVERY_FOLDER) in listed:
        return Check("trainer folder", "ok", f"{VARIABLE} lists {DISCOVERY_FOLDER}")
    mend = f'export {VARIABLE}="${{{VARIABLE}:+${VARIABLE}{os.pathsep}}}{DISCOVERY_FOLDER}"'
    if os.environ.get(OPT_OUT):
        return Check("trainer folder", "warning", f"{OPT_OUT} is set, so {VARIABLE} was left alone", mend)
    found = f"{VARIABLE} does not list {DISCOVERY_FOLDER}: the start-up file of the installation did not run"
    return Check("trainer folder", "failed", found, f"{REINSTALL}, or: {mend}")


def check_start_up(python: str = sys.executable) -> Check:
    """Whether a fresh Python has the folder listed, as ``nnUNetv2_train`` will be started: by the start-up file alone.

    Args:
        python: the interpreter.
    """
    from nnunet_trainers.startup import OPT_OUT, VARIABLE

    if os.environ.get(OPT_OUT):
        return Check("start-up file", "warning", f"{OPT_OUT} is set, so it does nothing", f"unset {OPT_OUT}")
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    code = f"import os; print(os.environ.get({VARIABLE!r}, ''))"
    try:
        printed = subprocess.run(
            [python, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=START_UP_TIMEOUT_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Check("start-up file", "failed", f"{python} does not start: {error}", REINSTALL)
    folders = [one for one in printed.strip().split(os.pathsep) if one]
    if any((Path(folder) / "synthaug_trainers.py").is_file() for folder in folders):
        return Check("start-up file", "ok", f"a fresh {python} lists {printed.strip()}")
    found = f"a fresh {python} does not set {VARIABLE}: synthaug_nnunet.pth is not in its site-packages"
    if os.environ.get(VARIABLE):  # exported by hand, which does as well
        return Check("start-up file", "warning", f"{found}; only where it is exported is the trainer found", REINSTALL)
    return Check("start-up file", "failed", found, REINSTALL)


def check_command(search_path: str | None = None) -> Check:
    """Whether the ``nnUNetv2_train`` that the shell finds is that of this environment.

    Args:
        search_path: folders to look in; None: PATH.
    """
    own = Path(sys.executable).parent
    found = shutil.which(TRAIN_COMMAND, path=search_path)
    activate = f"source {own / 'activate'}" if (own / "activate").is_file() else f'export PATH="{own}:$PATH"'
    if found is None:
        if (own / TRAIN_COMMAND).is_file():
            return Check("train command", "warning", f"{own / TRAIN_COMMAND} is not on the PATH", activate)
        return Check(
            "train command", "failed", f"{TRAIN_COMMAND} is nowhere on the PATH", "pip install 'nnunetv2>=2.8'"
        )
    with open(found, "rb") as script:
        first = script.readline(1000).decode(errors="replace").strip()
    interpreter = first.removeprefix("#!").strip().split(" ")[0]
    if not first.startswith("#!") or Path(interpreter).parent == own or Path(interpreter).name in ("sh", "env"):
        return Check("train command", "ok", found)
    what = f"{found} runs {interpreter}, another environment than this one ({sys.executable})"
    return Check("train command", "warning", what, activate)


def check_search(trainer: str = TRAINER) -> Check:
    """nnU-Net's own search, which imports every built-in trainer first and so fails where one of them does."""
    try:
        from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
    except ImportError as error:
        found = f"nnU-Net's search cannot be imported: {error}"
        return Check("trainer search", "failed", found, "pip install 'nnunetv2>=2.8'")
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            trainer_class = recursive_find_trainer_class_by_name(trainer)
    except Exception as error:  # the search imports foreign modules, and whatever one of them raises ends training too
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        found = f"nnU-Net does not find {trainer}: {type(error).__name__}: {reason}"
        mend = "mend the import that fails (often: torchvision does not match torch), or set nnUNet_extTrainer as above"
        return Check("trainer search", "failed", found, mend)
    return Check("trainer search", "ok", f"nnU-Net finds {trainer_class.__name__} in {trainer_class.__module__}")
