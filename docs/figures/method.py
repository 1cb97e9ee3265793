"""Draw the figures of docs/method.md: levels and fusion, completeness, and what a threshold means.

A small CNN learns on made-up images (texture, and in half of them a disc) in under a minute; nothing else is needed.
`python docs/figures/method.py`, or `make figures`.
"""

from pathlib import Path

import matplotlib
import numpy as np
import torch
from hrcam import HRCAM
from hrcam.cam.fusion import upsample
from hrcam.networks.registry import build_network
from hrcam.run.marking import label_levels
from hrcam_train.evidence_levels import fit_evidence_levels
from hrcam_train.linear_head import fit_head

matplotlib.use("Agg")
from matplotlib import pyplot as plt

FOLDER = Path(__file__).parent
SIZE, SEED = 64, 0


def images(count, rng, share=0.5):
    """`count` images N×1×H×W, labels N, and masks N×H×W: smooth texture with noise; label 1 has a brighter disc."""
    field = torch.from_numpy(rng.standard_normal((count, 1, SIZE // 8, SIZE // 8)).astype(np.float32))
    x = torch.nn.functional.interpolate(field, size=(SIZE, SIZE), mode="bicubic").numpy()[:, 0]
    x += 0.4 * rng.standard_normal(x.shape).astype(np.float32)
    labels = (rng.random(count) < share).astype(np.int64)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    centers, radii = rng.uniform(12, SIZE - 12, (count, 2)), rng.uniform(4, 7, count)
    distance = np.hypot(rows - centers[:, :1, None], columns - centers[:, 1:, None])
    masks = (distance < radii[:, None, None]) & (labels[:, None, None] == 1)
    return torch.from_numpy(x + 2.0 * masks)[:, None].float(), labels, masks


def trained(rng):
    """HR-CAM on a small VGG: the CNN trained as a classifier (stage one), then the head fitted (stage two)."""
    hrcam = HRCAM(build_network("vgg_small", {"width": 8, "stages": 4, "depth": 1, "num_classes": 2}), num_classes=2)
    x, labels, _ = images(512, rng)
    y = torch.from_numpy(labels)
    optimizer = torch.optim.Adam(hrcam.parameters(), lr=3e-3)
    for _ in range(12):
        for part in torch.from_numpy(rng.permutation(len(x))).split(32):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(hrcam(x[part]), y[part]).backward()
            optimizer.step()
    hrcam.eval()
    with torch.inference_mode():
        features = hrcam.pooled(x).numpy()
    fit_head(features[:384], labels[:384], features[384:], labels[384:], num_classes=2).copy_to(hrcam)
    return hrcam


def levels_and_fusion(hrcam, x, mask, path):
    """One image: each level's map at its own resolution, up-sampled, and their sum."""
    evidence = hrcam.evidence(x[None], classes=1, per_level=True)
    native = [level[0, 0].numpy() for level in evidence.levels]
    limit = max(float(evidence.maps.max()), 1e-6)
    figure, axes = plt.subplots(2, len(native) + 2, figsize=(2 * (len(native) + 2), 4.4))
    for axis in axes.flat:
        axis.axis("off")
    axes[0, 0].imshow(x[0], cmap="gray")
    axes[0, 0].set_title("image")
    for column, (level, small) in enumerate(zip(hrcam.levels, native, strict=True), start=1):
        axes[0, column].imshow(small, cmap="coolwarm", vmin=-limit, vmax=limit)
        axes[0, column].set_title(f"level {column}: {small.shape[0]} × {small.shape[1]}\n{level.channels} channels")
        large = upsample(evidence.levels[column - 1], (SIZE, SIZE))[0, 0]
        axes[1, column].imshow(large, cmap="coolwarm", vmin=-limit, vmax=limit)
        axes[1, column].set_title("up-sampled")
    axes[1, -1].imshow(evidence.maps[0, 0], cmap="coolwarm", vmin=-limit, vmax=limit)
    axes[1, -1].contour(mask, [0.5], colors="black", linewidths=0.8)
    axes[1, -1].set_title("sum, and the truth")
    _save(figure, path)


def completeness(hrcam, x, path):
    """What each level's mean and the bias add to the logit."""
    evidence = hrcam.evidence(x[None], classes=1, per_level=True)
    parts = [float(level.mean()) for level in evidence.levels] + [hrcam.head.bias[1].item()]
    names = [f"level {n}" for n in range(1, len(parts))] + ["bias"]
    starts = np.concatenate([[0], np.cumsum(parts)[:-1]])
    figure, axis = plt.subplots(figsize=(6, 2.8))
    axis.bar(names, parts, bottom=starts, color=["#4477aa" if p >= 0 else "#cc6677" for p in parts])
    axis.bar(["logit"], [float(evidence.logits[0, 1])], color="#333333")
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_ylabel("logit units")
    axis.set_title("mean of each level's map + bias = logit", fontsize=10)
    _save(figure, path)


def thresholds(hrcam, rng, path):
    """The same absolute levels on a normal and on an abnormal image, beside maps scaled to their own maximum."""
    normal = hrcam.evidence(images(200, rng, share=0)[0], classes=1).maps[:, 0].numpy()
    levels = fit_evidence_levels(list(normal))
    x, _, masks = images(2, rng, share=1)
    x[1], masks[1] = images(1, rng, share=0)[0][0], False
    maps = hrcam.evidence(x, classes=1).maps[:, 0].numpy()
    figure, axes = plt.subplots(2, 3, figsize=(6.6, 4.6))
    for row, (image, one, name) in enumerate(zip(x[:, 0], maps, ("abnormal", "normal"), strict=True)):
        shown = label_levels(one, levels)
        colors = np.array([(0, 0, 0, 0), *((*level.color, 0.75) for level in levels)])
        titles = (name, "scaled to its maximum", "absolute levels")
        for axis, title in zip(axes[row], titles, strict=True):
            axis.imshow(image, cmap="gray")
            axis.axis("off")
            axis.set_title(title, fontsize=9)
        axes[row, 1].imshow(one / one.max(), cmap="jet", vmin=0, vmax=1, alpha=0.5)
        axes[row, 2].imshow(colors[shown])
    _save(figure, path)


def _save(figure, path):
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    print(path)


def main():
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    hrcam = trained(rng)
    x, _, masks = images(1, rng, share=1)
    levels_and_fusion(hrcam, x[0], masks[0], FOLDER / "levels_and_fusion.png")
    completeness(hrcam, x[0], FOLDER / "completeness.png")
    thresholds(hrcam, rng, FOLDER / "thresholds.png")


if __name__ == "__main__":
    main()
