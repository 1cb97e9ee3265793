"""From how many images on compiling for OpenVINO pays: ``python Testing/bench/crossover.py [MODEL...]``.

Each bundled model in a process of its own: seconds of processor time that compiling takes, an image's time with either
engine in turns, and the number of images whose gain outweighs compiling (null: OpenVINO is not faster). Prints JSON;
`hrcam.run.openvino_engine.AUTO_IMAGES` rests on it.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from timing import alternate, ratio

TURNS, IMAGES = 5, 16


def measure(name):
    """Within a process of its own: what the docstring of this file says."""
    from hrcam import load_bundle
    from hrcam.run.folded import folded
    from hrcam.run.inference import BATCH_ON_CPU, memory_format
    from hrcam.run.memory import keep_memory
    from hrcam.run.openvino_engine import compiled, computed_images

    keep_memory()
    torch.set_num_threads(1)
    bundle = load_bundle(name)
    network, size = bundle.build(), tuple(bundle.metadata["input"]["size"])
    layout = memory_format(network, torch.device("cpu"))
    network.to(memory_format=layout)
    images = torch.rand(IMAGES if len(size) == 2 else 1, 1, *size).to(memory_format=layout)
    kind, count = computed_images(network, size, len(images))

    def by_torch():
        for part in images.split(BATCH_ON_CPU):
            folded(network).native_maps(part)

    with torch.inference_mode():
        by_torch()
        start = time.process_time()
        engine = compiled(network, size, "fp32")
        compiling = time.process_time() - start
        times = alternate({"PyTorch": by_torch, "OpenVINO": lambda: engine(images.numpy())}, TURNS)
    an_image = {engine: sorted(taken)[TURNS // 2] / count for engine, taken in times.items()}
    gain = an_image["PyTorch"] - an_image["OpenVINO"]
    return {"model": f"{bundle.name} {bundle.version}", "kind": kind, "compiling_s": round(compiling, 2),
            **{f"{engine}_ms": round(1000 * taken, 2) for engine, taken in an_image.items()},
            "ratio": round(ratio(times, "OpenVINO", "PyTorch"), 2),
            "pays_from": round(compiling / gain) if gain > 0 else None}


def main():
    """Command line."""
    from hrcam import list_bundles

    for name in sys.argv[1:] or sorted(entry.name for entry in list_bundles()):
        code = f"import crossover, json; print(json.dumps(crossover.measure({name!r})))"
        done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        print(json.dumps(json.loads(done.stdout.splitlines()[-1])), flush=True)


if __name__ == "__main__":
    main()
