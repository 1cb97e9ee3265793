"""What models of simulated lesions find, and what limits them, on pairs that neither training nor evaluation draws.

``python Testing/research/lesions.py simulated-lesion run/simulated-lesion --data ../shared/data`` compares bundles,
names or folders, on the heads of `head_labels` held out from training, on `templates` and, with ``--real``, on
`healthy_t1`, and prints rows for docs/RESEARCH.md. To choose weights, leave ``--real`` out: real heads are for the end.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from hrcam.bundle.bundle import load_bundle
from hrcam.cam.fusion import fuse
from hrcam.run.marking import label_levels
from hrcam_research.evaluate import lesions
from hrcam_research.evaluate.data import spacing_of
from hrcam_research.paired.config import load_paired_config
from hrcam_research.paired.pairs import draw_pair, split_heads
from rich.progress import track
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

GENERATED = "generated"
SEED = 61
"""First number of the seeds; `hrcam evaluate` has 6, training 0 to 2, midbrains 5."""

AROUND_MM = 10.0
"""How far around a lesion its surroundings reach."""


def generated_pairs(bundle, data, count):
    """Yield images (lesion, counterpart: 2×1×*size), mask and kind, of heads that take no part in training."""
    config = load_paired_config(bundle.name, **{"data.path": str(data)})
    _, held_out = split_heads(config)
    for number in range(count):
        pair, mask, _ = draw_pair(config, held_out, (SEED, 0, number))
        yield pair[:, None], mask, ""


def drawn_pairs(bundle, data, source, count):
    """The same of T1 volumes, drawn as `hrcam evaluate` draws its own."""
    cases, counterparts = lesions.draw_pairs(bundle, data, source, count, SEED)
    if not cases:
        raise SystemExit(f"{data / source} has no heads.")
    for case, counterpart in zip(cases, counterparts, strict=True):
        seen, without = case.read(), counterpart.read()
        yield np.stack([seen.image, without.image]), seen.masks["masks"] > 0, case.grade


def conspicuity(pair, mask, spacing_mm):
    """Mean change that the lesion makes, in standard deviations of what lies around it."""
    changed = pair[0, 0] - pair[1, 0]
    far = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    around = (far > 0) & (far < AROUND_MM) & (pair[1, 0] > pair[1, 0].min())
    return abs(float(changed[mask].mean())) / max(float(pair[1, 0][around].std()), 1e-6)


def measure(bundle, network, pair, mask):
    """One row of a pair: AP and pointing of each fusion, Dice of what the overlay shows, and the two logits by mean
    and by greatest evidence."""
    sick = bundle.class_names.index(lesions.LABEL)
    images = torch.from_numpy(pair).float()
    with torch.inference_mode():
        logits, levels = network.native_maps(images, sick)
        fused = {name: fuse(levels, images.shape[2:], name, images) for name in ("sum", "guided")}
    row = {"mean": (logits[:, sick] - logits[:, 1 - sick]).tolist(), "most": fused["sum"].flatten(1).amax(1).tolist()}
    for name, maps in fused.items():
        flat = maps[0, 0].numpy().ravel()
        row[f"AP {name}"] = average_precision_score(mask.ravel(), flat)
        row[f"pointing {name}"] = float(mask.ravel()[flat.argmax()])
    shown = fused[bundle.fusion][0, 0].numpy()
    marked = label_levels(shown, bundle.evidence_levels) > 0
    row["overlay"] = 2 * int((marked & mask).sum()) / int(marked.sum() + mask.sum())
    return row


def auc(rows, key):
    scores = np.array([row[key] for row in rows])
    return float(roc_auc_score(np.tile([1, 0], len(rows)), scores.ravel()))


def show(title, rows):
    """Print one line of the table."""
    keys = [f"{what} {name}" for what in ("AP", "pointing") for name in ("sum", "guided")]
    mean = [np.mean([row[key] for row in rows]) for key in keys]
    pairs = np.mean([row["mean"][0] > row["mean"][1] for row in rows])
    figures = [*mean, np.mean([row["overlay"] for row in rows]), auc(rows, "mean"), auc(rows, "most"), pairs]
    print(f"| {title} | " + " | ".join(f"{value:.3f}" for value in figures) + f" | {len(rows)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", nargs="+", help="names or folders of bundles for simulated lesions")
    parser.add_argument("--data", type=Path, required=True, help="folder of head_labels, templates and healthy_t1")
    parser.add_argument("--pairs", type=int, default=96, help="of each set, 3 or more")
    parser.add_argument("--real", action="store_true", help="also look at healthy_t1")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bundles = [load_bundle(name) for name in arguments.bundles]
    if len({(bundle.name, bundle.dimension) for bundle in bundles}) > 1:
        parser.error("bundles of one recipe can be compared, not of several")
    networks = [bundle.build().eval() for bundle in bundles]
    first = bundles[0]
    spacing = spacing_of(first)
    for source in (GENERATED, "templates", *(["healthy_t1"] if arguments.real else [])):
        if source == GENERATED:
            drawn = generated_pairs(first, arguments.data / "head_labels", arguments.pairs)
        else:
            drawn = drawn_pairs(first, arguments.data, source, arguments.pairs)
        rows = [[] for _ in bundles]
        for pair, mask, kind in track(drawn, total=arguments.pairs, description=source):
            known = {"kind": kind, "conspicuity": conspicuity(pair, mask, spacing), "pixels": int(mask.sum())}
            for found, bundle, network in zip(rows, bundles, networks, strict=True):
                found.append(measure(bundle, network, pair, mask) | known)
        print(f"\n{source}\n\n| model | AP sum | AP guided | pointing sum | pointing guided | Dice of the overlay "
              "| AUC of mean evidence | AUC of greatest evidence | pairs in order | pairs |\n"
              + "| --- " * 10 + "|")  # fmt: skip
        for name, found in zip(arguments.bundles, rows, strict=True):
            show(name, found)
            for key in ("conspicuity", "pixels"):
                order = sorted(found, key=lambda row: row[key])
                thirds = np.array_split(np.arange(len(order)), 3)
                for part, places in zip(("least", "middle", "greatest"), thirds, strict=True):
                    third = [order[place] for place in places]
                    show(f"{part} third of {key}, {third[0][key]:.3g} to {third[-1][key]:.3g}", third)
            for kind in sorted({row["kind"] for row in found} - {""}):
                show(kind, [row for row in found if row["kind"] == kind])


if __name__ == "__main__":
    main()
