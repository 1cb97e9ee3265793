"""The page on reliability: counted from a run, honest about failures, and never about tests that are gone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from corpus.make import KINDS

from faults import reliability
from faults.catalog import CORPUS_TEST, FAULTS, FUZZED, SECURITY


def example(row):
    """A test's file and name that a row's expressions match."""
    stem, _, ends = row.file.partition("(")
    file = stem + ends.partition("|")[0].rstrip(")")
    start, _, choices = row.names.partition("(")
    return file, start + choices.partition("|")[0].rstrip(")")


def junit(path, cases):
    body = "".join(f'<testcase classname="Testing.engine.{file}" name="{name}">{inner}</testcase>'
                   for file, name, inner in cases)
    path.write_text(f"<testsuites><testsuite>{body}</testsuite></testsuites>")
    return path


@pytest.fixture
def cases():
    rows = [(*example(row), "") for row in (*FAULTS, *SECURITY, *FUZZED)]
    return rows + [(CORPUS_TEST[0], f"{CORPUS_TEST[1]}[{name}]", "") for name in KINDS]


def injected(number):
    return f'<properties><property name="injected" value="{number}"/></properties>'


def test_every_figure_is_counted_from_the_run(tmp_path, cases):
    cases[0] = (*cases[0][:2], injected(1234))
    soak = tmp_path / "soak.json"
    grown = {"memory_before_mib": 1, "memory_after_mib": 1, "growth": 0.0, "files_before": 7, "files_after": 7}
    soak.write_text(json.dumps({"model": "made 1.0.0", "requests": 4321, "overhead_ms": 3, **grown,
                                "readers": {"kinds": 300, "rounds": 9, "reads": 2700, **grown}}))
    run = junit(tmp_path / "run.xml", cases)
    assert reliability.main([str(run), "--soak", str(soak), "--out", str(tmp_path / "page.md")]) == 0
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert f"{len(KINDS)} kinds of files" in text and "| 1,234 |" in text and "| 4,321 |" in text
    assert "| Reads | 2,700 |" in text
    assert f"{1234 + len(FAULTS) - 1:,} faults injected" in text


def test_a_failure_is_in_the_page_and_in_the_exit_code(tmp_path, cases, capsys):
    cases[0] = (*cases[0][:2], "<failure/>")
    cases[-1] = (*cases[-1][:2], "<failure/>")
    assert reliability.main([str(junit(tmp_path / "run.xml", cases)), "--out", str(tmp_path / "page.md")]) == 1
    assert "**1 of 1 failed**" in (tmp_path / "page.md").read_text(encoding="utf-8")
    assert capsys.readouterr().err.count("failed") == 2


def test_what_a_part_of_the_tests_had_not_is_named_and_no_row(tmp_path, cases, capsys):
    assert reliability.main([str(junit(tmp_path / "run.xml", cases[1:])), "--out", str(tmp_path / "page.md")]) == 1
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert text.count(FAULTS[0].tried) == 1
    assert FAULTS[0].tried in text.partition("## Not tried in this run")[2]
    assert "no test of" in capsys.readouterr().err


def test_what_was_not_possible_on_a_machine_is_said_and_not_counted(tmp_path, cases):
    cases[0] = (*cases[0][:2], injected(50) + "<skipped/>")
    assert reliability.main([str(junit(tmp_path / "run.xml", cases)), "--out", str(tmp_path / "page.md")]) == 0
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "1 of 1 not possible on this machine" in text and f"{len(FAULTS) - 1} faults injected" in text


def test_a_row_whose_tests_are_gone_is_an_error(tmp_path, cases, capsys):
    assert reliability.main([str(junit(tmp_path / "run.xml", cases[1:-1])), "--out", str(tmp_path / "page.md")]) == 1
    heard = capsys.readouterr().err
    assert FAULTS[0].tried in heard and "not tried" in heard


def test_a_mutant_that_lives_must_be_explained(tmp_path, cases, capsys):
    mutants = tmp_path / "mutants.json"
    found = {"files": [{"file": "a.py", "all": 12, "mutants": 9, "killed": 7}],
             "survivors": [{"where": "a.py: f", "change": "1 → 2", "why": "no difference"},
                           {"where": "a.py: g", "change": "3 → 4", "why": ""}]}
    mutants.write_text(json.dumps(found))
    run = junit(tmp_path / "run.xml", cases)
    assert reliability.main([str(run), "--mutants", str(mutants), "--out", str(tmp_path / "page.md")]) == 1
    assert "a.py: g" in capsys.readouterr().err
    assert "| `a.py` | 12 | 9 | 7 | 2 |" in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_a_kill_that_leaves_something_half_written_is_told(tmp_path, cases, capsys):
    kills, run = tmp_path / "kills.json", junit(tmp_path / "run.xml", cases)
    one = {"rounds": 8, "kills": 21, "kept": 0, "seconds": 1.5, "problems": []}
    kills.write_text(json.dumps({"batch": one, "export": {**one, "problems": ["a.png: it is cut"]}}))
    assert reliability.main([str(run), "--kills", str(kills), "--out", str(tmp_path / "page.md")]) == 1
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| batch | 21 | 8 | whole files" in page and "| export | 21 | 8 | **1 faults** |" in page
    assert "export: a.png: it is cut" in capsys.readouterr().err


def test_coverage_is_told_with_the_files_that_have_least_and_must_suffice(tmp_path, cases, capsys):
    run, coverage = junit(tmp_path / "run.xml", cases), tmp_path / "coverage.json"

    def told(total):
        files = {f"hrcam/x/{name}.py": {"summary": {"percent_covered": share, "num_statements": lines}}
                 for name, share, lines in (("a", 99.0, 5), ("b", 41.6, 5), ("empty", 100.0, 0))}
        coverage.write_text(json.dumps({"totals": {"percent_covered": total, "num_statements": 1234}, "files": files}))
        return reliability.main([str(run), "--coverage", str(coverage), "--out", str(tmp_path / "page.md")])

    assert told(93.21) == 0
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "**93.2 %** of the 1,234 lines of the rooms x" in page and "coverage of the room scan" in page
    assert page.index("| `x/b.py` | 42 % |") < page.index("| `x/a.py` | 99 % |") and "empty" not in page
    assert told(79.9) == 1 and "less than 80 %" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "ran"), [("0", "1 passed"), ("60", "2 passed")])
def test_tests_that_the_page_names_are_run_and_others_while_there_is_time(tmp_path, seconds, ran):
    (tmp_path / "test_geometry.py").write_text("def test_other(): pass\ndef test_points_go_there(): pass\n")
    path = os.pathsep.join([str(Path(reliability.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "faults.drawn", "--drawn-seconds", seconds, "."],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran in told.stdout
