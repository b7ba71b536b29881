"""What an optimiser remembers of its weights, as tensors for a checkpoint, and back."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import Adam

# What Adam and RMSprop keep of each weight.
REMEMBERED = {True: {"step", "exp_avg", "exp_avg_sq"}, False: {"step", "square_avg"}}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimiser with one group remembers of each weight, by the weight's number and the moment's name."""
    remembered = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value for i, moments in remembered.items() for name, value in moments.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Gives back to an optimiser what `optimizer_tensors` took; ValueError where that is not all of it."""
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
