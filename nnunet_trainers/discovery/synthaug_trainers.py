"""What nnU-Net's search for external trainers finds. Only re-exports.

nnU-Net imports this file as a top-level module and drops it from ``sys.modules`` afterwards, so a class defined here
could not be pickled, which start methods other than fork need.
"""

try:
    from nnunet_trainers.trainers import *  # noqa: F403
except ModuleNotFoundError as error:
    # nnUNet_extTrainer is inherited by child processes, also by a Python of another environment, without synthaug: this
    # search must then go on to the user's own trainers instead of ending here.
    if error.name not in ("nnunet_trainers", "synthaug"):
        raise
