"""Pairs of scans: the lesions change as the table says, the head moves as the motion says."""

import csv

import numpy as np
from hrcam.align.transforms import carried, inverse
from hrcam_research.simulate.follow_up import CHANGES, simulate_follow_up
from hrcam_research.simulate.head import phantom_head

SMALL = {"size": 56, "spacing_mm": 4.0}


def test_a_pair_is_the_same_for_the_same_seed_and_changes_as_stated():
    head = phantom_head(np.random.default_rng(0), 64)
    one, again = simulate_follow_up(head, 3, **SMALL), simulate_follow_up(head, 3, **SMALL)
    np.testing.assert_array_equal(one.later.array, again.later.array)
    assert one.changes == again.changes and {change.change for change in one.changes} <= set(CHANGES)
    for change in one.changes:
        grown = change.diameter_later_mm - change.diameter_earlier_mm
        assert (grown > 0) == (change.change in ("new", "growing"))
        assert (grown == 0) == (change.change == "stable")


def test_the_later_scan_moved_back_lies_on_the_earlier_one():
    made = simulate_follow_up(phantom_head(np.random.default_rng(0), 64), 5, **SMALL)
    geometry = made.earlier.geometry
    back = carried(made.later.array, geometry, geometry, inverse(made.later_to_earlier))
    inner = np.s_[14:42, 14:42, 14:42]

    def likeness(array):
        return np.corrcoef(array[inner].ravel(), made.earlier.array[inner].ravel())[0, 1]

    assert likeness(back) > likeness(made.later.array) and likeness(back) > 0.7


def test_the_command_writes_pairs_and_their_truth(tmp_path, capsys):
    from hrcam.cli.app import main

    out = tmp_path / "pairs"
    given = ["simulate", "--follow-up", "--dims", "3", "--count", "1", "--size", "48", "--spacing", "4.5", "--out"]
    assert main([*given, str(out)]) == 0
    rows = list(csv.DictReader((out / "changes.csv").open()))
    assert rows and rows[0]["pair"] == "pair_0000" and (out / "earlier" / "pair_0000.nii.gz").is_file()
    assert (out / "later" / "pair_0000.nii.gz").is_file()
    assert main([*given, str(out)]) == 1 and "not empty" in capsys.readouterr().err
