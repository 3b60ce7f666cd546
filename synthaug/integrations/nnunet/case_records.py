"""The content of a fold's validation cases, from wherever it is known."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from synthaug.errors import SynthAugError
from synthaug.generators.cases import case_record
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.integrations.nnunet.run_configuration import CaseHashes, RunConfiguration
from synthaug.volumes import CaseRecord, fingerprint_label, read_label


def held_out_records(
    dataset: NnunetDataset,
    configuration: RunConfiguration,
    training: Iterable[str],
    validation: Iterable[str],
    announce: Callable[[str], None],
) -> list[CaseRecord]:
    """Records of the cases that are validated on and not trained on.

    Fold ``all`` holds nothing out. Content comes from the preparation; else from the raw files; else the label map's
    from the copy beside the plans.

    Args:
        dataset: The dataset.
        configuration: With the content recorded when the training was prepared.
        training: Identifiers of the fold's training cases.
        validation: Identifiers of its validation cases.
        announce: Told what cannot be compared by content.
    """
    names = sorted(set(validation) - set(training))
    recorded = {name: configuration.record_of(name) for name in names}
    missing = [name for name in names if recorded[name] is None]
    if missing:
        found, unknown = record_cases(dataset, missing)
        recorded.update({name: CaseRecord(name, hashes.image, hashes.label) for name, hashes in found.items()})
        if unknown:
            announce(
                f"synthaug: {len(unknown)} validation case(s) are compared with the generator's training cases by "
                f"name only, their files cannot be read here: {', '.join(unknown[:5])}"
            )
    return [recorded[name] or CaseRecord(name, None, None) for name in names]


def record_cases(dataset: NnunetDataset, names: Iterable[str]) -> tuple[dict[str, CaseHashes], list[str]]:
    """Fingerprint cases of a dataset.

    Returns:
        What was found, and the names of the cases of which neither image nor label map can be read.
    """
    try:
        raw = dataset.cases
    except SynthAugError:
        raw = {}
    labels = dataset.label_files()

    def record(name: str) -> tuple[str, CaseHashes | None]:
        # a case whose image cannot be read may still be told by its label map
        with contextlib.suppress(SynthAugError):
            if name in raw:
                content = case_record(raw[name])
                return name, CaseHashes(content.image_sha256, content.label_sha256)
        with contextlib.suppress(SynthAugError):
            if name in labels:
                return name, CaseHashes(None, fingerprint_label(read_label(labels[name])[0]))
        return name, None

    # decompression and hashing run outside the interpreter's lock
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = dict(pool.map(record, names))
    return {name: found for name, found in results.items() if found}, [name for name in results if not results[name]]
