"""What differs between two results is said in lines."""

from release.compare_results import differences


def test_what_came_went_and_changed_is_told():
    old = {"a": 1, "gone": 0, "slices": [{"p": 0.5}] * 11, "regions": [{"peak": 1.0}]}
    new = {"a": 1, "new": "x", "slices": [{"p": 0.25, "q": 3}] * 11, "regions": [{"peak": 2.0}]}
    assert list(differences(old, new)) == [
        "- /gone: 0", "+ /new: 'x'", "~ /regions[0]/peak: 1.0 -> 2.0",
        "~ /slices: 11 entries, numbers differ by 0.25 at most"]
    assert list(differences(old, old)) == []
