"""``synthaug sample --from-provenance``: a case made once more, and compared with what its provenance says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from synthaug.cli.generator_options import GeneratorChoice
from synthaug.cli.sample_files import finish_folder, refuse_other_pairs, write_labels, write_pair
from synthaug.cli.verbosity import print_json
from synthaug.errors import ConfigurationError

if TYPE_CHECKING:
    from synthaug.generators.protocol import PairGenerator
    from synthaug.precomputing.remaking import RecordedCase, RemadeCase

EXIT_DIFFERS = 1


def remake_from(
    path: Path, out: Path | None, chosen: GeneratorChoice, *, generator_given: bool, as_json: bool = False
) -> None:
    """Make a case once more, compare it, and print what came of it; exit code 1 where it is not the same.

    Args:
        path: its provenance.
        out: folder to write it to; None: it is compared alone.
        chosen: what the command line says of the generator. Options stand for those beside and in place of the recorded
            ones, device ``auto`` for the kind that it was made on.
        generator_given: whether its name was given, in the place of the recorded one.
        as_json: print the facts as JSON.

    Raises:
        SynthAugError: no provenance, a generator that a file may not name, or one with other weights, options or cases.
    """
    from synthaug.precomputing.remaking import RecordedCase, remake

    recorded = RecordedCase.read(path)
    if out is not None and out.resolve() == recorded.path.resolve().parent:
        raise ConfigurationError(f"--out {out}: is the folder of the case that is made again; give another folder")
    recorded.check_names(generator_given=generator_given, options_given=chosen.options)
    opened = replace(
        chosen,
        name=chosen.name if generator_given else recorded.generator,
        options={**recorded.options, **chosen.options},
        device=_device_for(recorded, chosen.device),
    ).open()
    if out is not None:
        expected = {"generator_sha256": opened.fingerprint, "seed": recorded.seed}
        refuse_other_pairs(out, {recorded.name: expected}, "another seed or another generator")
    remade = remake(recorded, opened)
    facts = _facts(remade)
    if out is not None:
        facts["files"] = _write(out, opened, remade)
    if as_json:
        print_json(facts)
    else:
        for line in facts["circumstances"]:
            typer.echo(line)
        typer.echo(f"{recorded.name}: {facts['verdict']}")
    if not remade.identical:
        raise typer.Exit(EXIT_DIFFERS)


def _device_for(recorded: RecordedCase, device: str) -> str:
    """What was made on a CPU is made on one again, whatever else there is."""
    from synthaug.precomputing.remaking import device_type

    return "cpu" if device == "auto" and device_type(recorded.computed_with) == "cpu" else device


def _facts(remade: RemadeCase) -> dict[str, Any]:
    recorded = remade.recorded
    if remade.identical:
        verdict = "the same bit for bit (image, label map)"
    elif remade.differing:
        because = f" ({'; '.join(remade.circumstances)})" if remade.circumstances else ""
        if not because:
            because = (
                " although nothing that the provenance names differs: it may be another processor, or a damaged file"
            )
        verdict = f"not the same: {', '.join(remade.differing)} differ{because}"
    else:
        verdict = "made again, but its provenance has no digests to compare it with (older releases wrote none)"
    return {
        "name": recorded.name,
        "provenance": str(recorded.path),
        "identical": remade.identical,
        "differing": list(remade.differing),
        "compared": list(remade.compared),
        "circumstances": list(remade.circumstances),
        "verdict": verdict,
    }


def _write(out: Path, generator: PairGenerator, remade: RemadeCase) -> dict[str, str]:
    from synthaug.generators.recipe import unrecorded_recipe

    name = remade.recorded.name
    labels = write_labels(out, generator.scheme)
    record = {"condition": remade.recorded.condition.to_dict(), **unrecorded_recipe(generator, remade.pair)}
    paths = write_pair(out, name, remade.pair, request=record)
    finish_folder(out, generator, labels, {name: remade.pair}, [])
    return paths
