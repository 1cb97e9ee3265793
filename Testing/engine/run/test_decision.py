"""What a scan is called, and by which rule."""

from dataclasses import replace

import numpy as np
import pytest
from hrcam.run.decision import decide, unmarked_in_words

LESION = 0
UNSURE = np.array([0.2, 0.0])
"""Logits: "lesion" is a little likelier."""

SEEN = np.full((2, 3, 4), 20, np.float16)


@pytest.fixture
def bundle(bright_blob_bundle):
    rules = {"withholding": {"above": 0.3}, "agreement": {"limit": 50.0, "temperature": 1.0}}
    return replace(bright_blob_bundle, metadata={**bright_blob_bundle.metadata, **rules})


def test_the_rule_for_scans_does_not_hold_for_single_images(bundle):
    scan, image = (decide(bundle, UNSURE, None, single, asked=False) for single in (False, True))
    assert scan.withheld and not bundle.pathology[scan.predicted] and scan.rule == {"above": 0.3}
    assert not image.withheld and bundle.pathology[image.predicted] and image.rule is None
    assert scan.probabilities == image.probabilities


def test_a_class_that_was_asked_for_is_never_withheld(bundle):
    for agreement in (None, SEEN):
        decision = decide(bundle, -5 * UNSURE, agreement, False, asked=True)
        assert not decision.withheld and not bundle.pathology[decision.predicted] and decision.agreed is None


def test_planes_that_agree_decide_in_place_of_the_logits(bundle):
    agreement = SEEN.copy()
    below = decide(bundle, 9 * UNSURE, agreement, False, asked=False)
    assert below.withheld and not below.agreed.any() and below.rule["above"] == 0.5
    agreement[1, 2, 3] = 51
    above = decide(bundle, -9 * UNSURE, agreement, False, asked=False)
    assert not above.withheld and np.argwhere(above.agreed).tolist() == [[1, 2, 3]]
    assert above.probabilities[bundle.class_names[LESION]] == pytest.approx(51 / 101, rel=1e-3)


def test_the_words_tell_small_spots_from_withheld_ones(bundle):
    withheld, shown = (decide(bundle, UNSURE, None, single, asked=False) for single in (False, True))
    assert "Choose a class" in unmarked_in_words(withheld, bundle.pathology, 0.05)
    assert "smaller than 0.05 ml" in unmarked_in_words(shown, bundle.pathology, 0.05)
