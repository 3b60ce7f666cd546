"""Training loss of the diffusion model of mask sequences (MedGen3D, arXiv 2304.04106, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn import functional

from synthaug.configuration.limits import allowed
from synthaug.files.tensors import write_tensors
from synthaug.fitting.bank import Bank
from synthaug.fitting.crops import LabelMirror, draw_bool, draw_index
from synthaug.fitting.drawn_condition import PresenceProbabilities, conditions_of, draw_presence
from synthaug.generators.slice_size import to_working_size
from synthaug.labels import LabelScheme
from synthaug.networks.mask_sequence import PRIOR_POOL, MaskSequenceUNet, as_signal
from synthaug.networks.rectified_flow import LEAST_NOISE, TIME_SCALE, draw_times, noisy_state


@dataclass(frozen=True)
class MaskSequenceBatch:
    """What a step sees.

    Attributes:
        subsequences: of consecutive slices, in a batch.
        most_given: slices that are given at most; their number is drawn for each subsequence.
        forward_probability: share of subsequences whose first slices are given (p_forward in the paper).
        backward_probability: share of subsequences whose last slices are given; of the rest, none is.
        null_probability: share without volumes, for classifier-free guidance.
        first_control_probability: share with the first volume alone; the rest have a random subset.
        time_shift: above 0 trains more at high noise.
    """

    subsequences: int = field(default=4, metadata=allowed(low=1))
    most_given: int = field(default=5, metadata=allowed(low=1))
    forward_probability: float = field(default=0.4, metadata=allowed(low=0, high=1))
    backward_probability: float = field(default=0.4, metadata=allowed(low=0, high=1))
    null_probability: float = field(default=0.1, metadata=allowed(low=0, high=1))
    first_control_probability: float = field(default=0.5, metadata=allowed(low=0, high=1))
    time_shift: float = 1.2


@dataclass(frozen=True)
class SequenceSurvey:
    """What the training label maps have in common, and the volumes in which they differ.

    Attributes:
        volumes_ml: ``(N, 2, controls)`` float32: of each label map, and of its mirror image.
        prior: ``(K, x / 4, y / 4, z / 2)`` float32, how likely each label is at each place.
    """

    volumes_ml: torch.Tensor
    prior: torch.Tensor


@torch.inference_mode()
def survey_sequences(
    paths: Sequence[Path],
    mirror: LabelMirror,
    scheme: LabelScheme,
    controls: Sequence[str],
    shape: Sequence[int],
    voxel_volume_ml: float,
    *,
    cache: Path,
) -> SequenceSurvey:
    """Survey every label map of the bank and its mirror image; ``cache`` keeps the result.

    Args:
        paths: label files of the bank.
        mirror: left-right flip.
        scheme: label scheme of the generator.
        controls: structures and groups whose volumes are measured.
        shape: voxels along x, y, z of the slices that the network works on.
        voxel_volume_ml: of the bank's label maps.
        cache: file.
    """
    if not cache.exists():
        volumes, prior = [], torch.zeros(1)
        for path in paths:
            label = Bank.read(path).label
            counts = torch.bincount(label.flatten(), minlength=scheme.num_classes)
            both = (counts, mirror.swap(counts))
            volumes.append(
                [[float(one[list(scheme.resolve(name))].sum()) * voxel_volume_ml for name in controls] for one in both]
            )
            for one in (label, mirror(label)):
                working = to_working_size(one, shape)
                hot = functional.one_hot(working.long(), scheme.num_classes).movedim(-1, 0).float()
                prior = prior + functional.avg_pool3d(hot, PRIOR_POOL) / (2 * len(paths))
        write_tensors(cache, {"volumes_ml": torch.tensor(volumes), "prior": prior})
    return SequenceSurvey(**load_file(cache))


class MaskSequenceLoss:
    """Cross-entropy between the clean labels of noised slices and what the network makes of them.

    Args:
        paths: label files of the bank.
        mirror: left-right flip.
        survey: of the same files.
        limits_ml: bounds of the controls in mL, in the network's order.
        batch: what a step sees.
        device: where the network is.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        mirror: LabelMirror,
        survey: SequenceSurvey,
        limits_ml: Mapping[str, tuple[float, float]],
        batch: MaskSequenceBatch,
        *,
        device: torch.device,
    ) -> None:
        self._paths = paths
        self._mirror = mirror
        self._batch = batch
        self._device = device
        self._presence = PresenceProbabilities(batch.null_probability, batch.first_control_probability)
        self._conditions = conditions_of(survey.volumes_ml.flatten(0, 1), limits_ml)

    def __call__(self, network: MaskSequenceUNet, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one batch, and figures to log."""
        count, slices = self._batch.subsequences, network.slices
        index = torch.randint(len(self._conditions), (count,), generator=generator)
        first = torch.randint(network.shape[2] - slices + 1, (count,), generator=generator)
        label = torch.stack(
            [self._read(one, start, network) for one, start in zip(index.tolist(), first.tolist(), strict=True)]
        )
        given = torch.stack([self._draw_given(slices, generator) for _ in range(count)])
        clean = as_signal(label, network.num_classes)
        noise = torch.randn(clean.shape, generator=generator)
        times = draw_times(count, generator=generator, shift=self._batch.time_shift).clamp(min=LEAST_NOISE)
        state = torch.where(given[:, :, None, None, None] > 0, clean, noisy_state(clean, noise, times))
        presence = draw_presence(count, self._conditions.shape[1], self._presence, generator)
        logits = network(
            state.to(self._device),
            (times * TIME_SCALE).to(self._device),
            first.to(self._device),
            given.to(self._device),
            (self._conditions[index] * presence).to(self._device),
        )
        made = given.to(self._device) == 0
        target = label.to(self._device)
        error = functional.cross_entropy(logits.flatten(0, 1), target.flatten(0, 1).long(), reduction="none")
        error = error.unflatten(0, target.shape[:2])[made]
        # background far from all tissue is certain: it only makes the loss of every step another one
        tissue = (target[made] > 0).float().mean().clamp(min=0.05)
        return error.mean() / tissue, {"cross_entropy": float(error.detach().mean())}

    def _read(self, index: int, first: int, network: MaskSequenceUNet) -> torch.Tensor:
        """Slices ``(m, x, y)`` of the ``index``-th condition: the files in turn, each followed by its mirror image."""
        label = Bank.read(self._paths[index // 2]).label
        label = self._mirror(label) if index % 2 else label
        return to_working_size(label, network.shape)[:, :, first : first + network.slices].movedim(2, 0)

    def _draw_given(self, slices: int, generator: torch.Generator) -> torch.Tensor:
        """Which slices are given, ``(m,)``: the first or the last few, or none."""
        given = torch.zeros(slices)
        number = 1 + draw_index(min(self._batch.most_given, slices - 1), generator)
        if draw_bool(self._batch.forward_probability, generator):
            given[:number] = 1
        elif draw_bool(self._batch.backward_probability / (1 - self._batch.forward_probability), generator):
            given[-number:] = 1
        return given
