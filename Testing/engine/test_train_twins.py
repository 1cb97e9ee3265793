"""The loss on twins: evidence where they differ, silence where they are equal."""

import torch
from hrcam.train.twin_lesson import twin_loss


def loss_of(evidence: torch.Tensor, twin: torch.Tensor) -> float:
    changed = torch.zeros(1, 16, 16)
    changed[0, 4:8, 4:8] = 1
    return float(twin_loss(evidence, twin, changed, 1 - changed))


def spot(row: int) -> torch.Tensor:
    evidence = torch.full((1, 16, 16), -5.0)
    evidence[0, row : row + 4, 4:8] = 5.0
    return evidence


def test_evidence_is_wanted_where_twins_differ_and_nowhere_else() -> None:
    silent = torch.full((1, 16, 16), -5.0)
    right = loss_of(spot(4), silent)
    assert right < 0.1
    assert loss_of(silent, silent) > right + 5, "the lesion must be found"
    assert loss_of(spot(10), silent) > loss_of(silent, silent), "elsewhere there is nothing to be found"
    assert loss_of(spot(4), spot(4)) > right + 2, "the twin shows none"
    assert loss_of(spot(4), spot(10)) > right + 1


def test_the_loss_can_be_learnt_from() -> None:
    evidence = torch.zeros(1, 16, 16, requires_grad=True)
    changed = (spot(4) > 0).float()
    twin_loss(evidence, torch.zeros(1, 16, 16), changed, 1 - changed).backward()
    assert evidence.grad is not None
    assert (evidence.grad[changed > 0] < 0).all() and (evidence.grad[changed == 0] > 0).all()
