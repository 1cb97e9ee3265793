"""A bundle whose evidence is every voxel brighter, or darker, than 0.8: what it finds is known without training."""

import torch
from hrcam.bundle.write import save_bundle
from hrcam.cam.model import HRCAM
from hrcam.networks.registry import ARCHITECTURES
from torch import nn


def threshold_bundle(path, classes, size, spacing_mm, bright, fusion="sum"):
    """Write and load it, named after its folder; the first of the two `classes` is the pathology."""
    dims = len(size)
    arguments = {"num_classes": 2, "width": 2, "stages": 2, "depth": 1, "max_width": 4, "dims": dims}
    model = HRCAM(ARCHITECTURES["vgg_small"](**arguments), 2, fusion=fusion).eval()
    conv, norm = (nn.Conv2d, nn.BatchNorm2d) if dims == 2 else (nn.Conv3d, nn.BatchNorm3d)
    sign = 1 if bright else -1
    with torch.no_grad():
        for module in model.cnn.modules():
            if isinstance(module, conv):
                module.weight.zero_()
                module.weight[(0, 0, *[1] * dims)] = sign
        next(m for m in model.cnn.modules() if isinstance(m, norm)).bias.fill_(-0.8 * sign)
        model.head.weight.zero_()
        model.head.bias.zero_()
        model.head.weight[0, 0] = 20.0
    kinds = [{"name": name, "pathology": name == classes[0], "color": [0.9, 0.2, 0.2], "terminology": None}
             for name in classes]  # fmt: skip
    metadata = {
        "name": path.name, "version": "1.0.0", "title": "Bright or dark (simulated)", "description": "For tests.",
        "task": "classification", "classes": kinds, "modality": "MR", "dimension": dims,
        "input": {
            "planes": ["axial"], "size": size, "spacing_mm": spacing_mm,
            "intensity": {"kind": "percentile", "low": 1.0, "high": 99.5, "foreground": "otsu", "per": "volume"},
        },
        "architecture": {"name": "vgg_small", "arguments": arguments}, "temperature": 1.0,
        "evidence_levels": [{"name": "possible", "threshold": 1.0, "color": [1.0, 1.0, 0.0]}],
        "input_statistics": {}, "metrics": {}, "intended_use": "Research use only.", "reference": "arXiv:1909.12919",
        "data": [{"name": "made up", "license": "none", "use": "none", "attribution": "none"}],
    }  # fmt: skip
    return save_bundle(path, model, metadata)
