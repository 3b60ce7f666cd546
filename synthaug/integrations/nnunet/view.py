"""The view of a cache that nnU-Net trains from: its cases preprocessed with the dataset's own plans.

``CACHE/views/KEY/cases`` holds what nnU-Net's preprocessor would have stored for the same volume (``NAME.b2nd``,
``NAME_seg.b2nd`` and, last, ``NAME.pkl``, which marks the case as complete). The key is a hash of everything that
decides about these files, so that other plans, labels or mappings never meet a view that was made for these.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.errors import ConfigurationError, StoreError
from synthaug.files.atomic import can_write, replace_file
from synthaug.files.parsed_json import parse_json
from synthaug.integrations.nnunet.case_properties import parse_properties, read_properties
from synthaug.integrations.nnunet.orientation import to_reader_order
from synthaug.labels import LabelMapping
from synthaug.store import Store
from synthaug.store.arrays import open_frame
from synthaug.store.cache_file import read_bounded
from synthaug.store.info import INFO_FILE
from synthaug.store.views import CASE_FILES, VIEWS_FOLDER, remove_from_view
from synthaug.volumes import LabeledVolume

FORMAT = 1
"""Raised whenever views made before would differ from those made now."""

MAX_CASE_FILE_BYTES, MAX_DIGESTS_BYTES = 8 << 30, 4096

_UNUSABLE_PLANS = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError
)  # fmt: skip
"""What nnU-Net raises where plans lack what it needs, or hold something else."""


@dataclass(frozen=True)
class ViewSpec:
    """Everything that decides what a synthetic case looks like to nnU-Net.

    Attributes:
        plans: The plans file.
        configuration: Name of the configuration, ``3d_fullres``.
        dataset_json: The dataset's description.
        mapping: From the generator's structures to the dataset's labels.
        channel_order: Generator channel for each channel of the dataset.
        orientations: Axis codes that the dataset's files have; a synthetic case gets one of them, by its name.
    """

    plans: Mapping[str, Any]
    configuration: str
    dataset_json: Mapping[str, Any]
    mapping: LabelMapping
    channel_order: tuple[int, ...]
    orientations: tuple[str, ...]

    def decisive(self) -> dict[str, Any]:
        """The parts of it that the stored arrays depend on."""
        manager, configuration = self.managers()
        of_configuration = (
            "preprocessor_name",
            "patch_size",  # decides about the chunks of the compressed arrays
            "spacing",
            "normalization_schemes",
            "use_mask_for_norm",
            "resampling_fn_data",
            "resampling_fn_data_kwargs",
            "resampling_fn_seg",
            "resampling_fn_seg_kwargs",
        )
        of_plans = ("transpose_forward", "image_reader_writer", "foreground_intensity_properties_per_channel")
        of_dataset = ("channel_names", "labels", "regions_class_order")
        return {
            "format": FORMAT,
            "configuration": {key: configuration.configuration.get(key) for key in of_configuration},
            "plans": {key: manager.plans.get(key) for key in of_plans},
            "dataset": {key: self.dataset_json.get(key) for key in of_dataset},
            "mapping": self.mapping.to_dict(),
            "channel_order": list(self.channel_order),
            "orientations": list(self.orientations),
        }

    @property
    def key(self) -> str:
        """Name of the view: a hash."""
        text = json.dumps(self.decisive(), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def managers(self) -> tuple[Any, Any]:
        """nnU-Net's managers of the plans and of the configuration."""
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        manager = PlansManager(dict(self.plans))
        return manager, manager.get_configuration(self.configuration)

    def orientation_of(self, name: str) -> str:
        """The orientation of one case: as frequent among the synthetic cases as among the real ones."""
        digest = hashlib.sha256(name.encode()).digest()
        return self.orientations[int.from_bytes(digest[:8], "big") % len(self.orientations)]


class PlansView:
    """Preprocessed synthetic cases, read as nnU-Net reads its own.

    Args:
        folder: ``CACHE/views/KEY``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._checked: dict[str, tuple[tuple[int, ...], ...]] = {}

    @property
    def cases(self) -> Path:
        """Folder of the cases: no other file may lie in it, nnU-Net infers the format from the endings."""
        return self.folder / "cases"

    def names(self) -> list[str]:
        """Complete cases, sorted."""
        return sorted(path.stem for path in self.cases.glob("*.pkl"))

    def load_case(self, name: str) -> tuple[Any, Any, None, dict[str, Any]]:
        """What ``load_case`` of nnU-Net's own datasets gives: image and label map ``(C, z, y, x)``, None, properties.

        The first time its files are read and checked against their digests; later on, as long as they are the same
        files, patches are decompressed from the disk when the loader cuts them out.

        Raises:
            OSError, RuntimeError, ValueError: A file is missing or damaged.
        """
        import blosc2

        paths = {ending: self.cases / f"{name}{ending}" for ending in CASE_FILES}
        marks = tuple(_mark(path) for path in paths.values())
        if self._checked.get(name) == marks:
            # no memory map, unlike for real cases: a file that shrinks under a map ends the process with a bus error
            arrays = [
                blosc2.open(urlpath=str(paths[ending]), mode="r", dparams={"nthreads": 1}) for ending in CASE_FILES[:2]
            ]
            return (*arrays, None, read_properties(paths[".pkl"]))
        digests = self._written(name)
        contents = {ending: read_bounded(path, MAX_CASE_FILE_BYTES) for ending, path in paths.items()}
        for ending, content in contents.items():
            if hashlib.sha256(content).hexdigest() != digests.get(ending):
                raise ValueError(f"{paths[ending]}: is not what was written")
        arrays = []
        for ending in CASE_FILES[:2]:
            array = open_frame(contents[ending], str(paths[ending]))
            array.schunk.dparams = blosc2.DParams(nthreads=1)
            arrays.append(array)
        self._checked[name] = marks
        return (*arrays, None, parse_properties(contents[".pkl"], paths[".pkl"]))

    def _written(self, name: str) -> dict[str, str]:
        """Digests of a case's files by their endings."""
        written = parse_json(read_bounded(self.folder / "digests" / f"{name}.json", MAX_DIGESTS_BYTES))
        if not isinstance(written, dict):
            raise ValueError(f"{self.folder / 'digests' / name}.json: holds no digests")
        return written

    def damaged(self, among: Collection[str] | None = None) -> list[str]:
        """Cases (of some, None: of all) whose files are not those that were written, by size and content."""
        found = []
        for name in self.names():
            if among is not None and name not in among:
                continue
            try:
                intact = self._written(name) == _digests(self.cases / name)
            except (OSError, ValueError):
                intact = False
            if not intact:
                found.append(name)
        return found

    def remove(self, names: Sequence[str]) -> None:
        """Delete cases, the mark of completeness first."""
        remove_from_view(self.folder, names)


def preprocess(pair: LabeledVolume, name: str, spec: ViewSpec, target: Path) -> None:
    """Write one case as nnU-Net's own preprocessor stores it.

    Args:
        pair: The volume, ``(C, X, Y, Z)`` in RAS+.
        name: Name of the case.
        spec: What it is made for.
        target: Path of the files without their endings.
    """
    manager, configuration = spec.managers()
    codes = spec.orientation_of(name)
    image, spacing = to_reader_order(pair.image[list(spec.channel_order)], pair.affine, codes)
    label, _ = to_reader_order(spec.mapping.apply(pair.label)[None], pair.affine, codes)
    # signed: nnU-Net marks the outside of the image with -1
    label = label.astype(np.int16)
    preprocessor = configuration.preprocessor_class(verbose=False)

    def run_case(*_: Any, **__: Any) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        dataset_json = dict(spec.dataset_json)
        return preprocessor.run_case_npy(image, label, {"spacing": spacing}, manager, configuration, dataset_json)

    # the array stands in for the files that run_case would read; storing (chunks, filters, types) is left to nnU-Net
    preprocessor.run_case = run_case
    try:
        preprocessor.run_case_save(str(target), [], "", manager, configuration, dict(spec.dataset_json))
    except _UNUSABLE_PLANS as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigurationError(
            f"case {name}: nnU-Net cannot preprocess it for {spec.configuration} by these plans ({reason}); plan the "
            "data set again with nnUNetv2_plan_and_preprocess"
        ) from error


@dataclass(frozen=True)
class PlansForm:
    """Cases of a pool preprocessed for a training: a :class:`~synthaug.live.training_form.TrainingForm`.

    Attributes:
        spec: What the view is made for.
    """

    spec: ViewSpec

    def add(self, store: Store, name: str, pair: LabeledVolume) -> None:
        """Preprocess a case."""
        _add_case(prepare_view(store, self.spec), self.spec, name, pair)

    def remove(self, store: Store, name: str) -> None:
        """Delete what was preprocessed."""
        view_of(store, self.spec).remove([name])


def view_of(store: Store, spec: ViewSpec, elsewhere: Path | None = None) -> PlansView:
    """The view of a store for this purpose, made or not.

    Args:
        store: The cache.
        spec: What the view is made for.
        elsewhere: Folder of the views of caches that cannot be written to and have no complete view for this purpose.
            Caches with the same head share one: names follow from what a case is, so that none takes the other's place.
    """
    own = PlansView(store.folder / VIEWS_FOLDER / spec.key)
    if elsewhere is None or can_write(own.folder) or set(store.names()) <= set(own.names()):
        return own
    # not by its path: the cache may be mounted elsewhere on another node
    head = hashlib.sha256((store.folder / INFO_FILE).read_bytes()).hexdigest()
    return PlansView(elsewhere / f"{spec.key}-{head[:8]}")


def prepare_view(store: Store, spec: ViewSpec, elsewhere: Path | None = None) -> PlansView:
    """The view of a store for this purpose, with its folders."""
    return _prepare(view_of(store, spec, elsewhere), spec)


def _prepare(view: PlansView, spec: ViewSpec) -> PlansView:
    for folder in (view.cases, view.folder / "digests"):
        folder.mkdir(parents=True, exist_ok=True)
    _describe(view, spec)
    return view


def build_view(
    store: Store, spec: ViewSpec, announce: Callable[[str], None] = print, elsewhere: Path | None = None
) -> PlansView:
    """Make the view complete: preprocess what is missing, and anew what is damaged.

    Args:
        store: The cache.
        spec: What the view is made for.
        announce: Told what happens, a line at a time.
        elsewhere: See :func:`view_of`.

    Returns:
        The view, with every case of the store that can be read.

    Raises:
        StoreError: The view lacks cases, or is damaged, and cannot be written to.
    """
    view = view_of(store, spec, elsewhere)
    if not view.folder.is_dir():
        others = sorted(path.name for path in view.folder.parent.glob("*") if path.is_dir())
        made_for = f"; its view(s) {', '.join(others)} were made for other plans, labels or mappings" if others else ""
        announce(f"synthaug: preparing {store.folder} for {spec.configuration} of these plans ({spec.key}){made_for}")
    if view.folder.parent == elsewhere and not view.folder.is_dir():
        announce(f"synthaug: {store.folder} cannot be written to; its preprocessed cases go to {view.folder}")
    try:
        return _complete(view, store, spec, announce)
    except PermissionError as error:
        raise _unwritable(view, error) from None
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        raise _unwritable(view, error) from None


def _unwritable(view: PlansView, error: OSError) -> StoreError:
    return StoreError(
        f"{view.folder}: the preprocessed cases cannot be written ({error.strerror}); copy the cache to a folder that "
        'can be written to, and name that one under "cache" in synthaug.json or in SYNTHAUG_CACHE'
    )


def _complete(view: PlansView, store: Store, spec: ViewSpec, announce: Callable[[str], None]) -> PlansView:
    _prepare(view, spec)
    stored = set(store.names())
    damaged = view.damaged(stored)
    if damaged:
        announce(f"synthaug: {len(damaged)} damaged case(s) of {view.folder} are made anew: {', '.join(damaged[:5])}")
        view.remove(damaged)
    missing = sorted(stored - set(view.names()))
    for number, name in enumerate(missing, start=1):
        try:
            pair = store.read(name)
        except StoreError as error:
            announce(f"synthaug: left out, since it cannot be read: {error}")
            continue
        _add_case(view, spec, name, pair)
        if number == len(missing) or number % 10 == 0:
            announce(f"synthaug: preprocessed {number} of {len(missing)} synthetic cases")
    if view.folder.parent == store.folder / VIEWS_FOLDER:  # else another cache may own them
        view.remove(sorted(set(view.names()) - set(store.names())))
    return view


def _add_case(view: PlansView, spec: ViewSpec, name: str, pair: LabeledVolume) -> None:
    with tempfile.TemporaryDirectory(prefix=".making-", dir=view.folder) as temporary:
        made = Path(temporary) / name
        preprocess(pair, name, spec, made)
        for ending in CASE_FILES:
            with open(f"{made}{ending}", "rb+") as file:
                os.fsync(file.fileno())
        digest = view.folder / "digests" / f"{name}.json"
        Path(temporary, "digest").write_text(json.dumps(_digests(made)))
        os.replace(Path(temporary, "digest"), digest)
        for ending in CASE_FILES:
            os.replace(f"{made}{ending}", view.cases / f"{name}{ending}")


def _mark(path: Path) -> tuple[int, ...]:
    """By which a file that was replaced, truncated or written to is told from the one that was checked."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _digests(case: Path) -> dict[str, str]:
    digests = {}
    for ending in CASE_FILES:
        with open(f"{case}{ending}", "rb") as file:
            digests[ending] = hashlib.sha256(file.read()).hexdigest()
    return digests


def _describe(view: PlansView, spec: ViewSpec) -> None:
    path = view.folder / "view.json"
    if path.is_file():
        return
    description = {**spec.decisive(), "made_for": spec.configuration}
    replace_file(path, json.dumps(description, indent=2, default=str).encode())
