"""Take the pictures of Resources/Screenshots from the real panel and views: `python Testing/host/screenshots.py`.

Localizes one scan with one model, as a user would, and writes
    module.png     the whole window: panel, levels over the scan at the strongest region, surfaces in 3D
    map.png        the same place with the continuous map
    regions.png    the panel scrolled to regions and slices
Without arguments it takes a tumor scan of HRCAM_DATA (default: ../shared/data beside the repository).
"""

import argparse
import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("HRCAM_DATA") or REPOSITORY.parent / "shared" / "data")
WINDOW = (1480, 980)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", type=Path, default=DATA / "t1ce_volumes" / "btp01_pre_t1ce.nii.gz")
    parser.add_argument("--model", default="t1ce-tumor", help="name or folder of a model bundle (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "Resources" / "Screenshots")
    options = parser.parse_args(arguments)
    if not options.scan.exists():
        parser.error(f"no scan {options.scan}: give one with --scan, or set HRCAM_DATA")
    # Run as a script, this folder leads sys.path, where its packaging.py and i18n.py would hide the real ones.
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).resolve().parent]
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "HRCAMExtension")]
    from Testing import host

    running = host.start(withMainWindow=True)
    try:
        takePictures(running, options)
    finally:
        running.stop()


def takePictures(running, options):
    import slicer

    from Testing.host import pytorch_extension

    pytorch_extension.setState("ready")
    running.loadModule(REPOSITORY / "HRCAMModule" / "HRCAMModule.py")
    running.completeStartup()
    running.mainWindow.resize(*WINDOW)
    slicer.util.selectModule("HRCAMModule")
    volume = slicer.util.loadVolume(str(options.scan))
    logic = slicer.util.getModuleLogic("HRCAMModule")
    running.processEvents()
    result = logic.localize(volume, model=options.model)
    logic.showOverlay(result, legend=True)
    slicer.util.resetSliceViews()
    if result.regions:
        logic.jumpToRegion(result, 1)
    logic.showIn3D(result, surfaces=True)
    for _ in range(3):  # the camera's box follows one turn later
        slicer.util.resetThreeDViews()
        running.processEvents(0.2)
    options.out.mkdir(parents=True, exist_ok=True)
    save(running, options.out / "module.png")
    logic.showOverlay(result, kind="map", legend=True)
    save(running, options.out / "map.png")
    logic.showOverlay(result, kind="levels", legend=True)
    panel = running.mainWindow._qobject()._panel
    panel.verticalScrollBar().setValue(panel.verticalScrollBar().maximum())
    save(running, options.out / "regions.png")


def save(running, path):
    """The whole window with its views, in the sRGB palette of a PNG small enough for a repository."""
    from PySide6.QtGui import QImage

    running.processEvents(0.5)
    picture = running.mainWindow._qobject().grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    if not picture.save(str(path), "PNG", 20):
        raise OSError(f"cannot write {path}")
    print(path)


if __name__ == "__main__":
    main()
