"""What is read from outside, each with a sound input, ways to spoil it, and the command or function that reads it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthaug.labels import LabelScheme
from synthaug.store import Store
from synthaug.store.case import IMAGE_FILE, LABEL_FILE, MARKER_FILE, PROVENANCE_FILE
from synthaug.store.events import sealed_line
from synthaug.store.info import _sealed
from tests.fuzz.mutations import (
    Mutation,
    mutate_bytes,
    mutate_head,
    mutate_json,
    mutate_nifti,
    mutate_safetensors,
    mutate_text,
)
from tests.fuzz.sound_files import SHAPE, STAND_IN

Arguments = list[str]
Action = Arguments | Callable[[], object]
"""A command line, or a function that may raise nothing but a SynthAugError or an OSError."""


@dataclass(frozen=True)
class Reader:
    """One kind of input.

    Attributes:
        name: what it is called in figures.
        file: of the sound folder, which is spoiled; empty for a text on the command line.
        mutation: spoils it.
        actions: by the folder of inputs and the folder that may be written to; for a text, also by the text.
        seal: makes checksums fit what was spoiled, so that more than the checksum is tried; for half of the inputs.
        texts: sound texts.
        weight: how often it is drawn.
        needs: what else of the sound folder is read.
    """

    name: str
    file: str
    mutation: Mutation
    actions: tuple[Callable[[Path, Path, str], Action], ...]
    seal: Callable[[Path], None] | None = None
    texts: tuple[str, ...] = ()
    weight: int = 4
    needs: tuple[str, ...] = ()

    @property
    def parts(self) -> set[str]:
        """Files and folders, at the top of the sound folder, that an input consists of."""
        return {*self.needs, *self.file.split("/")[:1]} - {""}

    def spoil(self, folder: Path, rng: np.random.Generator) -> str:
        """Spoil the file, or give a spoiled text."""
        if not self.file:
            text = self.texts[int(rng.integers(0, len(self.texts)))]
            return self.mutation(text.encode(), rng).decode("utf-8", "surrogatepass").replace("\0", "0")
        path = folder / self.file
        path.write_bytes(self.mutation(path.read_bytes(), rng))
        if self.seal is not None and rng.random() < 0.6:
            self.seal(folder)
        return ""


def seal_head(folder: Path) -> None:
    """The digest of ``cache.json`` made anew."""
    path = folder / "cache" / "cache.json"
    try:
        path.write_bytes(_sealed(json.loads(path.read_bytes())))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return


def seal_case(folder: Path) -> None:
    """Digests of the arrays in the provenance, and of the provenance in the marker, made anew."""
    case = folder / "cache" / "case"
    try:
        described = json.loads((case / PROVENANCE_FILE).read_bytes())
        for file in (IMAGE_FILE, LABEL_FILE):
            content = (case / file).read_bytes()
            described["files"][file].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
        (case / PROVENANCE_FILE).write_text(json.dumps(described))
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        pass
    digest = hashlib.sha256((case / PROVENANCE_FILE).read_bytes()).hexdigest()
    (case / MARKER_FILE).write_text(digest + "\n")


def seal_lines(name: str) -> Callable[[Path], None]:
    """Checksums of a file of sealed lines made anew."""

    def seal(folder: Path) -> None:
        path = folder / name
        lines = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                event = json.loads(line)
                event.pop("crc32", None)
                lines.append(sealed_line(event))
            except (ValueError, TypeError, AttributeError, RecursionError):
                lines.append(line)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="replace")

    return seal


def mutate_lines(content: bytes, rng: np.random.Generator) -> bytes:
    """One of several lines of JSON made wrong."""
    lines = content.split(b"\n")
    at = int(rng.integers(0, len(lines)))
    lines[at] = mutate_json(lines[at], rng)
    return b"\n".join(lines)


# ------------------------------------------------------------------ what reads


def _cache(*words: str) -> Callable[[Path, Path, str], Action]:
    def action(folder: Path, out: Path, text: str) -> Action:
        further = ["--out", str(out / "exported")] if words[0] == "export" else []
        return ["cache", words[0], str(folder / "cache"), *words[1:], *further]

    return action


def _continue_cache(folder: Path, out: Path, text: str) -> Action:
    shutil.copytree(folder / "cache", out / "cache", symlinks=True)
    return ["precompute", "--generator", STAND_IN, "--num", "1", "--device", "cpu", "--out", str(out / "cache")]


def _draw(folder: Path, out: Path, text: str) -> Action:
    from synthaug.sources import StoreSource

    def draw() -> object:
        source = StoreSource(Store.open(folder / "cache"), None)
        return source.draw(0, seed=0, epoch=0, rank=0, progress=0.5).read()

    return draw


def _tiny(folder: Path, out: Path, text: str) -> Action:
    target = ["--target", "ventricles=40", "--steps", "1", "--option", "volume_rounds=0", "--device", "cpu"]
    return ["sample", "--generator", str(folder / "tiny"), *target, "--out", str(out / "pairs")]


def _labels(folder: Path, out: Path, text: str) -> Action:
    maps = ["--labels", str(folder / "nifti" / "label.nii.gz"), "--steps", "1", "--device", "cpu"]
    return ["sample", "--generator", str(folder / "tiny"), *maps, "--out", str(out / "pairs")]


def _mapping(folder: Path, out: Path, text: str) -> Action:
    action = _labels(folder, out, text)
    assert isinstance(action, list)
    return [*action, "--mapping", str(folder / "mapping.json")]


def _read_nifti(folder: Path, out: Path, text: str) -> Action:
    from synthaug.volumes import read_image, read_label, read_pair

    files = folder / "nifti" / "image.nii.gz", folder / "nifti" / "label.nii.gz"

    def read() -> object:
        scheme = LabelScheme.load("ventricles-t1")
        return (
            read_image(files[0], multichannel=True),
            read_label(files[1]),
            read_pair(files[:1], files[1], scheme, ("T1",)),
        )

    return read


def _scheme(folder: Path, out: Path, text: str) -> Action:
    case = f"{folder}/nifti/image.nii.gz,{folder}/nifti/label.nii.gz"
    further = ["--scheme", str(folder / "scheme.json"), "--target", "ventricles=99999"]
    return ["sample", "--generator", "counterfactual", "--cases", case, *further, "--out", str(out / "pairs")]


def _dataset(folder: Path, out: Path, text: str) -> Action:
    _set_trees(folder)
    words = ["--generator", "counterfactual", "--dataset", "7", "--device", "cpu", "--target", "ventricles=99999"]
    return ["sample", *words, "--out", str(out / "pairs")]


def _prepare(folder: Path, out: Path, text: str) -> Action:
    """The preprocessed tree is written to: the target of this command."""
    shutil.copytree(folder / "preprocessed", out / "preprocessed")
    _set_trees(folder, out)
    words = ["--dataset", "7", "--device", "cpu", "--num", "1", "--fold", "0", "--generator", STAND_IN]
    return ["precompute", *words, "--mapping", str(folder / "table.json")]


def _set_trees(folder: Path, out: Path | None = None) -> None:
    os.environ["nnUNet_raw"] = str(folder / "raw")
    os.environ["nnUNet_preprocessed"] = str((out or folder) / "preprocessed")


def _run_configuration(folder: Path, out: Path, text: str) -> Action:
    from synthaug.integrations.nnunet.run_configuration import read_configuration

    return lambda: read_configuration(folder / "preprocessed" / "Dataset007_Heads", {})


def _study(folder: Path, out: Path, text: str) -> Action:
    return ["study", str(folder / "study.json"), "--out", str(out / "study"), "--list", "--device", "cpu"]


def _schedule_file(folder: Path, out: Path, text: str) -> Action:
    return _stand_in(out, "--schedule", str(folder / "schedule.json"))


def _schedule_text(folder: Path, out: Path, text: str) -> Action:
    return _stand_in(out, f"--schedule={text}")


def _stand_in(out: Path, *words: str) -> Arguments:
    return ["precompute", "--generator", STAND_IN, "--num", "1", *words, "--device", "cpu", "--out", str(out / "cache")]


def _sample(folder: Path, out: Path, *words: str) -> Arguments:
    return ["sample", "--generator", str(folder / "tiny"), *words, "--out", str(out / "p")]


def _option_text(folder: Path, out: Path, text: str) -> Action:
    return _sample(folder, out, f"--option={text}", "--target", "ventricles=99999")


def _target_text(folder: Path, out: Path, text: str) -> Action:
    return _sample(folder, out, f"--target={text}", "--target", "brain=1")


def _report(folder: Path, out: Path, text: str) -> Action:
    return ["report", str(folder / "synthaug_metrics.jsonl"), "--out", str(out / "report")]


def _properties(folder: Path, out: Path, text: str) -> Action:
    from synthaug.integrations.nnunet.case_properties import read_properties

    return lambda: read_properties(folder / "properties.pkl")


def _foreign_weights(folder: Path, out: Path, text: str) -> Action:
    from synthaug.files.foreign_weights import read_weights

    return lambda: read_weights(folder / "weights.pth")


def _decode(folder: Path, out: Path, text: str) -> Action:
    """The frame alone, without the digests before it."""
    from synthaug.store.arrays import decode

    frame = (folder / "cache" / "case" / LABEL_FILE).read_bytes()
    return lambda: decode(frame, SHAPE, np.int16, LABEL_FILE)


CACHE = (_cache("info"), _cache("verify"), _cache("export"), _continue_cache, _draw, _cache("verify", "--json"))
READERS = (
    Reader("NIfTI", "nifti/image.nii.gz", mutate_nifti, (_read_nifti,), weight=16),
    Reader(
        "NIfTI label map",
        "nifti/label.nii.gz",
        mutate_nifti,
        (_read_nifti, _labels, *[_read_nifti] * 6),
        weight=14,
        needs=("tiny",),
    ),
    Reader("generator's config.json", "tiny/config.json", mutate_json, (_tiny,), weight=10),
    Reader("safetensors", "tiny/mask_diffusion.safetensors", mutate_safetensors, (_tiny,), weight=5),
    Reader("cache.json", "cache/cache.json", mutate_json, CACHE, seal_head, weight=10),
    Reader("provenance", f"cache/case/{PROVENANCE_FILE}", mutate_json, CACHE, seal_case, weight=10),
    Reader("blosc2 of a case", f"cache/case/{IMAGE_FILE}", mutate_head, CACHE, seal_case, weight=8),
    Reader("blosc2 frame", f"cache/case/{LABEL_FILE}", mutate_head, (_decode,), weight=12),
    Reader("marker", f"cache/case/{MARKER_FILE}", mutate_bytes, CACHE, weight=2),
    Reader("events", "cache/events.jsonl", mutate_lines, CACHE, seal_lines("cache/events.jsonl")),
    Reader(
        "given-up",
        "cache/given-up/given0.json",
        mutate_lines,
        CACHE,
        seal_lines("cache/given-up/given0.json"),
        weight=2,
    ),
    Reader("label scheme", "scheme.json", mutate_json, (_scheme,), needs=("nifti",)),
    Reader("label mapping", "mapping.json", mutate_json, (_mapping,), needs=("nifti", "tiny"), weight=2),
    Reader("label table", "table.json", mutate_json, (_prepare,), weight=1, needs=("raw", "preprocessed")),
    Reader("dataset.json", "raw/Dataset007_Heads/dataset.json", mutate_json, (_dataset,), needs=("preprocessed",)),
    Reader(
        "splits", "preprocessed/Dataset007_Heads/splits_final.json", mutate_json, (_dataset,), weight=2, needs=("raw",)
    ),
    Reader(
        "plans",
        "preprocessed/Dataset007_Heads/nnUNetPlans.json",
        mutate_json,
        (_prepare,),
        weight=1,
        needs=("raw", "table.json"),
    ),
    Reader("synthaug.json", "preprocessed/Dataset007_Heads/synthaug.json", mutate_json, (_run_configuration,)),
    Reader("study", "study.json", mutate_json, (_study,), needs=("raw",)),
    Reader("schedule", "schedule.json", mutate_json, (_schedule_file,)),
    Reader(
        "schedule text",
        "",
        mutate_text,
        (_schedule_text,),
        texts=(
            "uniform:20:120",
            "log-uniform:8:120",
            "normal:40:10:5:90",
            "empirical:12:30:55",
            "ventricles=constant:40",
        ),
    ),
    Reader(
        "target text",
        "",
        mutate_text,
        (_target_text,),
        texts=("ventricles=40", "brain=1400", "thalamus=1e1"),
        weight=2,
        needs=("tiny",),
    ),
    Reader(
        "option text",
        "",
        mutate_text,
        (_option_text,),
        weight=2,
        needs=("tiny",),
        texts=("volume_rounds=0", "guidance_scale=2.5", 'thin=["csf"]', "image_steps=7", "guidance_interval=[0.1,0.9]"),
    ),
    Reader("training metrics", "synthaug_metrics.jsonl", mutate_lines, (_report,), weight=1),
    Reader("nnU-Net properties", "properties.pkl", mutate_bytes, (_properties,)),
    Reader("torch weights", "weights.pth", mutate_bytes, (_foreign_weights,)),
)
"""All of them; each input of a campaign is of one."""
