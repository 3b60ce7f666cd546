"""Whether ``nnUNetv2_train -tr nnUNetTrainerSynthAug`` will find the trainer."""

from __future__ import annotations

import contextlib
import io
import os

from synthaug.diagnosis.check import Check

TRAINER = "nnUNetTrainerSynthAug"


def check_discovery() -> list[Check]:
    """The folder in ``nnUNet_extTrainer``, and nnU-Net's own search for the trainer."""
    return [check_folder(), check_search()]


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
    return Check("trainer folder", "failed", found, f"pip install --force-reinstall --no-deps synthaug, or: {mend}")


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
