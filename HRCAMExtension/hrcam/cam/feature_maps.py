"""Read feature maps inside a running CNN, by module name, and leave no hook behind.

A map's name is ``module[#call][:input]``: ``layer2`` is what module ``layer2`` returns, ``relu#3`` what ``relu``
returns the third time it is called, ``pool:input`` what is handed to ``pool`` (the result of a functional operation
before it).
"""

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

import torch
from torch import nn

from ..errors import ModelError

T = TypeVar("T")
_NAME = re.compile(r"^(?P<module>[^#:]*)(?:#(?P<call>[1-9]\d*))?(?P<input>:input)?$")


@dataclass(frozen=True)
class MapName:
    """Where to read: the output (or first input) of the `call`-th call of a module."""

    module: str
    call: int = 1
    at_input: bool = False

    @classmethod
    def parse(cls, name: str) -> "MapName":
        """Read a name; raise `ModelError` where it is malformed."""
        match = _NAME.match(name)
        if match is None:
            raise ModelError(f"{name!r} is not a level's name.", "Write MODULE, MODULE#CALL or MODULE:input.")
        return cls(match["module"], int(match["call"] or 1), match["input"] is not None)

    def spell(self, with_call: bool) -> str:
        """Write the name, with the call where the module is called several times."""
        return self.module + f"#{self.call}" * with_call + ":input" * self.at_input


class _AllRead(BaseException):
    """Every map has been read: what remains of the CNN need not run. Not an error, so not an `Exception`."""


def find_module(cnn: nn.Module, name: str) -> nn.Module:
    """Return the named submodule; raise `ModelError` naming similar ones where there is none."""
    with suppress(AttributeError):
        return cnn.get_submodule(name)
    modules = dict(cnn.named_modules())
    similar = get_close_matches(name, modules, n=5, cutoff=0.4) or [n for n in modules if n][:8]
    raise ModelError(f"The network has no module {name!r}.", f"Similar: {', '.join(similar)}.")


def run_hooked(cnn: nn.Module, names: Sequence[str], x: torch.Tensor, reduce: Callable[[int, Any], T]) -> list[T]:
    """Run `cnn` on `x` up to the last of them and return ``reduce(i, feature_map)`` of each, in the order of `names`.

    `reduce` is applied the moment a feature map exists, so that the map itself can be freed and later in-place
    operations cannot change it. Hooks answer only to the calling thread (other threads may run the same network) and
    are removed whatever happens.

    Raises
    ------
    ModelError : a module does not exist, or was not reached in this run.
    """
    owner = threading.get_ident()
    found: dict[int, T] = {}
    handles = []

    def listen(index: int, name: MapName) -> None:
        calls = 0

        def receive(tensor: Any) -> None:
            nonlocal calls
            if threading.get_ident() != owner:
                return
            calls += 1
            if calls == name.call:
                found[index] = reduce(index, tensor)
                if len(found) == len(names):
                    raise _AllRead

        module = find_module(cnn, name.module)
        if name.at_input:
            handles.append(module.register_forward_pre_hook(lambda _, inputs: receive(inputs[0] if inputs else None)))
        else:
            handles.append(module.register_forward_hook(lambda _m, _inputs, output: receive(output)))

    try:
        for index, name in enumerate(names):
            listen(index, MapName.parse(name))
        with suppress(_AllRead):
            cnn(x)
    finally:
        for handle in handles:
            handle.remove()
    missing = [name for index, name in enumerate(names) if index not in found]
    if missing:
        raise ModelError(
            f"The network ran without reaching {', '.join(missing)}.",
            "Name levels that every forward pass computes, or let levels='auto' find them.",
        )
    return [found[index] for index in range(len(names))]
