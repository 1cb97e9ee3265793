"""Which images there are, what they show, and whose they are: a folder or a CSV becomes a list of cases.

Folder: `CLASS/PATIENT/…` or `CLASS/PATIENT.nii.gz`, whatever lies deeper being scans of that patient.
CSV: columns `path`, `label`, `patient`, and if wanted `split` (train, validation) and `slice_label`. Paths are
relative to the CSV. `slice_label` tells which slices of a volume show what, counted from 0 along the acquisition
axis: `12-20;25` (these show the row's label) or `glioma=12-20;none=0-8,40-50`; slices not named are left out. Without
it every slice inherits the volume's label, which is weak: a slice beside the tumor is called tumor.
"""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hrcam.errors import InputError
from hrcam.scan.volume import discover

SPLITS = ("train", "validation")
_SYNONYMS = {"val": "validation", "valid": "validation", "training": "train"}
_COLUMNS = {"path", "label", "patient"}
_OPTIONAL = {"split", "slice_label"}


@dataclass(frozen=True)
class LabeledCase:
    """One image file (or DICOM folder) with its label."""

    path: Path
    label: str
    patient: str
    split: str | None = None
    slice_labels: dict[int, str] | None = None


def read_cases(source: Path, classes: Sequence[str], patient_pattern: str | None = None) -> list[LabeledCase]:
    """Read a folder or a CSV.

    Raises
    ------
    InputError : nothing there, a class without cases, labels that are no class, rows that cannot be read, files that
        are not there; all of a kind are named at once.
    """
    if source.is_dir():
        cases = _from_folder(source, classes)
    elif source.is_file():
        cases = _from_csv(source, classes)
    else:
        raise InputError(f"There is no folder or CSV {source}.", "Give --data a folder CLASS/PATIENT/… or a CSV.")
    if patient_pattern:
        cases = [_renamed(case, patient_pattern) for case in cases]
    if twice := sorted(str(path) for path, count in Counter(case.path for case in cases).items() if count > 1):
        raise InputError(f"{source} names {len(twice)} file(s) twice: {listed(twice)}.", "Keep one row for each file.")
    present = {label for case in cases for label in (case.label, *(case.slice_labels or {}).values())}
    if missing := [name for name in classes if name not in present]:
        raise InputError(
            f"{source} has no case of {', '.join(missing)}.",
            f"Add cases or take the class out of the configuration; there are {_counts(cases)}.",
        )
    return cases


def _from_folder(source: Path, classes: Sequence[str]) -> list[LabeledCase]:
    if not any((source / name).is_dir() for name in classes):
        there = sorted(p.name for p in source.iterdir() if p.is_dir())
        raise InputError(
            f"{source} has none of the class folders {', '.join(classes)}.",
            f"It holds {', '.join(there[:10]) or 'no folders'}; name them like the classes of the configuration.",
        )
    cases = []
    for name in classes:
        folder = source / name
        for found in discover([folder]) if folder.is_dir() else []:
            path = Path(found.path)
            top = path.relative_to(folder).parts[0]
            patient = top if (folder / top).is_dir() else _stem(top)
            cases.append(LabeledCase(path, name, patient))
    return cases


def _from_csv(source: Path, classes: Sequence[str]) -> list[LabeledCase]:
    with source.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        columns = set(reader.fieldnames or [])
        if missing := sorted(_COLUMNS - columns):
            raise InputError(
                f"{source} lacks the column(s) {', '.join(missing)}; it has {', '.join(sorted(columns)) or 'none'}.",
                f"Needed are {', '.join(sorted(_COLUMNS))}; {', '.join(sorted(_OPTIONAL))} may be added.",
            )
        rows = list(reader)
    cases, wrong = [], []
    for number, row in enumerate(rows, start=2):
        try:
            cases.append(_case_of(row, source.parent, classes))
        except ValueError as error:
            wrong.append(f"line {number}: {error}")
    if wrong:
        raise InputError(f"{source} has {len(wrong)} wrong line(s): {listed(wrong)}.", "Correct them and run again.")
    return cases


def _case_of(row: dict[str, str], base: Path, classes: Sequence[str]) -> LabeledCase:
    path, label, patient, split = ((row.get(key) or "").strip() for key in ("path", "label", "patient", "split"))
    if not path or not patient:
        raise ValueError("path and patient may not be empty")
    if not (base / path).exists():
        raise ValueError(f"there is no {path}")
    split = _SYNONYMS.get(split.lower(), split.lower())
    if split and split not in SPLITS:
        raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
    text = (row.get("slice_label") or "").strip()
    slices = parse_slice_labels(text, label) if text else None
    for name in sorted({label, *(slices or {}).values()}):
        if name not in classes:
            raise ValueError(f"label {name!r} is none of {', '.join(classes)}")
    return LabeledCase(base / path, label, patient, split or None, slices)


def parse_slice_labels(text: str, label: str) -> dict[int, str]:
    """`12-20;none=0-8,40` with row label `glioma` → {12: "glioma", …, 0: "none", …}.

    Raises
    ------
    ValueError : not of this form, or one slice with two labels.
    """
    labels: dict[int, str] = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        name, _, ranges = part.rpartition("=")
        for piece in ranges.split(","):
            match = re.fullmatch(r"\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*", piece)
            if not match:
                raise ValueError(f"slice_label {text!r} is not like 12-20;25 or none=0-8,40-50")
            first, last = int(match[1]), int(match[2] or match[1])
            for index in range(first, last + 1):
                if labels.setdefault(index, name.strip() or label) != (name.strip() or label):
                    raise ValueError(f"slice_label {text!r} gives slice {index} two labels")
    return labels


def _renamed(case: LabeledCase, pattern: str) -> LabeledCase:
    match = re.search(pattern, case.patient)
    if not match:
        raise InputError(
            f"The patient id {case.patient!r} of {case.path} does not match data.patient_pattern {pattern!r}.",
            "Correct the pattern, or give the patients in a CSV.",
        )
    patient = match[1] if match.groups() else match[0]
    return LabeledCase(case.path, case.label, patient, case.split, case.slice_labels)


def _stem(name: str) -> str:
    """File name without extension, `.nii.gz` counting as one."""
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else Path(name).stem


def _counts(cases: Sequence[LabeledCase]) -> str:
    counted = Counter(case.label for case in cases)
    return ", ".join(f"{n} of {name}" for name, n in sorted(counted.items())) or "no cases at all"


def listed(lines: Sequence[str], most: int = 20) -> str:
    """Join at most `most` lines, saying how many more there are."""
    more = f"; and {len(lines) - most} more" if len(lines) > most else ""
    return "; ".join(lines[:most]) + more
