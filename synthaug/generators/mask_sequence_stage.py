"""Mask stage of MedGen3D: label maps grown slice by slice from a random place (arXiv 2304.04106, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch

from synthaug.generators.sequence_config import SequenceConfig
from synthaug.generators.slice_size import to_full_size
from synthaug.generators.volume_decision import decide_labels, largest_component
from synthaug.generators.volume_search import VolumeSearch
from synthaug.networks.condition_encoder import condition_vector
from synthaug.networks.mask_sequence import MaskSequenceUNet, as_signal, expected_signal
from synthaug.networks.precision import autocast
from synthaug.networks.rectified_flow import LEAST_NOISE, TIME_SCALE, integrate_flow, noisy_state

OVERLAP_BATCH = 8
"""Overlapping subsequences that the network sees at once."""

OVERLAP_STREAM = 0x0E71A
"""Keeps their noise apart from that of the subsequences that a label map grows by."""


@dataclass(frozen=True)
class Window:
    """A subsequence of slices.

    Attributes:
        first: index along z of its first slice.
        given: which of its slices are given, one after the other.
    """

    first: int
    given: tuple[bool, ...]

    @property
    def join(self) -> int | None:
        """Slice, with that below it, between which what was given and what is made meet; None: nothing is given."""
        meet = [place for place in range(1, len(self.given)) if self.given[place] != self.given[place - 1]]
        return self.first + meet[0] if meet else None


@dataclass(frozen=True)
class GrownLabel:
    """A label map that was grown.

    Attributes:
        label: ``(X, Y, Z)`` uint8.
        joins: slices that begin or follow a subsequence, in ascending order.
    """

    label: torch.Tensor
    joins: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Draw:
    """A label map to be: volumes asked for, where it begins to grow, and the seed of its noise."""

    search: VolumeSearch
    limits_ml: Mapping[str, tuple[float, float]]
    asked_ml: Mapping[str, float]
    start: int
    seed: int


def plan_windows(start: int, depth: int, slices: int, given: int) -> list[list[Window]]:
    """Subsequences that make a volume, in rounds: first the one at the start, then one upwards and one downwards each.

    Args:
        start: first slice of the first subsequence.
        depth: slices of the volume.
        slices: of a subsequence.
        given: slices that each further one is given; at the ends of the volume it is more.
    """
    upwards, downwards = [], []
    end, begin = start + slices, start
    while end < depth:
        first = min(end - given, depth - slices)
        upwards.append(Window(first, tuple(first + place < end for place in range(slices))))
        end = first + slices
    while begin > 0:
        first = max(begin + given - slices, 0)
        downwards.append(Window(first, tuple(first + place >= begin for place in range(slices))))
        begin = first
    pairs = zip_longest(upwards, downwards)
    return [[Window(start, (False,) * slices)], *([one for one in pair if one is not None] for pair in pairs)]


@dataclass(frozen=True, eq=False)
class MaskSequenceStage:
    """Samples label maps from a diffusion model of mask sequences.

    Attributes:
        config: of the generator.
        network: with its weights, on the device.
        device: where it is.
        dtype: floating-point type of the network.
    """

    config: SequenceConfig
    network: MaskSequenceUNet
    device: torch.device
    dtype: torch.dtype

    def sample(
        self, targets_ml: Sequence[Mapping[str, float]], generators: Sequence[torch.Generator]
    ) -> list[GrownLabel]:
        """Label maps on the CPU with volumes asked for, in mL by control, each from its own noise."""
        draws = [self._draw(targets, generator) for targets, generator in zip(targets_ml, generators, strict=True)]
        while unfinished := [draw for draw in draws if not draw.search.done]:
            for draw, logits in zip(unfinished, self._grow(unfinished), strict=True):
                label = self._decide(self._reconciled(logits, draw), draw.asked_ml)
                draw.search.observe(label, self.config.volumes_ml(torch.bincount(label.flatten()), draw.asked_ml))
        return [GrownLabel(draw.search.best, self._joins(draw)) for draw in draws]

    def _draw(self, targets_ml: Mapping[str, float], generator: torch.Generator) -> _Draw:
        """All that a label map takes from chance, and what it is to become."""
        sampling = self.config.sampling
        start = int(torch.randint(self.network.shape[2] - self.network.slices + 1, (1,), generator=generator))
        seed = int(torch.randint(2**53, (1,), generator=generator))
        limits_ml = self.config.widened_limits(targets_ml)
        search = VolumeSearch(targets_ml, sampling.volume_tolerance, sampling.volume_rounds if targets_ml else 0)
        return _Draw(search, limits_ml, dict(targets_ml), start, seed)

    def _windows(self, draw: _Draw) -> list[list[Window]]:
        shape, given = self.network.shape, self.config.sampling.given_slices
        return plan_windows(draw.start, shape[2], self.network.slices, given)

    def _joins(self, draw: _Draw) -> tuple[int, ...]:
        windows = [one for windows in self._windows(draw) for one in windows]
        return tuple(sorted(one.join for one in windows if one.join is not None))

    def _grow(self, draws: Sequence[_Draw]) -> list[torch.Tensor]:
        """Logits ``(K, x, y, z)`` of label maps, of the size that the network works on."""
        x, y, depth = self.network.shape
        labels = [torch.zeros(depth, x, y, dtype=torch.uint8) for _ in draws]
        logits = [torch.zeros(depth, self.network.num_classes, x, y, dtype=torch.float16) for _ in draws]
        plans = [self._windows(draw) for draw in draws]
        for turn in range(max(map(len, plans))):
            batch = [
                (number, window)
                for number, plan in enumerate(plans)
                for windows in plan[turn : turn + 1]
                for window in windows
            ]
            made = self._make(batch, labels, draws)
            for (number, window), new in zip(batch, made, strict=True):
                for place, known in enumerate(window.given):
                    if not known:
                        logits[number][window.first + place] = new[place].half()
                        labels[number][window.first + place] = new[place].argmax(dim=0).to(torch.uint8)
        return [one.permute(1, 2, 3, 0) for one in logits]

    def _make(
        self, batch: Sequence[tuple[int, Window]], labels: Sequence[torch.Tensor], draws: Sequence[_Draw]
    ) -> torch.Tensor:
        """Logits ``(B, m, K, x, y)`` of subsequences, on the CPU, for slices ``(z, x, y)`` that are known so far."""
        slices = self.network.slices
        first = torch.tensor([window.first for _, window in batch])
        given = torch.tensor([window.given for _, window in batch]).float()
        known = torch.stack([labels[number][one.first : one.first + slices] for number, one in batch])
        clean = as_signal(known, self.network.num_classes).to(self.device)
        noise = torch.stack([self._noise(draws[number], one, clean.shape[1:]) for number, one in batch])
        condition = torch.stack([self._condition(draws[number]) for number, _ in batch])
        inputs = (first.to(self.device), given.to(self.device), condition.to(self.device))
        fixed = (given > 0)[:, :, None, None, None].to(self.device)
        last = torch.empty(0)

        def velocity(state: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
            nonlocal last
            last = self._guided_logits(torch.where(fixed, clean, state), fraction, inputs)
            return (state - expected_signal(last)) / fraction.clamp(min=LEAST_NOISE)

        sampling = self.config.sampling
        start = sampling.mask_temperature * noise.to(self.device)
        integrate_flow(velocity, start, steps=sampling.mask_steps, shift=sampling.mask_shift)
        return last.cpu()

    def _reconciled(self, grown: torch.Tensor, draw: _Draw) -> torch.Tensor:
        """Logits ``(K, x, y, z)`` of slices that were noised and denoised once more, in all subsequences of each.

        Where a subsequence followed another one, its slices fit what was given less well than each other. Here nothing
        is given, and no slice is the border of all that it is in.
        """
        fraction = torch.tensor(self.config.sampling.overlap_noise)
        if fraction == 0:
            return grown
        slices, depth = self.network.slices, self.network.shape[2]
        clean = as_signal(grown.argmax(dim=0).movedim(-1, 0)[None], self.network.num_classes)[0]
        mean = torch.zeros(grown.movedim(-1, 0).shape, dtype=grown.dtype)
        for firsts in torch.arange(depth - slices + 1).split(OVERLAP_BATCH):
            noise = torch.stack([self._slice_noises(draw, int(first), clean.shape[1:]) for first in firsts])
            state = noisy_state(torch.stack([clean[first : first + slices] for first in firsts]), noise, fraction)
            given = torch.zeros(len(firsts), slices)
            condition = self._condition(draw).expand(len(firsts), -1, -1)
            inputs = (firsts.to(self.device), given.to(self.device), condition.to(self.device))
            logits = self._guided_logits(state.to(self.device), fraction, inputs).cpu()
            for first, found in zip(firsts.tolist(), logits.float().log_softmax(dim=2), strict=True):
                for place, one in enumerate(found, start=first):
                    covers = min(place + 1, slices, depth - place, depth - slices + 1)
                    mean[place] += (one / covers).to(mean.dtype)
        return mean.movedim(0, -1)

    def _slice_noises(self, draw: _Draw, first: int, shape: torch.Size) -> torch.Tensor:
        """Noise ``(m, *shape)`` of slices, the same for a slice in whatever subsequence it is."""
        seeds = range(first, first + self.network.slices)
        stream = draw.seed ^ OVERLAP_STREAM
        return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(stream + one)) for one in seeds])

    def _condition(self, draw: _Draw) -> torch.Tensor:
        """Condition ``(controls, 2)`` for the volumes that are aimed at."""
        return condition_vector(draw.search.aims_ml, tuple(self.config.limits_ml), draw.limits_ml)

    def _guided_logits(
        self,
        state: torch.Tensor,
        fraction: torch.Tensor,
        inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        first, given, condition = inputs
        time = (fraction * TIME_SCALE).to(self.device).expand(len(state))
        scale = self.config.sampling.guidance_scale
        with autocast(self.device, self.dtype):
            asked = self.network(state, time, first, given, condition)
            if scale == 1:
                return asked
            free = self.network(state, time, first, given, torch.zeros_like(condition))
        return free + scale * (asked - free)

    @staticmethod
    def _noise(draw: _Draw, window: Window, shape: torch.Size) -> torch.Tensor:
        """Noise ``(m, K, x, y)``, the same in every round of the search."""
        return torch.randn(shape, generator=torch.Generator().manual_seed(draw.seed + window.first))

    def _decide(self, logits: torch.Tensor, asked_ml: Mapping[str, float]) -> torch.Tensor:
        """Label map ``(X, Y, Z)`` of logits ``(K, x, y, z)``, borders moved a little towards volumes asked for."""
        full = to_full_size(logits.float(), self.config.grid.shape)
        voxels = self.config.voxels_of(asked_ml)
        label = decide_labels(full, voxels, largest_shift=self.config.sampling.volume_shift)
        return largest_component(label.to(torch.uint8))
