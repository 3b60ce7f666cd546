"""Semantic diffusion models of slices at work: they refine a volume, or make one, from up to three views at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler
from torch.nn import functional

from synthaug.networks.precision import autocast
from synthaug.networks.slice_diffusion import (
    NOISING_STEPS,
    SCHEDULES,
    SliceDiffusionUNet,
    from_slices,
    to_image,
    to_slices,
    to_states,
)


@dataclass(frozen=True, eq=False)
class SliceRefiner:
    """Denoises volumes slice by slice (MedGen3D, section 3.2).

    Attributes:
        networks: by view, ``axial``, ``coronal`` or ``sagittal``; with their weights, on the device; all of one noise
            schedule.
        device: where they are.
        dtype: floating-point type of the networks.
        slices_a_batch: slices that a network sees at once; the result does not depend on it.
    """

    networks: Mapping[str, SliceDiffusionUNet]
    device: torch.device
    dtype: torch.dtype
    slices_a_batch: int = 16

    @torch.no_grad()
    def refine(
        self,
        image: torch.Tensor,
        label: torch.Tensor,
        generator: torch.Generator,
        *,
        noising_steps: int = 10,
        steps: int = 4,
    ) -> torch.Tensor:
        """Image ``(C, X, Y, Z)`` float32 that was noised a little and denoised in each view: the mean of the views.

        Args:
            image: ``(C, X, Y, Z)`` in normalised units, 0 outside of tissue.
            label: ``(X, Y, Z)``, what the image shows.
            generator: source of the noise, which is the same for all views, so that they agree.
            noising_steps: of the thousand from image to noise; 0 leaves the image as it is.
            steps: evaluations of each network; of use are at most ``noising_steps``.

        Raises:
            ValueError: steps out of range, or no network.
        """
        _check_steps(steps)
        if not 0 <= noising_steps <= NOISING_STEPS:
            raise ValueError(f"{noising_steps} noising steps are not possible; choose 0 to {NOISING_STEPS}")
        if noising_steps == 0:
            return image.float()
        noise = torch.randn(image.shape, generator=generator)
        cut = _Cut.around(label, self._multiple(list(self.networks)))
        inside = cut.take(label).long().to(self.device)
        tissue = inside > 0
        states, noise = to_states(cut.take(image).float().to(self.device), tissue), cut.take(noise).to(self.device)
        times = _times(noising_steps, min(steps, noising_steps), spacing=1)
        views = [
            self._denoise([view], network.noised(states, noise, torch.tensor(times[:1])), inside, times)
            for view, network in self.networks.items()
        ]
        return cut.put_back(to_image(torch.stack(views).mean(0), tissue).cpu(), label.shape)

    @torch.no_grad()
    def generate(
        self,
        label: torch.Tensor,
        generator: torch.Generator,
        *,
        steps: int = 20,
        views: Sequence[str] = ("axial", "coronal", "sagittal"),
    ) -> torch.Tensor:
        """Image ``(C, X, Y, Z)`` float32 in normalised units made of noise.

        With several views, each step follows the mean of what they take the clean image to be: slices then fit
        together in all directions. With one view, slices know nothing of each other.

        Args:
            label: ``(X, Y, Z)``, what the image is to show.
            generator: source of the noise.
            steps: evaluations of each network.
            views: whose networks take part.

        Raises:
            ValueError: no steps, no view, or one without a network.
        """
        _check_steps(steps)
        cut = _Cut.around(label, self._multiple(views))
        inside = cut.take(label).long().to(self.device)
        noise = torch.randn(self.networks[views[0]].image_channels, *label.shape, generator=generator)
        states = self._denoise(views, cut.take(noise).to(self.device), inside, _times(NOISING_STEPS, steps, spacing=2))
        return cut.put_back(to_image(states, inside > 0).cpu(), label.shape)

    def _multiple(self, views: Sequence[str]) -> int:
        """What the sizes of the volumes have to be multiples of for the networks of these views."""
        missing = [view for view in views if view not in self.networks]
        if missing or not views:
            raise ValueError(
                f"no network for {', '.join(missing) or 'no view'}; there are: {', '.join(self.networks) or 'none'}"
            )
        return math.lcm(*(self.networks[view].multiple for view in views))

    def _denoise(
        self, views: Sequence[str], states: torch.Tensor, label: torch.Tensor, times: Sequence[int]
    ) -> torch.Tensor:
        """Clean states ``(C, X, Y, Z)`` of noisy ones at the first of the times."""
        scheduler = _scheduler(self.networks[views[0]].schedule)
        scheduler.set_timesteps(timesteps=list(times))
        for time in scheduler.timesteps:
            clean = torch.stack([self._predict(view, states, label, int(time)) for view in views]).mean(0)
            states = scheduler.step(clean, time, states).prev_sample
        return states

    def _predict(self, view: str, states: torch.Tensor, label: torch.Tensor, time: int) -> torch.Tensor:
        """What one view takes the clean states ``(C, X, Y, Z)`` to be."""
        slices, labels = to_slices(states, view), to_slices(label, view)
        clean = torch.zeros_like(slices)
        shown = torch.nonzero(labels.flatten(1).any(dim=1)).flatten()
        for first in range(0, len(shown), self.slices_a_batch):
            batch = shown[first : first + self.slices_a_batch]
            times = torch.full((len(batch),), time, device=self.device)
            with autocast(self.device, self.dtype):
                clean[batch] = self.networks[view](slices[batch], times, labels[batch]).float()
        return from_slices(clean, view)


@dataclass(frozen=True)
class _Cut:
    """The part of a volume that has tissue, which spares the networks the rest.

    Attributes:
        parts: along x, y and z.
        missing: voxels that are added behind each to fill up a multiple of what networks take.
    """

    parts: tuple[slice, slice, slice]
    missing: tuple[int, int, int]

    @classmethod
    def around(cls, label: torch.Tensor, multiple: int) -> _Cut:
        """Cut out the tissue of ``(X, Y, Z)``, with a little background that networks see at its edge."""
        found = torch.nonzero(label)
        if not len(found):
            found = torch.zeros(1, 3, dtype=torch.long)
        parts, missing = [], []
        for low, high, size in zip(found.amin(0).tolist(), found.amax(0).tolist(), label.shape, strict=True):
            start = max(low - multiple // 2, 0)
            wanted = -(-(high + 1 + multiple // 2 - start) // multiple) * multiple
            stop = min(start + wanted, size)
            parts.append(slice(start, stop))
            missing.append(start + wanted - stop)
        return cls((parts[0], parts[1], parts[2]), (missing[0], missing[1], missing[2]))

    def take(self, volume: torch.Tensor) -> torch.Tensor:
        """Part of ``(..., X, Y, Z)``, filled up with zeros."""
        x, y, z = self.missing
        return functional.pad(volume[(..., *self.parts)], (0, z, 0, y, 0, x))

    def put_back(self, part: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """Volume ``(C, *shape)`` with the part ``(C, x, y, z)`` in its place and 0 elsewhere."""
        volume = part.new_zeros(len(part), *shape)
        x, y, z = (slice(0, one.stop - one.start) for one in self.parts)
        volume[(..., *self.parts)] = part[:, x, y, z]
        return volume


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"{steps} steps denoise nothing; choose at least 1")


def _times(noising_steps: int, steps: int, *, spacing: float) -> list[int]:
    """Times at which networks are evaluated, noising steps less one; a spacing above 1 has more of them at the end."""
    spaced = {math.ceil(noising_steps * (step / steps) ** spacing) - 1 for step in range(1, steps + 1)}
    return sorted(spaced, reverse=True)


def _scheduler(schedule: str) -> Any:
    """Second-order solver that is given the clean states (Lu et al. 2022)."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=NOISING_STEPS,
        prediction_type="sample",
        final_sigmas_type="zero",
        **SCHEDULES[schedule],
    )
