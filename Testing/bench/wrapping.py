"""Wrap CNNs of other libraries, with random weights, and write for each its levels or why it was refused.

    python Testing/bench/wrapping.py --out networks.jsonl [NAME …]
    python Testing/bench/wrapping.py --page networks.jsonl > docs/networks.md

Names are as in training's configuration: ``torchvision.resnet18``, ``timm.dla34``, ``monai.DenseNet121``; the list
is in ``wrapping.txt``. What is in the file already is not run again; a library that is not installed is passed over.
"""

import argparse
import gc
import importlib
import json
import statistics
import subprocess
import time
import warnings
from pathlib import Path

import torch
from hrcam import HRCAM, ModelError

MONAI = {
    "DenseNet121": {"spatial_dims": 3, "in_channels": 1, "out_channels": 2},
    "EfficientNetBN": {"model_name": "efficientnet-b0", "spatial_dims": 3, "in_channels": 1, "num_classes": 2},
    "resnet10": {"spatial_dims": 3, "n_input_channels": 1, "num_classes": 2},
    "SEResNet50": {"spatial_dims": 2, "in_channels": 1, "num_classes": 2},
    "SEResNext50": {"spatial_dims": 2, "in_channels": 1, "num_classes": 2},
    "HighResNet": {"spatial_dims": 3, "in_channels": 1, "out_channels": 2},
    "UNet": {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": (8, 16, 32), "strides": (2, 2)},
    "BasicUNet": {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "features": (8, 8, 16, 32, 64, 8)},
    "SegResNet": {"spatial_dims": 3, "in_channels": 1, "out_channels": 2},
    "AttentionUnet": {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": (8, 16, 32),
                      "strides": (2, 2)},
    "DynUNet": {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "kernel_size": [3, 3, 3], "strides": [1, 2, 2],
                "upsample_kernel_size": [2, 2]},
}  # fmt: skip
NAMES = Path(__file__).with_suffix(".txt").read_text().split()


def build(name):
    """A network by name, with random weights; `ImportError` where its library is missing."""
    library, kind = name.split(".", 1)
    torch.manual_seed(0)
    if library == "timm":
        return importlib.import_module("timm").create_model(kind, pretrained=False)
    if library == "monai":
        return getattr(importlib.import_module("monai.networks.nets"), kind)(**MONAI[kind])
    if library == "smp":
        library = importlib.import_module("segmentation_models_pytorch")
        return getattr(library, kind)("resnet18", encoder_weights=None)
    if library == "efficientnet_pytorch":
        return importlib.import_module(library).EfficientNet.from_name(kind)
    more = {"init_weights": False} if kind in ("googlenet", "inception_v3") else {}  # minutes of drawing numbers
    return getattr(importlib.import_module("torchvision.models"), kind)(weights=None, **more)


def wrap(name):
    """One row: levels, places and time, or the words of the refusal."""
    network = build(name)
    start = time.process_time()
    try:
        model = HRCAM(network, 2)
    except ModelError as error:
        found = {"refused": error.message, "hint": error.hint}
    else:
        found = {"levels": [[level.name, level.channels, level.size, level.stride] for level in model.levels]}
    return {"network": name, "seconds": round(time.process_time() - start, 2), **found}


def code():
    """What was run: git's name of the folder of the search in the last commit, the same in every commit that has it."""
    folder = "HRCAMExtension/hrcam/cam"
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", folder], check=False).returncode
    named = subprocess.run(
        ["git", "rev-parse", "--short", f"HEAD:{folder}"], capture_output=True, text=True, check=True
    )
    return named.stdout.strip() + "-changed" * bool(changed)


PAGE = """# Networks of other libraries

What `HRCAM(network, 2)` makes of CNNs of torchvision, timm and MONAI with random weights: its levels by their strides
in voxels of the image, or why it is refused. Seconds are processor time of wrapping, on one core of a busy machine.
Printed by `python Testing/bench/wrapping.py --page`; what was run is {codes}, which
`git rev-parse --short COMMIT:HRCAMExtension/hrcam/cam` gives for its commits.

{wrapped} of {all} networks are wrapped, in {seconds:.0f} s; the middle one takes {middle:.2f} s.

| network | levels | strides, or why it is refused | s |
|---|---|---|---|
"""


def page(paths):
    """The rows of files as a page in Markdown."""
    rows = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    rows.sort(key=lambda row: row["network"].lower())
    seconds = [row["seconds"] for row in rows]
    counts = {"wrapped": sum("levels" in row for row in rows), "all": len(rows)}
    codes = ", ".join(sorted({row["code"] for row in rows}))
    print(PAGE.format(codes=codes, seconds=sum(seconds), middle=statistics.median(seconds), **counts), end="")
    for row in rows:
        strides = (" ".join("×".join(f"{s:g}" for s in dict.fromkeys(stride)) for *_, stride in row["levels"])
                   if "levels" in row else row["refused"])  # fmt: skip
        print(f"| {row['network']} | {len(row.get('levels', []))} | {strides} | {row['seconds']:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks; all where none is named")
    parser.add_argument("--out", type=Path, help="file of JSON lines to add to")
    parser.add_argument("--page", type=Path, nargs="+", help="print such files as a page, and run nothing")
    parser.add_argument("--limit", type=float, default=180, help="start no further network after so many seconds")
    options = parser.parse_args()
    if options.page:
        return page(options.page)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    known = options.out.read_text().splitlines() if options.out and options.out.exists() else []
    done = {json.loads(line)["network"] for line in known}
    start = time.monotonic()
    for name in options.names or [name for name in NAMES if name not in done]:
        if time.monotonic() - start > options.limit:
            print("more is left: run this again")
            break
        try:
            row = {**wrap(name), "code": code()}
        except ImportError as error:
            print(f"{name}: {error}")
            continue
        print(name, row["seconds"], row.get("refused") or len(row["levels"]), flush=True)
        if options.out:
            with options.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
        gc.collect()


if __name__ == "__main__":
    main()
