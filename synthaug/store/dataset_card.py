"""The card of a cache on the Hugging Face hub: what it is, what it was made with, and its licence."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from synthaug.errors import ConfigurationError
from synthaug.generators.licence import hub_licence, is_stated

if TYPE_CHECKING:
    from synthaug.store.store import Store

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))


def licences_of(store: Store, given: str | None = None) -> tuple[str, ...]:
    """The licences that a cache may be passed on under: those of the weights that it was made with.

    Args:
        store: the cache.
        given: licence of the weights that state none.

    Raises:
        ConfigurationError: weights that state none, and none given; or one given where all are stated.
    """
    stated = [maker.licence for maker in store.info.makers if is_stated(maker.licence)]
    silent = [maker for maker in store.info.makers if not is_stated(maker.licence)]
    if silent and not given:
        raise ConfigurationError(
            f"{store.folder}: {', '.join(map(str, silent))} states no licence of its weights or of the cases that it "
            "drew from; give --licence, the one that these allow"
        )
    if given and not silent and given not in stated:
        raise ConfigurationError(
            f"--licence {given}: the weights that the cache was made with are licensed {', '.join(map(str, stated))}, "
            "and so is what they made; leave it out"
        )
    return tuple(dict.fromkeys([str(one) for one in stated] + ([given] if silent and given else [])))


def dataset_card(store: Store, licences: tuple[str, ...]) -> str:
    """The text of ``README.md``, with the metadata that the hub reads.

    Args:
        store: the cache.
        licences: from :func:`licences_of`.
    """
    number = len(store)
    known = [hub_licence(one) for one in licences]
    single = known[0] if len(known) == 1 else None
    head = {
        "license": single or "other",
        **({} if single else {"license_name": "; ".join(licences)}),
        "pretty_name": f"Synthetic labelled volumes of {store.info.generator}",
        "task_categories": ["image-segmentation"],
        "tags": ["synthaug", "synthetic", "medical", "3d"],
        "size_categories": [next((text for limit, text in _SIZES if number < limit), "100K<n<1M")],
    }
    # JSON is YAML, and needs no rules for what is to be quoted
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in head.items()), "---", ""]
    scheme = store.info.scheme
    lines += [
        f"# Synthetic labelled volumes of {_plain(store.info.generator)}",
        "",
        f"{number} pairs of image and label map, made by synthaug: no scan of a person.",
        "Research use only; not a medical device.",
        "",
        f"- **Licence**: {_plain('; '.join(licences))}, that of the weights the pairs were made with.",
        f"- **Channels**: {_plain(', '.join(store.info.channels))}",
        f"- **Label scheme**: {_plain(scheme.name)} ({_plain(', '.join(scheme.names))})",
        f"- **Generators were fitted on** {len(store.info.training_cases)} real cases, which `cache.json` lists by "
        "name and content hash: a network that is validated on one of them is refused these pairs.",
        "",
        "| generator | sha256 of weights and configuration | licence of the weights |",
        "|---|---|---|",
        *(
            f"| {_plain(m.name)} | {_plain(m.fingerprint)} | {_plain(m.licence or 'see above')} |"
            for m in store.info.makers
        ),
        "",
        "| structure or group | smallest mL | largest mL |",
        "|---|--:|--:|",
        *_volumes(store),
        "",
        "    synthaug cache pull OWNER/NAME --revision COMMIT --out CACHE",
        "",
        "COMMIT is the full number of a commit of this repository: what is pulled is then what somebody looked at.",
    ]
    return "\n".join(lines) + "\n"


def _volumes(store: Store) -> list[str]:
    entries = store.entries()
    rows = []
    for name in (*store.info.scheme.groups, *store.info.scheme.names):
        volumes = [entry.realised_ml[name] for entry in entries if name in entry.realised_ml]
        if volumes:
            rows.append(f"| {_plain(name)} | {min(volumes):.1f} | {max(volumes):.1f} |")
    return rows


def _plain(text: str) -> str:
    """Names come from files: nothing in them is to become Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>()#|!])", r"\\\1", " ".join(str(text).split()))
