"""When marks are withheld, what that costs, and how the rule is fitted."""

import numpy as np
import pytest
from hrcam.errors import InputError
from hrcam.run.withholding import is_withheld, predicted_class, withheld_in_words
from hrcam_train.withholding import fit_withholding

PATHOLOGY = {"glioma": True, "meningioma": True, "no_tumor": False}


def test_without_a_rule_the_most_probable_class_decides():
    assert is_withheld({"glioma": 0.3, "meningioma": 0.3, "no_tumor": 0.4}, PATHOLOGY, None)
    assert not is_withheld({"glioma": 0.45, "meningioma": 0.15, "no_tumor": 0.4}, PATHOLOGY, None)


def test_with_a_rule_the_probability_of_no_pathology_decides():
    probabilities = {"glioma": 0.2, "meningioma": 0.2, "no_tumor": 0.6}
    assert is_withheld(probabilities, PATHOLOGY, {"above": 0.5})
    assert not is_withheld(probabilities, PATHOLOGY, {"above": 0.7})


def test_answer_and_marks_agree_on_every_scan():
    unsure = {"glioma": 0.35, "meningioma": 0.25, "no_tumor": 0.4}
    assert predicted_class(unsure, PATHOLOGY, None) == "no_tumor", "single images: the likeliest class"
    assert predicted_class(unsure, PATHOLOGY, {"above": 0.5}) == "glioma", "some tumor is likelier than none"
    assert predicted_class(unsure, PATHOLOGY, {"above": 0.3}) == "no_tumor"
    for rule in (None, {"above": 0.3}, {"above": 0.5}):
        assert is_withheld(unsure, PATHOLOGY, rule) is (predicted_class(unsure, PATHOLOGY, rule) == "no_tumor")


def test_a_model_of_pathologies_alone_withholds_nothing():
    assert not is_withheld({"a": 0.5, "b": 0.5}, {"a": True, "b": True}, {"above": 0.0})


def test_the_fitted_rule_recovers_scans_with_pathology_and_leaves_normal_ones_empty():
    absent = [0.1, 0.2, 0.62, 0.95, 0.8, 0.9, 0.97, 0.99]
    sick = [True] * 4 + [False] * 4
    rule = fit_withholding(absent, sick)
    assert 0.62 <= rule["above"] < 0.65, "the lowest that costs least"
    assert (rule["pathology_withheld"], rule["normal_shown"], rule["scans"]) == (0.25, 0.0, 8)


@pytest.mark.parametrize("sick", [[True, True], [False, False], [True]])
def test_both_kinds_of_scans_are_asked_for(sick):
    with pytest.raises(InputError, match="with and without pathology"):
        fit_withholding([0.5, 0.5], sick)


def test_the_words_name_probability_limit_and_cost():
    rule = fit_withholding(np.linspace(0, 1, 40), [True] * 20 + [False] * 20)
    words = withheld_in_words({"glioma": 0.1, "meningioma": 0.1, "no_tumor": 0.8}, PATHOLOGY, rule)
    assert "80 %" in words and "Choose a class" in words and "In validation" in words
    assert '"no tumor"' in withheld_in_words({"glioma": 0.1, "meningioma": 0.1, "no_tumor": 0.8}, PATHOLOGY, None)


def test_scans_that_all_lie_beyond_nineteen_in_twenty_are_told_apart():
    rule = fit_withholding([0.951, 0.955, 0.96, 0.976, 0.977], [True, True, True, False, False])
    assert 0.96 <= rule["above"] < 0.976 and rule["pathology_withheld"] == rule["normal_shown"] == 0
