"""Sum up a cohort: one pass over its results, then tests and files."""

from __future__ import annotations

import datetime
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..run.result import FloatArray
from ..scan.geometry import Geometry
from ..version import __version__
from .carry import carry_cases
from .cases import Member, find_members, read_groups
from .maps import MNI, OWN, GroupMaps, common_grid, welch_t
from .statistics import Separation, permutation_p, separation

TESTED_VOXELS = 20_000
"""Blocks of the grid that the permutation test looks at, at most: its memory is this times the cases."""

COMMON = 0.9
"""Share of the cases that must show a block for it to be tested."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Difference:
    """Two groups compared.

    Parameters
    ----------
    groups : the first is the one with the greater mean probability of the shown class; t is positive where it has more
        evidence.
    t : Welch's, KJI on the common grid.
    p : family-wise p value of the permutation test, KJI, 1 where nothing was tested.
    least_p : the smallest of them.
    peak_ras : where the first group's mean exceeds the other's most, among tested voxels, RAS mm of the common space;
        t is greatest where evidence varies least, which is often beside it.
    separation : of the probabilities of the shown class.
    """

    groups: tuple[str, str]
    t: FloatArray
    p: FloatArray
    least_p: float
    peak_ras: tuple[float, float, float]
    separation: Separation


@dataclass(frozen=True, eq=False)
class Cohort:
    """What many results say together; maps KJI on ``grid``, evidence in logits."""

    members: tuple[Member, ...]
    shown_class: str
    space: str
    grid: Geometry
    maps: dict[str, GroupMaps]
    differences: tuple[Difference, ...]
    prevalence: dict[str, dict[str, float]]
    structures: dict[str, dict[str, float]]
    probabilities: dict[str, list[float]]
    notes: tuple[str, ...]
    provenance: dict[str, Any] = field(default_factory=dict)

    def sizes(self) -> dict[str, int]:
        """Number of cases by group."""
        return dict(Counter(member.group for member in self.members))


def summarize_cohort(
    results: Path, table: Path, space: str = MNI, permutations: int = 1000, progress: Progress | None = None,
    jobs: int = 1, scheduler: str | None = None,
) -> Cohort:
    """Read the results of a batch and compare the groups of a table.

    Memory holds a few maps and `TESTED_VOXELS` numbers a case (on disk), however many cases there are.

    Parameters
    ----------
    results : folder that ``hrcam batch`` wrote.
    table : CSV with the columns ``case`` and ``group``.
    space : "mni" (results of ``--place``), or "own": all scans lie in one space already.
    permutations : relabelings of the test; 0 leaves it out.
    progress : told (cases done, cases in all).
    jobs, scheduler : where maps are brought to the common grid, see `carry_cases`.

    Raises
    ------
    InputError : see `find_members`; or no case has a known place.
    OutputError : see `carry_cases`.
    """
    members, notes = find_members(results, read_groups(table))
    grid = common_grid(members, space)
    names = sorted({member.group for member in members})
    maps = {name: GroupMaps.empty(grid.shape_kji) for name in names}
    factor = _factor(grid)
    with tempfile.TemporaryFile() as file:
        blocks = np.memmap(file, np.float32, "w+", shape=(len(members), 2, int(np.prod(_shape(grid, factor)))))  # type: ignore[call-overload]
        used: list[int] = []
        for number, (member, found) in enumerate(
                zip(members, carry_cases(members, grid, space, jobs, scheduler), strict=True)):
            if found is not None:
                evidence, covered = found
                threshold = member.document["evidence_levels"][0]["threshold"]
                maps[member.group].add(evidence, covered, threshold)
                blocks[number, 0] = _blocks(evidence, factor).ravel()
                blocks[number, 1] = _blocks(covered.astype(np.float32), factor).ravel()
                used.append(number)
            if progress is not None:
                progress(number + 1, len(members))
        if not used:
            raise InputError("No case has a named place, so no map can be brought to the template.",
                             "Run hrcam batch again with --place, or give --space own if they lie in one space.")
        if len(used) < len(members):
            notes.append(f"{len(members) - len(used)} cases have no named place and are not part of the maps.")
        groups = np.asarray([members[n].group for n in used])
        differences = tuple(
            _difference(pair, maps, blocks, used, groups, grid, factor, permutations, members)
            for pair in combinations(sorted(names, key=lambda name: -_mean_probability(members, name)), 2))
        del blocks
    first = members[0].document
    return Cohort(
        tuple(members), first["shown_class"], space, grid, maps, differences, _prevalence(members),
        _structures(members) if space == MNI else {},
        {name: [_probability(one) for one in members if one.group == name] for name in names}, tuple(notes),
        {"hrcam_version": __version__, "model": first["provenance"]["model"], "options": first["provenance"]["options"],
         "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
         "permutations": permutations, "space": space,
         "cases": {member.name: member.document["provenance"]["input"]["content_hash"] for member in members}},
    )


def _factor(grid: Geometry) -> int:
    factor = 1
    while np.prod(_shape(grid, factor)) > TESTED_VOXELS:
        factor += 1
    return factor


def _shape(grid: Geometry, factor: int) -> tuple[int, int, int]:
    k, j, i = (max(1, n // factor) for n in grid.shape_kji)
    return k, j, i


def _blocks(array: FloatArray, factor: int) -> FloatArray:
    """Means of cubes of ``factor`` voxels; a remainder at the far ends is dropped."""
    for axis, length in enumerate(array.shape):
        step = min(factor, length)
        kept = np.take(array, np.arange(length // step * step), axis)
        array = kept.reshape(*kept.shape[:axis], length // step, step, *kept.shape[axis + 1 :]).mean(axis + 1)
    return np.asarray(array, np.float32)


def _difference(
    pair: tuple[str, str], maps: Mapping[str, GroupMaps], blocks: npt.NDArray[np.float32], used: Sequence[int],
    groups: npt.NDArray[np.str_], grid: Geometry, factor: int, permutations: int, members: Sequence[Member],
) -> Difference:
    t = welch_t(maps[pair[0]], maps[pair[1]])
    of_pair = np.isin(groups, pair)
    rows = np.asarray(used)[of_pair]
    tested = np.asarray(blocks[rows, 1]).mean(axis=0) >= COMMON
    p = np.ones(tested.shape, np.float32)
    values = np.asarray(blocks[rows, 0])[:, tested]
    varied = values.std(axis=0) > 0
    if permutations and varied.any():
        where = np.flatnonzero(tested)[varied]
        p[where] = permutation_p(values[:, varied], groups[of_pair] == pair[0], permutations)
    fine = _enlarged(p.reshape(_shape(grid, factor)), grid, factor)
    seen = _enlarged(tested.reshape(_shape(grid, factor)).astype(np.float32), grid, factor) > 0
    shown = np.where(seen, maps[pair[0]].mean - maps[pair[1]].mean, -np.inf)
    k, j, i = np.unravel_index(int(np.argmax(shown)), shown.shape)
    r, a, s = grid.points_to_ras((i, j, k)).tolist()
    likely = [[_probability(one) for one in members if one.group == name] for name in pair]
    return Difference(pair, t, fine, float(p.min()), (r, a, s), separation(*likely))


def _enlarged(blocks: FloatArray, grid: Geometry, factor: int) -> FloatArray:
    """Blocks on the grid again; the remainder takes the last block's value."""
    for axis, length in enumerate(grid.shape_kji):
        index = np.minimum(np.arange(length) // min(factor, length), blocks.shape[axis] - 1)
        blocks = np.take(blocks, index, axis)
    return blocks


def _probability(member: Member) -> float:
    return float(member.document["probabilities"][member.document["shown_class"]])


def _mean_probability(members: Sequence[Member], group: str) -> float:
    return float(np.mean([_probability(one) for one in members if one.group == group]))


def _prevalence(members: Sequence[Member]) -> dict[str, dict[str, float]]:
    """Group to level to share of its cases with a region of that level, or of a higher one."""
    order = [level["name"] for level in members[0].document["evidence_levels"]]
    found: dict[str, dict[str, float]] = {}
    for name, count in Counter(member.group for member in members).items():
        highest = [max((order.index(region["level"]) for region in one.document["regions"]), default=-1)
                   for one in members if one.group == name]
        found[name] = {level: sum(one >= n for one in highest) / count for n, level in enumerate(order)}
    return found


def _structures(members: Sequence[Member]) -> dict[str, dict[str, float]]:
    """Structure to group to share of its cases with a region there."""
    sizes = Counter(member.group for member in members)
    found: dict[str, Counter[str]] = {}
    for member in members:
        places = [region.get("place") for region in member.document["regions"]]
        for words in {_words(place) for place in places if place}:
            found.setdefault(words, Counter())[member.group] += 1
    return {words: {name: counts[name] / size for name, size in sizes.items()} for words, counts in found.items()}


def _words(place: Mapping[str, Any]) -> str:
    from ..run.result import Place

    return Place(place["side"], place["structure"], place["probability"], tuple(place["mni_ras"])).words


__all__ = ["MNI", "OWN", "Cohort", "Difference", "summarize_cohort"]
