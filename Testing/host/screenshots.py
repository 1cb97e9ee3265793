"""Take the pictures of Resources/Screenshots from the real panel and views: `python Testing/host/screenshots.py`.

Localizes one scan with one model, as a user would, and writes
    module.png     the whole window: panel, levels over the scan at the strongest region, surfaces in 3D
    map.png        the same place with the continuous map
    regions.png    the panel scrolled to display and slices
    sources.json   checksums of the model and of the panel that the pictures show
Without arguments it takes the scan of `hrcam demo`: a brain template of 1 mm with a simulated tumor, which anyone has.
`--check`, or a computer that cannot render, ends with code 1 where the pictures are older than panel or model.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PICTURES = REPOSITORY / "Resources" / "Screenshots"
SOURCES = "sources.json"
SHOWN = ("HRCAMModule/Resources/UI/*.ui", "HRCAMModule/HRCAMModuleLib/*_section.py",
         "HRCAMModule/HRCAMModuleLib/*_table.py", "HRCAMModule/HRCAMModuleLib/evidence_plot.py",
         "HRCAMModule/HRCAMModuleLib/range_marks.py", "HRCAMModule/HRCAMModuleLib/probability_bars.py",
         "HRCAMModule/HRCAMModuleLib/volume_rendering.py", "HRCAMExtension/hrcam/output/scene_nodes.py",
         "HRCAMExtension/hrcam/output/evidence_colors.py", "HRCAMExtension/hrcam/run/units.py")
"""Files that decide how panel and overlay look."""

WINDOW = (1480, 980)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", type=Path, help="default: that of hrcam demo")
    parser.add_argument("--model", default="brain-lesion", help="name or folder of a bundle (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=PICTURES)
    parser.add_argument("--check", action="store_true", help="only say if the pictures are of this panel and model")
    options = parser.parse_args(arguments)
    # Run as a script, this folder leads sys.path, where its packaging.py and i18n.py would hide the real ones.
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).resolve().parent]
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "HRCAMExtension")]
    from Testing.host.views import openGLProblem

    if options.check or openGLProblem():
        return check(options.out)
    from Testing import host

    running = host.start(withMainWindow=True)
    try:
        takePictures(running, options)
    finally:
        running.stop()
    sources = json.dumps(present(options.model), indent=1) + "\n"
    (options.out / SOURCES).write_text(sources, encoding="utf-8")
    return 0


def present(model):
    """The model's name, version and weights, and a checksum of what draws panel and overlay, as they are now."""
    from hrcam.bundle.bundle import load_bundle

    panel = hashlib.sha256()
    for path in sorted({path for pattern in SHOWN for path in REPOSITORY.glob(pattern)}):
        panel.update(path.read_text(encoding="utf-8").encode())
    bundle = load_bundle(model)
    return {"model": model, "version": bundle.version, "weights": bundle.sha256, "panel": panel.hexdigest()}


def check(folder):
    """0 where the pictures are of the present panel and model; else 1, and what to do."""
    try:
        taken = json.loads((folder / SOURCES).read_text(encoding="utf-8"))
        old = [what for what, value in present(taken["model"]).items() if taken.get(what) != value]
    except (OSError, ValueError, KeyError):
        old = ["everything"]
    if old:
        print(f"The pictures in {folder} are older than the {' and the '.join(old)}. Take them again: make "
              "screenshots, where OpenGL can render.", file=sys.stderr)
        return 1
    print(f"The pictures in {folder} are of the present panel and model.")
    return 0


def takePictures(running, options):
    import slicer

    from Testing.host import pytorch_extension

    pytorch_extension.setState("ready")
    running.loadModule(REPOSITORY / "HRCAMModule" / "HRCAMModule.py")
    running.completeStartup()
    running.mainWindow.resize(*WINDOW)
    slicer.util.selectModule("HRCAMModule")
    volume = slicer.util.loadVolume(str(options.scan)) if options.scan else addDemoScan()
    panel = slicer.util.getModuleWidget("HRCAMModule")
    logic = panel.logic
    panel._parameters.model = options.model
    running.processEvents(0.3)
    slicer.util.resetSliceViews()
    result = logic.localize(volume, model=options.model, place=True)
    panel.runs.done(result)
    running.waitUntil(lambda: panel._showing is None, 60)
    logic.showIn3D(result, surfaces=True)
    running.processEvents(0.5)
    options.out.mkdir(parents=True, exist_ok=True)
    save(running, options.out / "module.png")
    logic.showOverlay(result, kind="map", legend=True)
    save(running, options.out / "map.png")
    logic.showOverlay(result, kind="levels", legend=True)
    scroll = running.mainWindow._qobject()._panel.verticalScrollBar()
    scroll.setValue(scroll.maximum())
    save(running, options.out / "regions.png")


def addDemoScan():
    """The scan of `hrcam demo`, named as what it is."""
    import slicer
    from hrcam.scan.volume import read_volume
    from hrcam_research.demo import cerebrum, simulated_scan, template_path

    scan, _truth = simulated_scan(cerebrum(read_volume(template_path())))
    return slicer.util.addVolumeFromArray(scan.array, scan.geometry.ijk_to_ras, "MNI152 with simulated tumor")


def save(running, path):
    """The whole window with its views, in 256 colors: small enough for a repository."""
    from PIL import Image

    running.processEvents(0.5)
    if not running.mainWindow._qobject().grab().save(str(path), "PNG"):
        raise OSError(f"cannot write {path}")
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    print(path)


if __name__ == "__main__":
    sys.exit(main())
