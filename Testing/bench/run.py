"""Speed and memory, as ratios within one run: ``make bench``.

Prints tables and writes them to ``docs/bench/VERSION.json``: what the evidence map costs beside the plain forward pass
of the same network, what other engines and other libraries take, and where the time of a whole localization goes.
Absolute times depend on the machine; the ratios hardly do. Plain and map passes alternate, and their ratio is one of
processor time: a machine that is busy with something else does not change it.
"""

import argparse
import json
import platform
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from alternatives import engines, rivals
from hrcam import HRCAM, __version__, load_bundle, save_bundle
from hrcam.fusion import fuse
from hrcam.geometry import Geometry
from hrcam.localize import Options, localize, warm_up
from hrcam.networks import build_network
from hrcam.volume import Volume
from hrcam.writers import write_result
from rich.console import Console
from rich.table import Table

NETWORKS = {  # name → architecture, its arguments, shape of one image
    "VGG, 5 levels, 256²": ("vgg_small", {"width": 16, "stages": 5, "num_classes": 4}, (256, 256)),
    "ResNet, 4 levels, 256²": ("resnet_small", {"width": 16, "stages": 4, "num_classes": 4}, (256, 256)),
    "Hourglass, 5 levels, 256²": ("hourglass", {"width": 16, "stages": 5, "num_classes": 4}, (256, 256)),
    "ResNet 3D, 4 levels, 64³": ("resnet_small", {"width": 8, "stages": 4, "num_classes": 4, "dims": 3}, (64, 64, 64)),
}
CLASSES = 4
VOLUME_IJK, SPACING = (256, 256, 24), (0.94, 0.94, 6.0)
DEFAULT_MODEL = "t1ce-tumor"
RECORDS = Path(__file__).parents[2] / "docs" / "bench"


def fuse_one(logits, levels, images):
    """What `localize` does while the class to be shown is not known: all classes' evidence, one class's fused map."""
    shown = int(logits.mean(dim=0).argmax())
    return fuse([level[:, shown:shown + 1] for level in levels], images.shape[2:])


def map_costs(repeats):
    """Rows of network, batch, plain forward in ms, and the ratios for a class known before and after the pass."""
    rows = []
    for name, (architecture, arguments, size) in NETWORKS.items():
        network = HRCAM(build_network(architecture, arguments), CLASSES).eval()
        for batch in (1, 8) if len(size) == 2 else (1,):
            images = torch.rand(batch, 1, *size)
            passes = {
                "plain": lambda images=images, network=network: network.cnn(images),
                "one class": lambda images=images, network=network: network.evidence(images, classes=0),
                "any class": lambda images=images, network=network: fuse_one(*network.native_maps(images), images),
            }
            times = {kind: [] for kind in passes}
            with torch.inference_mode():
                for _ in range(repeats + 1):
                    for kind, run in passes.items():
                        start = time.process_time()
                        run()
                        times[kind].append(time.process_time() - start)
            plain = statistics.median(times["plain"][1:])
            rows.append({
                "network": name,
                "batch": batch,
                "plain_cpu_ms": 1000 * plain,
                **{f"ratio_{kind.replace(' ', '_')}": statistics.median(
                    t / p for t, p in zip(times[kind][1:], times["plain"][1:], strict=True)
                ) for kind in ("one class", "any class")},
            })
    return rows


def compare(measure, repeats):
    """Network to rows of ``alternatives.engines`` or ``alternatives.rivals``, eight slices or one volume."""
    rows = {}
    for name, (architecture, arguments, size) in NETWORKS.items():
        network = HRCAM(build_network(architecture, arguments), CLASSES).eval().requires_grad_(False)
        rows[name] = measure(network, torch.rand(8 if len(size) == 2 else 1, 1, *size), repeats)
    return rows


def head():
    """A head-like volume of 256 x 256 x 24 voxels with tissue, air and noise."""
    rng = np.random.default_rng(0)
    k, j, i = (np.linspace(-1, 1, n) for n in reversed(VOLUME_IJK))
    radius = (0.9 * k[:, None, None]) ** 2 + (j[None, :, None] / 0.85) ** 2 + (i[None, None, :] / 0.7) ** 2
    array = np.where(radius < 1, 800 + 300 * np.sin(9 * radius), 20) + rng.normal(0, 15, radius.shape)
    geometry = Geometry(VOLUME_IJK, (0.0, 0.0, 0.0), SPACING, np.eye(3))
    return Volume(np.ascontiguousarray(array, np.float32), geometry, "bench")


def untrained_bundle(folder):
    """A bundle like the bundled one where that is missing: the time does not depend on the weights."""
    arguments = {"width": 16, "stages": 5, "num_classes": CLASSES}
    classes = [{"name": f"class_{n}", "pathology": n > 0} for n in range(CLASSES)]
    return save_bundle(folder / "untrained", HRCAM(build_network("vgg_small", arguments), CLASSES).eval(), {
        "name": "untrained", "version": "0.0.0", "title": "Untrained", "classes": classes, "modality": "MR",
        "dimension": 2, "temperature": 1.0, "intended_use": "Timing.",
        "input": {"planes": ["axial"], "size": [256, 256], "spacing_mm": 0.94, "intensity": {"kind": "percentile"}},
        "architecture": {"name": "vgg_small", "arguments": arguments},
        "evidence_levels": [{"name": "possible", "threshold": 1e3, "color": [1, 1, 0]}],
    })


def whole_job(model):
    """Seconds of every stage of a localization after the model is loaded, reading excepted, and the peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            bundle = load_bundle(model)
        except Exception as error:
            print(f"{error} Timing an untrained network instead.", file=sys.stderr)
            bundle = untrained_bundle(Path(folder))
        warm_up(bundle, "cpu")
        volume = head()
        start, cpu_start = time.perf_counter(), time.process_time()
        result = localize(volume, bundle, Options(device="cpu"))
        computed = time.perf_counter()
        write_result(result, volume, folder)
        end, cpu_end = time.perf_counter(), time.process_time()
    stages = {**result.timings, "Writing": end - computed}
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    return {"model": f"{bundle.name} {bundle.version}", "seconds": end - start, "cpu_seconds": cpu_end - cpu_start,
            "stages": stages, "peak_rss_gib": peak}


def show(costs, job):
    """Print both tables."""
    console = Console()
    table = Table(title="Evidence map beside the plain forward pass of the same network (CPU, fp32)")
    for heading in ("network", "batch", "plain (CPU ms)", "map of one class", "map of the likeliest class"):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for row in costs:
        ratios = (f"{row['ratio_one_class']:.2f} x", f"{row['ratio_any_class']:.2f} x")
        table.add_row(row["network"], str(row["batch"]), f"{row['plain_cpu_ms']:.0f}", *ratios)
    console.print(table)
    size = " x ".join(map(str, VOLUME_IJK))
    table = Table(title=f"localize, {size} voxels, {job['model']}: {job['seconds']:.1f} s "
                        f"({job['cpu_seconds']:.1f} s of processor time), {job['peak_rss_gib']:.2f} GiB")
    table.add_column("stage")
    table.add_column("s", justify="right")
    table.add_column("share", justify="right")
    for stage, seconds in job["stages"].items():
        table.add_row(stage, f"{seconds:.2f}", f"{seconds / job['seconds']:.0%}")
    console.print(table)


def show_alternatives(on_engines, by_rivals):
    """Print what other engines and other libraries take."""
    table = Table(title="Logits and native level maps by engine, processor time beside eager PyTorch's")
    for heading in ("network", "engine", "time", "largest difference"):
        table.add_column(heading)
    for name, rows in on_engines.items():
        for row in rows:
            table.add_row(name, row["engine"], f"{row['ratio']:.2f} x", f"{row['difference']:.1e}")
    Console().print(table)
    table = Table(title="Maps of other libraries beside the plain forward pass of the same network")
    for heading in ("network", "method", "package", "time", "memory"):
        table.add_column(heading)
    for name, rows in by_rivals.items():
        for row in rows:
            table.add_row(name, row["method"], row["package"], f"{row['time']:.2f} x", f"{row['memory']:.2f} x")
    Console().print(table)


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="bundle for the whole job")
    parser.add_argument("--repeats", type=int, default=10, help="passes of each kind")
    parser.add_argument("--out", type=Path, default=RECORDS / f"{__version__}.json")
    options = parser.parse_args()
    job = whole_job(options.model)  # first: later passes would count in its peak memory
    costs = map_costs(options.repeats)
    show(costs, job)
    on_engines, by_rivals = compare(engines, options.repeats), compare(rivals, max(3, options.repeats // 3))
    show_alternatives(on_engines, by_rivals)
    document = {"hrcam": __version__, "torch": torch.__version__, "threads": torch.get_num_threads(),
                "machine": platform.machine(), "map_cost": costs, "localize": job, "engines": on_engines,
                "rivals": by_rivals}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
