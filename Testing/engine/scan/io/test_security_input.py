"""Files from strangers: bombs stop early, names steer no terminal and no spreadsheet, results are read with care."""

import csv
import gzip
import io
import json
import struct
import time
import zlib

import numpy as np
import pytest
import SimpleITK
from batch_data import FILES_ONLY, write_scans
from corpus.kinds import write
from hrcam.batch import report as batch_report
from hrcam.batch.run import run_batch
from hrcam.cli import app as cli
from hrcam.errors import InputError
from hrcam.localize import Options
from hrcam.output.files_together import MAX_DOCUMENT_BYTES
from hrcam.scan.io import integrity, nifti
from hrcam.scan.io.discovery import discover
from hrcam.scan.io.formats import safe_name
from hrcam.scan.io.integrity import check_integrity
from hrcam.scan.volume import read_volume, to_sitk
from hrcam.words import printable, shown
from hypothesis import given, settings
from hypothesis import strategies as st

CPU = Options(device="cpu")
ESCAPES = {
    "clear the screen": "\x1b[2J",
    "set the title": "\x1b]0;owned\x07",
    "one-byte control sequence": "\x9b31m",
    "line end": "a\nError: all is well",
    "carriage return": "a\rb",
    "right to left": "gpj\u202egnp",
    "isolate": "\u2066x\u2069",
    "line separator": "\u2028x",
    "backspace": "abc\b\b\b",
}


def bomb(path, sizes, unpacked):
    """A small .nii.gz whose header states ``sizes`` of bytes and that unpacks to zeros of the given length."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, len(sizes), *sizes, *[1] * (7 - len(sizes)))
    struct.pack_into("<2h", header, 70, 2, 8)
    struct.pack_into("<8f", header, 76, *[1.0] * 8)
    struct.pack_into("<f", header, 108, 352.0)
    header[344:348] = b"n+1\0"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(bytes(header))
        for _ in range(unpacked >> 20):
            file.write(bytes(1 << 20))
    return path


@pytest.fixture
def unpacked(monkeypatch):
    """Counts the bytes that are unpacked."""
    counted, real = [], gzip.GzipFile.read

    def read(self, size=-1):
        content = real(self, size)
        counted.append(len(content))
        return content

    monkeypatch.setattr(gzip.GzipFile, "read", read)
    return counted


def test_a_bomb_with_an_honest_header_is_not_unpacked_at_all(tmp_path, unpacked):
    path = bomb(tmp_path / "a.nii.gz", (4000, 4000, 4000), 64 << 20)
    with pytest.raises(InputError, match="more than the limit"):
        read_volume(path)
    assert sum(unpacked) < 1 << 20


def test_a_bomb_with_a_modest_header_is_left_soon_after_its_end(tmp_path, unpacked, monkeypatch):
    monkeypatch.setattr(nifti, "_TRAILER", 4 << 20)
    path = bomb(tmp_path / "a.nii.gz", (20, 20, 20), 64 << 20)
    with pytest.raises(InputError, match="unpacks to far more"):
        read_volume(path)
    assert sum(unpacked) < 8 << 20


def test_the_piece_before_the_voxels_is_not_taken_at_once(tmp_path, unpacked):
    """A header may say that the voxels begin after gigabytes."""
    path = bomb(tmp_path / "a.nii.gz", (20, 20, 20), 32 << 20)
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<f", content, 108, float(24 << 20))
    path.write_bytes(gzip.compress(bytes(content), 1))
    check_integrity(path)
    assert max(unpacked) <= 1 << 20


@pytest.mark.parametrize(("kind", "limit"), [("nrrd", 1 << 20), ("mha", 0)])
def test_compressed_nrrd_and_meta_bombs_stop_at_the_limit(tmp_path, kind, limit, monkeypatch):
    monkeypatch.setattr(integrity, "LONGEST", 1 << 20)
    path = write(tmp_path / f"a.{kind}", compress=True)
    content = path.read_bytes()
    if kind == "nrrd":
        head = content[: content.index(b"\n\n") + 2]
        path.write_bytes(head + gzip.compress(bytes(32 << 20), 1))
    else:
        head = content[: content.index(b"ElementDataFile = LOCAL\n") + 24]
        path.write_bytes(head + zlib.compress(bytes(32 << 20), 1))
    with pytest.raises(InputError, match="unpacks to more than"):
        read_volume(path)


def test_a_picture_that_states_billions_of_pixels_is_refused_by_its_header(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(4 << 20), 9)
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    began = time.monotonic()
    with pytest.raises(InputError, match="more than the limit"):
        read_volume(path)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", ESCAPES)
def test_names_from_files_steer_no_terminal(kind, tmp_path, capsys, bright_blob_bundle):
    name = ESCAPES[kind].replace("/", "")
    bad = tmp_path / f"{name}.nii.gz"
    bad.write_bytes(b"junk")
    (case,) = discover([bad])
    assert case.name.isprintable() and shown(bad).isprintable()
    for command in (["localize"], ["batch", "--no-report"]):
        code = cli.main([command[0], str(bad), "--model", str(bright_blob_bundle.path), "--out", str(tmp_path / "out"),
                         *command[1:]])
        heard = capsys.readouterr()
        assert code == 1 and "damaged" in heard.err
        for line in (heard.out + heard.err).split("\n"):
            assert line.isprintable(), line
            assert not line.startswith("Error: all is well")


@given(st.text(max_size=300))
@settings(max_examples=100, deadline=None)
def test_any_name_becomes_printable_and_stays_so(name):
    assert printable(name).isprintable() and len(printable(name)) == len(name)
    safe = safe_name(name)
    assert safe.isprintable() and safe == safe_name(safe) and not set(safe) & set('<>:"/\\|?*') and safe.strip()
    safe.encode("utf-8")


def test_what_an_unexpected_error_says_is_printable():
    assert cli.describe(RuntimeError("\x1b[31mred")).isprintable()


@pytest.fixture(scope="module")
def formula_folder(tmp_path_factory, blob_volume, bright_blob_bundle):
    """A batch over scans whose names are formulas."""
    folder = tmp_path_factory.mktemp("formulas")
    scans = write_scans(folder / "in", blob_volume, 1)
    (scans / "scan0.nii.gz").rename(scans / "=HYPERLINK(A1).nii.gz")
    for name in ("+1", "-1", "@SUM(A1)"):
        (scans / f"{name}.nii.gz").write_bytes(b"junk")
    run_batch([scans], bright_blob_bundle, folder / "out", CPU, FILES_ONLY, report=False)
    return folder / "out"


def test_no_cell_of_the_table_is_a_formula(formula_folder):
    rows = list(csv.DictReader((formula_folder / "summary.csv").open(encoding="utf-8")))
    assert sorted(row["case"] for row in rows) == ["'+1", "'-1", "'=HYPERLINK(A1)", "'@SUM(A1)"]
    for row in rows:
        for column, cell in row.items():
            number = cell.lstrip("-").replace(".", "", 1).replace("e-", "", 1).isdigit()
            assert number or not cell.startswith(("=", "+", "-", "@", "\t")), column


def test_the_tables_say_where_their_figures_come_from(formula_folder, bright_blob_bundle):
    row = next(row for row in csv.DictReader((formula_folder / "summary.csv").open(encoding="utf-8"))
               if row["status"] == "done")
    assert row["model"] == "bright-blob 1.0.0" and row["model_sha256"] == bright_blob_bundle.sha256
    assert len(row["input_sha256"]) == 64 and row["hrcam_version"] and "Research use only" in row["intended_use"]


@pytest.mark.parametrize("content", [
    b"[" * 200_000,
    b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    b'{"format": "hrcam-result", "files": {"overview": "../../secret.png"}}',
    b"\xff\xfe\x00",
    b"null",
])
def test_a_hostile_result_in_the_folder_counts_as_none(content, tmp_path, blob_volume, bright_blob_bundle):
    scans = write_scans(tmp_path / "in", blob_volume, 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scan0_result.json").write_bytes(content)
    batch = run_batch([scans], bright_blob_bundle, tmp_path / "out", CPU, FILES_ONLY, report=False)
    assert [row.status for row in batch.rows] == ["done"], batch.rows[0].error


def test_a_result_of_gigabytes_is_not_read(tmp_path, blob_volume, bright_blob_bundle):
    scans = write_scans(tmp_path / "in", blob_volume, 1)
    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / "scan0_result.json").open("wb") as file:
        file.truncate(MAX_DOCUMENT_BYTES * 40)  # sparse
    batch = run_batch([scans], bright_blob_bundle, tmp_path / "out", CPU, FILES_ONLY, report=False)
    assert batch.rows[0].status == "done"


def test_a_result_cannot_bring_files_of_other_folders_into_the_report(tmp_path, blob_volume, bright_blob_bundle):
    from PIL import Image

    scans, out = write_scans(tmp_path / "in", blob_volume, 1), tmp_path / "out"
    run_batch([scans], bright_blob_bundle, out, CPU, FILES_ONLY, report=False)
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    path = out / "scan0_result.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["files"]["overview"] = "../secret.png"
    path.write_text(json.dumps(document), encoding="utf-8")
    batch = run_batch([scans], bright_blob_bundle, out, CPU, FILES_ONLY)
    assert batch.rows[0].status == "done", "it was not taken for a finished case"
    assert "data:image" not in (out / batch_report.REPORT_NAME).read_text(encoding="utf-8")


def test_metadata_of_scans_that_hold_markup_stay_text(tmp_path, blob_volume, bright_blob_bundle, capsys):
    """A DICOM series description reaches warnings; rich's own markup and escape sequences in it do nothing."""
    volume = blob_volume((48, 52, 6), (1.0, 1.0, 6.0))
    SimpleITK.WriteImage(to_sitk(volume.array, volume.geometry), str(tmp_path / "[bold]T2_flair[red].nii.gz"))
    code = cli.main(["localize", str(tmp_path / "[bold]T2_flair[red].nii.gz"), "--model", str(bright_blob_bundle.path),
                     "--device", "cpu", "--out", str(tmp_path / "out"), "--no-overview"])
    assert code == 0 and "[bold]T2_flair[red]" in capsys.readouterr().out


def test_arrays_of_python_objects_are_never_taken_for_volumes():
    from hrcam.scan.volume import volume_from_array

    with pytest.raises(InputError, match="not a volume"):
        volume_from_array(np.array([[[object()]]]), np.eye(4), "x")


def test_a_volume_that_is_a_pickle_is_not_opened(tmp_path):
    import pickle

    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    for content in (pickle.dumps({"a": 1}), buffer.getvalue()):
        (tmp_path / "a.npy").write_bytes(content)
        with pytest.raises(InputError, match="no supported format"):
            read_volume(tmp_path / "a.npy")
