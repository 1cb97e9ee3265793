"""Networks of torchvision, timm and MONAI by name; bundles name them `import:hrcam.networks.library:network`.

The libraries are imported only when asked for. Networks see scans of one channel; where a library's network takes
three, the scan is shown in all of them.
"""

import importlib
import inspect
from typing import Any

from torch import Tensor, nn

from hrcam.errors import ModelError

LIBRARIES = ("torchvision", "timm", "monai")


class ThreeChannels(nn.Module):
    """Shows one channel as three to a network that was made for photographs."""

    def __init__(self, cnn: nn.Module) -> None:
        super().__init__()
        self.cnn = cnn

    def forward(self, x: Tensor) -> Tensor:
        """B×1×H×W → the network's output."""
        return self.cnn(x.expand(-1, 3, *x.shape[2:]))


def network(name: str, num_classes: int, dims: int = 2, pretrained: bool = False, **arguments: Any) -> nn.Module:
    """Build `torchvision.NAME`, `timm.NAME` or `monai.NAME` for one input channel and `num_classes` outputs.

    What is filled in (channels, classes, dimensions) gives way to the same argument stated in `arguments`.

    Raises
    ------
    ModelError : the library is not installed or does not import, has no such network, or refuses the arguments.
    """
    library, _, short = name.partition(".")
    try:
        if library == "torchvision":
            return ThreeChannels(_torchvision(short, num_classes, pretrained, arguments))
        if library == "timm":
            timm = importlib.import_module("timm")
            filled = {"num_classes": num_classes, "in_chans": 1}
            return timm.create_model(short, pretrained=pretrained, **(filled | arguments))
        if library == "monai":
            builder = getattr(importlib.import_module("monai.networks.nets"), short)
            extra = {"pretrained": True} if pretrained else {}
            return builder(**(_monai_arguments(builder, num_classes, dims) | extra | arguments))
    except ImportError as error:
        raise ModelError(f"{library} cannot be imported: {error}.", f"Install it (pip install {library}).") from error
    except Exception as error:  # whatever a foreign builder raises
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"{name} cannot be built: {type(error).__name__}: {reason}.", "Check name and arguments."
        ) from error
    raise ModelError(f"There is no network library {library!r}.", f"Choose one of {', '.join(LIBRARIES)}.")


def _torchvision(short: str, num_classes: int, pretrained: bool, arguments: dict[str, Any]) -> nn.Module:
    models = importlib.import_module("torchvision.models")
    if not pretrained:
        return models.get_model(short, weights=None, num_classes=num_classes, **arguments)
    # Shipped weights come with ImageNet's 1000 outputs; the last dense layer is replaced.
    cnn = models.get_model(short, weights="DEFAULT", **arguments)
    name, last = [(n, m) for n, m in cnn.named_modules() if isinstance(m, nn.Linear)][-1]
    parent, _, attribute = name.rpartition(".")
    setattr(cnn.get_submodule(parent), attribute, nn.Linear(last.in_features, num_classes))
    return cnn


def _monai_arguments(builder: Any, num_classes: int, dims: int) -> dict[str, int]:
    """MONAI's classifiers call inputs and outputs by two names each; functions that only pass on build ResNets."""
    named = inspect.signature(builder).parameters
    passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in named.values())

    def either(usual: str, resnet: str) -> str:
        return resnet if resnet in named or (usual not in named and passes_on) else usual

    inputs, outputs = either("in_channels", "n_input_channels"), either("out_channels", "num_classes")
    return {"spatial_dims": dims, inputs: 1, outputs: num_classes}
