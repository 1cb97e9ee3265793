"""A model whose evidence is known exactly: what is brighter than tissue is lesion. Its metadata, network and scans."""

import numpy as np

LESION_VALUE, TISSUE_VALUE = 1.4, 1.0

BLOB_METADATA = {
    "name": "bright-blob",
    "version": "1.0.0",
    "title": "Bright blob (test model)",
    "description": "Answers to what is brighter than tissue, by hand-set weights.",
    "task": "classification",
    "classes": [
        {"name": "lesion", "pathology": True, "color": [0.9, 0.2, 0.2], "terminology": None},
        {"name": "no_lesion", "pathology": False, "color": [0.4, 0.7, 0.4], "terminology": None},
    ],
    "modality": "MR T1",
    "dimension": 2,
    "input": {
        "planes": ["axial", "coronal", "sagittal"],
        "size": [64, 64],
        "spacing_mm": 1.0,
        # Tissue's 90th percentile is 1 as long as the lesion fills less than a tenth of the head.
        "intensity": {"kind": "percentile", "low": 1.0, "high": 90.0, "foreground": "otsu", "per": "volume"},
    },
    "architecture": {"name": "vgg_small", "arguments": {"width": 2, "stages": 2, "depth": 1, "num_classes": 2}},
    "fusion": "sum",
    "volume_rule": {"kind": "top_mean", "fraction": 0.1, "temperature": 0.05, "bias": [0.0, 0.0]},
    "temperature": 0.05,
    "evidence_levels": [
        {"name": "possible", "threshold": 15.0, "color": [1.0, 0.86, 0.25]},
        {"name": "probable", "threshold": 40.0, "color": [1.0, 0.52, 0.1]},
        {"name": "strong", "threshold": 70.0, "color": [0.88, 0.1, 0.16]},
    ],
    "metrics": {"split": "made images", "balanced_accuracy": 1.0},
    "intended_use": "Research use only. Tests.",
    "reference": "arXiv:1909.12919",
}


def bright_blob_network():
    """HR-CAM on the smallest VGG with ``f = relu(x - 1.1)`` at both levels.

    Evidence is where, and as far as, the image is brighter than 1.1 times tissue. Logits: about 300 · mean(f) for
    lesion, 0.15 for no_lesion.
    """
    import torch
    from hrcam import HRCAM
    from hrcam.networks.registry import build_network

    network = HRCAM(build_network("vgg_small", BLOB_METADATA["architecture"]["arguments"]), num_classes=2)
    threshold = 1.1
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for stage, shift in zip(network.cnn.stages, (threshold, 0.0), strict=True):
            convolution, norm = stage[0][0], stage[0][1]
            convolution.weight[0, 0, 1, 1] = 1.0
            norm.weight.fill_((1 + norm.eps) ** 0.5)
            norm.bias[0] = -shift
        fine = network.levels[0].channels
        network.head.weight[0, 0], network.head.weight[0, fine] = 270.0, 30.0
        network.head.bias[1] = 0.15
    return network.eval()


def make_blob_volume(
    size_ijk=(48, 52, 44), spacing=(1.0, 1.0, 1.0), direction=None, lesion_ras=(6.0, -5.0, 4.0), radius_mm=5.0,
    name="blob", noise=0.01,
):
    """A head of tissue with, or without, one bright lesion: a `Volume` whose center lies at RAS (0, 0, 0).

    ``lesion_ras=None`` leaves the lesion out. Shapes are drawn in physical space, so that the same head is seen
    whatever the grid; `noise` is relative to tissue.
    """
    from hrcam.scan.geometry import Geometry
    from hrcam.scan.volume import Volume

    direction = np.eye(3) if direction is None else np.asarray(direction, float)
    middle = direction @ ((np.asarray(size_ijk) - 1) / 2 * spacing)
    geometry = Geometry(tuple(size_ijk), tuple(-middle), tuple(spacing), direction)
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in size_ijk), indexing="ij"), axis=-1)
    ras = np.transpose(geometry.points_to_ras(ijk), (2, 1, 0, 3))  # KJI, 3
    inside = np.sum((ras / [19.0, 21.0, 19.0]) ** 2, axis=-1) < 1
    rng = np.random.default_rng(0)
    texture = 2 * noise * rng.random(inside.shape)
    array = np.where(inside, TISSUE_VALUE - texture, texture)
    if lesion_ras is not None:
        distance = np.linalg.norm(ras - np.asarray(lesion_ras), axis=-1) / radius_mm
        array += (LESION_VALUE - TISSUE_VALUE) * np.exp(-np.log(2) * distance**2)
    array += noise * rng.standard_normal(array.shape)
    return Volume(np.ascontiguousarray(1000 * array, np.float32), geometry, name)
