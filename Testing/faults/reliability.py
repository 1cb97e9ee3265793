"""Write docs/RELIABILITY.md from what a test run found; no figure in it is typed by hand.

    python Testing/faults/reliability.py build/tests/*.xml --soak build/soak.json --kills build/kills.json \\
        --mutants build/mutants.json --coverage build/coverage.json

`make reliability` says how each of them is made.

Exit code 1 where a row of ``catalog.py`` finds no test in the run, or where a test of a row failed, where a mutant
lives unexplained, or the tests run less than 80 % of the engine's lines.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from corpus.make import KINDS

from faults.catalog import CORPUS_TEST, FAULTS, FUZZED, INPUT_FAMILIES, SECURITY, Row, is_named
from faults.mutants import TESTS

LEAST_COVERED, _SHOWN = 80, 5
ENGINE = Path(__file__).resolve().parents[2] / "HRCAMExtension" / "hrcam"
OUT = Path(__file__).resolve().parents[2] / "docs" / "RELIABILITY.md"


@dataclass(frozen=True)
class Case:
    """One test of the run: stem of its file, name with parameters, passed, failed or skipped, faults injected."""

    file: str
    name: str
    outcome: str
    injected: int


def read_run(paths: Sequence[Path]) -> list[Case]:
    """The tests of JUnit reports, one per process of the run."""
    return [_case(element) for path in paths for element in ElementTree.parse(path).getroot().iter("testcase")]


def _case(element: ElementTree.Element) -> Case:
    bad = element.find("failure") is not None or element.find("error") is not None
    outcome = "failed" if bad else "skipped" if element.find("skipped") is not None else "passed"
    properties = {one.get("name"): one.get("value") for one in element.iter("property")}
    return Case(element.get("classname", "").split(".")[-1], element.get("name", ""), outcome,
                int(properties.get("injected") or 1))


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; columns of numbers alone are aligned to the right."""
    rows = [[str(cell) for cell in row] for row in rows]
    numeric = [all(row[n].replace(",", "").isdigit() for row in rows) for n in range(len(headings))]
    lines = [headings, ["--:" if right else "---" for right in numeric], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def outcome_of(cases: Sequence[Case], good: str) -> str:
    """``good`` where all passed; else how many did not."""
    failed = sum(case.outcome == "failed" for case in cases)
    skipped = sum(case.outcome == "skipped" for case in cases)
    if failed:
        return f"**{failed} of {len(cases)} failed**"
    return good + (f" ({skipped} of {len(cases)} not possible on this machine)" if skipped else "")


class Report:
    """Collects sections and what is wrong."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = cases
        self.commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ENGINE, capture_output=True,
                                     text=True, check=False).stdout.strip() or "unknown"  # fmt: skip
        self.problems: list[str] = []
        self.untried: list[str] = []
        self.parts: list[str] = []

    def matching(self, row: Row) -> list[Case]:
        """The tests that a row stands on."""
        found = [case for case in self.cases
                 if re.fullmatch(row.file, case.file) and re.match(row.names, case.name)]
        if not found:
            self.problems.append(f"no test of {row.file} matches {row.names} ({row.tried})")
        self.problems += [f"{case.file}::{case.name} failed" for case in found if case.outcome == "failed"]
        return found

    def rows(self, title: str, text: str, rows: Sequence[Row], counted: str, count: Callable[[Case], int]) -> None:
        """A section of one table; counts leave out what was skipped."""
        filled, total = [], 0
        for row in rows:
            found = self.matching(row)
            if not found:
                self.untried.append(row.tried)
                continue
            number = sum(count(case) for case in found if case.outcome != "skipped")
            total += number
            filled.append((row.tried, f"{number:,}", outcome_of(found, row.outcome)))
        self.parts.append(f"## {title}\n\n{text.format(total=f'{total:,}')}\n\n"
                          + table(("Tried", counted, "Outcome"), filled))

    def corpus(self) -> None:
        """Kinds of input, by family."""
        file, test = CORPUS_TEST
        found = {case.name.removeprefix(f"{test}[").removesuffix("]"): case for case in self.cases
                 if case.file == file and case.name.startswith(f"{test}[")}
        if missing := sorted(KINDS.keys() - found.keys()):
            self.problems.append(f"kinds of input that were not tried: {', '.join(missing)}")
        self.problems += [f"kind of input {name} failed" for name, case in found.items() if case.outcome == "failed"]
        filled = []
        for prefix, title in INPUT_FAMILIES.items():
            kinds = [kind for name, kind in KINDS.items() if name.startswith(f"{prefix}_") and name in found]
            failed = sum(found[kind.name].outcome == "failed" for kind in kinds)
            bad = sum(kind.says is not None for kind in kinds)
            filled.append((title, len(kinds), bad, len(kinds) - bad, failed))
        bad = sum(KINDS[name].says is not None for name in found)
        text = (f"{len(found)} kinds of files, series and paths, written by `Testing/corpus/make.py`: {bad} are bad "
                "and must be refused in one sentence that says what is wrong and what to do; "
                f"{len(found) - bad} are odd but good and must be read. All bad ones in one call leave one error each, "
                "exit code 1 and no file; a good scan among them is done.")
        if sum(row[1] for row in filled) != len(found):
            self.problems.append("a family of inputs is missing in the catalog")
        self.parts.append("## Bad input\n\n" + text + "\n\n"
                          + table(("Family", "Kinds", "Refused in words", "Read", "Neither"), filled))

    def soak(self, path: Path | None) -> None:
        """Requests soaked."""
        if path is None:
            return
        soaked = json.loads(path.read_text(encoding="utf-8"))
        readers = soaked["readers"]
        text = ("Many cases in one process, one after another, by `Testing/bench/soak.py`: requests to one worker "
                f"(model {soaked['model']}), each answered with a result, and all {readers['kinds']} kinds of bad and "
                f"odd input in {readers['rounds']} rounds. Memory and open files are counted after a warm-up.")
        self.problems += [f"soak: {one['files_after'] - one['files_before']} more files are open"
                          for one in (soaked, readers) if one["files_after"] > one["files_before"]]
        rows = [(name, f"{number:,}", f"{one['memory_before_mib']:.0f} MiB", f"{one['memory_after_mib']:.0f} MiB",
                 f"{100 * one['growth']:.1f} %", one["files_before"], one["files_after"])
                for name, number, one in (("Requests", soaked["requests"], soaked),
                                          ("Reads", readers["reads"], readers))]
        self.parts.append(f"## Soak\n\n{text}\n\n" + table(
            ("Soaked", "Number", "Memory before", "Memory after", "Growth", "Open files before", "after"), rows))

    def kills(self, path: Path | None) -> None:
        """Processes killed at random moments."""
        if path is None:
            return
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self.problems += [f"{name}: {problem}" for name, one in found.items() for problem in one["problems"]]
        text = ("`Testing/faults/kills.py` kills processes (SIGKILL) at random moments, up to three times in a row, "
                "and then lets them come to their end. No visible file may be half-written, what was complete is kept, "
                "and the end must leave what an undisturbed run leaves.")
        self.parts.append(f"## Killed at random\n\n{text}\n\n" + table(
            ("Killed", "Kills", "Resumed", "Outcome"),
            [(name, one["kills"], one["rounds"],
              f"**{len(one['problems'])} faults**" if one["problems"] else "whole files; completed by the next run")
             for name, one in found.items()]))

    def mutants(self, path: Path | None) -> None:
        """Mutants killed, and why the others live."""
        if path is None:
            return
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        rows = [(f"`{one['file']}`", one["all"], one["mutants"], one["killed"], one["mutants"] - one["killed"])
                for one in found["files"]]
        text = ("`Testing/faults/mutants.py` puts small faults into the source, one at a time (a comparison turned, a "
                "sign, a constant, a condition negated); the tests of the file must notice.")
        part = f"## Mutation check\n\n{text}\n\n" + table(
            ("File", "Mutants", "Tried, drawn evenly", "Noticed", "Not noticed"), rows)
        if found["survivors"]:
            part += "\n\nNot noticed, and why:\n\n" + table(
                ("Where", "Change", "Why no test notices"),
                [(f"`{one['where']}`", f"`{one['change']}`", one["why"] or "**a test is missing**")
                 for one in found["survivors"]])
        tried = {one["file"] for one in found["files"]}
        self.untried += [f"mutants of `{name}`" for name in TESTS if name not in tried]
        self.problems += [f"mutant {one['where']} {one['change']} lives unexplained" for one in found["survivors"]
                          if not one["why"]]
        self.parts.append(part)

    def coverage(self, path: Path | None) -> None:
        """Lines of the engine that the tests ran, and the files with the fewest."""
        if path is None:
            return
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        total = found["totals"]["percent_covered"]
        if total < LEAST_COVERED:
            self.problems.append(f"the tests run {total:.1f} % of the engine's lines, less than {LEAST_COVERED} %")
        files = sorted((one["summary"]["percent_covered"], name.rpartition("hrcam/")[2])
                       for name, one in found["files"].items() if one["summary"]["num_statements"])
        rooms = sorted({name.rpartition("hrcam/")[2].partition("/")[0] for name in found["files"] if "/" in
                        name.rpartition("hrcam/")[2]})
        left_out = {one.parent.name for one in ENGINE.glob("*/__init__.py")} - set(rooms)
        where = f"the rooms {', '.join(rooms)}" if left_out else "`hrcam`"
        self.untried += [f"coverage of the room {room}" for room in sorted(left_out)]
        text = (f"The tests run **{total:.1f} %** of the {found['totals']['num_statements']:,} lines of {where}; what "
                "runs in processes of its own (workers, batches) is not counted. The files with the fewest:")
        self.parts.append(f"## Coverage\n\n{text}\n\n" + table(
            ("File", "Lines run"), [(f"`{name}`", f"{share:.0f} %") for share, name in files[:_SHOWN]]))

    def totals(self) -> None:
        """The whole run."""
        counts = {kind: sum(case.outcome == kind for case in self.cases) for kind in ("passed", "failed", "skipped")}
        named = sum(is_named(case.file, case.name) for case in self.cases)
        text = (f"This page stands on {named:,} of the tests. The others are drawn from the engine's, in an order "
                "that is always the same, for as long as time was given.")
        self.parts.append(f"## The run\n\n{text}\n\n" + table(
            ("Tests", "Passed", "Failed", "Skipped"),
            [(f"{len(self.cases):,}", f"{counts['passed']:,}", f"{counts['failed']:,}", f"{counts['skipped']:,}")]))

    def missing(self) -> None:
        """What the catalog has, and this run has not."""
        if self.untried:
            self.parts.append("## Not tried in this run\n\nThe run was of a part of the tests. It left out: "
                              + "; ".join(self.untried) + ".")

    def text(self) -> str:
        """The document."""
        head = ("# Reliability\n\nWhat was tried to make HR-CAM fail, and what came of it. `make reliability` writes "
                f"this page from what it finds, here at {self.commit}; every figure is counted.")
        return "\n\n".join([head, *self.parts]) + "\n"


def _one(case: Case) -> int:
    return 1


def build(
    cases: Sequence[Case], soak: Path | None = None, kills: Path | None = None, mutants: Path | None = None,
    coverage: Path | None = None,
) -> Report:
    """The whole report of a run."""
    report = Report(cases)
    report.corpus()
    report.rows("Random input", "Inputs drawn by Hypothesis; a failure is shrunk and shown.", FUZZED, "Tests", _one)
    report.rows("Faults injected", "{total} faults injected. What each leaves behind is looked at.", FAULTS,
                "Injected", lambda case: case.injected)
    report.rows("Attacks", "Scans, models, results and requests are untrusted.", SECURITY, "Tests", _one)
    report.soak(soak)
    report.kills(kills)
    report.mutants(mutants)
    report.coverage(coverage)
    report.totals()
    report.untried += [what for what, path in (("a soak", soak), ("processes killed at random", kills),
                                               ("mutants of the source", mutants),
                                               ("the lines that tests run", coverage)) if path is None]
    report.missing()
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("junit", type=Path, nargs="+", help="what pytest --junitxml wrote, all processes of the run")
    parser.add_argument("--soak", type=Path, help="what Testing/bench/soak.py printed")
    parser.add_argument("--kills", type=Path, help="what Testing/faults/kills.py wrote")
    parser.add_argument("--mutants", type=Path, help="what Testing/faults/mutants.py wrote")
    parser.add_argument("--coverage", type=Path, help="what coverage json wrote")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    report = build(read_run(asked.junit), asked.soak, asked.kills, asked.mutants, asked.coverage)
    asked.out.write_text(report.text(), encoding="utf-8")
    for problem in report.problems:
        print(problem, file=sys.stderr)
    print(f"{asked.out} written from {len(report.cases)} tests")
    return int(bool(report.problems))


if __name__ == "__main__":
    sys.exit(main())
