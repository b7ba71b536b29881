"""The state of an optimiser as tensors for a checkpoint, and back."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import Adam

# The state that Adam (True) and RMSprop (False) keep of each weight.
REMEMBERED = {True: {"step", "exp_avg", "exp_avg_sq"}, False: {"step", "square_avg"}}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state that an optimiser keeps of each weight.

    Args:
        optimizer: an optimiser with one parameter group.

    Returns:
        The tensors, by number of the weight and name of the moment, such as "3.exp_avg".
    """
    remembered = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value for i, moments in remembered.items() for name, value in moments.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restores the state of an optimiser.

    Args:
        optimizer: an Adam or RMSprop with one parameter group.
        tensors: as `optimizer_tensors` gave them.

    Raises:
        ValueError: Some of the state is missing.
    """
    weights = optimizer.param_groups[0]["params"]
    state: dict[int, dict[str, Tensor]] = {i: {} for i in range(len(weights))}
    for key, value in tensors.items():
        i, moment = key.split(".")
        # Fused Adam walks weight and moments side by side in memory, so they need the same layout.
        like = weights[int(i)]
        state[int(i)][moment] = torch.empty_like(like).copy_(value.reshape(like.shape)) if value.ndim else value
    for number, found in state.items():
        if found.keys() != REMEMBERED[isinstance(optimizer, Adam)]:
            raise ValueError(f"weight {number} of {len(weights)} comes with {', '.join(sorted(found)) or 'no moments'}")
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
