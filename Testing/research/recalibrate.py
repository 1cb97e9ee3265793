"""Measure a bundled model's evidence levels and volume rule anew, as its recipe does at its end, its weights kept.

``python Testing/research/recalibrate.py simulated-lesion --version 2.3.0 --data ../shared/data`` writes the levels and
the version to the bundle's metadata and model card, and of `t1ce-tumor` the rule from slices to volumes. Weights and
temperature stay as they are.
"""

import argparse
import copy
import re
from functools import partial
from pathlib import Path

from hrcam.bundle.bundle import load_bundle
from hrcam.bundle.write import save_bundle
from hrcam_research.paired.config import load_paired_config
from hrcam_research.paired.pairs import split_heads, validation_pairs
from hrcam_research.t1ce_tumor import bundle as tumor_bundle
from hrcam_research.t1ce_tumor import calibration as tumor_calibration
from hrcam_research.t1ce_tumor.data import normal_slices, tumor_slices, volume_images
from hrcam_train.calibrate import calibrate
from hrcam_train.fit import device_of
from hrcam_train.predict import predict

CARD = "MODEL_CARD.md"


def measure(bundle, network, data, **changes):
    """A `Calibration` on the validation images of the bundle's own recipe; `changes` to its settings, by path."""
    if bundle.name == tumor_bundle.NAME:
        tumors, normals = tumor_slices(data, "val"), normal_slices(data, held=True)
        return tumor_calibration.calibrate(network, tumors, normals, volume_images(data))
    config = load_paired_config(bundle.name, **{"data.path": str(data / "head_labels")} | changes)
    _, held_out = split_heads(config)
    cases, device = validation_pairs(config, held_out), device_of(config)
    predictions = predict(network, cases, device, config.train.batch_size)
    pathology = [one.pathology for one in config.classes]
    return calibrate(network, cases, predictions, pathology, device, config.train.batch_size)


def row(level, rate, match):
    """The level's line of a model card: with the threshold, as `hrcam train` writes it, or without."""
    if match[0].count("|") == 5:
        return f"| {level.name} | {level.threshold:.3g} | {rate['scans']:.1%} | {rate['area']:.3%} |"
    return f"| {level.name} | {100 * rate['scans']:.1f} % | {100 * rate['area']:.3f} % |"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="name or folder of a bundled model, which is changed")
    parser.add_argument("--version", required=True, help="that the bundle gets")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data that the recipe validates on")
    parser.add_argument("--pairs", type=int, help="simulated validation pairs; default as many as the recipe has")
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.model)
    network = bundle.build().eval()
    changes = {"data.simulation.validation_pairs": arguments.pairs} if arguments.pairs else {}
    found = measure(bundle, copy.deepcopy(network), arguments.data, **changes)
    levels = found.level_documents
    card = (bundle.path / CARD).read_text(encoding="utf-8").replace(bundle.version, arguments.version, 1)
    for level in found.levels:
        anew = partial(row, level, found.rates[level.name])
        card = re.sub(rf"^\| {level.name} \|.*$", anew, card, flags=re.MULTILINE)
    metrics = dict(bundle.metrics)
    if "level_rates_on_normals" in metrics:
        metrics["level_rates_on_normals"] = found.rates
    metadata = bundle.metadata | {"version": arguments.version, "evidence_levels": levels, "metrics": metrics}
    if found.withholding is not None:
        metadata["withholding"] = found.withholding
    if bundle.name == tumor_bundle.NAME:  # other rules have not been fitted: their validation has no volumes of slices
        metadata["volume_rule"] = found.volume_rule
    save_bundle(bundle.path, network, metadata, card, overwrite=True)
    for before, after in zip(bundle.metadata["evidence_levels"], levels, strict=True):
        rate = found.rates[after["name"]]
        print(f"{after['name']}: {before['threshold']:g} to {after['threshold']:g} logits; without the class "
              f"{rate['scans']:.1%} of images show any, {rate['area']:.3%} of the head")  # fmt: skip


if __name__ == "__main__":
    main()
