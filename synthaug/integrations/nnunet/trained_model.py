"""A network that nnU-Net trained, asked in this process for segmentations of arrays.

nnU-Net opens its checkpoints as pickles, which may run code. A checkpoint is therefore opened here before it: by
torch's restricted reader, which knows numbers, tensors and plain containers alone and runs nothing. What it refuses is
not given to nnU-Net. Plans name classes that nnU-Net imports: a folder is trusted as far as a program is.
"""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthaug.errors import ConfigurationError, SynthAugError
from synthaug.files.foreign_weights import file_sha256
from synthaug.integrations.nnunet.dataset import NnunetDataset, read_json
from synthaug.integrations.nnunet.orientation import (
    ORDER_KEEPING_READERS,
    REORIENTING_READERS,
    axis_codes,
    from_reader_order,
    to_reader_order,
)

CHECKPOINT = "checkpoint_final.pth"
FOLD = "fold_"


class NnunetModel:
    """See `synthaug.evaluation.segmentation_model.SegmentationModel`.

    All folds with a final checkpoint are asked and their mean is taken, as by ``nnUNetv2_predict``; without mirrored
    copies of the image, which would cost eight times the time.

    Args:
        path: folder ``TRAINER__PLANS__CONFIGURATION`` of ``nnUNet_results``, or one of its folds.
        device: where the network runs.

    Raises:
        ConfigurationError: files are missing or damaged, the checkpoint holds more than data, its trainer is not
            installed, or the configuration needs another's segmentations.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        path = path.resolve()
        folder = path.parent if path.name.startswith(FOLD) else path
        for name in ("dataset.json", "plans.json"):
            if not (folder / name).is_file():
                raise ConfigurationError(
                    f"--alignment {path}: {name} is not in {folder}; give a folder of nnUNet_results, such as "
                    "DATASET/nnUNetTrainer__nnUNetPlans__3d_fullres"
                )
        checkpoints = _checkpoints(folder, path)
        dataset = NnunetDataset(folder.parent.name, None, folder)
        self.title = f"{folder.parent.name}/{folder.name}"
        self.scheme, self.channels = dataset.scheme, dataset.channels
        self._predictor = _open(folder, checkpoints, device)
        self._codes, note = _file_order(folder, read_json(folder / "plans.json"))
        self.facts: dict[str, Any] = {
            "model": str(path),
            "folds": sorted(checkpoints),
            "weights": {str(file): file_sha256(file) for file in checkpoints.values()},
            "voxel_order": "".join(self._codes),
            "notes": [note] if note else [],
        }

    def segment(self, image: np.ndarray, head: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """See `SegmentationModel.segment`; the head is not looked at."""
        turned, spacing = to_reader_order(image, affine, self._codes)
        with contextlib.redirect_stdout(io.StringIO()):  # standard output belongs to the figures
            found = self._predictor.predict_single_npy_array(turned.astype(np.float32), {"spacing": spacing})
        return from_reader_order(np.asarray(found), affine, self._codes).astype(np.int16)


def _checkpoints(folder: Path, path: Path) -> dict[str, Path]:
    """Final checkpoints by fold: of the one that is named, or of all; ``all`` counts where there is no other."""
    found = {one.parent.name.removeprefix(FOLD): one for one in sorted(folder.glob(f"{FOLD}*/{CHECKPOINT}"))}
    if path != folder:
        named = path.name.removeprefix(FOLD)
        found = {named: found[named]} if named in found else {}
    elif len(found) > 1:
        found.pop("all", None)
    if not found:
        raise ConfigurationError(
            f"--alignment {path}: no {FOLD}*/{CHECKPOINT} in it; finish the training, or give another folder"
        )
    return found


def _open(folder: Path, checkpoints: dict[str, Path], device: torch.device) -> Any:
    """nnU-Net's own predictor."""
    for file in checkpoints.values():
        if read_checkpoint(file)["init_args"].get("configuration", "").endswith("cascade_fullres"):
            raise ConfigurationError(
                f"--alignment {folder}: the second stage of a cascade needs the segmentations of the first; give a "
                "model of another configuration, such as 3d_fullres"
            )
    with contextlib.redirect_stdout(io.StringIO()):  # it prints when it is imported, too
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        predictor = nnUNetPredictor(
            use_mirroring=False, device=device, perform_everything_on_device=device.type == "cuda", allow_tqdm=False
        )
        folds = tuple(fold if fold == "all" else int(fold) for fold in checkpoints)
        try:
            predictor.initialize_from_trained_model_folder(str(folder), folds, CHECKPOINT)
        except (RuntimeError, KeyError, AttributeError, ImportError, TypeError) as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise ConfigurationError(
                f"--alignment {folder}: nnU-Net cannot open it ({reason}); install what its trainer needs, or give "
                "another model"
            ) from None
    return predictor


def read_checkpoint(file: Path) -> dict[str, Any]:
    """What a checkpoint of nnU-Net holds, read without running anything in it.

    Raises:
        ConfigurationError: damaged, no checkpoint of nnU-Net, or one that holds more than data.
    """
    import pickle

    mend = "copy the file anew; a checkpoint that holds more than data is not opened"
    try:
        with _plain_numpy():
            content = torch.load(file, "cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, TypeError, LookupError, pickle.UnpicklingError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigurationError(f"{file}: cannot be read as a checkpoint ({reason}); {mend}") from None
    needed = {"network_weights", "trainer_name", "init_args"}
    if not isinstance(content, dict) or not needed <= content.keys() or not isinstance(content["init_args"], dict):
        raise ConfigurationError(f"{file}: is no checkpoint of nnU-Net; {mend}")
    return content


@contextlib.contextmanager
def _plain_numpy() -> Iterator[None]:
    """Within this context, torch's restricted reader takes NumPy's numbers, which nnU-Net logs."""
    before = torch.serialization.get_safe_globals()
    kinds = {type(np.dtype(one)) for one in (np.float64, np.float32, np.int64, np.int32, np.bool_)}
    scalar = np.float64(0).__reduce__()[0]
    # NumPy 1 and 2 have it in modules of different names
    named: list[Any] = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")] + [scalar]
    torch.serialization.add_safe_globals([*named, np.dtype, *kinds])
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _file_order(folder: Path, plans: dict[str, Any]) -> tuple[tuple[str, ...], str]:
    """Axis codes of the voxel order that the network was trained in, and a note where they could only be assumed."""
    reader = plans.get("image_reader_writer", "SimpleITKIO")
    if reader in REORIENTING_READERS:
        return tuple("RAS"), ""
    if reader not in ORDER_KEEPING_READERS:
        raise ConfigurationError(
            f"--alignment {folder}: nnU-Net reads its images with {reader}, which has no anatomical axes; give a model "
            "that was trained on NIfTI, NRRD or MHA files in 3D"
        )
    ending = read_json(folder / "dataset.json").get("file_ending", ".nii.gz")
    segmented = sorted(folder.glob(f"{FOLD}*/validation/*{ending}"))
    counted: Counter[str] = Counter()
    for file in segmented:
        with contextlib.suppress(SynthAugError):
            counted[axis_codes(file)] += 1
    if counted:
        return tuple(counted.most_common(1)[0][0]), ""
    return tuple("RAS"), (
        f"the voxel order of its training images is not known, since {folder.name} holds no segmentations of "
        f"validation cases ({FOLD}*/validation): RAS is assumed, and sides are swapped where that is wrong"
    )
