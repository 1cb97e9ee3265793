"""The metadata of a toy bundle, and changes to what lies on the disk."""

import hashlib
import json

import safetensors.torch

ARGUMENTS = {"width": 2, "stages": 2, "depth": 1}


def metadata(**changes):
    document = {
        "name": "toy",
        "version": "1.2.0",
        "title": "Toy",
        "description": "For tests.",
        "task": "classification",
        "classes": [
            {"name": "lesion", "pathology": True, "color": [0.9, 0.2, 0.2], "terminology": None},
            {"name": "no_lesion", "pathology": False},
        ],
        "modality": "MR T1",
        "dimension": 2,
        "input": {
            "planes": ["axial"],
            "size": [32, 48],
            "spacing_mm": 1.5,
            "intensity": {"kind": "percentile", "low": 1.0, "high": 99.5, "foreground": "otsu", "per": "volume"},
        },
        "architecture": {"name": "vgg_small", "arguments": ARGUMENTS},
        "volume_rule": {"kind": "top_mean", "fraction": 0.1, "temperature": 1.0, "bias": [0.0, 0.1]},
        "temperature": 1.3,
        "evidence_levels": [
            {"name": "possible", "threshold": 1.0, "color": [1, 1, 0]},
            {"name": "strong", "threshold": 3.0, "color": [1, 0, 0]},
        ],
        "input_statistics": {"mean": [0.1, 0.4]},
        "metrics": {"accuracy": 0.9},
        "data": [{"name": "made up", "license": "CC0-1.0", "use": "training", "attribution": "none"}],
        "intended_use": "Research use only.",
        "reference": "arXiv:1909.12919",
    }
    return document | changes


def rewrite(folder, change):
    """Change the metadata of a bundle by a function."""
    path = folder / "metadata.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def reweigh(folder, change):
    """Change the tensors of a bundle by a function, with a checksum that fits."""
    path = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    content = safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()})
    path.unlink()
    path.write_bytes(content)
    rewrite(folder, lambda d: d.update(sha256=hashlib.sha256(content).hexdigest()))
