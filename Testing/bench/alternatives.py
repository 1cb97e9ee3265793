"""What the map costs beside the plain forward pass, on this and other engines, and what other libraries take."""

import copy
import statistics
from importlib.util import find_spec

import torch
from hrcam.cam.fusion import fuse
from hrcam.run.folded import folded
from hrcam.run.inference import _cpu_computes_bf16
from hrcam_research.evaluate.cost import peak_bytes
from hrcam_research.evaluate.map_maker import MapMaker
from timing import alternate, ratio


def map_cost(network, images, repeats):
    """Time and peak memory of the fused map at the input's size, as ratios to the plain forward pass.

    "one class": known before the pass. "any class": as `localize` does it, all classes' evidence and the fused map of
    the likeliest.
    """
    def any_class():
        logits, levels = network.native_maps(images)
        shown = int(logits.mean(dim=0).argmax())
        return fuse([level[:, shown:shown + 1] for level in levels], images.shape[2:])

    runs = {"plain": lambda: network.cnn(images), "one_class": lambda: network.evidence(images, classes=0),
            "any_class": any_class}
    with torch.inference_mode():
        times = alternate(runs, repeats)
        peaks = {name: peak_bytes(run) for name, run in runs.items()}
    return {
        "plain_cpu_ms": 1000 * statistics.median(times["plain"]),
        **{f"time_{kind}": ratio(times, kind, "plain") for kind in ("one_class", "any_class")},
        **{f"memory_{kind}": peaks[kind] / peaks["plain"] for kind in ("one_class", "any_class")},
    }


def engines(network, images, repeats):
    """Rows of engine, its processor time as a ratio to eager PyTorch's, largest difference of a level's evidence.

    All compute logits and native level maps.
    """
    channels_last = torch.channels_last if images.ndim == 4 else torch.channels_last_3d
    moved, moved_images = copy.deepcopy(network).to(memory_format=channels_last), images.to(memory_format=channels_last)
    runs = {
        "PyTorch, eager": lambda: network.native_maps(images)[1],
        "PyTorch, channels last": lambda: moved.native_maps(moved_images)[1],
        "PyTorch, folded": lambda: folded(moved).native_maps(moved_images)[1],
    }
    if _cpu_computes_bf16():
        runs["PyTorch, bf16"] = lambda: _in_bf16(network, images)
    if find_spec("openvino"):
        from hrcam.run.openvino_engine import CompiledNetwork

        for precision in ("fp32", "bf16") if _cpu_computes_bf16() else ("fp32",):
            compiled = CompiledNetwork(network, images.shape[2:], precision, torch.get_num_threads())
            runs[f"OpenVINO, {precision}"] = lambda compiled=compiled: compiled(images.numpy())[1]
    with torch.inference_mode():
        reference = [level.numpy() for level in runs["PyTorch, eager"]()]
        differences = {name: _difference(run(), reference) for name, run in runs.items()}
        times = alternate(runs, repeats)
    return [{"engine": name, "difference": differences[name], "ratio": ratio(times, name, "PyTorch, eager")}
            for name in runs]


def rivals(network, images, repeats):
    """Rows of method, time and memory as ratios to the plain forward pass.

    Each makes the same map: one class, at the input's size. Raises ``ModelError`` where the rivals are not installed.
    """
    chosen = ["hrcam/sum", "gradcam/last", "layercam/mean", "hirescam/mean", "monai-gradcam++/last"]
    if images.ndim == 5:
        chosen.append("monai-gradcam/last")
    maker, classes = MapMaker(network, chosen), torch.ones(len(images), dtype=torch.long)
    packages = {method.name: method.package for method in maker.methods}

    def plain():
        with torch.inference_mode():
            return network.cnn(images)

    runs = {"plain": plain} | {name: lambda name=name: maker.make(images, classes, [name]) for name in packages}
    times = alternate(runs, repeats)
    peaks = {name: peak_bytes(run) for name, run in runs.items()}
    return [{"method": name, "package": package, "time": ratio(times, name, "plain"),
             "memory": peaks[name] / peaks["plain"]} for name, package in packages.items()]


def _in_bf16(network, images):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return network.native_maps(images)[1]


def _difference(levels, reference):
    """Largest difference over all levels, in shares of each level's greatest evidence."""
    return max(
        float(abs(torch.as_tensor(level).float().numpy() - wanted).max() / max(abs(wanted).max(), 1e-12))
        for level, wanted in zip(levels, reference, strict=True)
    )
