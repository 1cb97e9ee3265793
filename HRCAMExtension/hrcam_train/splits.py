"""Splits by patient, stratified by class, and the check that nothing leaks between them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from hrcam.errors import InputError
from sklearn.model_selection import StratifiedKFold

from hrcam_train.table import LabeledCase


def fold_patients(cases: Sequence[LabeledCase], folds: int, seed: int, which: str = "") -> list[set[str]]:
    """Divide the patients into `folds` sets with nearly equal shares of every class.

    A patient with several classes counts for the rarest of them. `which` says in an error what `cases` are, if not all.

    Raises
    ------
    InputError : a class with fewer patients than folds (at least one patient of every class is needed in each).
    """
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for case in cases:
        labels[case.patient] |= set(case.slice_labels.values()) if case.slice_labels else {case.label}
    frequency = Counter(name for names in labels.values() for name in names)
    if few := sorted(name for name, count in frequency.items() if count < folds):
        counts = ", ".join(f"{name} has {frequency[name]}" for name in few)
        raise InputError(
            f"{folds} splits by patient need at least {folds} patients of each class, but {counts}{which}.",
            "Add patients, or ask for fewer folds or a larger validation fraction.",
        )
    patients = sorted(labels)
    rarest = [min(labels[p], key=lambda name: (frequency[name], name)) for p in patients]
    # A class all of whose patients have a rarer one too is not stratified by itself; check_classes finds the gap.
    smallest = min(Counter(rarest).values())
    if smallest < folds:
        rarest = [name if Counter(rarest)[name] >= folds else "other" for name in rarest]
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return [{patients[i] for i in held_out} for _, held_out in splitter.split(patients, rarest)]


def hold_out(
    cases: Sequence[LabeledCase], fraction: float, seed: int, which: str = ""
) -> tuple[list[LabeledCase], list[LabeledCase]]:
    """(training, validation): as the cases' own `split` says, or about `fraction` of the patients of each class.

    `which` says in an error what `cases` are, if not all.

    Raises
    ------
    InputError : a split given for some cases only, or too few patients.
    """
    given = [case for case in cases if case.split]
    if given and len(given) < len(cases):
        unset = next(case for case in cases if not case.split)
        raise InputError(
            f"{len(given)} of {len(cases)} cases say their split, {unset.path} and others do not.",
            "Fill in the split column for all rows, or leave it out.",
        )
    if given:
        return [c for c in cases if c.split == "train"], [c for c in cases if c.split == "validation"]
    held_out = fold_patients(cases, max(2, round(1 / fraction)), seed, which)[0]
    return [c for c in cases if c.patient not in held_out], [c for c in cases if c.patient in held_out]


def check_splits(
    splits: Mapping[str, Sequence[LabeledCase]], hashes: Mapping[Path, str], classes: Sequence[str]
) -> None:
    """Refuse splits that share a patient or an image, or that lack a class.

    Parameters
    ----------
    splits : cases by the name of their split.
    hashes : content hash of each case's image, by path.

    Raises
    ------
    InputError : naming the patients, the files, or the classes.
    """
    patient_of: dict[str, str] = {}
    image_of: dict[str, tuple[str, LabeledCase]] = {}
    shared, copies = set(), []
    for name, cases in splits.items():
        for case in cases:
            if patient_of.setdefault(case.patient, name) != name:
                shared.add(case.patient)
            other, first = image_of.setdefault(hashes[case.path], (name, case))
            if other != name:
                copies.append(f"{first.path} ({other}) = {case.path} ({name})")
            elif first.label != case.label and not case.slice_labels:
                copies.append(f"{first.path} ({first.label}) = {case.path} ({case.label})")
    if shared:
        raise InputError(
            f"Leakage: {len(shared)} patient(s) are in two splits: {', '.join(sorted(shared)[:20])}.",
            "All images of a patient belong into one split.",
        )
    if copies:
        raise InputError(
            f"Leakage: {len(copies)} image(s) occur twice, in two splits or with two labels: {'; '.join(copies[:20])}.",
            "Remove the copies, or give them the same patient and label.",
        )
    for name, cases in splits.items():
        present = {x for c in cases for x in (c.slice_labels.values() if c.slice_labels else [c.label])}
        if missing := [c for c in classes if c not in present]:
            raise InputError(
                f"The {name} split has no case of {', '.join(missing)}.",
                "Every class needs at least one patient in each split: add patients or change the split or the seed.",
            )
