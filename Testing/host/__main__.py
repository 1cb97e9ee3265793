"""`python -m Testing.host [FILE …]`: the HR-CAM module in a window on real MRML, with the given volumes loaded."""

import argparse
import os
import signal
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE = REPOSITORY / "HRCAMModule" / "HRCAMModule.py"


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m Testing.host", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="volumes, segmentations or scenes to load")
    parser.add_argument("--module", type=Path, default=MODULE, help="the scripted module's file (default: %(default)s)")
    options = parser.parse_args(arguments)
    missing = [str(f) for f in (*options.files, options.module) if not f.exists()]
    if missing:
        parser.error(f"not found: {', '.join(missing)}")
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        parser.error("no display (DISPLAY is not set): start an X server, or run this under xvfb-run")

    sys.path.insert(0, str(REPOSITORY / "HRCAMExtension"))
    from . import start

    host = start(withMainWindow=True, testing=False)
    try:
        from . import pytorch_extension
        from .widgets_ctk import ctkMessageBox

        ctkMessageBox.recorder = None  # a person answers
        pytorch_extension.setState("ready")
        host.loadModule(options.module)
        host.completeStartup()
        import slicer

        slicer.util.selectModule(options.module.stem)
        for file in options.files:
            if file.suffix in (".mrb", ".mrml"):
                slicer.util.loadScene(str(file))
            else:
                slicer.util.loadNodeFromFile(str(file))
        slicer.util.resetSliceViews()
        host._application.setQuitOnLastWindowClosed(True)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        host._application.exec()
        return host._application.exitCode or 0
    finally:
        host.stop()


if __name__ == "__main__":
    raise SystemExit(main())
