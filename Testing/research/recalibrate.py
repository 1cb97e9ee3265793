"""Measure a bundled model's evidence levels and volume rule anew, as its recipe does at its end, its weights kept.

``python Testing/research/recalibrate.py simulated-lesion --version 2.3.0 --data ../shared/data`` writes the levels and
the version to the bundle's metadata and model card, and of models of slices the rule from slices to volumes and the
limit for calling a scan normal (``--rules``: these alone). ``--ranges`` writes the ranges of input statistics alone
(`t1ce-tumor`), ``--levels`` the evidence levels alone (`t1ce-tumor`, `brain-lesion`), for another fusion if
``--fusion`` names one. Weights and temperature stay as they are.
"""

import argparse
import copy
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from hrcam.bundle.bundle import load_bundle
from hrcam.bundle.write import save_bundle
from hrcam.cam.fusion import FUSIONS
from hrcam.run.volume_rule import softmax, volume_logits
from hrcam_research.brain_lesion import calibration as lesion_calibration
from hrcam_research.brain_lesion.calibration import PAIRS, compose
from hrcam_research.brain_lesion.data import HELD_HEADS
from hrcam_research.brain_lesion.heads import read_heads
from hrcam_research.paired.config import load_paired_config
from hrcam_research.paired.pairs import split_heads, validation_pairs
from hrcam_research.t1ce_tumor import bundle as tumor_bundle
from hrcam_research.t1ce_tumor import calibration as tumor_calibration
from hrcam_research.t1ce_tumor.data import normal_slices, tumor_slices, volume_images
from hrcam_research.t1ce_tumor.training import TrainingData
from hrcam_train.calibrate import Calibration, at_even_odds, calibrate, withholding_of
from hrcam_train.fit import device_of
from hrcam_train.predict import predict
from hrcam_train.volume_rule import fit_volume_rule

CARD = "MODEL_CARD.md"


def composed_rules(network, predictions, data, pathology):
    """Volume rule and withholding on volumes composed of validation slices with a lesion among their counterparts or
    real slices without any (`no_tumor`, where the data have it), and of these alone: `compose`."""
    ill, counterparts = ([p.logits for p in predictions if pathology[p.label] is sick] for sick in (True, False))
    normals = [np.concatenate(counterparts)]
    if (data / "no_tumor").is_dir():
        real = tumor_calibration.prepared("normal", normal_slices(data, held=True))
        normals.append(np.concatenate([p.logits for p in predict(network, real, torch.device("cpu"), 8)]))
    volumes = list(compose(np.concatenate(ill), normals, np.random.default_rng(0)))
    labels = [label for _, label in volumes]
    rule = fit_volume_rule([logits for logits, _ in volumes], labels, pathology)
    chances = [softmax(volume_logits(logits, rule, pathology)) for logits, _ in volumes]
    return at_even_odds(rule, withholding_of(chances, labels, pathology), pathology)


def measure_levels(bundle, network, data, heads, pairs):
    """The bundle's `Calibration` with other levels, of the network's fusion; `heads` keeps the prepared label maps."""
    if bundle.name == tumor_bundle.NAME:
        recipe = tumor_calibration
        cases = recipe.prepared("tumor", tumor_slices(data, "val"))
        cases += recipe.prepared("normal", normal_slices(data, held=True))
    else:
        recipe, held = lesion_calibration, read_heads(data / "head_labels", heads)[-HELD_HEADS:]
        cases = recipe.cases_of(recipe.draw_examples(held, pairs), normal_slices(data, held=True).pixels)
    levels, rates = recipe.fit_levels(network, cases, predict(network, cases, torch.device("cpu"), recipe.BATCH))
    return Calibration(bundle.temperature, bundle.volume_rule, levels, rates, bundle.withholding)


def measure(bundle, network, data, rules_alone, **changes):
    """A `Calibration` on the validation images of the bundle's own recipe; `changes` to its settings, by path."""
    if bundle.name == tumor_bundle.NAME:
        tumors, normals = tumor_slices(data, "val"), normal_slices(data, held=True)
        return tumor_calibration.calibrate(network, tumors, normals, volume_images(data))
    config = load_paired_config(bundle.name, **{"data.path": str(data / "head_labels")} | changes)
    _, held_out = split_heads(config)
    cases, device = validation_pairs(config, held_out), device_of(config)
    predictions = predict(network, cases, device, config.train.batch_size)
    pathology = [one.pathology for one in config.classes]
    found = Calibration(bundle.temperature, None, bundle.evidence_levels, {})
    if not rules_alone:
        found = calibrate(network, cases, predictions, pathology, device, config.train.batch_size)
    if bundle.dimension == 2:
        rule, withholding = composed_rules(network, predictions, data, pathology)
        found = replace(found, volume_rule=rule, withholding=withholding)
    return found


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
    parser.add_argument("--rules", action="store_true", help="leave the evidence levels as they are")
    parser.add_argument("--ranges", action="store_true", help="the ranges of input statistics alone, of t1ce-tumor")
    parser.add_argument("--levels", type=Path, metavar="HEADS", help="the evidence levels alone; of brain-lesion, the "
                        "label maps as prepared are read from this file or kept in it")  # fmt: skip
    parser.add_argument("--fusion", choices=FUSIONS, help="that the bundle gets")
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.model)
    network = bundle.build().eval()
    network.fusion = arguments.fusion or network.fusion
    card = (bundle.path / CARD).read_text(encoding="utf-8").replace(bundle.version, arguments.version, 1)
    if arguments.ranges:
        found = tumor_bundle.input_ranges(TrainingData.read(arguments.data))
        metadata = bundle.metadata | {"version": arguments.version, "input_statistics": found}
        save_bundle(bundle.path, network, metadata, card, overwrite=True)
        print("\n".join(f"{name}: {low:.3f} to {high:.3f}" for name, (low, high) in found.items()))
        return
    changes = {"data.simulation.validation_pairs": arguments.pairs} if arguments.pairs else {}
    if arguments.levels:
        found = measure_levels(bundle, network, arguments.data, arguments.levels, arguments.pairs or PAIRS)
    else:
        found = measure(bundle, copy.deepcopy(network), arguments.data, arguments.rules, **changes)
    levels = found.level_documents
    for level in found.levels if found.rates else ():
        anew = partial(row, level, found.rates[level.name])
        card = re.sub(rf"^\| {level.name} \|.*$", anew, card, flags=re.MULTILINE)
    metrics = dict(bundle.metrics)
    if "level_rates_on_normals" in metrics and found.rates:
        metrics["level_rates_on_normals"] = found.rates
    metadata = bundle.metadata | {"version": arguments.version, "evidence_levels": levels, "metrics": metrics}
    if found.withholding is not None:
        metadata["withholding"] = found.withholding
    if bundle.dimension == 2:
        metadata["volume_rule"] = found.volume_rule
    save_bundle(bundle.path, network, metadata, card, overwrite=True)
    print(f"volume rule {metadata.get('volume_rule')}, withholding {metadata.get('withholding')}")
    for before, after in zip(bundle.metadata["evidence_levels"], levels, strict=True):
        rate = found.rates.get(after["name"])
        if rate is None:
            continue
        print(f"{after['name']}: {before['threshold']:g} to {after['threshold']:g} logits; without the class "
              f"{rate['scans']:.1%} of images show any, {rate['area']:.3%} of the head")  # fmt: skip


if __name__ == "__main__":
    main()
