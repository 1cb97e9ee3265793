"""The other ways to make a map from the same network, each through the package that its users use.

Every rival explains the class logit of the multi-level head (`HRCAM.forward`), so that all methods explain the same
number of the same network; only `cam/own` explains the wrapped CNN's own classifier. What is asked of a package is
its per-layer map; how maps of several layers become one is in the method's name:

* `last`: the coarsest level alone, up-sampled bilinearly (half-pixel centers, as torch-cam, captum and MONAI do);
* `max`: each layer's map scaled to 0–1, pixel-wise maximum (torch-cam's `fuse_cams`);
* `mean`: each layer's map scaled to 0–1, up-sampled, mean (what `pytorch-grad-cam` does with several target layers);
* `package`: torch-cam's own `LayerCAM.fuse_cams`, which scales by tanh(2·map) before the maximum (LayerCAM paper,
  §III-C);
* `refinecam/…`: torch-cam's `RefineCAM.fuse_cams`, the product of the scaled maps (arXiv:2605.14641).

torch-cam 0.5's Grad-CAM++ (`gradcam++/…`) divides a copy and so leaves out α's denominator: it is run as its users get
it, and MONAI's (`monai-gradcam++/last`), which has it, beside it.

`pytorch-grad-cam` itself is not used: it needs torchvision, which has no wheel for every CPU build of torch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from hrcam.cam import fusion
from hrcam.errors import ModelError

from hrcam_research.evaluate.case import fitting
from hrcam_research.evaluate.hooked_network import HookedNet, SharedPass

if TYPE_CHECKING:
    from hrcam.cam.model import HRCAM

Maps = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Method:
    """One way to make a map.

    `package` made it; `unit` is "logit" (evidence that can be compared between scans) or "0–1" (scaled within each
    map, as the package delivers it) or "gradient"; `slow` methods run on a small subset of the cases.
    """

    name: str
    package: str
    unit: str = "0–1"
    slow: bool = False

    @property
    def group(self) -> str:
        """The name's part before the slash."""
        return self.name.split("/")[0]

    @property
    def is_hrcam(self) -> bool:
        """Whether one forward pass of HR-CAM makes it."""
        return self.package == "hrcam"


class Family:
    """Methods that share their forward and backward passes.

    `maps(x, classes, wanted)` takes B×C×*size and one class a case (LongTensor B) and returns B×*size for each wanted
    method.
    """

    methods: tuple[Method, ...]

    def maps(self, x: torch.Tensor, classes: torch.Tensor, wanted: Iterable[str]) -> Maps:
        """See the class."""
        raise NotImplementedError


def upsample(maps: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """B×*native to B×*size as HR-CAM's own levels are (`hrcam.cam.fusion.upsample`), one channel left out."""
    return fusion.upsample(maps.unsqueeze(1).float(), size).squeeze(1)


def scale01(maps: torch.Tensor) -> torch.Tensor:
    """Each map of a batch from its least to its greatest value; a flat map becomes 0."""
    flat = maps.flatten(1)
    low, high = flat.amin(1), flat.amax(1)
    shape = (-1,) + (1,) * (maps.ndim - 1)
    return (maps - low.view(shape)) / (high - low).clamp_min(1e-12).view(shape)


def mean_of_scaled(maps: list[torch.Tensor], size: tuple[int, ...]) -> torch.Tensor:
    """Mean over layers of maps scaled to 0–1 and up-sampled."""
    return torch.stack([upsample(scale01(each), size) for each in maps]).mean(0)


class TorchCam(Family):
    """Grad-CAM, Grad-CAM++, LayerCAM and RefineCAM of torch-cam: one forward, one backward per weighting."""

    def __init__(self, model: HRCAM, shared: SharedPass) -> None:
        from torchcam import methods

        self._net = HookedNet(model, shared)
        self._extractors: dict[str, type] = {
            "gradcam": methods.GradCAM,
            "gradcam++": methods.GradCAMpp,
            "layercam": methods.LayerCAM,
        }
        package = f"torch-cam {version('torchcam')}"
        several = len(model.levels) > 1
        names = [
            f"{base}/{kind}"
            for base in self._extractors
            for kind in (("last", "max", "mean") if several else ("last",))
        ]
        if several:
            names += ["layercam/package", "refinecam/gradcam++", "refinecam/layercam"]
        self.methods = tuple(Method(name, package) for name in names)

    def _fused(
        self, base: str, cams: list[torch.Tensor], size: tuple[int, ...]
    ) -> dict[str, Callable[[], torch.Tensor]]:
        from torchcam.methods import GradCAM, LayerCAM, RefineCAM

        shape: Any = size  # torch-cam annotates two axes and takes three as well

        return {
            f"{base}/last": lambda: upsample(cams[-1], size),
            f"{base}/max": lambda: GradCAM.fuse_cams(cams, shape),
            f"{base}/mean": lambda: mean_of_scaled(cams, size),
            f"{base}/package": lambda: LayerCAM.fuse_cams(cams, shape),
            f"refinecam/{base}": lambda: RefineCAM.fuse_cams(cams, size),
        }

    def maps(self, x: torch.Tensor, classes: torch.Tensor, wanted: Iterable[str]) -> Maps:
        """One forward pass with every needed extractor listening, then one backward pass each."""
        wanted = set(wanted)
        bases = [base for base in self._extractors if any(base in name.split("/") for name in wanted)]
        listeners = {base: self._extractors[base](self._net, list(self._net.level_layers)) for base in bases}
        try:
            scores = self._net(x)
            made: Maps = {}
            for position, (base, extractor) in enumerate(listeners.items()):
                cams = extractor(classes.tolist(), scores, retain_graph=position + 1 < len(bases))
                made.update(
                    {
                        name: make()
                        for name, make in self._fused(base, cams, tuple(x.shape[2:])).items()
                        if name in wanted
                    }
                )
            return made
        finally:
            for extractor in listeners.values():
                extractor.remove_hooks()
                extractor.reset_hooks()


class Captum(Family):
    """HiResCAM (arXiv:2011.08891): captum's gradient × activation, summed over channels and rectified; one backward."""

    def __init__(self, model: HRCAM, shared: SharedPass) -> None:
        self._net = HookedNet(model, shared)
        package = f"captum {version('captum')}"
        kinds = ("last", "max", "mean") if len(model.levels) > 1 else ("last",)
        self.methods = tuple(
            Method(f"hirescam/{kind}", package, "gradient" if kind == "last" else "0–1") for kind in kinds
        )

    def maps(self, x: torch.Tensor, classes: torch.Tensor, wanted: Iterable[str]) -> Maps:
        """Per-layer maps from captum, fused as the method's name says."""
        from captum.attr import LayerGradientXActivation

        size = tuple(x.shape[2:])
        layers = list(self._net.level_layers)
        parts = LayerGradientXActivation(self._net, layers if len(layers) > 1 else layers[0]).attribute(
            x, target=classes
        )
        cams = [torch.relu(part.detach().sum(1)) for part in (parts if isinstance(parts, list) else [parts])]
        made: dict[str, Callable[[], torch.Tensor]] = {
            "hirescam/last": lambda: upsample(cams[-1], size),
            "hirescam/max": lambda: torch.stack([upsample(scale01(cam), size) for cam in cams]).amax(0),
            "hirescam/mean": lambda: mean_of_scaled(cams, size),
        }
        return {name: make() for name, make in made.items() if name in set(wanted)}


class ScoreCam(Family):
    """Score-CAM of torch-cam on the last level: one forward pass per channel, hence slow."""

    def __init__(self, model: HRCAM, shared: SharedPass) -> None:
        self._net = HookedNet(model, shared)
        self.methods = (Method("scorecam/last", f"torch-cam {version('torchcam')}", slow=True),)

    def maps(self, x: torch.Tensor, classes: torch.Tensor, wanted: Iterable[str]) -> Maps:
        """The map of the last level, up-sampled."""
        from torchcam.methods import ScoreCAM

        at_once = fitting(16, x[0].numel())
        with ScoreCAM(self._net, self._net.level_layers[-1], batch_size=at_once) as extractor, torch.no_grad():
            self._net(x)
            cams = extractor(classes.tolist())
        return {"scorecam/last": upsample(cams[0], tuple(x.shape[2:]))}


class OwnCam(Family):
    """Zhou's CAM (CVPR 2016) by torch-cam, with the wrapped CNN's own last linear layer instead of HR-CAM's head."""

    def __init__(self, model: HRCAM, shared: SharedPass, classifier: torch.nn.Linear) -> None:
        self._net, self._classifier = HookedNet(model, shared), classifier
        self.methods = (Method("cam/own", f"torch-cam {version('torchcam')}"),)

    def maps(self, x: torch.Tensor, classes: torch.Tensor, wanted: Iterable[str]) -> Maps:
        """Weighted channel sum of the last level, scaled to 0–1 by torch-cam."""
        from torchcam.methods import CAM

        with CAM(self._net, self._net.level_layers[-1], self._classifier) as extractor, torch.no_grad():
            self._net(x)
            cams = extractor(classes.tolist())
        return {"cam/own": upsample(cams[0], tuple(x.shape[2:]))}


class Monai(Family):
    """MONAI's Grad-CAM++ and, in 3D, Grad-CAM; it takes one class and one layer a call: one backward for each."""

    def __init__(self, model: HRCAM, shared: SharedPass) -> None:
        self._model, self._shared = model, shared
        package = f"MONAI {version('monai')}"
        names = ["monai-gradcam++/last"]
        if len(model.levels[-1].size) == 3:
            names += ["monai-gradcam/last", "monai-gradcam/mean"] if len(model.levels) > 1 else ["monai-gradcam/last"]
        self.methods = tuple(Method(name, package, "0–1" if "mean" in name else "gradient") for name in names)

    def maps(self, x: torch.Tensor, classes: torch.Tensor, wanted: Iterable[str]) -> Maps:
        """MONAI's maps before its display scaling (which turns the largest value into 0)."""
        from monai.visualize import GradCAM, GradCAMpp

        size, deepest = tuple(x.shape[2:]), len(self._model.levels) - 1
        # It goes back all the way that there is a graph: frozen, for gradients at the levels alone.
        frozen = copy.deepcopy(self._model).requires_grad_(False)

        def layer(kind: type, index: int) -> torch.Tensor:
            # MONAI never removes its hooks: it gets a network of its own to leave them in.
            cam = kind(HookedNet(frozen, self._shared), f"level_layers.{index}")
            images = x.detach()
            maps = [cam.compute_map(images[i : i + 1], int(classes[i]))[:, 0].detach() for i in range(len(x))]
            # Its hooks, in the graph of what it keeps, keep itself: a circle that Python cannot see and never frees.
            cam.nn_module.activations.clear()
            cam.nn_module.score = None
            return torch.cat(maps)

        made: dict[str, Callable[[], torch.Tensor]] = {
            "monai-gradcam++/last": lambda: upsample(layer(GradCAMpp, deepest), size),
            "monai-gradcam/last": lambda: upsample(layer(GradCAM, deepest), size),
            "monai-gradcam/mean": lambda: mean_of_scaled([layer(GradCAM, i) for i in range(deepest + 1)], size),
        }
        return {name: make() for name, make in made.items() if name in set(wanted)}


def own_classifier(model: HRCAM) -> torch.nn.Linear | None:
    """The CNN's last linear layer where it is a CAM classifier of the last level (channels → classes), else None."""
    linears = [module for module in model.cnn.modules() if isinstance(module, torch.nn.Linear)]
    fits = linears and (linears[-1].in_features, linears[-1].out_features) == (
        model.levels[-1].channels,
        model.head.out_features,
    )
    return linears[-1] if fits else None


def rival_families(model: HRCAM, shared: SharedPass) -> list[Family]:
    """Every rival that the network allows; `shared` is the pass that they may have in common.

    Raises
    ------
    ModelError : a rival's package is not installed.
    """
    try:
        families: list[Family] = [kind(model, shared) for kind in (TorchCam, Captum, Monai, ScoreCam)]
        classifier = own_classifier(model)
        if classifier is not None:
            families.append(OwnCam(model, shared, classifier))
    except ImportError as error:
        raise ModelError(
            f"The rivals need a package that is not here: {error.name}.",
            "Install them with: pip install 'hrcam[evaluate]'.",
        ) from error
    return families
