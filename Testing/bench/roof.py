"""How much of what the processor can do each engine gets out of it: arithmetic a second beside a matrix product's."""

import statistics
import time
from importlib.util import find_spec

import torch
from hrcam import list_bundles, load_bundle
from hrcam.run.folded import folded
from hrcam.run.inference import BATCH_ON_CPU, memory_format
from timing import alternate
from torch.utils.flop_counter import FlopCounterMode

SIDE = 2048
"""Of the square matrices whose product is the roof."""


def shares(repeats):
    """Rows of bundled model and engine: its share of the arithmetic a second of a large matrix product in fp32.

    Logits and native level maps of a CPU's usual batch; the same threads and run, in turns with the product.
    """
    rows = []
    for name in sorted(entry.name for entry in list_bundles()):
        bundle = load_bundle(name)
        network, size = bundle.build(), tuple(bundle.metadata["input"]["size"])
        images = torch.rand(BATCH_ON_CPU if len(size) == 2 else 1, 1, *size)
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            network.native_maps(images)
        work, matrix = counter.get_total_flops(), torch.rand(SIDE, SIDE)
        runs = {"product": lambda matrix=matrix: matrix @ matrix, **_engines(network, images)}
        with torch.inference_mode():
            times = alternate(runs, repeats)
        roof = 2 * SIDE**3 / statistics.median(times["product"])
        for engine in runs:
            if engine != "product":
                rows.append({"model": f"{bundle.name} {bundle.version}", "engine": engine, "roof_gflops": roof / 1e9,
                             "gflop_an_image": work / len(images) / 1e9,
                             "share": work / statistics.median(times[engine]) / roof})
    return rows


def _engines(network, images):
    cpu = torch.device("cpu")
    network.to(memory_format=memory_format(network, cpu))
    arranged = images.to(memory_format=memory_format(network, cpu))
    runs = {"PyTorch": lambda: folded(network).native_maps(arranged)}
    if find_spec("openvino"):
        from hrcam.run.openvino_engine import compiled

        engine = compiled(network, tuple(images.shape[2:]), "fp32")
        runs["OpenVINO"] = lambda: engine(images.numpy())
    return runs


if __name__ == "__main__":
    from hrcam.run.memory import keep_memory

    keep_memory()
    torch.set_num_threads(1)
    start = time.perf_counter()
    for row in shares(3):
        print(row, f"{time.perf_counter() - start:.0f} s", flush=True)
