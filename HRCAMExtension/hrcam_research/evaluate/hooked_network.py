"""The same network in a form that every explanation package can hook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from hrcam.cam.feature_maps import MapName, find_module, run_hooked
from torch import nn

if TYPE_CHECKING:
    from hrcam.cam.model import HRCAM


class Copy(nn.Module):
    """A layer that changes nothing, so that there is something to hook."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a copy."""
        return x.clone()


def with_graph(x: torch.Tensor) -> torch.Tensor:
    """Return the same values; gradients begin here if nothing before asks for them.

    Going back through a volume's CNN for gradients at its levels takes a minute.
    """
    return x if x.requires_grad or not torch.is_grad_enabled() else x.detach().requires_grad_(True)


class HookedNet(nn.Module):
    """`HRCAM.forward` with one real layer, `level_layers[l]`, where each level's feature map is read (fine → coarse).

    Packages hook modules, and a level may be the input of a module, or its third call, or be overwritten in place:
    none of which they can name. These layers lie *in* the CNN's flow, so a gradient at one is the full derivative of
    the logit, through the head directly and through all deeper layers. Parameters are shared with `model`; logits are
    equal. Where `shared` has the feature maps of `x`, they and the head are all that runs.
    """

    def __init__(self, model: HRCAM, shared: SharedPass | None = None) -> None:
        super().__init__()
        self.cnn, self.head = model.cnn, model.head
        self.level_layers = nn.ModuleList(Copy() for _ in model.levels)
        self._names = [level.name for level in model.levels]
        self._shared = shared

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, B×K."""
        features = self._shared.features(x) if self._shared else None
        if features is None:
            pooled = self._run(x)
        else:
            pooled = [self._read(index, feature)[1] for index, feature in enumerate(features)]
        return self.head(torch.cat(pooled, dim=1))

    def _read(self, index: int, feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A level's feature map behind its layer, and its global average."""
        copy = self.level_layers[index](with_graph(feature))
        return copy, copy.flatten(2).mean(2)

    def _run(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The levels' global averages from a run of the CNN with those layers in its flow."""
        pooled: dict[int, torch.Tensor] = {}
        handles = []

        def listen(index: int, name: MapName) -> None:
            calls = 0

            def through(tensor: torch.Tensor) -> torch.Tensor | None:
                nonlocal calls
                calls += 1
                if calls != name.call:
                    return None
                copy, pooled[index] = self._read(index, tensor)
                # What flows on is a copy of its own: an in-place operation behind must not change what was read.
                return copy.clone()

            def through_input(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
                copy = through(inputs[0])
                return None if copy is None else (copy, *inputs[1:])

            module = find_module(self.cnn, name.module)
            if name.at_input:
                handles.append(module.register_forward_pre_hook(through_input))
            else:
                handles.append(module.register_forward_hook(lambda _m, _inputs, output: through(output)))

        try:
            for index, name in enumerate(self._names):
                listen(index, MapName.parse(name))
            self.cnn(x)
        finally:
            for handle in handles:
                handle.remove()
        return [pooled[index] for index in range(len(self._names))]


def levels_apart(model: HRCAM, x: torch.Tensor) -> bool:
    """Whether no level's feature map depends on another's: True only where the parameters are frozen."""
    net = HookedNet(model)
    fed = []
    for layer in net.level_layers:
        # Graphs begin at these layers: one that comes with a graph has it from a layer before.
        layer.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0].grad_fn is not None))
    with torch.enable_grad():
        net(x.detach())
    return not any(fed)


class SharedPass:
    """One pass through the CNN for all explanations of the same images, where no level feeds another.

    The gradient at a level is then that of the head alone, so that neither it nor an activation needs the CNN again. A
    volume's pass takes ten seconds and more.
    """

    def __init__(self, model: HRCAM) -> None:
        self._model = model
        self._apart: bool | None = None
        self._images: torch.Tensor | None = None
        self._features: list[torch.Tensor] = []

    @contextmanager
    def of(self, x: torch.Tensor) -> Iterator[None]:
        """Within, every `HookedNet` that shares this takes the feature maps of `x` from here."""
        if self._apart is None:
            self._apart = levels_apart(self._model, x)
        try:
            if self._apart:
                names = [level.name for level in self._model.levels]
                with torch.no_grad():
                    self._features = run_hooked(self._model.cnn, names, x, lambda _, feature: feature.clone())
                self._images = x
            yield
        finally:
            self._images, self._features = None, []

    def features(self, x: torch.Tensor) -> list[torch.Tensor] | None:
        """The levels' feature maps (fine → coarse) where `x` is what this is of, else None."""
        return self._features if self._images is not None and x.is_set_to(self._images) else None
