"""The same evidence on other engines, and what other libraries take for their maps of the same network."""

import copy
import statistics
import time
from importlib.util import find_spec

import torch
from hrcam.inference import _cpu_computes_bf16


def engines(network, images, repeats):
    """Rows of engine, its processor time as a ratio to eager PyTorch's, largest difference of a level's evidence.

    All compute logits and native level maps; the passes alternate. Ratios are medians of pairs.
    """
    channels_last = torch.channels_last if images.ndim == 4 else torch.channels_last_3d
    moved, moved_images = copy.deepcopy(network).to(memory_format=channels_last), images.to(memory_format=channels_last)
    runs = {
        "PyTorch, eager": lambda: network.native_maps(images)[1],
        "PyTorch, channels last": lambda: moved.native_maps(moved_images)[1],
    }
    if _cpu_computes_bf16():
        runs["PyTorch, bf16"] = lambda: _in_bf16(network, images)
    if find_spec("openvino"):
        from hrcam.engine_openvino import CompiledNetwork

        for precision in ("fp32", "bf16") if _cpu_computes_bf16() else ("fp32",):
            compiled = CompiledNetwork(network, images.shape[2:], precision, torch.get_num_threads())
            runs[f"OpenVINO, {precision}"] = lambda compiled=compiled: compiled(images.numpy())[1]
    times = {name: [] for name in runs}
    with torch.inference_mode():
        reference = [level.numpy() for level in runs["PyTorch, eager"]()]
        differences = {name: _difference(run(), reference) for name, run in runs.items()}
        for _ in range(repeats):
            for name, run in runs.items():
                start = time.process_time()
                run()
                times[name].append(time.process_time() - start)
    return [
        {"engine": name, "difference": differences[name],
         "ratio": statistics.median(t / e for t, e in zip(own, times["PyTorch, eager"], strict=True))}
        for name, own in times.items()
    ]


def rivals(network, images, repeats):
    """Rows of method, time and memory as ratios to the plain forward pass; empty where the rivals are not installed."""
    from hrcam.errors import ModelError
    from hrcam.evaluate.cost import measure_cost
    from hrcam.evaluate.localization import MapMaker

    chosen = ["hrcam", "gradcam/last", "layercam/mean", "hirescam/mean", "monai-gradcam++/last"]
    if images.ndim == 5:
        chosen.append("monai-gradcam/last")
    try:
        maker = MapMaker(network, chosen)
    except ModelError as error:
        print(f"Rivals left out: {error}")
        return []
    packages = {method.name: method.package for method in maker.methods}
    costs = measure_cost(maker, images, 1, repeats)
    return [{"method": name, "package": packages[name], "time": cost.time, "memory": cost.memory}
            for name, cost in costs.items()]


def _in_bf16(network, images):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return network.native_maps(images)[1]


def _difference(levels, reference):
    """Largest difference over all levels, in shares of each level's greatest evidence."""
    return max(
        float(abs(torch.as_tensor(level).float().numpy() - wanted).max() / max(abs(wanted).max(), 1e-12))
        for level, wanted in zip(levels, reference, strict=True)
    )
