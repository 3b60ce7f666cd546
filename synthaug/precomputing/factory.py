"""A generator by name, and the one door through which code of the user's own comes in."""

from __future__ import annotations

import importlib
from typing import Any

from synthaug.errors import ConfigurationError
from synthaug.generators.protocol import PairGenerator
from synthaug.generators.recipe import remember

PREFIX = "python:"


def load_named_generator(name: str, /, *, device: str = "auto", **options: Any) -> PairGenerator:
    """Load a generator from the registry, or call ``python:MODULE:FACTORY``.

    The second form imports a module and calls a function of it with ``device`` and the options: it runs any code. It
    exists in this function only, which is called with what stands on the command line or in the study file that a
    command is given; the registry, and so every other configuration, checkpoint and cache that is read from a file,
    knows nothing of it.

    Args:
        name: a registered name, a folder of weights, or ``python:MODULE:FACTORY``.
        device: torch device.
        **options: passed on.

    Raises:
        ConfigurationError: no such module or function, one that does not take the device and the options, or
            returns no generator; an option with a reserved name.
    """
    if not name.startswith(PREFIX):
        from synthaug.generators.registry import load_generator, refuse_reserved_options

        refuse_reserved_options(options)
        return load_generator(name, device=device, **options)
    module_name, _, factory_name = name[len(PREFIX) :].partition(":")
    allowed = f"generator {name!r}: the form is {PREFIX}MODULE:FACTORY"
    try:
        module = importlib.import_module(module_name) if module_name else None
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{allowed}; there is no module {error.name!r} on the Python path") from None
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        raise ConfigurationError(f"{allowed}; module {module_name!r} has no function {factory_name!r}")
    try:
        generator = factory(device=device, **options)
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
            raise  # from within the factory: a defect of its code, which needs its traceback
        given = ", ".join(["device", *options])
        raise ConfigurationError(
            f"{allowed}; {factory_name!r} cannot be called with {given} ({error}); name a function that takes "
            "device=... and the options, and returns a generator"
        ) from error
    # a class has its instances' attributes too
    if isinstance(generator, type) or not isinstance(generator, PairGenerator):
        raise ConfigurationError(f"{allowed}; {factory_name!r} returned {type(generator).__name__}, not a generator")
    remember(generator, name, options)
    return generator
