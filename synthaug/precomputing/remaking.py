"""A case made once more from its provenance, and what differs where it does not come out the same."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError, SynthAugError, shortened
from synthaug.files.json_object import read_json_object
from synthaug.generators.hub import is_hub_name, is_pinned
from synthaug.generators.registry import GENERATOR_OPTIONS, is_at_hand
from synthaug.precomputing.factory import PREFIX
from synthaug.precomputing.requests import SEED_BITS
from synthaug.store.arrays import array_digest, digest
from synthaug.store.case import IMAGE_FILE, LABEL_FILE, MARKER_FILE, PROVENANCE_FILE, check_name
from synthaug.store.layout import MAX_MARKER_BYTES

if TYPE_CHECKING:
    from synthaug.generators.protocol import PairGenerator
    from synthaug.volumes import LabeledVolume

MOST_THREADS = 1024
LONGEST_NAME, LONGEST_REASON, LONGEST_TEXT = 150, 300, 4096
"""Characters of a structure's or an option's name, of why a file is none, and of a path; no message is much longer."""
_ENDING = "_provenance"
_MEND = "name a NAME_provenance.json of `synthaug sample`, or the provenance.json of a case of a cache"


@dataclass(frozen=True)
class RecordedCase:
    """What the provenance of a case says about how to make it.

    Attributes:
        path: the file.
        name: of the case.
        generator: name or folder that the generator was loaded by.
        options: of the generator.
        fingerprint: sha256 (hex) of its weights and configuration.
        condition: target volumes in mL.
        seed: that the generator was called with.
        digests: `array_digest` of ``image`` and ``label``; empty where the file has none.
        affine: voxel-to-mm matrix, or None.
        computed_with: device, floating-point type and versions, as the pair's provenance names them.
        cases: number and digest of the real cases that the generator drew from, where it drew from any.
    """

    path: Path
    name: str
    generator: str
    options: Mapping[str, Any]
    fingerprint: str
    condition: Condition
    seed: int
    digests: Mapping[str, str]
    affine: np.ndarray | None
    computed_with: Mapping[str, Any]
    cases: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, path: Path) -> RecordedCase:
        """Read the provenance that ``synthaug sample`` wrote, or that of a case of a cache.

        Raises:
            SynthAugError: no such file, one that holds something else, a case of a cache whose marker tells that a byte
                is wrong, or an image made for a label map of the user's own.
        """
        if path.is_dir() and (path / PROVENANCE_FILE).is_file():
            path = path / PROVENANCE_FILE
        content = _content(path)
        pair = content["pair"] if isinstance(content.get("pair"), dict) else content
        if "label_file" in pair:
            raise ConfigurationError(
                f"{path}: is of an image for the label map {shortened(pair['label_file'])}; make it again with "
                "`synthaug sample --labels` and the seed in its name"
            )
        try:
            name = path.stem.removesuffix(_ENDING)
            if "name" in content:
                name = check_name(_text(content["name"], "name", LONGEST_NAME))
            request = _object(content.get("request") or {}, "request")
            recipe = _object(pair.get("recipe") or request.get("recipe") or {}, "recipe")
            asked = request.get("condition") or {"targets_ml": pair["requested_ml"]}
            return cls(
                path,
                name,
                _text(recipe.get("generator", pair["generator"]), "generator"),
                _named(recipe.get("options", {}), "options"),
                _text(pair["generator_sha256"], "generator_sha256"),
                # the targets of the pair: a condition may have been completed since
                Condition(_named(pair["requested_ml"], "requested_ml"), asked.get("extrapolate") is True),
                _seed(pair["seed"]),
                _digests(content),
                np.array(content["affine"], np.float64).reshape(4, 4) if "affine" in content else None,
                pair,
                recipe.get("cases"),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, SynthAugError):
                raise
            raise ConfigurationError(
                f"{path}: is no provenance of a pair ({shortened(error, LONGEST_REASON)}); {_MEND}"
            ) from None

    def check_names(self, *, generator_given: bool = False, options_given: Container[str] = ()) -> None:
        """Refuse what a file may not decide: which code is run, and what is fetched, but for one commit of the Hub.

        Args:
            generator_given: whether the user named the generator, so that the recorded name is not used.
            options_given: those that the user gave, so that the recorded ones are not used.

        Raises:
            ConfigurationError: the recorded generator, or one that an option names, is code, a name on the Hub without
                a commit, or weights that are not here.
        """
        if not generator_given:
            self._refuse(self.generator, self.generator, "--generator ")
            if not is_at_hand(self.generator) and not is_pinned(self.generator):
                raise ConfigurationError(
                    f"{self.path}: was made with the weights {self.generator!r}, which are not here under this name; "
                    "give --generator FOLDER"
                )
        for option, value in self.options.items():
            if isinstance(value, str) and option not in options_given:
                self._refuse(value, f"{option}={value}", f"--option {option}=")
                if option in GENERATOR_OPTIONS and not is_at_hand(value) and not is_pinned(value):
                    raise ConfigurationError(
                        f"{self.path}: was made with {option}={value}, weights that are not here under this name; give "
                        f"--option {option}=FOLDER"
                    )

    def _refuse(self, name: str, described: str, mend: str) -> None:
        if name.startswith(PREFIX):
            raise ConfigurationError(
                f"{self.path}: was made by {described!r}, which is code, and a file runs none; give {mend}{name}"
            )
        if is_hub_name(name) and not is_pinned(name) and not is_at_hand(name):
            raise ConfigurationError(
                f"{self.path}: was made with {described!r}, which is not here, and a file fetches nothing but one "
                f"commit (org/name@COMMIT); give {mend}FOLDER, or {mend}ORG/NAME@COMMIT"
            )


@dataclass(frozen=True)
class RemadeCase:
    """A case that was made once more.

    Attributes:
        recorded: what its provenance says.
        pair: the pair as it was made now.
        differing: arrays (``image``, ``label``, ``affine``) that are not what the provenance says.
        compared: arrays that could be compared.
        circumstances: a line for each thing that is not as it was then: device, floating-point type, versions.
    """

    recorded: RecordedCase
    pair: LabeledVolume
    differing: tuple[str, ...]
    compared: tuple[str, ...]
    circumstances: tuple[str, ...] = field(default=())

    @property
    def identical(self) -> bool:
        """Whether image and label map are those that the provenance names, bit for bit."""
        return not self.differing and {"image", "label"} <= set(self.compared)


def remake(recorded: RecordedCase, generator: PairGenerator) -> RemadeCase:
    """Make a case once more.

    Args:
        recorded: from its provenance.
        generator: the one that made it, loaded again.

    Raises:
        ConfigurationError: the generator has other weights, another configuration, other options or other cases.
    """
    _refuse_other(recorded, generator)
    with _threads(recorded.computed_with.get("threads")):
        (pair,) = generator.generate([recorded.condition], [recorded.seed])
    made = {"image": array_digest(pair.image), "label": array_digest(pair.label)}
    differing = [name for name, was in recorded.digests.items() if made[name] != was]
    compared = list(recorded.digests)
    if recorded.affine is not None:
        compared.append("affine")
        if not np.array_equal(recorded.affine, pair.affine):
            differing.append("affine")
    then, now = recorded.computed_with, pair.provenance
    return RemadeCase(recorded, pair, tuple(differing), tuple(compared), tuple(_circumstances(then, now)))


def recorded_arrays(pair: LabeledVolume) -> dict[str, Any]:
    """What the provenance of a written pair says of its arrays, for a later comparison."""
    return {
        "arrays": {"image": array_digest(pair.image), "label": array_digest(pair.label)},
        "affine": np.asarray(pair.affine, np.float64).tolist(),
    }


def device_type(computed_with: Mapping[str, Any]) -> str | None:
    """``cpu`` or ``cuda`` of a provenance; None where it names none."""
    device = computed_with.get("device")
    return device.partition(":")[0] if isinstance(device, str) else None


@contextlib.contextmanager
def _threads(number: Any) -> Iterator[None]:
    """As many threads as then: sums that are cut into other parts differ in their last bits."""
    import torch

    before = torch.get_num_threads()
    if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= MOST_THREADS:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _refuse_other(recorded: RecordedCase, generator: PairGenerator) -> None:
    if generator.fingerprint == recorded.fingerprint:
        return
    now = getattr(generator, "recipe", None) or {}
    drawn_from = now.get("cases")
    if recorded.cases is not None and drawn_from != recorded.cases:
        number = shortened(recorded.cases.get("number")) if isinstance(recorded.cases, Mapping) else "other"
        given = f"{drawn_from['number']} given now are others" if drawn_from else "none are given now"
        raise ConfigurationError(
            f"{recorded.path}: was made from {number} real case(s), and the {given}; give the same cases in the same "
            "order with --dataset and --fold, or --cases"
        )
    raise ConfigurationError(
        f"{recorded.path}: was made with {recorded.generator} of sha256 {recorded.fingerprint[:12]}, and "
        f"{generator.name} is {generator.fingerprint[:12]} now: its weights, configuration or options differ; give "
        "--generator FOLDER with the weights that it was made with, and its options"
    )


def _circumstances(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for key in ("device", "dtype", "processor", "threads", "masks_device", "masks_dtype"):
        was, is_now = then.get(key), now.get(key)
        if key.endswith("device"):
            was, is_now = device_type({"device": was}), device_type({"device": is_now})
        if was is not None and was != is_now:
            found.append(f"{key.replace('_', ' ')}: {shortened(was)} then, {is_now or 'none'} now")
    versions = then.get("versions")
    present = now.get("versions")
    if isinstance(versions, Mapping) and isinstance(present, Mapping):
        for library, was in versions.items():
            if present.get(library) != was:
                found.append(f"{shortened(library)}: {shortened(was)} then, {present.get(library, 'none')} now")
    return found


def _content(path: Path) -> dict[str, Any]:
    content = read_json_object(path, mend=_MEND)
    marker = path.with_name(MARKER_FILE)
    if path.name == PROVENANCE_FILE and marker.is_file() and _differs(marker, path):
        raise ConfigurationError(f"{path}: does not match {MARKER_FILE}, a byte is wrong; take another copy of it")
    return content


def _differs(marker: Path, provenance: Path) -> bool:
    if marker.stat().st_size > MAX_MARKER_BYTES:
        return True
    return marker.read_bytes() != (digest(provenance.read_bytes()) + "\n").encode()


def _digests(content: Mapping[str, Any]) -> dict[str, str]:
    """By image and label, from a case of a cache or from what ``sample`` wrote."""
    if "files" in content:
        files = {"image": IMAGE_FILE, "label": LABEL_FILE}
        return {name: _text(content["files"][file]["array_sha256"], file) for name, file in files.items()}
    return {name: _text(content["arrays"][name], name) for name in ("image", "label") if "arrays" in content}


def _text(value: Any, name: str, longest: int = LONGEST_TEXT) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name} is {shortened(repr(value))}")
    _refuse_longer(value, longest, name)
    return value


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(f"seed is {shortened(repr(value))}")
    if value >= 1 << SEED_BITS:
        raise ValueError(f"seed is {shortened(value)}, and seeds are below 2**{SEED_BITS}")
    return value


def _named(value: Any, name: str) -> dict[str, Any]:
    """An object whose names, and whose values where they are texts, are of a length that messages can quote."""
    for key, one in _object(value, name).items():
        _refuse_longer(key, LONGEST_NAME, f"a name in {name}")
        if isinstance(one, str):
            _refuse_longer(one, LONGEST_TEXT, f"{name}.{key}")
    return dict(value)


def _refuse_longer(text: str, longest: int, name: str) -> None:
    if len(text) > longest:
        raise ValueError(f"{name} has {len(text)} characters, at most {longest} are read")


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} is {shortened(repr(value))}")
    return value
