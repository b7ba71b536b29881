"""The layers of both networks in the form that a CPU with bf16 arithmetic runs fastest: same results, up to rounding.

`use_fused_layers` gives the layers of a network another forward, which they use when they train under autocast;
everywhere else, and in everything else, the state dict included, they stay as they were. Convolutions of another shape
than the paper's (kernel 4, stride 2, padding 1) stay as they are. What is lost without it, on the paper's networks:

- pictures have 3 channels, and oneDNN writes those at a tenth of its rate: `to_few` makes them from 12;
- PyTorch takes longer for the bias gradient of a transposed convolution than for the rest of the layer's backward;
- the gradient that comes out of a flat layer is stored channel by channel, and PyTorch's leaky ReLU takes thirty times
  as long if its two inputs have different memory layouts;
- autocast makes a new bf16 copy of every large weight for each pass and an fp32 copy of every gradient: here `Linear`
  keeps its copy, which `Adam` updates, block by block, while the weight is in the cache anyway;
- spectral normalisation reads the 8192 × 1024 weight in fp32 three times a pass, and writes σ's part of its gradient.

Nothing here can be differentiated twice: gradient penalties need the plain layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .. import networks

LARGE = 2**16  # weights of a linear layer from which on a bf16 copy is worth keeping
BLOCK = 2**20  # weights that Adam takes at a time: few enough for the cache, enough for the overhead of calls
FEW = 4  # channels


def use_fused_layers(net: nn.Module, lr: float, betas: tuple[float, float]) -> Adam:
    """Makes a network fast to train on the CPU under autocast.

    Args:
        net: the network; its layers are changed in place.
        lr: Adam's learning rate.
        betas: Adam's β₁ and β₂.

    Returns:
        The optimiser that such a network needs.
    """
    for module in net.modules():
        if _has_a_fast_form(module):
            module.__class__ = FAST[type(module)]  # same parameters and buffers, another forward
    return Adam(net, lr, betas)


def _has_a_fast_form(layer: nn.Module) -> bool:
    """Whether a layer is one of those below: networks may also hold others of the same class."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        shape = layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.output_padding
        plain = layer.groups == 1 and layer.padding_mode == "zeros" and layer.bias is not None
        return type(layer) in FAST and plain and shape == ((4, 4), (2, 2), (1, 1), (1, 1), (0, 0))
    if isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) != (1, -1):
        return False
    return type(layer) in FAST and (not isinstance(layer, nn.Linear) or layer.weight.numel() >= LARGE)


class Conv2d(nn.Conv2d):
    """A convolution with kernel 4, stride 2 and padding 1, through `Convolution` in bf16 training."""

    def forward(self, x: Tensor) -> Tensor:
        if not _training_in_bf16(x):
            return super().forward(x)
        return Convolution.apply(x, self.weight, self.bias, False)


class ConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution with kernel 4, stride 2 and padding 1, through `Convolution` in bf16 training."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not _training_in_bf16(x):
            return super().forward(x)
        return Convolution.apply(x, self.weight, self.bias, True)


class Convolution(torch.autograd.Function):
    """conv2d or conv_transpose2d with kernel 4, stride 2, padding 1, the weight in x's dtype; all channels-last."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, transposed: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.transposed = transposed
        w, b = weight.to(x.dtype), bias.to(x.dtype)
        if transposed and w.shape[1] <= FEW:
            return to_few(x, w, b)
        return torch.convolution(x, w, b, (2, 2), (1, 1), (1, 1), transposed, (0, 0), 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        w, g = weight.to(x.dtype), gradient.contiguous(memory_format=torch.channels_last)
        of_x, of_weight, of_bias, _ = ctx.needs_input_grad
        pictures = not ctx.transposed and w.shape[1] <= FEW
        dx = dw = db = None
        wanted = [of_x and not pictures, of_weight, of_bias and not ctx.transposed]
        if any(wanted):
            dx, dw, db = torch.ops.aten.convolution_backward(
                g, x, w, [g.shape[1]], (2, 2), (1, 1), (1, 1), ctx.transposed, (0, 0), 1, wanted
            )
        if of_x and pictures:
            dx = to_few(g, w)
        if of_bias and ctx.transposed:
            db = g.sum((0, 2, 3))
        return dx, None if dw is None else dw.to(weight.dtype), None if db is None else db.to(weight.dtype), None


def to_few(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """conv_transpose2d with kernel 4, stride 2 and padding 1, for few output channels C.

    It is computed with kernel 2 and stride 1 to 4C channels, one for each place in a 2×2 block of the larger picture.

    Args:
        x: (N, n, H, W).
        weight: (n, C, 4, 4).
        bias: (C,), or None.

    Returns:
        (N, C, 2H, 2W).
    """
    n, c = weight.shape[:2]
    places = weight.reshape(n, c, 2, 2, 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, 2, 2)
    y = F.conv_transpose2d(x, places, None if bias is None else bias.repeat(4)).permute(0, 2, 3, 1)
    y = y.unflatten(3, (2, 2, c)).transpose(2, 3)  # picture, row, row in block, column, column in block, channel
    return y.reshape(len(y), 2 * y.shape[1], -1, c)[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


class Flatten(nn.Flatten):
    """A flatten layer whose gradient comes out channels-last in bf16 training."""

    def forward(self, x: Tensor) -> Tensor:
        return _Flattened.apply(x) if _training_in_bf16(x) and x.ndim == 4 else super().forward(x)


class _Flattened(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return x.flatten(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.view(ctx.shape).contiguous(memory_format=torch.channels_last)


class Linear(nn.Linear):
    """A large linear layer that keeps a bf16 copy of its weight.

    Attributes:
        weight16: the copy, which gets the gradient, in bf16, instead of the weight.
        version: the version of the weight that weight16 is a copy of.
    """

    weight16: Tensor
    version = -1  # of the weight that weight16 is a copy of

    def forward(self, x: Tensor) -> Tensor:
        if not _training_in_bf16(x):
            return super().forward(x)
        return F.linear(x, self.copied(), self.bias)  # autocast leaves bf16 as it is

    def copied(self) -> Tensor:
        """The weight in bf16, copied again if something other than Adam has changed it; frozen if the weight is."""
        if self.weight._version != self.version:
            self.weight16 = self.weight.detach().to(torch.bfloat16).requires_grad_()
            self.version = self.weight._version
        return self.weight16 if self.weight.requires_grad else self.weight16.detach()


class Spectral(networks.Spectral):
    """Spectral normalisation that reads a large weight from its bf16 copy in bf16 training."""

    def forward(self, x: Tensor) -> Tensor:
        if not _training_in_bf16(x):
            return super().forward(x)
        layer = self.layer
        if isinstance(layer, Linear):
            weight, u, v = layer.copied(), self.u, self.v
            with torch.no_grad():
                if self.training:
                    v.copy_(F.normalize((weight.t() @ u.to(weight.dtype)).float(), dim=0))
                product = (weight @ v.to(weight.dtype)).float()
                if self.training:
                    u.copy_(F.normalize(product, dim=0))
                sigma = torch.dot(u, product)
            y = Divided.apply(x, weight, sigma, u.clone(), v.clone())  # the next pass changes u and v in place
            return y + layer.bias.to(y.dtype)
        if isinstance(layer, Conv2d):
            with torch.autocast(x.device.type, enabled=False):
                if self.training:
                    self.iterate()
                return Convolution.apply(x, layer.weight / self.sigma(), layer.bias, False)
        return super().forward(x)


class Divided(torch.autograd.Function):
    """x Wᵀ / σ, where σ = uᵀWv is the largest singular value of W, with gradient u vᵀ with respect to W.

    dW = gᵀx / σ - s u vᵀ with s = Σ g·y / σ: one matrix product, if (-s u, v) is appended to the rows of (g / σ, x).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, sigma: Tensor, u: Tensor, v: Tensor) -> Tensor:
        y = F.linear(x, weight).div_(sigma)
        ctx.save_for_backward(x, weight, sigma, u, v, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, sigma, u, v, y = ctx.saved_tensors
        dx = dw = None
        if ctx.needs_input_grad[1]:
            s = (g * y).sum(dtype=torch.float32) / sigma
            dw = torch.cat([g / sigma, (-s * u).to(g.dtype)[None]]).t() @ torch.cat([x, v.to(x.dtype)[None]])
        if ctx.needs_input_grad[0]:
            dx = (g / sigma) @ weight
        return dx, dw, None, None, None


FAST: dict[type, type[nn.Module]] = {
    nn.Conv2d: Conv2d,
    nn.ConvTranspose2d: ConvTranspose2d,
    nn.Flatten: Flatten,
    nn.Linear: Linear,
    networks.Spectral: Spectral,
}


def _training_in_bf16(x: Tensor) -> bool:
    return torch.is_autocast_enabled("cpu") and x.dtype == torch.bfloat16


class Adam(torch.optim.Adam):
    """Fused Adam over a network's parameters, where a large layer's gradient is that of its bf16 copy.

    Block by block, it converts that gradient to fp32, takes the step and updates the copy. A block stays in the cache
    meanwhile, so that memory is read and written hardly more often than for the step alone.

    Args:
        net: the network, after `use_fused_layers`.
        lr: learning rate.
        betas: β₁ and β₂.
    """

    def __init__(self, net: nn.Module, lr: float, betas: tuple[float, float]) -> None:
        super().__init__(net.parameters(), lr, betas, fused=True)
        self.large = [layer for layer in net.modules() if isinstance(layer, Linear)]

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        for layer in self.large:
            layer.copied().grad = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Takes one step on every parameter that has a gradient.

        Args:
            closure: not used; it is there because torch.optim.Adam has it.
        """
        (group,) = self.param_groups
        beta1, beta2 = group["betas"]
        how = {"lr": group["lr"], "beta1": beta1, "beta2": beta2, "eps": group["eps"]}
        how |= {"weight_decay": 0.0, "amsgrad": False, "maximize": False}
        weights = [p for p in group["params"] if p.grad is not None]
        m, v, steps = zip(*map(self._counted, weights), strict=True)
        torch._fused_adam_(weights, [p.grad for p in weights], m, v, [], steps, **how)
        for layer in self.large:
            weight, copy = layer.weight, layer.copied()
            if copy.grad is None:
                continue
            first, second, count = self._counted(weight)
            blocks = (tensor.view(-1).split(BLOCK) for tensor in (weight, copy.grad, first, second, copy))
            for w, g, m, v, renewed in zip(*blocks, strict=True):
                torch._fused_adam_([w], [g.float()], [m], [v], [], [count], **how)
                renewed.copy_(w)
            layer.version = weight._version

    def _counted(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A weight's two moments and its number of steps, including this one."""
        state = self.state[weight]
        if not state:
            state |= {"step": torch.zeros(()), "exp_avg": torch.zeros_like(weight)}
            state["exp_avg_sq"] = torch.zeros_like(weight)
        state["step"] += 1
        return state["exp_avg"], state["exp_avg_sq"], state["step"]
