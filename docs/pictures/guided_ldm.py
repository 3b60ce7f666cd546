"""Draws ``guided_ldm.png``: one pair of the shipped generator as it comes about, from noise to the image.

    python docs/pictures/guided_ldm.py

takes half a minute on two CPU cores. What each network evaluation says the clean latent is, is read from its input and
output while the generator runs as ever.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from panels import draw_panels, image_panel, label_panel, output_path, save
from torch import nn

from synthaug import Condition
from synthaug.generators.guided_ldm import GuidedLDM
from synthaug.generators.registry import pretrained_folders
from synthaug.labels import LabelScheme
from synthaug.networks.label_autoencoder import LabelAutoencoder
from synthaug.networks.latent_pyramid import spread
from synthaug.networks.rectified_flow import TIME_SCALE
from synthaug.reports.palette import structure_colours
from synthaug.reports.preview import picture_centre, view_slices

VOLUME_ML = 60.0
SEED = 1


class Record:
    """The clean latents that a network's evaluations point to.

    Args:
        network: takes a state and a time (1000 times the noise fraction), and returns a velocity.
    """

    def __init__(self, network: nn.Module) -> None:
        self.clean: list[torch.Tensor] = []
        network.register_forward_hook(self._keep)

    def _keep(self, network: nn.Module, given: tuple[Any, ...], velocity: torch.Tensor) -> None:
        state, time = given[:2]
        self.clean.append((state - time.view(-1, 1, 1, 1, 1) / TIME_SCALE * velocity).float()[:1].cpu())


def mixture_panel(latent: torch.Tensor, autoencoder: LabelAutoencoder, scheme: LabelScheme, height: float) -> Any:
    """Axial slice of a latent ``(1, C, x, y, z)``: the colours of the structures, mixed as they are."""
    shares = autoencoder.shares_in_blocks(latent, (1, 1, 1))[0].numpy()
    colours = np.zeros((len(shares), 3))
    for name, colour in structure_colours(scheme).items():
        colours[scheme.id_of(name)] = colour
    rgb = np.einsum("nxyz,nc->cxyz", shares, colours)
    return np.stack([axial(channel, height) for channel in rgb], axis=-1)


def grey_panel(latent: torch.Tensor, low: float, high: float, height: float) -> Any:
    """Axial slice of the first channel of a latent."""
    grey = (axial(latent[0, 0].numpy(), height) - low) / (high - low)
    return np.repeat(np.clip(grey, 0, 1)[..., None], 3, axis=-1)


def axial(volume: np.ndarray, height: float) -> np.ndarray:
    """Axial slice at a height from 0 to 1, as pictures show it."""
    x, y, z = volume.shape
    return view_slices(volume, (x // 2, y // 2, int(height * z)))[0]


def main() -> None:
    """Sample, and draw what was seen on the way."""
    out = output_path(__file__, __doc__)
    # no correction by a second sample: one pass through all networks
    read = GuidedLDM.read(pretrained_folders()["ventricles-t1-1mm"], volume_rounds=0)
    networks, config = read.networks, read.config
    coarsest, middle, finest, image = (
        Record(network)
        for network in (
            networks.mask_diffusion, networks.mask_detail_0, networks.mask_detail_1, networks.image_diffusion
        )
    )  # fmt: skip
    generator = GuidedLDM(config, networks, fingerprint=read.fingerprint, device="cpu")
    (pair,) = generator.generate([Condition({"ventricles": VOLUME_ML})], [SEED])
    height = picture_centre(pair)[2] / pair.label.shape[2]
    levels = [coarsest.clean[0], coarsest.clean[len(coarsest.clean) // 3], coarsest.clean[-1]]
    levels.append(spread(levels[-1]) + middle.clean[-1])
    levels.append(spread(levels[-1]) + finest.clean[-1])
    labels = [
        mixture_panel(config.mask_latent.unscale(level), networks.label_autoencoder, config.scheme, height)
        for level in levels
    ]
    low, high = (float(np.percentile(image.clean[-1][0, 0].numpy(), share)) for share in (0.5, 99.5))
    steps = [round(share * (len(image.clean) - 1)) for share in (0, 0.25, 0.5, 0.75, 1)]
    latents = [grey_panel(image.clean[step], low, high, height) for step in steps]
    headings = [
        f"8 mm, step 1\nlatent, step {steps[0] + 1}",
        f"8 mm, step {len(coarsest.clean) // 3 + 1}\nlatent, step {steps[1] + 1}",
        f"8 mm, step {len(coarsest.clean)}\nlatent, step {steps[2] + 1}",
        f"detail of 4 mm\nlatent, step {steps[3] + 1}",
        f"detail of 2 mm\nlatent, step {steps[4] + 1}",
        "decision, 1 mm\ndecoded, 1 mm",
    ]
    rows = [[*labels, label_panel(pair)], [*latents, image_panel(pair)]]
    foot = (
        f"ventricles-t1-1mm, seed {SEED}: {VOLUME_ML:g} mL of ventricles asked for, "
        f"{pair.volumes_ml()['ventricles']:.1f} mL realised. Above each column: what is shown of the label map, and of "
        "the image."
    )
    save(draw_panels(rows, headings, ["label map", "image"], foot=foot, panel_inches=(1.8, 2.15)), out)


if __name__ == "__main__":
    main()
