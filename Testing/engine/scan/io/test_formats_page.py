"""docs/formats.md: every line of what is read and refused names made files, which are read or refused."""

import re
from pathlib import Path

from corpus.make import KINDS

PAGE = Path(__file__).resolve().parents[4] / "docs" / "formats.md"


def lines(heading):
    """The lines of the tables that begin with a heading."""
    inside = False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("|") and not inside and line.split("|")[1].strip() == heading:
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|---"):
            yield line


def test_every_line_of_what_is_read_and_refused_is_tested_with_made_files():
    for heading, read in (("Read", True), ("Refused", False)):
        found = list(lines(heading))
        assert len(found) >= 10
        for line in found:
            kinds = re.findall(r"`(\w+)`", line.strip("|").rsplit("|", 1)[-1])
            assert kinds, line
            for name in kinds:
                assert (KINDS[name].says is None) == read, name
