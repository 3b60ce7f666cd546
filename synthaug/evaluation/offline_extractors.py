"""The extractors that need no download."""

from __future__ import annotations

from safetensors.torch import load_file

from synthaug.evaluation.extractors import AutoencoderLatents, Extractor, RandomConvolutions
from synthaug.generators.guided_ldm_config import GuidedLDMConfig
from synthaug.generators.registry import pretrained_folders
from synthaug.networks.image_autoencoder import ImageAutoencoder

YARDSTICK = "ventricles-t1-1mm"
"""The generator whose image encoder every set of images is looked at with, whatever made it."""


def offline_extractors() -> dict[str, Extractor]:
    """Random convolutions, and the image encoder of the shipped generator."""
    folder = pretrained_folders()[YARDSTICK]
    config = GuidedLDMConfig.read(folder)
    network = ImageAutoencoder(len(config.channels), config.scheme.num_classes, **config.image_autoencoder)
    network.load_state_dict(load_file(folder / "image_autoencoder.safetensors"))
    return {"random convolutions": RandomConvolutions(), "image autoencoder": AutoencoderLatents(network)}
