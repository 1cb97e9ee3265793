"""Peak memory of ``localize`` on a CT-size volume: ``python Testing/bench/large.py [--size 512 512 600]``.

A 2D model with three pathologies and a level at the input's own resolution (the most that can be kept) reads a
synthetic ``int16`` CT in a process of its own, all slices with tissue, and writes map, segmentation and labels. The
network is tiny on purpose: it is the volume's memory that is measured. Smaller volumes get proportionally smaller
limits for maps in memory, so that they take the same path. Prints peak resident memory as JSON and ends with code 1
where it exceeds ``--limit`` GiB.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIZE_IJK, LIMIT_GIB = (512, 512, 600), 3.0
SPACING = (0.7, 0.7, 0.8)
CLASSES = ("tumor", "bleeding", "cyst", "normal")


def write_scan(path, size_ijk, spacing):
    """An ellipse of tissue with one bright lesion in every slice, in Hounsfield units, slice by slice to the file."""
    import SimpleITK

    i, j, k = size_ijk
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 8, (j, i)).astype(np.int16)
    y, x = np.mgrid[-1:1:j * 1j, -1:1:i * 1j]
    slice_ = np.where(x**2 / 0.6 + y**2 / 0.8 < 1, 60, -1000).astype(np.int16) + noise
    slice_[(x - 0.2) ** 2 + (y - 0.1) ** 2 < 0.02] += 200
    array = np.empty((k, j, i), np.int16)
    for n in range(k):
        array[n] = np.roll(slice_, n % 7, axis=1)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(spacing)
    SimpleITK.WriteImage(image, str(path))


def save_model(folder, side):
    """A bundle of two levels, the finer at the input's resolution; all pathologies answer to what is bright."""
    import torch
    from hrcam import HRCAM, save_bundle
    from hrcam.networks.registry import build_network

    arguments = {"width": 2, "stages": 2, "depth": 1, "num_classes": len(CLASSES)}
    network = HRCAM(build_network("vgg_small", arguments), len(CLASSES)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for stage, shift in zip(network.cnn.stages, (0.92, 0.0), strict=True):
            stage[0][0].weight[0, 0, 1, 1] = stage[0][1].weight[0] = 1.0
            stage[0][1].bias[0] = -shift
        network.head.weight[0, :] = 3.0
        network.head.weight[1:3, :] = 1.0
    return save_bundle(folder / "large", network, {
        "name": "large", "version": "1.0.0", "title": "Large volumes", "modality": "CT", "dimension": 2,
        "classes": [{"name": name, "pathology": name != "normal"} for name in CLASSES],
        "input": {"planes": ["axial"], "size": [side, side], "spacing_mm": SPACING[0],
                  "intensity": {"kind": "percentile", "high": 98.0}},
        "architecture": {"name": "vgg_small", "arguments": arguments}, "temperature": 1.0,
        "evidence_levels": [{"name": "possible", "threshold": 0.05, "of_peak": 0.3, "color": [1, 1, 0]}],
        "intended_use": "Measuring memory.",
    })


def localize_alone(scan, model, out, engine):
    """In a process of its own: localize, write, print the peak memory after each step in GiB."""
    import torch  # noqa: F401 - what it takes belongs to "imports"
    from hrcam import load_bundle
    from hrcam.cam import level_maps
    from hrcam.localize import Options, localize
    from hrcam.output.writers import write_result
    from hrcam.run.memory import keep_memory
    from hrcam.scan.volume import read_volume

    keep_memory()  # as the command and the worker do
    report, start = {"imports": peak()}, time.process_time()
    volume = read_volume(scan)
    share = volume.array.size / np.prod(SIZE_IJK)
    level_maps.MAPS_IN_FULL, level_maps.MAPS_IN_MEMORY = (
        int(share * limit) for limit in (level_maps.MAPS_IN_FULL, level_maps.MAPS_IN_MEMORY))
    report["reading"] = peak()
    steps = {}
    result = localize(volume, load_bundle(model), Options(device="cpu", engine=engine),
                      lambda stage, _: steps.__setitem__(stage, peak()))
    report |= {f"{stage} (begun)": gib for stage, gib in steps.items()} | {"localize": peak()}
    write_result(result, volume, out, ("map", "levels", "labels"))
    report["writing"] = peak()
    print(json.dumps({"voxels": list(volume.geometry.size_ijk), "slices_computed": sum(
        bool(one.probabilities) for one in result.slices), "labeled_share": float((result.labels > 0).mean()),
        "regions": len(result.regions), "processor_s": round(time.process_time() - start, 1),
        "peak_gib_after": {step: round(gib, 3) for step, gib in report.items()}, "peak_gib": round(peak(), 3)}))


def peak():
    """Largest resident memory of this process so far, GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def measure(size_ijk, spacing=SPACING, model=None, engine="torch"):
    """The report of a localization of a scan of that size in a fresh process, by the tiny model or a named one."""
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder) / "ct.nii"
        write_scan(scan, size_ijk, spacing)
        model = model or save_model(Path(folder), max(32, size_ijk[0])).path
        answer = subprocess.run([sys.executable, __file__, "--alone", str(scan), str(model), folder, engine],
                                check=True, capture_output=True, text=True)
    return json.loads(answer.stdout)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=3, default=SIZE_IJK, metavar=("I", "J", "K"))
    parser.add_argument("--spacing", type=float, nargs=3, default=SPACING, metavar=("I", "J", "K"), help="mm")
    parser.add_argument("--model", help="a bundle, for its own memory; default: the tiny 2D model")
    parser.add_argument("--engine", default="torch", choices=("torch", "openvino"))
    parser.add_argument("--limit", type=float, default=LIMIT_GIB, help="GiB")
    parser.add_argument("--alone", nargs=4, metavar=("SCAN", "MODEL", "OUT", "ENGINE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        localize_alone(*asked.alone)
        return 0
    report = measure(tuple(asked.size), tuple(asked.spacing), asked.model, asked.engine)
    print(json.dumps(report, indent=1))
    return int(report["peak_gib"] > asked.limit)


if __name__ == "__main__":
    sys.exit(main())
