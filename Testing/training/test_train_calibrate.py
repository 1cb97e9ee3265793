"""What a bundle knows beside its weights: the limit for calling a scan normal."""

import numpy as np
import pytest
from hrcam.run.volume_rule import softmax, volume_logits
from hrcam.run.withholding import is_withheld
from hrcam_train.calibrate import at_even_odds

PATHOLOGY = (True, True, False)
NAMES = ("glioma", "meningioma", "no_tumor")


def withheld(logits, rule, withholding):
    probabilities = dict(zip(NAMES, softmax(volume_logits(logits, rule, PATHOLOGY)), strict=True))
    return is_withheld(probabilities, dict(zip(NAMES, PATHOLOGY, strict=True)), withholding)


@pytest.mark.parametrize("above", [0.3, 0.75, 0.98])
def test_the_limit_moves_to_one_half_and_every_scan_keeps_its_answer(above):
    rule = {"kind": "top_mean", "fraction": 0.2, "temperature": 1.7, "bias": [0.4, -0.1, -0.3]}
    limit = {"above": above, "pathology_withheld": 0.06, "normal_shown": 0.02, "scans": 40}
    told, even = at_even_odds(rule, limit, PATHOLOGY)
    assert even == {**limit, "above": 0.5} and np.mean(told["bias"]) == pytest.approx(0)
    scans = np.random.default_rng(0).normal(0, 2, (60, 10, 3))
    scans[..., 2] += np.linspace(-6, 12, 60)[:, None]
    before, after = ([withheld(scan, *rules) for scan in scans] for rules in ((rule, limit), (told, even)))
    assert before == after and 0 < sum(before) < len(before)


def test_models_without_either_rule_stay_as_they_are():
    limit = {"above": 0.7}
    assert at_even_odds(None, limit, PATHOLOGY) == (None, limit)
    assert at_even_odds({"bias": [0, 0, 0]}, None, PATHOLOGY) == ({"bias": [0, 0, 0]}, None)
