"""The same network in a form that every explanation package can hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hrcam.taps import Tap, find_module

if TYPE_CHECKING:
    from hrcam.model import HRCAM


class CloneTap(nn.Module):
    """A layer that changes nothing, so that there is something to hook."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a copy."""
        return x.clone()


def with_graph(x: torch.Tensor) -> torch.Tensor:
    """Return the same values; gradients begin here if nothing before asks for them.

    Going back through a volume's CNN for gradients at its taps takes a minute.
    """
    return x if x.requires_grad or not torch.is_grad_enabled() else x.detach().requires_grad_(True)


class TappedNet(nn.Module):
    """`HRCAM.forward` with one real layer, `taps[l]`, where each level's feature map is read (fine → coarse).

    Packages hook modules, and a level may be the input of a module, or its third call, or be overwritten in place:
    none of which they can name. The taps lie *in* the CNN's flow, so a gradient at a tap is the full derivative of
    the logit, through the head directly and through all deeper layers. Parameters are shared with `model`; logits are
    equal.
    """

    def __init__(self, model: HRCAM) -> None:
        super().__init__()
        self.cnn, self.head = model.cnn, model.head
        self.taps = nn.ModuleList(CloneTap() for _ in model.levels)
        self._names = [level.name for level in model.levels]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, B×K."""
        pooled: dict[int, torch.Tensor] = {}
        handles = []

        def listen(index: int, tap: Tap) -> None:
            calls = 0

            def through(tensor: torch.Tensor) -> torch.Tensor | None:
                nonlocal calls
                calls += 1
                if calls != tap.call:
                    return None
                tapped = self.taps[index](with_graph(tensor))
                pooled[index] = tapped.flatten(2).mean(2)
                # What flows on is a copy of its own: an in-place operation behind must not change what was read.
                return tapped.clone()

            def through_input(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
                tapped = through(inputs[0])
                return None if tapped is None else (tapped, *inputs[1:])

            module = find_module(self.cnn, tap.module)
            if tap.at_input:
                handles.append(module.register_forward_pre_hook(through_input))
            else:
                handles.append(module.register_forward_hook(lambda _m, _inputs, output: through(output)))

        try:
            for index, name in enumerate(self._names):
                listen(index, Tap.parse(name))
            self.cnn(x)
        finally:
            for handle in handles:
                handle.remove()
        return self.head(torch.cat([pooled[index] for index in range(len(self._names))], dim=1))
