"""Probabilities are told the same way everywhere, and never as certainty."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from hrcam.batch.report import _template
from hrcam.cli import localize as localize_command
from hrcam.localize import Options, localize
from hrcam.run.result import percent
from rich.console import Console

CERTAIN = {"lesion": 1.0, "no_lesion": 0.0}


@pytest.mark.parametrize(("probability", "words"), [
    (1.0, ">99 %"), (0.9999, ">99 %"), (0.99, "99 %"), (0.985, "98 %"), (0.5, "50 %"), (0.012, "1 %"), (0.01, "1 %"),
    (0.0099, "<1 %"), (0.0, "<1 %"),
])
def test_a_probability_is_a_whole_percentage_between_the_ends(probability, words):
    assert percent(probability) == words


def test_no_probability_reads_as_certainty():
    told = {percent(n / 10000) for n in range(10001)}
    assert not told & {"100 %", "0 %"} and len(told) == 101


def test_the_command_claims_no_certainty(blob_volume, bright_blob_bundle):
    result = replace(localize(blob_volume((48, 52, 7), (1.0, 1.0, 5.0)), bright_blob_bundle, Options(device="cpu")),
                     probabilities=CERTAIN)
    heard = io.StringIO()
    localize_command._print_result(Console(file=heard, width=200), result, {"result": Path("out/blob_result.json")})
    assert "lesion >99 %  no lesion <1 %" in heard.getvalue()


def test_the_picture_claims_no_certainty(blob_volume, bright_blob_bundle):
    overview = pytest.importorskip("hrcam.output.overview")
    scan = blob_volume((48, 52, 7), (1.0, 1.0, 5.0))
    result = replace(localize(scan, bright_blob_bundle, Options(device="cpu")), probabilities=CERTAIN)
    figure = overview.draw_overview(scan, result)
    texts = [text.get_text() for part in (figure, *figure.axes) for text in part.texts]
    assert "lesion  >99 %" in texts and "<1 %" in texts
    assert not [text for text in texts if "100" in text and "%" in text]


def test_the_batchs_page_uses_the_same_words():
    pytest.importorskip("jinja2")
    assert _template().environment.filters["percent"] is percent
