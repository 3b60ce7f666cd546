"""The extractors that need no download."""

from __future__ import annotations

from synthaug.evaluation.extractors import AutoencoderLatents, Extractor, RandomConvolutions
from synthaug.generators.guided_ldm import GuidedLDM
from synthaug.generators.registry import pretrained_folders

YARDSTICK = "ventricles-t1-1mm"
"""The generator whose image encoder every set of images is looked at with, whatever made it."""


def offline_extractors() -> dict[str, Extractor]:
    """Random convolutions, which know no generator, and the image encoder of the shipped one.

    Raises:
        ConfigurationError: the shipped weights are missing or damaged.
    """
    encoder = GuidedLDM.read(pretrained_folders()[YARDSTICK]).networks.image_autoencoder
    return {"random convolutions": RandomConvolutions(), "image autoencoder": AutoencoderLatents(encoder)}
