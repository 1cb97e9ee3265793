"""What a batch found, for programs (CSV, Parquet) and for people (one HTML page that needs no network)."""

from __future__ import annotations

import base64
import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from ..atomic_files import replacing
from ..errors import OutputError
from ..output.writers import RESULT_SUFFIX
from ..run.result import RESEARCH_USE, Place, faithfulness_in_words, percent, read_faithfulness, read_region
from ..run.units import in_units, spell_units
from ..words import readable, reason, shown, spreadsheet_cell
from .records import DONE, KEPT, PASSED_OVER, STATE_FOLDER, Batch, Row

CSV_NAME, PARQUET_NAME, REPORT_NAME = "summary.csv", "summary.parquet", "report.html"

CASES_A_PAGE = 500
"""More go to ``report_2.html`` and so on: with its pictures a case takes about 15 kB."""

NEEDS_JINJA2 = ("The report needs jinja2, which is not installed.",
                "Install it with: pip install 'hrcam[batch]', or leave the report out.")

THUMBNAIL_WIDTH = 360

COLUMNS: dict[str, type] = {
    "case": str, "status": str, "predicted": str, "probability": float, "shown_class": str, "plane": str,
    "regions": int, "volume_ml": float, "peak": float, "level": str, "peak_r": float, "peak_a": float, "peak_s": float,
    "place": str, "mni_r": float, "mni_a": float, "mni_s": float,
    "faithfulness": float, "out_of_range_score": float, "warnings": str, "seconds": float, "attempts": int,
    "error": str, "hint": str, "path": str, "model": str, "model_sha256": str, "hrcam_version": str,
    "input_sha256": str, "intended_use": str,
}
"""Of the tables, before one ``p_CLASS`` a class; evidence in logits, positions RAS mm, volume of all regions."""


def write_tables(batch: Batch) -> None:
    """Write ``summary.csv``, and ``summary.parquet`` where pyarrow is installed.

    Raises ``OutputError`` where the folder cannot be written.
    """
    columns = COLUMNS | {f"p_{name}": float for name in batch.bundle.class_names}
    records = [_record(row, batch) for row in batch.rows]

    def write_csv(stream: IO[bytes]) -> None:
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
        writer = csv.DictWriter(text, list(columns), restval="")
        writer.writeheader()
        writer.writerows({key: spreadsheet_cell(value) for key, value in record.items()} for record in records)
        text.detach()

    _write(batch.out / CSV_NAME, write_csv)
    if find_spec("pyarrow"):
        _write(batch.out / PARQUET_NAME, lambda stream: _write_parquet(stream, records, columns))


def write_html(batch: Batch) -> None:
    """Write ``report.html`` (and further pages) with pictures inside; everything from files and scans is escaped.

    Raises ``OutputError`` where the folder cannot be written, or jinja2 is not installed.
    """
    try:
        template = _template()
    except ImportError as error:
        raise OutputError(*NEEDS_JINJA2) from error
    shown_rows = [row for row in batch.rows if row.status in (DONE, KEPT)]
    pages = [shown_rows[n : n + CASES_A_PAGE] for n in range(0, len(shown_rows), CASES_A_PAGE)] or [[]]
    names = [REPORT_NAME, *(f"report_{n}.html" for n in range(2, len(pages) + 1))]
    predicted = Counter(row.found["predicted"] for row in shown_rows)
    for number, rows in enumerate(pages, start=1):
        text = template.render(
            number=number, names=names, research_use=RESEARCH_USE, batch=batch,
            model=batch.bundle.metadata, options=_stated_options(batch), minutes=batch.seconds / 60,
            counts=Counter(row.status for row in batch.rows), predicted=predicted.most_common(),
            failures=_of_first(number, [row for row in batch.rows if row.status not in (DONE, KEPT, PASSED_OVER)]),
            passed_over=_of_first(number, [row for row in batch.rows if row.status == PASSED_OVER]),
            cases=[_case(row, batch) for row in rows],
        )
        _write(batch.out / names[number - 1], lambda stream, text=text: stream.write(_utf8(text)))  # type: ignore[misc]


def _of_first(number: int, rows: list[Row]) -> list[Row]:
    """Rows that the first page alone shows."""
    return rows if number == 1 else []


def _record(row: Row, batch: Batch) -> dict[str, Any]:
    """A row as flat columns; what is not known is left out."""
    record: dict[str, Any] = {
        "case": row.case, "status": row.status, "seconds": row.seconds, "attempts": row.attempts, "path": row.path,
        "error": row.error, "hint": row.hint, "model": f"{batch.bundle.name} {batch.bundle.version}",
        "model_sha256": batch.bundle.sha256, "intended_use": RESEARCH_USE,
    }
    if not row.found:
        return record
    found = row.found
    copied = ("predicted", "shown_class", "plane", "regions", "volume_ml", "hrcam_version", "input_sha256")
    record |= {name: found[name] for name in copied}
    record |= {f"p_{name}": p for name, p in found["probabilities"].items()}
    record["probability"] = found["probabilities"][found["predicted"]]
    record["warnings"] = " ".join(found["warnings"])
    if found["out_of_range_score"] is not None:
        record["out_of_range_score"] = found["out_of_range_score"]
    if found["strongest"]:
        record |= {"peak": found["strongest"]["peak"], "level": found["strongest"]["level"]}
        record |= dict(zip(("peak_r", "peak_a", "peak_s"), found["strongest"]["peak_ras"], strict=True))
    place = _place(found)
    if place is not None:
        record |= {"place": place.words}
        record |= dict(zip(("mni_r", "mni_a", "mni_s"), place.mni_ras, strict=True))
    if found["faithfulness"] and found["faithfulness"]["score"] is not None:
        record["faithfulness"] = found["faithfulness"]["score"]
    return record


def _place(found: Mapping[str, Any]) -> Place | None:
    """Where the strongest region lies, where that was asked for and is known."""
    return read_region(found["strongest"]).place if found["strongest"] else None


def _write_parquet(stream: IO[bytes], records: Sequence[dict[str, Any]], columns: dict[str, type]) -> None:
    import pyarrow
    import pyarrow.parquet

    types = {str: pyarrow.string(), float: pyarrow.float64(), int: pyarrow.int64()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    plain = [{k: _printable(v) if isinstance(v, str) else v for k, v in record.items()} for record in records]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(plain, schema), stream)


def _case(row: Row, batch: Batch) -> dict[str, Any]:
    """What the template shows of a case."""
    overview, faithfulness = row.found["overview"], read_faithfulness(row.found["faithfulness"])
    strongest, levels = row.found["strongest"], batch.bundle.evidence_levels
    return {
        "row": row,
        "found": row.found,
        "evidence": spell_units(in_units(strongest["peak"], levels)) if strongest else "",
        "classes": sorted(row.found["probabilities"].items(), key=lambda item: -item[1]),
        "faithfulness": faithfulness and faithfulness_in_words(faithfulness, readable(row.found["shown_class"])),
        "place": getattr(_place(row.found), "words", ""),
        "thumbnail": _thumbnail(batch.out / overview) if overview else None,
        "picture": quote(overview.encode("utf-8", "surrogateescape")) if overview else None,
        "result": quote((row.case + RESULT_SUFFIX).encode("utf-8", "surrogateescape")),
    }


def _thumbnail(picture: Path) -> str | None:
    """A small JPEG of a picture as a data URL; None where it is gone, damaged or giant, or Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError:
        return None
    try:
        with Image.open(picture) as image:
            small = image.convert("RGB")
            small.thumbnail((THUMBNAIL_WIDTH, THUMBNAIL_WIDTH))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # as Pillow says "damaged"
        return None
    content = io.BytesIO()
    small.save(content, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")


def _stated_options(batch: Batch) -> list[tuple[str, Any]]:
    options = batch.options
    stated = {"class": options.class_name, "plane": options.plane, "fusion": options.fusion or batch.bundle.fusion,
              "precision": options.precision, "smallest region": f"{options.minimum_region_ml:g} ml"}
    return [(name, value) for name, value in stated.items() if value is not None]


@lru_cache(maxsize=1)
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
                                     lstrip_blocks=True)
    text = resources.files("hrcam").joinpath("templates/batch_report.html").read_text(encoding="utf-8")
    environment.filters["percent"] = percent
    environment.filters["readable"] = readable
    return environment.from_string(text)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _printable(text: str) -> str:
    return _utf8(text).decode("utf-8")


def _write(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Write a file whole or not at all; batches that share a folder never see each other's half.

    A killed process leaves its half in the folder of claims, which may be deleted.
    """
    state = path.parent / STATE_FOLDER
    try:
        state.mkdir(exist_ok=True)
        with replacing(path, via=state) as partial, partial.open("xb") as stream:
            fill(stream)
    except OSError as error:
        raise OutputError(f'"{shown(path)}" cannot be written: {reason(error)}.', "Is the disk full?") from error
