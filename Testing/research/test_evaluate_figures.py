"""Figures of a report: every method keeps its color, and few cases are seen."""

import numpy as np
import pytest
from PIL import Image

pd = pytest.importorskip("pandas", reason="needs pip install 'hrcam[evaluate]'")
figures = pytest.importorskip("hrcam_research.evaluate.figures", reason="needs pip install 'hrcam[evaluate]'")

NAMES = [f"method/{number}" for number in range(7)]
TAB10 = [(31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75), (227, 119, 194)]


def colors(path):
    return {tuple(color) for color in np.unique(np.array(Image.open(path).convert("RGB")).reshape(-1, 3), axis=0)}


def summary(cases):
    rng = np.random.default_rng(0)
    sizes = {name: {"diameter_mm": rng.uniform(5, 30, cases).tolist(), "dice": rng.uniform(0, 1, cases).tolist()}
             for name in NAMES}  # fmt: skip
    recall = np.linspace(0, 1, 50)
    curves = {name: {"recall": recall.tolist(), "precision": (1 - recall * rng.random()).tolist(), "pooled_ap": 0.5}
              for name in NAMES}  # fmt: skip
    return {"default": NAMES[0], "shown": NAMES, "sizes": sizes, "curves": curves}


def test_every_line_keeps_its_color(tmp_path):
    figures.sizes(summary(40), tmp_path / "sizes.png")
    figures.curves(summary(40), tmp_path / "curves.png")
    for name in ("sizes", "curves"):
        assert set(TAB10) <= colors(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size < 100_000


@pytest.mark.parametrize("cases", [1, 3])
def test_dots_of_few_cases_are_seen(cases, tmp_path):
    """Without a running mean, which needs more than three, the dots alone show the methods."""
    figures.sizes(summary(cases), tmp_path / "few.png")
    found = np.array(sorted(colors(tmp_path / "few.png")))
    for color in TAB10:
        shown = 0.8 * np.array(color) + 0.2 * 255  # nearly opaque, where dots among lines are faint
        assert np.abs(found - shown).max(axis=1).min() <= 1


@pytest.mark.parametrize(("cases", "expected"), [
    (1, {"best": ["0"], "median": [], "worst": []}),
    (2, {"best": ["1"], "median": [], "worst": ["0"]}),
    (3, {"best": ["2"], "median": ["1"], "worst": ["0"]}),
    (9, {"best": ["8", "7"], "median": ["3", "4"], "worst": ["0", "1"]}),
])  # fmt: skip
def test_each_case_is_shown_once(cases, expected):
    from hrcam_research.evaluate.summary import pick_cases

    rows = pd.DataFrame([{"method": "a", "case": str(case), "ap": case / 10} for case in range(cases)])
    assert pick_cases(rows, "a", 2) == expected
