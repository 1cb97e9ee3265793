"""The panel's drawn pictures fill their labels and are as sharp as the screen."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

pytest.importorskip("slicer")
ROOT = Path(__file__).resolve().parents[3]

WIDTH, HEIGHT = 144, 90
CURSOR, LEVEL = (46, 134, 222), (1.0, 0.0, 0.0)


def colorAt(pixmap, x, y):
    """Red, green, blue and opacity of a pixel."""
    color = pixmap.toImage().pixelColor(round(x), round(y))
    return color.red(), color.green(), color.blue(), color.alpha()


@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0])
def test_a_plot_has_the_screens_pixels_and_its_marks_where_clicks_find_them(panel, ratio):
    from HRCAMModuleLib.canvas import drawn
    from HRCAMModuleLib.evidence_plot import LEFT, RIGHT, paintPlot, sliceAt

    pixmap = drawn(WIDTH, HEIGHT, ratio, lambda painter, width, height: paintPlot(
        painter, width, height, [0.0, 1.0, 3.0, 0.0], 3, ("Inferior", "Superior")))
    assert (pixmap.width(), pixmap.height()) == (WIDTH * ratio, HEIGHT * ratio)
    assert pixmap.devicePixelRatio() == ratio
    middle = LEFT + (3 + 0.5) * (WIDTH - LEFT - RIGHT) / 4
    assert sliceAt(middle, WIDTH, 4) == 3
    assert colorAt(pixmap, middle * ratio, 40 * ratio)[:3] == CURSOR
    tallest = LEFT + (2 + 0.5) * (WIDTH - LEFT - RIGHT) / 4
    assert colorAt(pixmap, tallest * ratio, 40 * ratio)[3] == 255
    assert colorAt(pixmap, (LEFT + 4) * ratio, 40 * ratio)[3] == 0, "no evidence, no bar"


@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0])
def test_the_strip_of_levels_reaches_the_end_of_the_label(panel, ratio):
    from HRCAMModuleLib.canvas import drawn
    from HRCAMModuleLib.range_marks import MARGIN, paintMarks

    colors = np.zeros((256, 3))
    pixmap = drawn(WIDTH, HEIGHT, ratio, lambda painter, width, height: paintMarks(
        painter, width, (0.0, 10.0), 0.0, 10.0, colors, [("strong", 5.0, LEVEL)]))
    assert colorAt(pixmap, WIDTH / 2 * ratio, 4 * ratio)[:3] == (255, 0, 0)
    assert colorAt(pixmap, (WIDTH - MARGIN - 2) * ratio, 4 * ratio)[3] == 255
    assert colorAt(pixmap, (WIDTH - MARGIN + 2) * ratio, 4 * ratio)[3] == 0


def test_a_label_on_a_dense_screen_gets_a_dense_picture():
    code = f"""
import os, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "HRCAMModule")!r}]
from Testing.host import start
host = start()
import qt
from HRCAMModuleLib.canvas import drawOn
label = qt.QLabel()
label.resize(100, 60)
sizes = []
drawOn(label, lambda painter, width, height: sizes.append((width, height)))
pixmap = label.pixmap() if callable(label.pixmap) else label.pixmap
print("units", sizes, "pixels", pixmap.width(), pixmap.height())
host.stop()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False,
                         env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "QT_SCALE_FACTOR": "2"})
    assert "units [(100, 60)] pixels 200 120" in run.stdout, run.stderr[-2000:]
