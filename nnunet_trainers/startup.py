"""Lets ``nnUNetv2_train -tr nnUNetTrainerSynthAug`` find the trainers after ``pip install``, with nothing else set.

nnU-Net looks for external trainers in the folders that the environment variable ``nnUNet_extTrainer`` lists. The file
``synthaug_nnunet.pth`` (``synthaug_nnunet.start`` from Python 3.15 on, PEP 829) in site-packages calls ``install`` at
every start of Python, which appends the folder ``discovery``. Only ``os`` is imported: this runs in every process.
"""

from __future__ import annotations

import os

VARIABLE = "nnUNet_extTrainer"
OPT_OUT = "SYNTHAUG_NO_AUTODISCOVERY"
DISCOVERY_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "discovery")


def install() -> None:
    """Append the discovery folder to ``nnUNet_extTrainer``; does nothing a second time, or where the user opted out."""
    if os.environ.get(OPT_OUT, "").strip().lower() not in ("", "0", "false"):
        return
    folders = [folder for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder.strip()]
    if DISCOVERY_FOLDER not in folders:
        os.environ[VARIABLE] = os.pathsep.join([*folders, DISCOVERY_FOLDER])
