"""Write the sample scan that the Sample Data module offers: a generated head with one bright lesion, no patient's.

    python Resources/make_sample.py

Run from anywhere with SimpleITK and numpy; the shape is that of HRCAMModuleLib/synthetic.py.
"""

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "HRCAMModule/Resources/SampleData/HRCAMSyntheticTumor.nrrd"


def syntheticScan():  # noqa: N802 - the module's name for it
    """Voxels KJI and IJK-to-RAS matrix, from the module's own file, which needs no Slicer for this."""
    sys.modules.setdefault("slicer", types.ModuleType("slicer"))
    spec = importlib.util.spec_from_file_location("synthetic", ROOT / "HRCAMModule/HRCAMModuleLib/synthetic.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.syntheticScan()


if __name__ == "__main__":
    voxels, matrix = syntheticScan()
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(TARGET), useCompression=True)
    print(TARGET.name, TARGET.stat().st_size, "bytes")
