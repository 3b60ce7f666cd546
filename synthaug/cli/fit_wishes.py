"""What the command line of ``synthaug fit`` says of the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.errors import ConfigurationError


@dataclass(frozen=True)
class Wishes:
    """What a user settles of a plan.

    Attributes:
        controls: structures or groups whose volumes can be asked for; empty: those of the dataset.
        extend_ml: by control, the range that its volumes are warped to.
        init: name or folder of a generator to go on from.
        train_masks: whether its mask stage is trained on, too, instead of kept.
    """

    controls: tuple[str, ...]
    extend_ml: Mapping[str, tuple[float, float]]
    init: str | None
    train_masks: bool = False

    @classmethod
    def parse(
        cls,
        controls: Sequence[str],
        extend: str | None,
        init: str | None,
        settings: Path | None,
        label_maps: Sequence[Path] = (),
        *,
        train_masks: bool = False,
    ) -> Wishes:
        """Read ``["tumor,edema"]`` and ``"tumor=1:50"``; with a settings file there is nothing to wish for.

        Raises:
            ConfigurationError: a text of another form, or options that contradict each other.
        """
        for option, given in (("--control", controls), ("--extend", extend), ("--init", init)):
            if given and settings:
                raise ConfigurationError(
                    f"{option} and --settings: the settings say all that a plan would; change them there"
                )
            if given and init and option != "--init":
                raise ConfigurationError(
                    f"{option} and --init: the label maps, and the volumes that can be asked for, are those of {init}; "
                    f"leave {option} out"
                )
        if label_maps and init and not train_masks:
            raise ConfigurationError(
                f"--label-maps and --init: label maps train the mask stage, and that of {init} is kept; leave "
                "--label-maps out, or give --train-masks"
            )
        if train_masks and not init:
            raise ConfigurationError(
                "--train-masks: says what is trained of the generator of --init, and none is given; without --init "
                "all is trained"
            )
        names = [name.strip() for text in controls for name in text.split(",")]
        if not all(names):
            raise ConfigurationError(f"--control {','.join(controls)}: an empty name; write ventricles or tumor,edema")
        return cls(tuple(dict.fromkeys(names)), _parse_range(extend) if extend else {}, init, train_masks)


def _parse_range(text: str) -> dict[str, tuple[float, float]]:
    name, _, limits = text.partition("=")
    try:
        low, high = (float(one) for one in limits.split(":"))
    except ValueError:
        low, high = 0.0, 0.0
    if not name or not 0 < low < high < float("inf"):
        raise ConfigurationError(f"--extend {text}: NAME=LOW:HIGH in mL with 0 < LOW < HIGH, such as ventricles=5:150")
    return {name: (low, high)}
