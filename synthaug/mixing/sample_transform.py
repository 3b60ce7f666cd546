"""What synthetic samples go through: the transform given for them, or the data set's own from its loading on."""

from __future__ import annotations

import contextlib
import copy
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from synthaug.errors import ConfigurationError

DATASET = "dataset"
"""The word for the data set's own transform."""


@contextlib.contextmanager
def seeded(words: list[int]) -> Iterator[int]:
    """Seed Python's, NumPy's and torch's global generators for a block, and put them back as they were.

    Transforms draw from whichever they like; workers share or split these generators in their own ways. Those of GPUs
    are left alone where torch has not begun to use any.
    """
    seed = int(np.random.SeedSequence(words).generate_state(1)[0])
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed_all(seed)
        try:
            yield seed
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


class SampleTransform:
    """A transform of synthetic samples, seeded for each of them.

    MONAI's chains that begin with ``LoadImaged`` (or ``LoadImage``) are taken as they are: a pair enters in the loaded
    files' place, as the MetaTensors that loading would have given, and what comes before the loading is left out.
    MONAI's transforms, and others with a random state of their own, are copied, so that the real samples' draws from
    them stay what they were.

    Args:
        transform: a function of a sample, two functions (of image and of label, as MONAI's ``ArrayDataset`` has them,
            which get the same seed), or ``"dataset"``: what the data set does itself.
        dataset: of real samples.
        keys: of image and label.

    Attributes:
        loads: whether it takes what a file was loaded to, and so MetaTensors.

    Raises:
        ConfigurationError: it is none of these, or the data set has no transform of its own.
    """

    def __init__(self, transform: Any, dataset: Any, keys: tuple[Any, Any]) -> None:
        self.keys = keys
        loaded_before = False
        if isinstance(transform, str):
            if transform != DATASET:
                raise ConfigurationError(
                    f"transform is {transform!r}; give a function of a sample, or {DATASET!r} for the data set's own"
                )
            transform, loaded_before = transform_of(dataset)
        if isinstance(transform, (tuple, list)):
            if len(transform) != 2 or not all(one is None or callable(one) for one in transform):
                raise ConfigurationError(
                    f"transform is {transform!r}; give one function of a sample, or two: of image and of label"
                )
            chains = [_chain(one, None, loaded_before) for one in transform]
            self._parts: list[tuple[Any, Callable[[Any], Any]]] = [
                (key, chain) for key, (chain, _) in zip(keys, chains, strict=True)
            ]
            self.loads = any(loads for _, loads in chains)
            self._whole: Callable[[Any], Any] | None = None
            return
        if not callable(transform):
            raise ConfigurationError(
                f"transform is {transform!r}; give a function of a sample, such as MONAI's Compose, two of them (of "
                f"image and label), {DATASET!r} for the data set's own, or None"
            )
        self._whole, self.loads = _chain(transform, keys, loaded_before)
        self._parts = []

    def __call__(self, sample: Mapping[Any, Any], words: list[int]) -> Any:
        """The transformed sample.

        Args:
            sample: with the two keys.
            words: seed of all random draws.
        """
        if self._whole is not None:
            with seeded(words) as seed:
                _seed(self._whole, seed)
                return self._whole(sample)
        transformed = dict(sample)
        for key, part in self._parts:
            with seeded(words) as seed:
                _seed(part, seed)
                transformed[key] = part(transformed[key])
        return transformed


def transform_of(dataset: Any) -> tuple[Any, bool]:
    """A data set's own transform (one of samples, or two: of image and label), and whether it loads files before it.

    Raises:
        ConfigurationError: it has none.
    """
    data = sys.modules.get("monai.data")
    if data is not None and isinstance(dataset, data.ArrayDataset) and isinstance(dataset.dataset, data.ZipDataset):
        return tuple(one.transform for one in dataset.dataset.data[:2]), False
    if data is not None and isinstance(dataset, data.ImageDataset):
        return (dataset.transform, dataset.seg_transform), True
    for name in ("transform", "_transform"):  # TorchIO's is the second
        found = getattr(dataset, name, None)
        if callable(found) and not isinstance(found, SampleTransform):
            return found, False
    inner = getattr(dataset, "dataset", None)  # torch's Subset, or a SynthAugment around the real samples
    if inner is not None:
        return transform_of(inner)
    raise ConfigurationError(
        f"transform={DATASET!r}: a {type(dataset).__name__} has no transform of its own; give transform= what real "
        "samples go through after loading, or None"
    )


def _seed(transform: Any, seed: int) -> None:
    if hasattr(transform, "set_random_state"):
        transform.set_random_state(seed=seed)


def _unchanged(value: Any) -> Any:
    return value


def _chain(transform: Any, keys: tuple[Any, Any] | None, loaded_before: bool) -> tuple[Callable[[Any], Any], bool]:
    """A transform from its loading on, and whether there was any; ``keys`` None: it takes an array, no dictionary."""
    if transform is None:
        transform = _unchanged
    monai = sys.modules.get("monai.transforms")
    if monai is None or not isinstance(transform, monai.Transform):
        return (copy.deepcopy(transform) if hasattr(transform, "set_random_state") else transform), False
    loaders = monai.LoadImage if keys is None else monai.LoadImaged
    chain = transform if isinstance(transform, monai.Compose) else monai.Compose(transform)
    steps = chain.flatten().transforms if type(chain) is monai.Compose else (transform,)
    places = [place for place, step in enumerate(steps) if isinstance(step, loaders)]
    if not places and not loaded_before:
        return copy.deepcopy(transform), False
    kept: list[Any] = [] if places else [LoadedArray(monai.LoadImage())]
    for step in steps[places[0] if places else 0 :]:
        kept.append(_in_place_of(step, keys) if isinstance(step, loaders) else copy.deepcopy(step))
    options = {name: getattr(chain, name) for name in ("map_items", "unpack_items", "lazy", "overrides", "log_stats")}
    return monai.Compose(kept, **options), True


def _in_place_of(loader: Any, keys: tuple[Any, Any] | None) -> Any:
    return LoadedArray(loader) if keys is None else LoadedSample(loader, keys)


class LoadedArray:
    """Stands where ``LoadImage`` stood and gives what it would have given for a file with the same content.

    Args:
        loader: MONAI's transform.
    """

    def __init__(self, loader: Any) -> None:
        self._dtype, self._channel_first, self._image_only = (
            loader.dtype,
            loader.ensure_channel_first,
            loader.image_only,
        )

    def __call__(self, image: Any) -> Any:
        """The array as loaded.

        Args:
            image: MetaTensor ``(C, X, Y, Z)``.

        Returns:
            A MetaTensor of the loader's type: ``(X, Y, Z)`` for one channel, as in a file, else ``(C, X, Y, Z)``; the
            metadata says which. Where the loader gives the metadata apart, a pair of both.
        """
        from monai.data import MetaTensor
        from monai.utils import convert_to_dst_type
        from monai.utils.enums import MetaKeys

        alone = image.shape[0] == 1 and not self._channel_first
        meta = {key: value for key, value in image.meta.items() if key != MetaKeys.AFFINE}
        meta[MetaKeys.ORIGINAL_CHANNEL_DIM] = float("nan") if alone else 0
        array = image.as_tensor()[0] if alone else image.as_tensor()
        cast = convert_to_dst_type(array, array, dtype=self._dtype)[0]
        loaded = MetaTensor(cast, affine=image.affine, meta=meta)
        return loaded if self._image_only else (loaded, loaded.meta)


class LoadedSample:
    """The same for ``LoadImaged`` and the keys that it loads.

    Args:
        loader: MONAI's transform.
        keys: of image and label; what it loads besides is not there.
    """

    def __init__(self, loader: Any, keys: Sequence[Any]) -> None:
        self._load = LoadedArray(loader._loader)
        self._image_only = loader._loader.image_only
        names = zip(loader.keys, loader.meta_keys, loader.meta_key_postfix, strict=True)
        self._meta_keys = {key: meta or f"{key}_{postfix}" for key, meta, postfix in names if key in keys}

    def __call__(self, sample: Mapping[Any, Any]) -> dict[Any, Any]:
        """The sample as loaded."""
        loaded = dict(sample)
        for key, meta_key in self._meta_keys.items():
            if self._image_only:
                loaded[key] = self._load(loaded[key])
            else:
                loaded[key], loaded[meta_key] = self._load(loaded[key])
        return loaded
