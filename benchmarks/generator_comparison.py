"""Generators side by side on held-out cases: fidelity, diversity, continuity, volume control, time and memory.

    python benchmarks/generator_comparison.py --real 501 --fold 0 --generator FOLDER --generator domain-randomization \
        --num 16 --schedule ventricles=uniform:20:80 --work comparison --json FILE --pictures DIR

The real cases are those of an nnU-Net dataset: its number or name, or the folder of its raw files. What the fold is
validated on is held out. Each generator makes its pairs in a process of its own, into a cache in `--work`: what is
there is not made again, so a run can be interrupted. Peak memory is that process's resident memory. Quality control
rejects no pair for its volumes, so that the volume error is the generator's own.

The figures are those of MedGen3D (arXiv 2304.04106, section 4.2 and table 1) beside others: means over axial, coronal
and sagittal slices of the Fréchet distance to the held-out cases (FID) and of the distance between two synthetic
images (LPIPS: higher is more diverse). Networks that learned photographs have to be given; without them, convolutions
with fixed random weights see the slices. The training cases, measured in the same way, are the reference.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from synthaug.errors import ConfigurationError, LeakageError, SynthAugError
from synthaug.evaluation.extractors import HEAD_SHARE, RandomConvolutions, frechet_distance
from synthaug.evaluation.fidelity import HIGHEST, LEAST_SIZE, MOST_PAIRS, SIMILARITY_WEIGHTS, SPLITS, Appearance
from synthaug.labels import LabelScheme, Structure
from synthaug.quality import QualityConfig
from synthaug.volumes import LabeledVolume
from synthaug.volumes.grid import Grid, box_centre_mm, box_of, place_on_grid

if TYPE_CHECKING:
    from synthaug.evaluation.extractors import Extractor
    from synthaug.generators.cases import CasePaths
    from synthaug.generators.protocol import PairGenerator
    from synthaug.integrations.nnunet.dataset import NnunetDataset
    from synthaug.precomputing import Progress
    from synthaug.store import CaseEntry, Store, StoreInfo

REPOSITORY = Path(__file__).resolve().parents[1]
QUALITY = QualityConfig(volume_tolerance=1000.0, max_attempts=8)
HEAD = LabelScheme("head", (Structure("head", 1),))

VIEWS = 3
SLICES, COMPARED_SLICES = 24, 8
"""Of each view of an image: for the Fréchet distance, and for the distance between two images."""

MARGIN = 1.1
"""Width of the grid that all images are placed on, in widths of the largest head."""

LEAST_CASES = 3
"""Fewer have too few slices for a covariance of the features."""

PAPER = {
    "DDPM": (34.9, 0.298),
    "3D-alpha-WGAN": (136.4, 0.289),
    "Vid2Vid": (48.2, 0.324),
    "MedGen3D": (40.3, 0.326),
}
"""FID and LPIPS of table 1 of MedGen3D, brain."""

NOTE = (
    "FID and LPIPS are means over axial, coronal and sagittal slices. Those of the papers' rows were seen by networks "
    "that learned photographs (Inception; LPIPS's own), on other data: figures of different extractors cannot be "
    "compared."
)


@dataclass(frozen=True)
class RealCases:
    """Real cases of a dataset.

    Attributes:
        dataset: with its labels and channels.
        training: that generators were fitted on, or may draw from.
        held_out: that no generator has seen.
    """

    dataset: NnunetDataset
    training: tuple[CasePaths, ...]
    held_out: tuple[CasePaths, ...]

    @classmethod
    def of_fold(cls, dataset: NnunetDataset, fold: str) -> RealCases:
        """The cases of a fold.

        Raises:
            ConfigurationError: no such fold, one that holds nothing out, or one that names cases without files.
        """
        if fold == "all":
            raise ConfigurationError("--fold all: holds no case out; give a fold with validation cases")
        training, held_out = dataset.split(fold)
        lost = [name for name in (*training, *held_out) if name not in dataset.cases]
        if lost or not held_out:
            what = f"names {', '.join(lost[:3])}, without files" if lost else "has no validation case"
            raise ConfigurationError(f"{dataset.name}: fold {fold} {what}; mend the split, or take another fold")
        return cls(dataset, *(tuple(dataset.cases[name] for name in names) for names in (training, held_out)))

    def refuse_leaks(self, infos: Mapping[str, StoreInfo]) -> None:
        """Refuse a generator that was fitted on a held-out case.

        Raises:
            LeakageError: names both.
        """
        from synthaug.generators.cases import case_record
        from synthaug.leakage import find_leaks, name_leaks

        records = [case_record(paths) for paths in self.held_out]
        for name, info in infos.items():
            if leaks := find_leaks(info.training_cases, records):
                raise LeakageError(
                    f"--generator {name}: was fitted on held-out cases ({name_leaks(leaks)}); give the fold that it "
                    "was fitted for"
                )

    def read(self, cases: Iterable[CasePaths]) -> Iterator[tuple[str, LabeledVolume]]:
        """Name and pair of each case, read one by one."""
        from synthaug.volumes import read_pair

        for paths in cases:
            yield paths.identifier, read_pair(paths.images, paths.label, self.dataset.scheme, self.dataset.channels)


def find_dataset(text: str) -> NnunetDataset:
    """The dataset that ``--real`` names: the folder of its raw files, its number or its full name.

    Raises:
        ConfigurationError: there is none.
    """
    from synthaug.integrations.nnunet.dataset import NnunetDataset

    folder = Path(text).expanduser()
    if not folder.is_dir():
        return NnunetDataset.find(text)
    if not (folder / "dataset.json").is_file():
        raise ConfigurationError(f"--real {text}: holds no dataset.json; give an nnU-Net raw dataset, or its number")
    return NnunetDataset(folder.name, folder, folder)


# ---------------------------------------------------------------------- the pairs


@dataclass(frozen=True)
class Plan:
    """What a generator is asked for.

    Attributes:
        folder: of its cache and its costs.
        info: head of the cache.
        spacing_mm: longest edge of a voxel.
        names: of the pairs.
    """

    folder: Path
    info: StoreInfo
    spacing_mm: float
    names: tuple[str, ...]

    @classmethod
    def of(cls, name: str, real: RealCases, options: argparse.Namespace) -> Plan:
        """Load a generator and plan its pairs, so that what does not fit is found before hours of sampling.

        Raises:
            SynthAugError: no such generator, volumes that it does not allow, or other structures than the dataset's.
        """
        from synthaug.precomputing import plan_requests
        from synthaug.store import StoreInfo

        generator = _load(name, real, options.device)
        schedule = _schedule(generator, options.schedule)
        generator.scheme.resolve(schedule.structure)
        requests = plan_requests(generator, schedule, num=options.num, seed=options.seed, quality=QUALITY)
        longest = float(np.linalg.norm(generator.affine[:3, :3], axis=0).max())
        folder = _folder(name, options.work)
        return cls(folder, StoreInfo.of(generator), longest, tuple(one.name for one in requests))

    @cached_property
    def store(self) -> Store:
        """Its cache."""
        from synthaug.store import Store

        return Store.open(self.folder / "cache")

    @property
    def entries(self) -> list[CaseEntry]:
        """What is there of the pairs, the smallest that was asked for first."""
        found = [one for one in self.store.entries() if one.name in self.names]
        return sorted(found, key=lambda one: sum(one.requested_ml.values()))

    def check_structures(self, name: str, scheme: LabelScheme) -> None:
        """Refuse a generator that lacks a structure of the dataset.

        Raises:
            ConfigurationError: names it.
        """
        lacking = [one for one in scheme.names if one not in (*self.info.scheme.names, *self.info.scheme.groups)]
        if lacking:
            raise ConfigurationError(
                f"--generator {name}: makes no {', '.join(lacking[:3])}, which {scheme.name} has; give generators of "
                "its structures"
            )


def make_pairs(name: str, real: RealCases, options: argparse.Namespace) -> None:
    """Make the pairs of a generator that are missing, and keep what they cost."""
    from synthaug.files.atomic import replace_file
    from synthaug.precomputing import ProgressLine, precompute
    from synthaug.store import Store, StoreInfo

    folder = _folder(name, options.work)
    generator = _load(name, real, options.device)
    store = Store.open_or_create(folder / "cache", StoreInfo.of(generator))
    before, show = read_cost(folder), ProgressLine()

    def keep_cost(progress: Progress) -> None:
        show(progress)
        made = progress.settled - progress.settled_before
        if made:  # at once: a run that is interrupted has told its costs
            cost = {
                "requests": before["requests"] + made,
                "seconds": before["seconds"] + progress.seconds,
                "peak_memory_gb": max(before["peak_memory_gb"], _peak_memory_gb()),
            }
            replace_file(folder / "cost.json", json.dumps(cost).encode())

    schedule = _schedule(generator, options.schedule)
    precompute(
        generator,
        store,
        num=options.num,
        schedule=schedule,
        seed=options.seed,
        quality=QUALITY,
        on_progress=keep_cost,
    )


def read_cost(folder: Path) -> dict[str, float]:
    """Requests that were settled, the seconds of all together and the largest peak memory, over all runs."""
    path = folder / "cost.json"
    found: dict[str, float] = {"requests": 0, "seconds": 0.0, "peak_memory_gb": 0.0}
    return found | json.loads(path.read_text()) if path.is_file() else found


def _load(name: str, real: RealCases, device: str) -> PairGenerator:
    from synthaug.generators.registry import draws_from_cases
    from synthaug.precomputing import load_named_generator

    if not draws_from_cases(name, {}):
        return load_named_generator(name, device=device)
    drawn_from = {"cases": real.training, "scheme": real.dataset.scheme, "channels": real.dataset.channels}
    return load_named_generator(name, device=device, **drawn_from)


def _schedule(generator: PairGenerator, text: str | None) -> Any:
    from synthaug.precomputing.requests import default_schedule
    from synthaug.schedules import parse_schedule

    return default_schedule(generator) if text is None else parse_schedule(text)


def _folder(name: str, work: Path) -> Path:
    """Folder of a generator: two of one name in different places have two."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", Path(name).name).strip("-")
    return work / f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _peak_memory_gb() -> float:
    """High-water mark of this process's resident memory."""
    status = Path("/proc/self/status")
    if status.is_file():  # the figure below would include the process that started this one
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


# ---------------------------------------------------------------------- the extractors


class SliceStatistics(RandomConvolutions):
    """Random convolutions on slices at fixed places of a cubic grid.

    Args:
        places: ``(views, slices)`` indices along x (sagittal slices), y (coronal) and z (axial).
    """

    def __init__(self, places: torch.Tensor) -> None:
        super().__init__()
        self._places = places

    @torch.inference_mode()
    def features(self, image: torch.Tensor, head: torch.Tensor) -> np.ndarray:
        """Vectors ``(views * slices, D)``, view by view."""
        return np.stack(
            [
                self._of_slice(one[None, None], mask[None, None].float())
                for one, mask in zip(_slices(image, self._places), _slices(head, self._places), strict=True)
            ]
        )

    def maps(self, slices: torch.Tensor) -> list[torch.Tensor]:
        """What each layer sees of slices ``(N, 1, H, W)``."""
        found = []
        for weight in self._layers:
            slices = functional.relu(functional.conv2d(slices, weight, stride=2, padding=2))
            found.append(slices)
        return found


class PerceptualMaps:
    """Slices so that the squared distance between two vectors is their LPIPS (Zhang et al. 2018, equation 1).

    Args:
        maps: what each layer sees of slices ``(N, 1, H, W)``, 0 to 1.
        weights: of the channels of each layer, not negative; None: all are 1.
        places: as those of `SliceStatistics`.
    """

    def __init__(
        self,
        maps: Callable[[torch.Tensor], Sequence[torch.Tensor]],
        weights: Sequence[torch.Tensor] | None,
        places: torch.Tensor,
    ) -> None:
        self._maps, self._weights, self._places = maps, weights, places

    @torch.inference_mode()
    def features(self, image: torch.Tensor, head: torch.Tensor) -> np.ndarray:
        """Vectors ``(views * slices, D)``, view by view; the head is not looked at."""
        layers = self._maps(torch.stack(_slices(image.clamp(0, 1), self._places))[:, None])
        vectors = []
        for index, one in enumerate(layers):
            unit = one / (one.norm(dim=1, keepdim=True) + 1e-10)
            weight = torch.ones(one.shape[1]) if self._weights is None else self._weights[index].flatten()
            scale = (weight.clamp(min=0) / (one.shape[2] * one.shape[3])).sqrt()
            vectors.append((unit * scale.view(1, -1, 1, 1)).flatten(1))
        return torch.cat(vectors, dim=1).numpy()


class AlexNetMaps:
    """The layers of AlexNet that LPIPS compares, with the weights of its channels.

    Args:
        path: torchvision's weights of AlexNet, ``.pth`` or ``.safetensors``; with LPIPS's own (``lin0.model.1.weight``
            and so on) among them, or else those that come with torchmetrics.

    Raises:
        ConfigurationError: the file cannot be read, or holds other weights.
    """

    LAST_OF_LAYERS = (1, 4, 7, 9, 11)
    SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
    """Of the three colours, from -1 to 1, as LPIPS normalises them."""

    def __init__(self, path: Path) -> None:
        from torchvision.models import alexnet

        state = _read_weights(path)
        if not any(name.startswith("lin") for name in state):
            import torchmetrics

            shipped = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / "alex.pth"
            state = {**_read_weights(shipped), **state}
        features = {name.removeprefix("features."): one for name, one in state.items() if name.startswith("features.")}
        network = alexnet(weights=None).features[: self.LAST_OF_LAYERS[-1] + 1]
        try:
            network.load_state_dict(features)
            self.weights = [state[f"lin{index}.model.1.weight"] for index in range(len(self.LAST_OF_LAYERS))]
        except (RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise ConfigurationError(
                f"--lpips-weights {path}: are not those of torchvision's AlexNet ({reason}); give its .pth file"
            ) from None
        self._network: nn.Module = network.eval()

    def __call__(self, slices: torch.Tensor) -> list[torch.Tensor]:
        """What each layer sees of slices ``(N, 1, H, W)``, 0 to 1."""
        shift, scale = (torch.tensor(one).view(1, 3, 1, 1) for one in (self.SHIFT, self.SCALE))
        state, found = (2 * slices - 1 - shift) / scale, []
        for index, layer in enumerate(self._network.children()):
            state = layer(state)
            if index in self.LAST_OF_LAYERS:
                found.append(state.clone())  # the next layer may work in place
        return found


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    import pickle

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigurationError(f"{path}: cannot be read as weights ({reason}); check the file") from None
    if not isinstance(state, dict):
        raise ConfigurationError(f"{path}: holds no weights by name but a {type(state).__name__}; check the file")
    return state


def _slices(volume: torch.Tensor, places: torch.Tensor) -> list[torch.Tensor]:
    """Slices of a volume ``(n, n, n)`` at ``(views, slices)`` places, view by view."""
    return [one for axis, at in enumerate(places) for one in volume.index_select(axis, at).movedim(axis, 0)]


# ---------------------------------------------------------------------- what is measured


@dataclass(frozen=True)
class Look:
    """How all images are looked at.

    Attributes:
        grid: cubic; heads are placed at its centre.
        structures: names of the structures that neighbouring slices are compared by.
        with_body: the head of a real image is the whole body, since generators make unlabelled tissue too.
        extractors: ``slices``, ``maps`` and ``blocks``.
    """

    grid: Grid
    structures: tuple[str, ...]
    with_body: bool
    extractors: Mapping[str, Extractor]

    @classmethod
    def at(cls, real: RealCases, infos: Iterable[StoreInfo], spacing_mm: float, lpips: Path | None) -> Look:
        """A look that suits the held-out heads, at one spacing for all."""
        from synthaug.evaluation.offline_extractors import offline_extractors
        from synthaug.labels.tissue_class import OF_UNLABELLED

        with_body = any(OF_UNLABELLED.fullmatch(name) for info in infos for name in info.scheme.names)
        extents = []
        for _, pair in real.read(real.held_out):
            box = box_of(head_of(pair, with_body=with_body))
            extents.append([(one.stop - one.start) * edge for one, edge in zip(box, pair.spacing_mm, strict=True)])
        size = math.ceil(MARGIN * np.max(extents) / spacing_mm)
        grid = Grid((size,) * 3, (spacing_mm,) * 3)
        half = HEAD_SHARE / 2 * torch.from_numpy(np.median(extents, axis=0)) / spacing_mm

        def places(count: int) -> torch.Tensor:
            along = (size - 1) / 2 + half[:, None] * torch.linspace(-1, 1, count, dtype=torch.float64)
            return along.round().long().clamp(0, size - 1)

        alexnet = AlexNetMaps(lpips) if lpips is not None else None
        compared = places(COMPARED_SLICES)
        maps = (
            PerceptualMaps(alexnet, alexnet.weights, compared)
            if alexnet is not None
            else PerceptualMaps(SliceStatistics(compared).maps, None, compared)
        )
        blocks = offline_extractors()["image autoencoder"]
        found: dict[str, Extractor] = {"slices": SliceStatistics(places(SLICES)), "maps": maps, "blocks": blocks}
        return cls(grid, real.dataset.scheme.names, with_body, found)

    def place(self, pair: LabeledVolume, *, is_real: bool) -> tuple[LabeledVolume, np.ndarray]:
        """A pair on the grid, its image 0 around the head; and its head, int16 ``(n, n, n)``."""
        head = head_of(pair, with_body=self.with_body and is_real)
        affine = self.grid.affine_centred_at(box_centre_mm(head, pair.affine))

        def placed(array: np.ndarray, *, is_label: bool) -> np.ndarray:
            return place_on_grid(array, pair.affine, self.grid, affine, is_label=is_label)

        inside = placed(head.astype(np.int16), is_label=True)
        image = np.stack([placed(one, is_label=False) for one in pair.image]) * (inside > 0)
        label = placed(pair.label, is_label=True)
        on_grid = LabeledVolume(image.astype(np.float32), label, affine, pair.scheme, pair.channels, pair.provenance)
        return on_grid, inside


def head_of(pair: LabeledVolume, *, with_body: bool) -> np.ndarray:
    """Voxels ``(X, Y, Z)`` that are looked at: all that has a label, or the whole body.

    Raises:
        ConfigurationError: there are none.
    """
    from synthaug.fitting.body import background_of, body_of
    from synthaug.generators.intensity_scale import without_padding

    ignored = pair.scheme.ignore_id
    head = (pair.label > 0) if ignored is None else (pair.label > 0) & (pair.label != ignored)
    if with_body:
        image = without_padding(pair.image, pair.channels)
        head = body_of(image, background_of(image), head)
    if not head.any():
        raise ConfigurationError(f"{pair.provenance.get('label', 'a pair')}: its label map is empty; leave it out")
    return np.asarray(head)


@dataclass
class Seen:
    """What is kept of one set of pairs.

    Attributes:
        appearances: of the images.
        neighbours: Dice between neighbouring axial slices on the common grid.
        at_joins: Dice across each join of a sequence generator's slices, on its own grid.
        between_joins: the same at all other places.
    """

    appearances: list[Appearance] = field(default_factory=list)
    neighbours: list[float] = field(default_factory=list)
    at_joins: list[float] = field(default_factory=list)
    between_joins: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, LabeledVolume]], look: Look, *, is_real: bool) -> Seen:
        """Look at pairs one by one."""
        seen = cls()
        for name, pair in pairs:
            placed, head = look.place(pair, is_real=is_real)
            seen.appearances.append(
                Appearance.of(name, placed.image, head, placed.affine, HEAD, look.grid, look.extractors)
            )
            dice = neighbour_dice(placed, look.structures)
            seen.neighbours += dice[~np.isnan(dice)].tolist()
            seen._add_joins(name, pair, look.structures)
        return seen

    def _add_joins(self, name: str, pair: LabeledVolume, structures: Sequence[str]) -> None:
        joins = pair.provenance.get("joins")
        if joins is None:
            return
        slices = pair.label.shape[2]
        if not all(isinstance(one, int) and 0 < one < slices for one in joins):
            raise ConfigurationError(
                f"{name}: its joins are {joins}; allowed are places along z where a sequence begins, 1 to {slices - 1}"
            )
        dice = neighbour_dice(pair, structures)
        across = np.isin(np.arange(1, slices), joins)
        self.at_joins += dice[across & ~np.isnan(dice)].tolist()
        self.between_joins += dice[~across & ~np.isnan(dice)].tolist()


def neighbour_dice(pair: LabeledVolume, structures: Sequence[str]) -> np.ndarray:
    """Dice between axial slices z and z + 1, mean over the structures that one of them has.

    Args:
        pair: label map ``(X, Y, Z)``.
        structures: names; classes by intensity of one structure count as that structure.

    Returns:
        ``(Z - 1,)``, NaN where two slices have no structure.
    """
    total, present = np.zeros(pair.label.shape[2] - 1), np.zeros(pair.label.shape[2] - 1)
    for name in structures:
        inside = np.isin(pair.label, pair.scheme.resolve(name))
        areas = inside.sum(axis=(0, 1))
        both = (inside[..., 1:] & inside[..., :-1]).sum(axis=(0, 1))
        either = areas[1:] + areas[:-1]
        total += 2 * both / np.maximum(either, 1)
        present += either > 0
    return np.where(present > 0, total / np.maximum(present, 1), np.nan)


def slice_frechet(one: Sequence[Appearance], other: Sequence[Appearance], count: int) -> float | None:
    """Mean over views of the Fréchet distance between the slices of two sets, or None for sets that are too small.

    Features are in units of their deviation over the other set. Sets of different sizes cannot be compared: ``count``
    cases of the first are drawn, several times.
    """
    if min(len(one), len(other), count) < LEAST_CASES:
        return None

    def views(cases: Sequence[Appearance]) -> list[np.ndarray]:
        stacked = np.stack([case.features["slices"] for case in cases]).reshape(len(cases), VIEWS, SLICES, -1)
        return [stacked[:, view].reshape(len(cases) * SLICES, -1) for view in range(VIEWS)]

    reference = views(other)
    scales = [view.std(0) + 1e-6 for view in reference]
    return float(
        np.mean(
            [
                frechet_distance(mine / scale, theirs / scale)
                for drawn in _draws(one, count)
                for mine, theirs, scale in zip(views(drawn), reference, scales, strict=True)
            ]
        )
    )


def block_frechet(one: Sequence[Appearance], other: Sequence[Appearance], count: int) -> float | None:
    """The same for the blocks that the shipped image autoencoder sees."""
    if min(len(one), len(other), count) < LEAST_CASES:
        return None
    reference = np.concatenate([case.features["blocks"] for case in other])
    scale = reference.std(0) + 1e-6
    found = []
    for drawn in _draws(one, count):
        mine = np.concatenate([case.features["blocks"] for case in drawn])
        if min(len(mine), len(reference)) <= reference.shape[1]:
            return None
        found.append(frechet_distance(mine / scale, reference / scale))
    return float(np.mean(found))


def diversity(cases: Sequence[Appearance]) -> float | None:
    """Mean LPIPS between slices of two images at the same place."""
    return _mean(
        [
            float(np.square(one.features["maps"] - other.features["maps"]).sum(axis=1).mean())
            for one, other in _couples(cases)
        ]
    )


def similarity(cases: Sequence[Appearance]) -> float | None:
    """Mean MS-SSIM between two images, at about 2 mm."""
    from monai.metrics import MultiScaleSSIMMetric

    if not cases or min(cases[0].small.shape[2:]) < LEAST_SIZE:
        return None
    metric = MultiScaleSSIMMetric(3, data_range=HIGHEST, kernel_size=5, weights=SIMILARITY_WEIGHTS)
    return _mean([float(metric(one.small, other.small)) for one, other in _couples(cases)])


def _couples(cases: Sequence[Appearance]) -> list[tuple[Appearance, Appearance]]:
    """All couples, or a fixed random choice of them."""
    found = list(itertools.combinations(cases, 2))
    if len(found) <= MOST_PAIRS:
        return found
    return [found[index] for index in np.random.default_rng(0).choice(len(found), MOST_PAIRS, replace=False)]


def _draws(cases: Sequence[Appearance], count: int) -> Iterator[list[Appearance]]:
    if len(cases) <= count:
        yield list(cases)
        return
    rng = np.random.default_rng(0)
    for _ in range(SPLITS):
        yield [cases[index] for index in rng.choice(len(cases), count, replace=False)]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


# ---------------------------------------------------------------------- the report


def set_row(title: str, seen: Seen, held_out: Seen, count: int) -> dict[str, Any]:
    """Figures of one set of pairs beside the held-out ones."""
    return {
        "title": title,
        "cases": len(seen.appearances),
        "fid": slice_frechet(seen.appearances, held_out.appearances, count),
        "block_frechet": block_frechet(seen.appearances, held_out.appearances, count),
        "lpips": diversity(seen.appearances),
        "ms_ssim": similarity(seen.appearances),
        "neighbour_dice": _mean(seen.neighbours),
        "dice_at_joins": _mean(seen.at_joins),
        "dice_between_joins": _mean(seen.between_joins),
    }


def making_row(plan: Plan) -> dict[str, Any]:
    """What the pairs of a generator cost, rejected attempts included, and their volumes beside what was asked for."""
    entries, cost = plan.entries, read_cost(plan.folder)
    errors = [
        abs(one.realised_ml[name] / asked - 1) for one in entries for name, asked in one.requested_ml.items() if asked
    ]
    told = cost["requests"] > 0
    return {
        "volume_error": _mean(errors),
        "attempts": _mean([one.attempts for one in entries]),
        "seconds_per_pair": cost["seconds"] / cost["requests"] if told else None,
        "peak_memory_gb": cost["peak_memory_gb"] if told else None,
    }


COLUMNS: dict[str, tuple[str, str]] = {
    "fid": ("FID", ".2f"),
    "block_frechet": ("Fréchet, shipped image encoder", ".2f"),
    "lpips": ("LPIPS", ".3f"),
    "ms_ssim": ("MS-SSIM", ".3f"),
    "neighbour_dice": ("Dice of neighbouring slices", ".3f"),
    "dice_at_joins": ("at joins", ".3f"),
    "dice_between_joins": ("between joins", ".3f"),
    "volume_error": ("volume error", ".1%"),
    "attempts": ("attempts", ".1f"),
    "seconds_per_pair": ("s a pair", ".2f"),
    "peak_memory_gb": ("peak memory, GB", ".2f"),
}


def table(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""

    def line(title: str, cases: Any, cells: Iterable[str]) -> str:
        return f"| {title} | {cases} | {' | '.join(cells)} |"

    named = {one: f"{COLUMNS[one][0]}, {report[f'{one}_extractor']}" for one in ("fid", "lpips")}
    lines = [
        line("", "cases", [named.get(one, title) for one, (title, _) in COLUMNS.items()]),
        "|---|--:|" + "--:|" * len(COLUMNS),
        *(line(row["title"], row["cases"], [_shown(row.get(one), one) for one in COLUMNS]) for row in report["rows"]),
    ]
    for row in report["papers"]:
        shown = {"fid": f"{row['fid']:g} (Inception)", "lpips": f"{row['lpips']:g} (learned)"}
        lines.append(line(f"{row['title']}, as published", "-", [shown.get(one, "-") for one in COLUMNS]))
    lines += [
        "",
        f"Distances are to {report['held_out_cases']} held-out cases, from {report['compared_cases']} of each row, "
        f"at {report['spacing_mm']:g} mm; a dash: not known, or too few cases. {NOTE}",
    ]
    return "\n".join(lines)


def _shown(value: float | None, column: str) -> str:
    return "-" if value is None else format(value, COLUMNS[column][1])


def draw_picture(path: Path, real: RealCases, plans: Mapping[str, Plan], look: Look) -> None:
    """Three views of a held-out case and of the pair in the middle of what each generator was asked for."""
    from synthaug.reports.preview import Card, draw_pairs

    name, pair = next(real.read(real.held_out[:1]))
    cards = [Card(look.place(pair, is_real=True)[0], f"held out: {name}")]
    for title, plan in plans.items():
        if entries := plan.entries:
            middle = plan.store.read(entries[len(entries) // 2].name)
            cards.append(Card(look.place(middle, is_real=False)[0], title))
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_pairs(path, [cards])


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Make all pairs and measure them.

    Raises:
        SynthAugError: whatever does not fit, before anything is made.
    """
    if options.json is not None and options.json.is_dir():
        raise ConfigurationError(f"--json {options.json}: is a folder; give a file")
    if options.pictures is not None and options.pictures.is_file():
        raise ConfigurationError(f"--pictures {options.pictures}: is a file; give a folder")
    real = RealCases.of_fold(find_dataset(options.real), options.fold)
    titles = _titles(options.generator)
    plans = {titles[name]: Plan.of(name, real, options) for name in options.generator}
    infos = {title: plan.info for title, plan in plans.items()}
    for title, plan in plans.items():
        plan.check_structures(title, real.dataset.scheme)
    real.refuse_leaks(infos)
    spacing_mm = options.spacing_mm or max(plan.spacing_mm for plan in plans.values())
    look = Look.at(real, infos.values(), spacing_mm, options.lpips_weights)
    for name in options.generator:
        print(f"pairs of {titles[name]}", file=sys.stderr, flush=True)
        _run_part(name, options)

    held_out = Seen.of(real.read(real.held_out), look, is_real=True)
    sets = {"training cases": Seen.of(real.read(real.training[: options.num]), look, is_real=True)}
    for title, plan in plans.items():
        pairs = ((one.name, plan.store.read(one.name)) for one in plan.entries)
        sets[title] = Seen.of(pairs, look, is_real=False)
    sizes = [len(one.appearances) for one in sets.values() if len(one.appearances) >= LEAST_CASES]
    count = min(sizes, default=0)
    rows = [{**set_row("held-out cases", held_out, held_out, count), "fid": None, "block_frechet": None}]
    for title, seen in sets.items():
        if seen.appearances or title in plans:
            made = making_row(plans[title]) if title in plans else {}
            rows.append(set_row(title, seen, held_out, count) | made)
    if options.pictures is not None:
        draw_picture(options.pictures / "generators.png", real, plans, look)
    return {
        "dataset": real.dataset.name,
        "fold": options.fold,
        "held_out_cases": len(real.held_out),
        "compared_cases": count,
        "spacing_mm": spacing_mm,
        "fid_extractor": "random convolutions",
        "lpips_extractor": "random convolutions" if options.lpips_weights is None else "AlexNet, learned weights",
        "rows": rows,
        "papers": [{"title": name, "fid": fid, "lpips": lpips} for name, (fid, lpips) in PAPER.items()],
        "note": NOTE,
    }


def _titles(names: Sequence[str]) -> dict[str, str]:
    """Title of each generator: the last part of its path, or all of it where two have the same."""
    if len(set(names)) < len(names):
        raise ConfigurationError(f"--generator {', '.join(names)}: names one of them twice; give each once")
    short = [Path(name).name for name in names]
    return {name: one if short.count(one) == 1 else name for name, one in zip(names, short, strict=True)}


class PartError(SynthAugError):
    """A process that made pairs has failed, and has said why."""


def _run_part(name: str, options: argparse.Namespace) -> None:
    """Make the pairs of one generator in a fresh process: its memory is its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--make", "--generator", name]
    for one in ("real", "fold", "num", "schedule", "seed", "device", "work"):
        value = getattr(options, one)
        if value is not None:
            command += [f"--{one}", str(value)]
    search_path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    finished = subprocess.run(command, env={**os.environ, "PYTHONPATH": search_path})
    if finished.returncode:
        raise PartError(f"--generator {name}: its pairs could not be made; the reason stands above")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare generators, or make the pairs of one of them in this process."""
    options = _parser().parse_args(arguments)
    sys.path.insert(0, str(REPOSITORY))
    try:
        if options.make:
            (name,) = options.generator
            make_pairs(name, RealCases.of_fold(find_dataset(options.real), options.fold), options)
            return 0
        report = compare(options)
    except SynthAugError as error:
        print(f"generator_comparison: {error}", file=sys.stderr)
        return 2
    print(table(report))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--real", "--dataset", required=True, metavar="DIR_OR_DATASET", help="nnU-Net raw dataset, or number or name"
    )
    parser.add_argument("--fold", default="0", help="its validation cases are held out")
    parser.add_argument(
        "--generator", action="append", required=True, help="name, folder or python:MODULE:FACTORY; repeats"
    )
    parser.add_argument("--num", type=_positive, default=16, help="pairs of each generator")
    parser.add_argument("--schedule", help="their volumes in mL; default: over all that the generator allows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", type=Path, default=Path("generator-comparison"), help="caches of the pairs")
    parser.add_argument("--spacing-mm", type=_length, help="of all images; default: the generators' coarsest")
    parser.add_argument("--lpips-weights", type=Path, metavar="FILE", help="torchvision's AlexNet, for learned LPIPS")
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="also draw slices of each into this folder")
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: must be 1 or more")
    return number


def _length(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{number}: must be more than 0")
    return number


if __name__ == "__main__":
    sys.exit(main())
