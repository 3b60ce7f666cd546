"""``synthaug cache export``: cases for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthaug.cli.cache_arguments import CacheArgument
from synthaug.cli.verbosity import JsonOption, print_json
from synthaug.errors import ConfigurationError

FORMS = ("nifti", "nnunet")


def export(
    cache: CacheArgument,
    out: Annotated[
        Path, typer.Option(help="Folder to write to; made if it is not there. For nnunet: nnUNet_raw/DatasetXXX_Name.")
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format", help="nifti: NIfTI files in the layout of a BIDS derivative; nnunet: a raw data set of nnU-Net."
        ),
    ] = "nifti",
    regions: Annotated[
        bool | None,
        typer.Option(
            "--regions/--no-regions",
            help="For nnunet: train on the groups of the label scheme; default: where structures have no own names.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the cases for other programs, with their true affine.

    Files appear whole; after an interruption the same command goes on.

    Example: synthaug cache export CACHE --format nifti --out DIR

    Example: synthaug cache export CACHE --format nnunet --out nnUNet_raw/Dataset901_Synthetic
    """
    from synthaug.store import Store

    if form not in FORMS:
        raise ConfigurationError(f"--format {form}: allowed are {' and '.join(FORMS)}")
    if regions is not None and form != "nnunet":
        raise ConfigurationError(f"--{'' if regions else 'no-'}regions: is for --format nnunet; leave it out")
    store = Store.open(cache)
    if form == "nnunet":
        from synthaug.integrations.nnunet.raw_export import export_nnunet

        written = export_nnunet(store, out, regions=regions)
    else:
        from synthaug.store.nifti_export import export_nifti

        written = export_nifti(store, out)
    facts = {"out": str(out), "format": form, "cases": written}
    if as_json:
        print_json(facts)
    else:
        typer.echo(f"{written} cases written to {out}")
