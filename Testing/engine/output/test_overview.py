"""The overview picture: always drawn, nothing outside of it, nothing on top of one another."""

from dataclasses import replace

import numpy as np
import pytest
from hrcam.localize import Options, localize
from hrcam.run.result import Place

pytest.importorskip("matplotlib")

from hrcam.output.overview import NOTHING_FOUND, draw_overview, write_overview
from matplotlib.backends.backend_agg import FigureCanvasAgg


@pytest.fixture(scope="module")
def found(bright_blob_bundle, blob_volume):
    scan = blob_volume()
    return scan, localize(scan, bright_blob_bundle, Options(device="cpu"))


def texts_of(figure):
    """All texts drawn, with their boxes in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    everything = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    everything += [text for axes in figure.axes for text in (axes.title, axes._left_title) if text.get_text()]
    return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in everything if text.get_text()]


def assert_readable(figure):
    width, height = figure.get_size_inches() * figure.dpi
    drawn = texts_of(figure)
    for number, (text, box) in enumerate(drawn):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text
        for other, there in drawn[number + 1:]:
            apart = box.x1 <= there.x0 or there.x1 <= box.x0 or box.y1 <= there.y0 or there.y1 <= box.y0
            assert apart, f"{text!r} lies on {other!r}"
    return "\n".join(text for text, _ in drawn)


def test_the_picture_names_class_region_model_and_use(found):
    text = assert_readable(draw_overview(*found))
    i, j, k = np.rint(found[0].geometry.points_from_ras(found[1].regions[0].peak_ras)).astype(int)
    for word in ("lesion", "Region 1: strong 4.8, ", f"axial slice {k + 1} ", f"coronal slice {j + 1} ",
                 f"sagittal slice {i + 1} ", "bright-blob 1.0.0", "Research use"):
        assert word in text, "slices are counted from 1"


def test_columns_do_not_reach_each_other_far_from_the_origin_or_with_long_places(found):
    scan, result = found
    place = np.array(result.regions[0].peak_ras)
    shift = np.array([-185.4, -219.2, -155.1]) - place
    origin = np.array(scan.geometry.origin_lps) + shift * (-1, -1, 1)
    scan = replace(scan, geometry=replace(scan.geometry, origin_lps=tuple(origin.tolist())))
    far = replace(result.regions[0], peak_ras=tuple((place + shift).tolist()))
    long = replace(far, place=Place("right", "inferior lateral ventricle", 0.5, far.peak_ras))
    for region, words in ((far, "L 185  P 219  I 155 mm"), (long, "lateral ventricle")):
        assert words in assert_readable(draw_overview(scan, replace(result, regions=(region,))))


def test_without_evidence_the_picture_says_so(bright_blob_bundle, blob_volume):
    scan = blob_volume(lesion_ras=None)
    text = assert_readable(draw_overview(scan, localize(scan, bright_blob_bundle, Options(device="cpu"))))
    assert text.count(NOTHING_FOUND) == 3 and "Region" not in text


def test_a_long_note_is_read_to_its_end(found):
    volume, result = found
    note = "Spots are not marked, " + "for a reason that takes more than one line to tell, " * 4 + "and this is its end"
    written = assert_readable(draw_overview(volume, replace(result, warnings=(note, "Another one."))))
    assert " ".join(written.split()).count(note) == 1
    assert "(+1 more)" in written


def test_the_overlay_lies_where_the_region_is(found):
    """In the lower left panel the colored pixels surround the peak, in mm of the displayed slice."""
    scan, result = found
    figure = draw_overview(scan, result)
    overlay = figure.axes[1].images[1]
    rows, columns = np.nonzero(np.asarray(overlay.get_array())[..., 3])
    left, right, bottom, top = overlay.get_extent()
    x = left + (columns.mean() + 0.5) * (right - left) / scan.array.shape[2]
    y = top + (rows.mean() + 0.5) * (bottom - top) / scan.array.shape[1]
    center = scan.geometry.points_from_ras(result.regions[0].centroid_ras)
    assert abs(x - center[0]) < 1 and abs(y - center[1]) < 1, "identity grid: columns grow with i, rows with j"


@pytest.mark.parametrize("size", [(48, 52, 1), (96, 104, 7)])
def test_single_slices_and_thick_slices_are_drawn(size, bright_blob_bundle, blob_volume):
    spacing = (1.0, 1.0, 1.0) if size[2] == 1 else (0.5, 0.5, 6.0)
    scan = blob_volume(size, spacing, lesion_ras=(6.0, -5.0, 0.0), radius_mm=4.0)
    figure = draw_overview(scan, localize(scan, bright_blob_bundle, Options(device="cpu")))
    text = assert_readable(figure)
    single = size[2] == 1
    assert len(figure.axes) == (2 + 2 if single else 6 + 3)
    assert ("Strongest evidence of each slice" in text) is not single, "one slice has no profile"
    assert bool(figure.axes[0].get_position().height > 0.6) is single, "and is shown large, beside its evidence"


@pytest.mark.parametrize("size", [(48, 52, 1), (96, 40, 1), (96, 104, 7), (40, 104, 30)])
def test_slices_are_shown_in_true_proportions(size, bright_blob_bundle, blob_volume):
    scan = blob_volume(size, (0.5, 1.0, 3.0), lesion_ras=(2.0, -3.0, 0.0), radius_mm=4.0)
    figure = draw_overview(scan, localize(scan, bright_blob_bundle, Options(device="cpu")))
    width, height = figure.get_size_inches()
    for axes in (one for one in figure.axes if one.images):
        place = axes.get_position()
        across, along = abs(np.diff(axes.get_xlim())[0]), abs(np.diff(axes.get_ylim())[0])
        assert across / (place.width * width) == pytest.approx(along / (place.height * height), rel=1e-3)


def test_numbers_are_as_exact_as_one_reads_them(found):
    scan, result = found
    sure = {"lesion": 0.99996, "normal": 0.00004}
    levels = tuple(replace(level, threshold=value) for level, value in
                   zip(result.evidence_levels, (0.123456, 27.5282, 348.17), strict=True))
    figure = draw_overview(scan, replace(result, probabilities=sure, evidence_levels=levels))
    legend = next(axes.get_legend() for axes in figure.axes if axes.get_legend())
    shown = " ".join(text.get_text() for text in legend.get_texts())
    assert "from 1.0 " in shown and "from 223 " in shown and "from 2820 " in shown
    text = assert_readable(figure)
    assert "Evidence (1.0 is 0.123 logits)" in text
    assert ">99 %" in text and "<1 %" in text and "100" not in text


@pytest.mark.parametrize("likelier", [0.51, 0.8, 0.91, 0.97, 1.0])
def test_a_probability_lies_within_its_bar_or_beside_it(likelier, found):
    scan, result = found
    figure = draw_overview(scan, replace(result, probabilities={"lesion": likelier, "normal": 1 - likelier}))
    axes = next(one for one in figure.axes if len(one.patches) == 4)
    figure.canvas.draw()
    numbers = [text for text in axes.texts if "%" in text.get_text()]
    for text, bar in zip(numbers, axes.patches[2:], strict=True):
        extent = text.get_window_extent().transformed(axes.transData.inverted())
        assert extent.x1 <= bar.get_width() or extent.x0 >= bar.get_width()


def test_long_and_odd_names_and_many_classes_fit(found, tmp_path):
    scan, result = found
    many = {"lesion": 0.3} | {f"a rather long class name {n}": 0.1 for n in range(7)}
    name = "a_$very$_long_name_of_a_case_" * 5
    odd = replace(result, case=name, probabilities=many, warnings=("This warning has no end. " * 30, "another"))
    assert_readable(draw_overview(scan, odd))
    write_overview(tmp_path / "odd.png", scan, replace(odd, case="頭部 MRI $x_1$"))
    assert (tmp_path / "odd.png").stat().st_size > 10_000


def test_a_known_truth_is_outlined_in_the_legend_too(found):
    scan, result = found
    figure = draw_overview(scan, result, truth=result.labels > 1)
    labels = [text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]
    assert any(label.startswith("truth") for label in labels)
