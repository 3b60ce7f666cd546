"""Structure volumes in mL as network input, with an explicit null condition for classifier-free guidance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from synthaug.errors import BoundsError


def condition_vector(
    targets_ml: Mapping[str, float], controls: Sequence[str], limits_ml: Mapping[str, tuple[float, float]]
) -> torch.Tensor:
    """Normalise target volumes for the network.

    Args:
        targets_ml: target volume in mL by structure or group; a control that is not named is left to the model.
        controls: names of all controls, in the network's order.
        limits_ml: lower and upper bound in mL by control; they map to -1 and 1 on a logarithmic scale.

    Returns:
        ``(controls, 2)``: normalised log volume (0 where absent) and presence (1 or 0). All zeros: the null condition.

    Raises:
        BoundsError: a target that is not above 0.
    """
    vector = torch.zeros(len(controls), 2)
    for row, name in enumerate(controls):
        if name in targets_ml:
            if not targets_ml[name] > 0:
                raise BoundsError(f"target {name}={targets_ml[name]:g} mL; the network takes volumes above 0")
            low, high = (math.log(limit) for limit in limits_ml[name])
            vector[row, 0] = 2 * (math.log(targets_ml[name]) - low) / (high - low) - 1
            vector[row, 1] = 1
    return vector


class ConditionEncoder(nn.Module):
    """Turn condition vectors into cross-attention tokens, one a control.

    Args:
        num_controls: number of controls.
        dimension: size of a token.
    """

    def __init__(self, num_controls: int, dimension: int) -> None:
        super().__init__()
        self.value = nn.Sequential(nn.Linear(2, dimension), nn.SiLU(), nn.Linear(dimension, dimension))
        self.control = nn.Parameter(torch.randn(num_controls, dimension) * 0.02)

    def forward(self, condition: torch.Tensor) -> torch.Tensor:
        """Map ``(B, controls, 2)`` to tokens ``(B, controls, dimension)``."""
        return self.value(condition) + self.control
