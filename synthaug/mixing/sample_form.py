"""The form of a real sample, and a synthetic pair put into it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from synthaug.errors import ConfigurationError, GeometryError
from synthaug.labels import LabelMapping
from synthaug.volumes import LabeledVolume

SPACING_TOLERANCE = 0.05
"""Relative difference of spacings up to which a pair counts as having the real samples' spacing."""


def is_meta_tensor(value: Any) -> bool:
    """Whether a value is MONAI's tensor with an affine; MONAI is not imported to find out."""
    module = sys.modules.get("monai.data.meta_tensor")
    return module is not None and isinstance(value, module.MetaTensor)


def torchio_image_kind(value: Any) -> str | None:
    """``ScalarImage`` or ``LabelMap`` for TorchIO's images; TorchIO is not imported to find out."""
    torchio = sys.modules.get("torchio")
    if torchio is None or not isinstance(value, torchio.Image):
        return None
    return "LabelMap" if isinstance(value, torchio.LabelMap) else "ScalarImage"


def is_torchio_subject(value: Any) -> bool:
    """Whether a sample is TorchIO's dictionary of images."""
    torchio = sys.modules.get("torchio")
    return torchio is not None and isinstance(value, torchio.Subject)


@dataclass(frozen=True)
class ArrayForm:
    """Kind, type and shape of an array of a real sample.

    Attributes:
        kind: ``MetaTensor``, ``Tensor``, ``ndarray``, or TorchIO's ``ScalarImage`` and ``LabelMap``.
        dtype: torch or NumPy type.
        shape: as in the sample that was looked at.
        device: of a tensor.
        meta: the metadata of a MetaTensor.
    """

    kind: str
    dtype: Any
    shape: tuple[int, ...]
    device: str = "cpu"
    meta: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, value: Any, where: str) -> ArrayForm:
        """Look at an array.

        Raises:
            ConfigurationError: it is no array.
        """
        torchio_kind = torchio_image_kind(value)
        if torchio_kind is not None:
            return cls(torchio_kind, value.data.dtype, tuple(value.shape), "cpu", {"affine": value.affine})
        if is_meta_tensor(value):
            return cls("MetaTensor", value.dtype, tuple(value.shape), str(value.device), dict(value.meta))
        if isinstance(value, torch.Tensor):
            return cls("Tensor", value.dtype, tuple(value.shape), str(value.device))
        if isinstance(value, np.ndarray):
            return cls("ndarray", value.dtype, value.shape)
        raise ConfigurationError(
            f"{where}: the dataset gives {type(value).__name__}; a MetaTensor, a tensor or a NumPy array is needed: "
            "load and convert the image before SynthAugment"
        )

    @property
    def affine(self) -> np.ndarray | None:
        """Voxel-to-mm matrix of a MetaTensor or a TorchIO image."""
        affine = (self.meta or {}).get("affine")
        return None if affine is None else np.asarray(affine, np.float64)

    def as_generated(self, dtype: Any) -> ArrayForm:
        """This form with the generator's type: what a transform begins with, as the real samples began with theirs.

        The type at the transform's end may hold less (one-hot booleans, half precision).
        """
        return replace(self, dtype=dtype if self.kind == "ndarray" else torch.from_numpy(np.empty(0, dtype)).dtype)

    def write(self, array: np.ndarray, affine: np.ndarray, name: str) -> Any:
        """An array in this form, with its own affine; a copy where the array may not be written to."""
        if not array.flags.writeable:
            array = array.copy()
        if self.kind == "ndarray":
            return np.ascontiguousarray(array).astype(self.dtype, copy=False)
        tensor = torch.as_tensor(np.ascontiguousarray(array)).to(device=self.device, dtype=self.dtype)
        if self.kind == "Tensor":
            return tensor
        if self.in_torchio:
            return self._torchio_image(tensor, affine)
        from monai.data import MetaTensor

        return MetaTensor(
            tensor, affine=torch.as_tensor(affine, dtype=torch.float64), meta=self._meta(array, affine, name)
        )

    @property
    def in_torchio(self) -> bool:
        """Whether this is the form of a TorchIO image."""
        return self.kind in ("ScalarImage", "LabelMap")

    def _torchio_image(self, tensor: torch.Tensor, affine: np.ndarray) -> Any:
        import torchio

        return getattr(torchio, self.kind)(tensor=tensor, affine=affine)

    def _meta(self, array: np.ndarray, affine: np.ndarray, name: str) -> dict[str, Any]:
        """The keys that describe any image, of those that the real sample has; batches keep what all members have."""
        own: dict[str, Any] = {
            "filename_or_obj": f"synthaug:{name}",
            "original_affine": affine,
            "spatial_shape": np.asarray(array.shape[-3:]),  # a label may have no channel axis
        }
        known = self.meta or {}
        meta = {key: _like(value, known[key]) for key, value in own.items() if key in known}
        return meta | {key: known[key] for key in ("original_channel_dim", "space") if key in known}

    def cast(self, value: Any, where: str) -> Any:
        """The value with this form's kind and type.

        Raises:
            GeometryError: its dimensions or channels are not those of the real sample.
        """
        found = ArrayForm.of(value, where)
        if len(found.shape) != len(self.shape) or (len(self.shape) == 4 and found.shape[0] != self.shape[0]):
            raise GeometryError(
                f"{where}: the synthetic sample has shape {found.shape}, the real one {self.shape}; dimensions and "
                "channels must agree: give a generator with these channels, or transform= that makes them"
            )
        if found.kind == self.kind and found.dtype == self.dtype and found.device == self.device:
            return value
        if self.in_torchio:
            if not found.in_torchio:
                raise ConfigurationError(
                    f"{where}: the transform gives {type(value).__name__}, the real samples are TorchIO images; give "
                    "TorchIO's transforms"
                )
            return self._torchio_image(value.data.to(self.dtype), value.affine)
        if self.kind == "ndarray":
            return np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value).astype(self.dtype)
        if isinstance(value, torch.Tensor) and (found.kind == self.kind or self.kind == "MetaTensor"):
            moved = value.to(device=self.device, dtype=self.dtype)
        else:
            moved = torch.as_tensor(np.asarray(value)).to(device=self.device, dtype=self.dtype)
        if self.kind == "Tensor":
            return moved.as_subclass(torch.Tensor)
        if is_meta_tensor(moved):
            return moved
        from monai.data import MetaTensor

        return MetaTensor(moved)


def loaded_from_file(array: np.ndarray, affine: np.ndarray, name: str) -> Any:
    """A MetaTensor ``(C, X, Y, Z)`` with the metadata that all of MONAI's readers give."""
    from monai.data import MetaTensor
    from monai.utils.enums import MetaKeys, SpaceKeys

    own = np.array(array)  # a copy: transforms may write to it
    described = {
        MetaKeys.ORIGINAL_AFFINE: np.array(affine, np.float64),
        MetaKeys.SPATIAL_SHAPE: np.asarray(own.shape[1:]),
        MetaKeys.SPACE: SpaceKeys.RAS,
        "filename_or_obj": f"synthaug:{name}",
    }
    return MetaTensor(torch.from_numpy(own), affine=torch.as_tensor(affine, dtype=torch.float64), meta=described)


class SampleForm:
    """Learned from one real sample: a mapping, a sequence of arrays, or a list of mappings (several crops of one case).

    Args:
        sample: what the dataset returned.
        keys: of image and label; for a sequence, its first two places.
        provenance_key: under which a mapping tells where it comes from.
        mapping: from the generator's labels to the dataset's.
        extras: for the other keys: a value, or a function of the pair.
        transformed: whether a transform will be applied to synthetic samples.
        loaded: whether that begins with what MONAI loads from a file, whatever the real samples end as.

    Raises:
        ConfigurationError: a key is missing or taken, or no value is known for another key.
        GeometryError: the image is not channel-first 3D, or the label fits neither.
    """

    def __init__(
        self,
        sample: Any,
        keys: tuple[str, str],
        provenance_key: str,
        mapping: LabelMapping | None = None,
        extras: Mapping[str, Any | Callable[[LabeledVolume], Any]] | None = None,
        *,
        transformed: bool = False,
        loaded: bool = False,
    ) -> None:
        self.keys, self.provenance_key, self.mapping = keys, provenance_key, mapping
        self.extras = dict(extras or {})
        self.transformed, self.loaded = transformed, loaded
        self.several = isinstance(sample, list) and bool(sample) and isinstance(sample[0], Mapping)
        one = sample[0] if self.several else sample
        if isinstance(one, Mapping):
            self.sequence: type | None = None
            self.all_keys: tuple[Any, ...] = tuple(one)
            self._check_keys(one)
        elif isinstance(one, (tuple, list)) and len(one) == 2:
            self.sequence = type(one)
            self.all_keys = keys
            one = dict(zip(keys, one, strict=True))
        else:
            raise ConfigurationError(
                f"the dataset gives {type(one).__name__}; a dictionary with the keys {keys} or a pair of image and "
                "label is needed: wrap the dataset so that it returns one"
            )
        self.in_torchio = is_torchio_subject(one)
        self.image = ArrayForm.of(one[keys[0]], f"key {keys[0]!r}")
        self.label = ArrayForm.of(one[keys[1]], f"key {keys[1]!r}")
        if len(self.image.shape) != 4 or len(self.label.shape) not in (3, 4):
            raise GeometryError(
                f"the dataset gives an image of shape {self.image.shape} and a label of shape {self.label.shape}; "
                "channel-first 3D is needed: (C, X, Y, Z) and (1, X, Y, Z) or (X, Y, Z)"
            )
        if self.image.shape[1:] != self.label.shape[-3:]:
            raise GeometryError(
                f"the dataset gives an image of {self.image.shape[1:]} voxels and a label of {self.label.shape[-3:]}; "
                "they must agree: resample one to the other before SynthAugment"
            )
        self._others = {key: one[key] for key in self.all_keys if key not in keys}
        if not transformed:
            for key in self._others:
                self._other(key, None, "")

    def _check_keys(self, sample: Mapping[Any, Any]) -> None:
        for key in self.keys:
            if key not in sample:
                raise ConfigurationError(
                    f"keys: the dataset gives no {key!r}, it gives {', '.join(map(repr, sample))}; "
                    'name image and label with keys=("...", "...")'
                )
        if self.provenance_key in sample:
            raise ConfigurationError(
                f"provenance_key: the dataset uses {self.provenance_key!r} itself; give another provenance_key"
            )

    def contain(self, sample: Mapping[Any, Any]) -> dict[Any, Any]:
        """A sample in the real ones' kind of dictionary, which TorchIO's transforms insist on."""
        if not self.in_torchio:
            return dict(sample)
        import torchio

        return torchio.Subject(dict(sample))

    def write(self, pair: LabeledVolume, name: str) -> dict[Any, Any]:
        """A pair as a mapping in this form, before any transform.

        Without a transform to come, it is turned into the orientation of the real samples (where they are
        MetaTensors or TorchIO images and so have one) and cropped or filled with zeros around its centre to their size.

        Raises:
            GeometryError: its spacing is not the real samples' and no transform is there to change it.
        """
        label = self.mapping.apply(pair.label) if self.mapping is not None else pair.label
        image, affine = pair.image, pair.affine
        if not self.transformed:
            image, label, affine = self._fit(image, label, affine, pair)
        if len(self.label.shape) == 4 or self.loaded:
            label = label[None]
        if self.loaded:
            arrays = zip(self.keys, (image, label), strict=True)
            return {key: loaded_from_file(array, affine, name) for key, array in arrays}
        forms = (self.image.as_generated(np.float32), self.label.as_generated(np.int16))
        written = zip(self.keys, forms if self.transformed else (self.image, self.label), (image, label), strict=True)
        return self.contain({key: form.write(array, affine, name) for key, form, array in written})

    def finish(self, sample: Mapping[Any, Any], pair: LabeledVolume, name: str) -> dict[Any, Any]:
        """Exactly the real sample's keys, in its order, with its kinds and types.

        Raises:
            GeometryError: dimensions or channels are not the real sample's.
            ConfigurationError: no value is known for a key.
        """
        forms = dict(zip(self.keys, (self.image, self.label), strict=True))
        finished = {}
        for key in self.all_keys:
            if key in forms:
                finished[key] = forms[key].cast(sample[key], f"key {key!r}")
            else:
                finished[key] = sample[key] if key in sample else self._other(key, pair, name)
        return self.contain(finished)

    def _other(self, key: Any, pair: LabeledVolume | None, name: str) -> Any:
        if key in self.extras:
            value = self.extras[key]
            return value(pair) if callable(value) and pair is not None else value
        if isinstance(self._others[key], (str, PurePath)):
            return type(self._others[key])(f"synthaug:{name}")
        kind = type(self._others[key]).__name__
        raise ConfigurationError(
            f"key {key!r}: the real samples have a {kind} there, and a synthetic one cannot know it; give "
            f"extras={{{key!r}: value or function of the pair}}, or drop the key from the dataset"
        )

    def _fit(
        self, image: np.ndarray, label: np.ndarray, affine: np.ndarray, pair: LabeledVolume
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        real_affine = self.image.affine
        if real_affine is not None:
            image, label, affine = _reorient(image, label, affine, real_affine)
            real, own = (np.linalg.norm(a[:3, :3], axis=0) for a in (real_affine, affine))
            if np.any(np.abs(own / real - 1) > SPACING_TOLERANCE):
                raise GeometryError(
                    f"the real samples have a spacing of {real.round(3).tolist()} mm, the synthetic pair one of "
                    f"{own.round(3).tolist()} mm; give transform= with Spacingd, as the real ones have had"
                )
        size = self.image.shape[1:]
        start = [(have - want) // 2 for have, want in zip(label.shape, size, strict=True)]
        if any(start) or label.shape != size:
            affine = affine.copy()
            affine[:3, 3] += affine[:3, :3] @ np.asarray(start, np.float64)
            image = np.stack([_centred(channel, start, size) for channel in image])
            label = _centred(label, start, size)
        return image, label, affine


def _centred(array: np.ndarray, start: list[int], size: tuple[int, ...]) -> np.ndarray:
    fitted = np.zeros(size, array.dtype)
    source = tuple(slice(max(s, 0), min(s + n, have)) for s, n, have in zip(start, size, array.shape, strict=True))
    target = tuple(slice(c.start - s, c.stop - s) for c, s in zip(source, start, strict=True))
    fitted[target] = array[source]
    return fitted


def _reorient(
    image: np.ndarray, label: np.ndarray, affine: np.ndarray, like: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axes in the order and direction of another affine; a permutation and flips, no interpolation."""
    from nibabel import orientations

    change = orientations.ornt_transform(orientations.io_orientation(affine), orientations.io_orientation(like))
    if np.array_equal(change, [[0, 1], [1, 1], [2, 1]]):
        return image, label, affine
    turned = affine @ orientations.inv_ornt_aff(change, label.shape)
    channels = np.stack([orientations.apply_orientation(channel, change) for channel in image])
    return channels, orientations.apply_orientation(label, change), turned


def _like(value: Any, example: Any) -> Any:
    """The value as a tensor or an array, whichever the example is."""
    if isinstance(example, torch.Tensor):
        return torch.as_tensor(np.asarray(value)).to(example.dtype)
    return np.asarray(value, example.dtype) if isinstance(example, np.ndarray) else value
