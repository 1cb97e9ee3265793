"""The batch's HTML page: one file, everything escaped, pictures inside."""

import html.parser
import re
import urllib.parse

import pytest
from batch_data import write_scans
from hrcam.batch import report as batch_report
from hrcam.batch.run import run_batch
from hrcam.localize import Options

pytest.importorskip("jinja2")


class Page(html.parser.HTMLParser):
    """Collects tags and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def batch(tmp_path_factory, blob_volume, bright_blob_bundle):
    folder = tmp_path_factory.mktemp("batch")
    scans = write_scans(folder / "in", blob_volume, 2)
    (scans / "scan1.nii.gz").rename(scans / "it's <i>one & #1%.nii.gz")
    (scans / "<script>alert(1)<script>.nii.gz").write_bytes(b"junk")
    return run_batch([scans], bright_blob_bundle, folder / "out", Options(device="cpu"), ("overview",))


def test_a_page_shows_every_case_and_failure_with_its_picture(batch):
    page = Page((batch.out / "report.html").read_text(encoding="utf-8"))
    pictures = page.all("img")
    assert len(pictures) == 2 and all(one["src"].startswith("data:image/jpeg;base64,") for one in pictures)
    assert "Failed or not run (1)" in page.text and "damaged" in page.text and "export it again" in page.text
    assert ">99 %" in page.text
    assert "Nothing is marked: the evidence for lesion stays below the lowest level." in page.text
    assert "Strongest: strong, evidence " in page.text
    assert "Research use only" in page.text


def test_names_from_files_are_text_and_never_markup(batch):
    text = (batch.out / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.all("script") == [] and page.all("i") and not re.search(r"<i>one", text)
    assert "<script>alert(1)" in page.text, "the path of the failed scan, as text"


def test_the_page_needs_no_network_and_its_links_lead_to_files(batch):
    text = (batch.out / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "http:" not in text and "https:" not in text and page.all("link") == []
    assert "default-src 'none'" in next(one["content"] for one in page.all("meta") if "content" in one and
                                        "http-equiv" in one)
    links = {urllib.parse.unquote(one["href"]) for one in page.all("a")}
    assert len(links) == 4 and all((batch.out / link).is_file() for link in links)


def test_many_cases_go_to_several_pages(batch, monkeypatch):
    monkeypatch.setattr(batch_report, "CASES_A_PAGE", 1)
    batch_report.write_html(batch)
    first, second = (Page((batch.out / name).read_text(encoding="utf-8")) for name in ("report.html", "report_2.html"))
    assert len(first.all("img")) == len(second.all("img")) == 1
    assert {"href": "report_2.html"} in first.all("a") and {"href": "report.html"} in second.all("a")
    assert "Failed" in first.text and "Failed" not in second.text


def test_a_case_without_picture_is_shown_in_words(batch, monkeypatch):
    for picture in batch.out.glob("*_overview.png"):
        picture.write_bytes(b"no picture")
    batch_report.write_html(batch)
    page = Page((batch.out / "report.html").read_text(encoding="utf-8"))
    assert page.all("img") == [] and page.text.count("no picture") == 2


@pytest.mark.parametrize("limit", [None, 100])
def test_a_damaged_or_giant_picture_is_left_out(limit, tmp_path, monkeypatch):
    image = pytest.importorskip("PIL.Image")
    picture = tmp_path / "picture.png"
    image.new("RGB", (64, 64)).save(picture)
    assert batch_report._thumbnail(picture)
    if limit:
        monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", limit)
    else:
        picture.write_bytes(picture.read_bytes()[:60])
    assert batch_report._thumbnail(picture) is None
    assert batch_report._thumbnail(tmp_path / "gone.png") is None
