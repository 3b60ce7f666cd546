"""A dataset of real samples, some of which are synthetic."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import Dataset

from synthaug.errors import ConfigurationError
from synthaug.labels import LabelMapping
from synthaug.leakage import check_leakage
from synthaug.mixing.argument_checks import (
    check_companions,
    check_countable,
    check_dataset,
    check_keys,
    check_progress_told,
    check_state,
    check_transformed,
    check_whole,
    count_appended,
    warn_of_shared_items,
    what_moves,
)
from synthaug.mixing.epoch_plan import EpochPlan
from synthaug.mixing.sample_form import SampleForm
from synthaug.mixing.sample_transform import SampleTransform
from synthaug.mixing.shared_progress import SharedProgress
from synthaug.schedules import MixSchedule, VolumeSchedule, parse_mix, progress_of_epoch
from synthaug.sources import Draw, Source, Stream, as_source, describe_draws
from synthaug.store import Store
from synthaug.volumes import LabeledVolume

if TYPE_CHECKING:
    from synthaug.generators.protocol import PairGenerator

MODES = ("replace", "append")


class SynthAugment(Dataset[Any]):
    """Real samples mixed with synthetic ones that have the same keys, kinds, types and channel-first shapes.

    Which items are synthetic, and which pairs they are, follows from (seed, rank, epoch, index) alone: any number of
    workers, started in any way, gives the same. In each epoch the share of synthetic items is the ratio to the nearest
    item (rounded at random where it does not divide).

    Args:
        dataset: map-style dataset of real samples: dictionaries (or lists of dictionaries, where a transform takes
            several crops) with channel-first 3D image and label, TorchIO's subjects, or pairs (image, label). It is
            wrapped, not changed.
        source_or_generator: a ``Source``, a ``Store`` or a cache's folder, or a generator, which then makes pairs in
            the process that asks for the item (see ``GeneratorSource`` for its memory and its limits).
        ratio: share of synthetic items: a number, a ``MixSchedule``, or its text (``"synthetic-then-real"``).
        schedule: of volumes in mL: a ``VolumeSchedule`` or its text (``"uniform:20:120"``); None: the source's own.
        keys: of image and label; a pair has no keys and gets them for ``transform``.
        transform: applied to synthetic samples, as dictionaries with ``keys``: image (C, X, Y, Z) and label in RAS+
            order, intensities as the generator makes them. Give what the dataset does to real samples, random
            augmentation included: synthetic pairs enter behind the dataset's own transforms, so without it they are
            neither normalised nor augmented, and only turned and centred to the real samples' grid. ``"dataset"``
            takes the dataset's own. A chain of MONAI's may begin with its loading, in whose place a pair enters; two
            transforms are of image and of label. Its randomness is seeded per item (``SampleTransform``).
        mode: ``replace`` keeps the length, a synthetic item stands in a real one's place; ``append`` keeps every real
            item and adds synthetic ones until they are ``ratio`` of the whole.
        seed: of all draws.
        epochs: length of the training; needed where ratio or volumes move with progress and ``set_epoch`` is not told
            the progress. Epoch e stands at (e + 0.5) / epochs.
        count_epochs: for training loops that never call ``set_epoch``: an item that is asked for again is in its next
            epoch, whoever asks (a loader, ``for``, a dataset around this one), whatever the workers. For samplers that
            give each item once a pass: with replacement items that are given often run ahead of the others, and
            processes that share the items out each see a part of them; call ``set_epoch`` there.
        rank: of this process, where processes hold different real samples under the same indices.
        mapping: from the generator's labels to the dataset's.
        extras: for further keys of the real samples: a value, or a function of the pair.
        provenance_key: where every dictionary, real or synthetic, says ``{"synthetic", "name", "seed", "volume_ml"}``.
        held_out: validation cases, files or records as ``check_leakage`` takes them, that the generator must not have
            been fitted on; None: nothing is compared.
        allow_leakage: warn of such cases instead of refusing them; ``stats`` names them.
        example: a real sample to learn the form from; None: ``dataset[0]`` is looked at once.

    Raises:
        SynthAugError: an argument is out of range, or the real samples have a form that cannot be mirrored.
        LeakageError: the generator was fitted on held-out cases; names them.
    """

    def __init__(
        self,
        dataset: Any,
        source_or_generator: Source | PairGenerator | Store | Path | str,
        ratio: float | str | Mapping[str, Any] | MixSchedule = 0.5,
        schedule: VolumeSchedule | str | Mapping[str, Any] | None = None,
        keys: tuple[str, str] = ("image", "label"),
        transform: Callable[[Any], Any] | Sequence[Callable[[Any], Any] | None] | str | None = None,
        mode: str = "replace",
        seed: int = 0,
        *,
        epochs: int | None = None,
        count_epochs: bool = False,
        rank: int = 0,
        mapping: LabelMapping | None = None,
        extras: Mapping[str, Any | Callable[[LabeledVolume], Any]] | None = None,
        provenance_key: str = "synthaug",
        held_out: Iterable[Any] | None = None,
        allow_leakage: bool = False,
        example: Any = None,
    ) -> None:
        if mode not in MODES:
            raise ConfigurationError(f"mode is {mode!r}; allowed are {', '.join(MODES)}")
        self.seed, self.rank = check_whole("seed", seed, 0), check_whole("rank", rank, 0)
        self.epochs = None if epochs is None else check_whole("epochs", epochs, 1)
        self._real_length = check_dataset(dataset)
        self.keys = check_keys(keys)
        check_companions(mapping, extras, provenance_key)
        self.dataset = dataset
        self.source = as_source(source_or_generator, schedule)
        self.leaks = (
            ()
            if held_out is None
            else check_leakage(self.source, held_out, keys=self.keys, allow_leakage=allow_leakage)
        )
        self.mix = ratio if isinstance(ratio, MixSchedule) else parse_mix(ratio)
        self.transform = None if transform is None else SampleTransform(transform, dataset, self.keys)
        self.mode = mode
        self.provenance_key = provenance_key
        self._warned = False
        self._plan = EpochPlan(self.mix, self._real_length)
        self._appended = count_appended(self.mix, self._real_length) if mode == "append" else 0
        self.place = SharedProgress(len(self))
        self.count_epochs = bool(count_epochs)
        if self.count_epochs:
            check_countable(self.mix, self.source, self.epochs)
            warn_of_shared_items()
        self.form = SampleForm(
            dataset[0] if example is None else example,
            self.keys,
            provenance_key,
            mapping,
            extras,
            transformed=transform is not None,
            loaded=self.transform is not None and self.transform.loads,
        )
        self._check_channels()

    def _check_channels(self) -> None:
        real, made = self.form.image.shape[0], self.source.channels
        if self.transform is None and real != len(made):
            raise ConfigurationError(
                f"the real samples have {real} channels, the synthetic pairs {len(made)} ({', '.join(made)}); "
                "give a generator with the same channels"
            )

    # ------------------------------------------------------------------ items

    def __len__(self) -> int:
        return self._real_length + self._appended

    def __getitem__(self, index: int) -> Any:
        index = self._index(index)
        return self._item(index, self._epoch_of_next(index))

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Samples of a batch: the loaders' way in."""
        return [self[index] for index in indices]

    def __iter__(self) -> Iterator[Any]:
        epoch = self.place.epoch + self.place.begin_pass() if self.count_epochs else None
        for index in range(len(self)):
            yield self[index] if epoch is None else self._item(index, epoch)
        if self.count_epochs:
            self.place.end_pass()

    def _index(self, index: int) -> int:
        length = len(self)
        if not -length <= index < length:
            raise IndexError(f"index {index} is out of range for {length} items")
        return int(index) % length

    def _epoch_of_next(self, index: int) -> int:
        """The epoch of an item that is asked for."""
        earlier = self.place.visit(index)
        if self.count_epochs:
            return self.place.epoch + earlier
        # samplers with replacement give an item again long before the pass ends
        if earlier and not self._warned and not self.place.told and self.place.visits > len(self):
            self._warned = True
            warnings.warn(
                "a second pass over the items of epoch 0: the same ones are synthetic, and their real cases are never "
                "seen; call set_epoch(epoch) before each pass, or give count_epochs=True where the sampler gives each "
                "item once a pass",
                stacklevel=3,
            )
        return self.epoch

    def _item(self, index: int, epoch: int) -> Any:
        if self._is_synthetic(index, epoch):
            draw = self._draw(index, epoch)
            pair = draw.read() if draw is not None else None
            if draw is not None and pair is not None:
                return self._synthetic(draw, pair, [Stream.TRANSFORM, self.seed, self.rank, epoch, index])
            self.place.count_fallback()
        return self._with_provenance(self.dataset[index % self._real_length], None, None)

    def is_synthetic(self, index: int) -> bool:
        """Whether an item of the current epoch is planned to be synthetic."""
        return self._is_synthetic(index, self.epoch)

    def _is_synthetic(self, index: int, epoch: int) -> bool:
        if self.mode == "append":
            return index >= self._real_length
        return bool(self._plan.planned(self.seed, self.rank, epoch, self._progress_at(epoch))[index])

    def _draw(self, index: int, epoch: int) -> Draw | None:
        progress = self._progress_at(epoch)
        return self.source.draw(index, seed=self.seed, epoch=epoch, rank=self.rank, progress=progress)

    def _synthetic(self, draw: Draw, pair: LabeledVolume, words: list[int]) -> Any:
        sample: Any = self.form.write(pair, draw.name)
        if self.transform is not None:
            sample = self.transform(sample, words)
        several = sample if isinstance(sample, list) else [sample]
        for one in several:
            check_transformed(one, self.keys)
        finished = [self.form.finish(one, pair, draw.name) for one in several]
        if self.form.several:
            return self._with_provenance(finished, draw, pair)
        if len(finished) != 1:
            raise ConfigurationError(
                f"transform: gives {len(finished)} samples for one pair, the dataset gives one; make them agree"
            )
        if self.form.sequence is not None:
            return self._as_sequence(finished[0])
        return self._with_provenance(finished[0], draw, pair)

    def _as_sequence(self, sample: Mapping[Any, Any]) -> Any:
        values = [sample[key] for key in self.keys]
        kind = self.form.sequence
        make = getattr(kind, "_make", kind)  # a named tuple has _make
        return make(values)  # type: ignore[misc]

    def _with_provenance(self, sample: Any, draw: Draw | None, pair: LabeledVolume | None) -> Any:
        if self.form.several:
            return [self._named(one, draw, pair) for one in sample]
        if self.form.sequence is not None:
            return sample
        return self._named(sample, draw, pair)

    def _named(self, sample: Mapping[Any, Any], draw: Draw | None, pair: LabeledVolume | None) -> dict[Any, Any]:
        return self.form.contain({**sample, self.provenance_key: self._provenance(draw, pair)})

    def _provenance(self, draw: Draw | None, pair: LabeledVolume | None) -> dict[str, Any]:
        """The same kinds for real and synthetic items, or a batch of both could not be made."""
        if draw is None or pair is None:
            return {"synthetic": False, "name": "", "seed": -1, "volume_ml": float("nan")}
        structure = self.source.structure
        realised = pair.provenance.get("realised_ml", {}).get(structure, draw.volumes_ml.get(structure))
        return {
            "synthetic": True,
            "name": draw.name,
            "seed": draw.seed,
            "volume_ml": float("nan") if realised is None else float(realised),
        }

    # ------------------------------------------------------------------ progress

    @property
    def epoch(self) -> int:
        """The current epoch, from 0."""
        return self.place.epoch + (self.place.passes if self.count_epochs else 0)

    @property
    def progress(self) -> float:
        """Where the schedules stand, 0 to 1."""
        return self._progress_at(self.epoch)

    def _progress_at(self, epoch: int) -> float:
        told = self.place.progress
        if told is not None:
            return told
        return progress_of_epoch(epoch, self.epochs) if self.epochs is not None else 0.0

    def set_epoch(self, epoch: int, progress: float | None = None) -> None:
        """Begin an epoch; call it in the main process, persistent workers see it.

        Args:
            epoch: from 0.
            progress: 0 to 1; None: from ``epochs``.
        """
        epoch, progress = check_whole("epoch", epoch, 0), check_progress_told(progress)
        moving = what_moves(self.mix, self.source)
        if progress is None and self.epochs is None and moving:
            raise ConfigurationError(
                f"the {moving} moves with the training's progress, which is not known; give epochs= to "
                "SynthAugment, or progress= to set_epoch"
            )
        self.place.set(epoch, progress)
        follow = getattr(self.source, "set_epoch", None)  # a live source makes pairs for where the training stands
        if follow is not None:
            follow(epoch, self.progress)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on from here."""
        return {"epoch": self.epoch, "progress": self.place.progress, "seed": self.seed, "rank": self.rank}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; the rank stays that of this process, since loops save one process's state for all.

        Raises:
            ConfigurationError: it is no ``state_dict`` of a SynthAugment.
        """
        check_state(state)
        self.seed = int(state["seed"])
        self.set_epoch(int(state["epoch"]), state["progress"])

    def stats(self) -> dict[str, Any]:
        """The current epoch, worked out from its draws without reading a pair.

        Returns:
            ``epoch``, ``progress``, ``items``, ``synthetic`` and ``ratio`` (as planned), ``requested_ratio``,
            ``fallbacks`` (real items in place of planned synthetic ones so far, all workers and epochs), ``leakage``
            (held-out cases that the generator has seen, where that was allowed), and what ``describe_draws`` tells of
            the volumes in mL and of reuse.
        """
        chosen = [index for index in range(len(self)) if self.is_synthetic(index)]
        draws = [draw for index in chosen if (draw := self._draw(index, self.epoch)) is not None]
        schedule = getattr(self.source, "schedule", None)
        return {
            "epoch": self.epoch,
            "progress": self.progress,
            "items": len(self),
            "synthetic": len(chosen),
            "ratio": len(chosen) / len(self),
            "requested_ratio": float(self.mix.fraction(self.progress)),
            "fallbacks": self.place.fallbacks,
            "leakage": [str(leak) for leak in self.leaks],
            **describe_draws(draws, self.source.structure, schedule, self.progress),
        }

    # ------------------------------------------------------------------ company

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> SynthAugment:
        """Pass a random state on to the dataset and its transforms (MONAI's convention); own draws have ``seed``."""
        if hasattr(self.dataset, "set_random_state"):
            self.dataset.set_random_state(seed=seed, state=state)
        elif "monai.data.utils" in sys.modules and seed is not None:
            sys.modules["monai.data.utils"].set_rnd(self.dataset, seed)
        return self

    def start(self) -> SynthAugment:
        """Begin to make pairs, where the source does so while the training runs; waits for the first ones.

        A dataset that replaces its samples meanwhile (MONAI's ``SmartCacheDataset``) is started and ended too.
        """
        for one in (self.source, self.dataset):
            begin = getattr(one, "start", None)
            if begin is not None:
                begin()
        return self

    def update(self) -> None:
        """Move on to the next epoch (the name that MONAI's caching datasets have for it)."""
        self.set_epoch(self.epoch + 1)

    def shutdown(self) -> None:
        """See ``close``; ends what the dataset does beside, too."""
        self.close()
        end = getattr(self.dataset, "shutdown", None)
        if end is not None:
            end()

    def close(self) -> None:
        """Let go of what the source holds, and end the process that makes pairs."""
        close = getattr(self.source, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> SynthAugment:
        return self.start()

    def __exit__(self, *raised: object) -> None:
        self.shutdown()

    def dry_iter(self) -> list[Any]:
        """TorchIO's subjects before loading, one for each item, by which its ``Queue`` counts its patches."""
        subjects = list(self.dataset.dry_iter())
        return [subjects[index % len(subjects)] for index in range(len(self))]

    def __getattr__(self, name: str) -> Any:
        # what a training script asks of its own dataset, such as SmartCacheDataset's update_cache
        if name.startswith("_") or "dataset" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        try:
            return getattr(self.dataset, name)
        except AttributeError:
            raise AttributeError(
                f"neither SynthAugment nor its {type(self.dataset).__name__} has an attribute {name!r}"
            ) from None
