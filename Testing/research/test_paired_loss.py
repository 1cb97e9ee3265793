"""The loss on pairs: evidence where they differ, silence where they are equal and in healthy crops."""

import warnings

import numpy as np
import pytest
import torch
from hrcam import HRCAM
from hrcam.networks.registry import build_network
from hrcam_research.paired import refit as refit_module
from hrcam_research.paired.config import PairedConfig
from hrcam_research.paired.pair_classifier import PairClassifier
from hrcam_research.paired.pair_loss import OFFSET, log_odds, pair_loss, silence_loss
from hrcam_research.paired.refit import refit_head
from hrcam_train.config import parse_config
from hrcam_train.module import freeze_unused
from train_data import settings


def paired_config(raw: dict) -> PairedConfig:
    return parse_config(raw, kind=PairedConfig)


def loss_of(evidence: torch.Tensor, counterpart: torch.Tensor) -> float:
    changed = torch.zeros(1, 16, 16)
    changed[0, 4:8, 4:8] = 1
    return float(pair_loss(evidence, counterpart, changed, 1 - changed))


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
    assert loss_of(spot(4), spot(4)) > right + 2, "the counterpart shows none"
    assert loss_of(spot(4), spot(10)) > right + 1


def test_the_loss_can_be_learnt_from() -> None:
    evidence = torch.zeros(1, 16, 16, requires_grad=True)
    changed = (spot(4) > 0).float()
    pair_loss(evidence, torch.zeros(1, 16, 16), changed, 1 - changed).backward()
    assert evidence.grad is not None
    assert (evidence.grad[changed > 0] < 0).all() and (evidence.grad[changed == 0] > 0).all()


def test_log_odds_of_powers_are_silent_at_zero_and_grow_as_the_logarithm_of_strong_evidence() -> None:
    assert float(log_odds(torch.tensor(0.0), powered=True)) == -OFFSET
    assert float(log_odds(torch.tensor(0.01), powered=True)) == pytest.approx(-OFFSET + 0.01, abs=1e-4)
    assert float(log_odds(torch.tensor(7.0), powered=False)) == 7.0 - OFFSET
    weak, strong = log_odds(torch.tensor([100.0, 1000.0]), powered=True)
    assert float(strong - weak) == pytest.approx(2.3026, abs=1e-3)


def test_silence_costs_least_and_the_most_wrong_pixels_count_once_more() -> None:
    quiet, loud = torch.full((1, 32, 32), -5.0), torch.full((1, 32, 32), -5.0)
    loud[0, :2, :2] = 5.0
    assert float(silence_loss(quiet)) < 0.02
    assert float(silence_loss(loud)) - float(silence_loss(loud, hardest=0.0)) > 1.5
    where = torch.ones(1, 32, 32)
    where[0, :2, :2] = 0
    assert float(silence_loss(loud, where)) == pytest.approx(float(silence_loss(quiet, where)), rel=1e-5)


@pytest.fixture
def classifier() -> PairClassifier:
    config = paired_config(settings(mode="joint", augment=None, data__kind="paired"))
    torch.manual_seed(0)
    hrcam = HRCAM(build_network("vgg_small", {"width": 4, "stages": 3}), 2)
    return PairClassifier(hrcam, config, sick=0).eval()


def test_a_batch_is_measured_by_its_labels_whatever_the_layout(classifier: PairClassifier) -> None:
    """Every crop with lesion is followed by its counterpart; the rest are healthy crops. Their order says nothing."""
    ill, counterpart, healthy = torch.rand(2, 32, 32), torch.rand(2, 32, 32), torch.rand(2, 32, 32)
    first = torch.stack([torch.stack([ill[n], counterpart[n], healthy[n]]) for n in (0, 1)])
    second = torch.stack([torch.stack([healthy[1 - n], ill[n], counterpart[n]]) for n in (0, 1)])
    loss, strongest, has = classifier._measure(first, torch.tensor([[0, 1, 1]] * 2))
    again, _, _ = classifier._measure(second, torch.tensor([[1, 0, 1]] * 2))
    torch.testing.assert_close(loss, again)
    assert has.tolist() == [True, True, False, False, False, False] and strongest.shape == (6,)


def test_the_loss_reaches_all_that_is_trained(classifier: PairClassifier) -> None:
    """Several processes would wait for the rest."""
    freeze_unused(classifier, torch.zeros(1, 1, 32, 32))
    classifier._measure(torch.rand(2, 3, 32, 32), torch.tensor([[0, 1, 1]] * 2))[0].backward()
    trained = {name: p.grad for name, p in classifier.named_parameters() if p.requires_grad}
    assert "hrcam.head.weight" in trained and not [name for name, grad in trained.items() if grad is None]


def test_the_answer_of_a_whole_image_counts_more_than_that_of_a_crop() -> None:
    losses = []
    images, labels = torch.rand(2, 3, 32, 32), torch.tensor([[0, 1, 1]] * 2)
    for patch, size in ((32, 64), (32, 32)):
        config = paired_config(
            settings(mode="joint", augment=None, input__size=[size, size], data__kind="paired",
                     data__simulation={"patch": patch})
        )  # fmt: skip
        torch.manual_seed(0)
        hrcam = HRCAM(build_network("vgg_small", {"width": 4, "stages": 3}), 2)
        losses.append(PairClassifier(hrcam, config, sick=0).eval()._measure(images, labels)[0].item())
    assert losses[1] > losses[0] + 1


def test_evidence_in_a_healthy_crop_costs(classifier: PairClassifier) -> None:
    pair = torch.rand(2, 32, 32)
    classifier.requires_grad_(False)
    classifier.hrcam.head.weight.zero_()
    classifier.hrcam.head.weight[0] = 1.0  # any feature is evidence
    faint, loud = torch.zeros(1, 32, 32), torch.rand(1, 32, 32) * 5
    labels = torch.tensor([[0, 1, 1]])
    quiet = classifier._measure(torch.cat([pair, faint])[None], labels)[0]
    assert float(classifier._measure(torch.cat([pair, loud])[None], labels)[0]) > float(quiet)


def test_kept_norms_are_no_news_but_other_warnings_are(classifier: PairClassifier) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        said_by_lightning = "Found 7 module(s) in eval mode at the start of training."
        warnings.warn(said_by_lightning, stacklevel=1)
        classifier.on_fit_start()
        warnings.warn(said_by_lightning, stacklevel=1)
        warnings.warn("Something else.", stacklevel=1)
    assert [str(one.message) for one in said] == [said_by_lightning, "Something else."]


def teach(classifier: PairClassifier, *taught: float) -> None:
    """Give the head these first weights for a lesion, and 0 for all others."""
    with torch.no_grad():
        classifier.hrcam.head.weight.zero_()
        classifier.hrcam.head.weight[0, : len(taught)] = torch.tensor(taught)


def silent(classifier: PairClassifier, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of so many images, in turn with a lesion (0) and without, and pooled features that are all 0."""
    return np.arange(count) % 2, np.zeros((count, classifier.hrcam.head.in_features), np.float32)


def refit(
    classifier: PairClassifier, monkeypatch: pytest.MonkeyPatch, pooled: np.ndarray, labels: np.ndarray,
    inverse_penalty: float,
) -> str:
    """Refit the head on these pooled features; what is said of it."""
    monkeypatch.setattr(refit_module, "pool_features", lambda *_: (pooled, labels))
    monkeypatch.setattr(refit_module, "make_loader", lambda *_, **__: [])
    monkeypatch.setattr(refit_module, "_INVERSE_PENALTY", inverse_penalty)
    return str(refit_head(classifier.hrcam, [], classifier.config, 0, torch.device("cpu"))["text"])


def answers(classifier: PairClassifier, pooled: np.ndarray) -> np.ndarray:
    """Logits of pooled features by the head as it is now."""
    head = classifier.hrcam.head
    return np.asarray(pooled @ head.weight.detach().numpy().T + head.bias.detach().numpy())


def test_the_refitted_head_tells_whole_images_apart_and_stays_near_that_of_pairs(
    classifier: PairClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One feature is evidence of the lesion; another, which the pairs' head counts too, is as great without one."""
    hrcam, rng = classifier.hrcam, np.random.default_rng(0)
    labels, pooled = silent(classifier, 400)
    pooled[:, 0] = (labels == 0) + rng.normal(0, 0.3, 400)
    pooled[:, 1] = rng.normal(5, 3, 400)

    def right() -> float:
        return float((answers(classifier, pooled).argmax(1) == labels).mean())

    teach(classifier, 1.0, 1.0)
    before = right()
    # The penalty is for six times fewer images than a recipe has.
    text = refit(classifier, monkeypatch, pooled, labels, 0.01)
    first, second = hrcam.head.weight[0, :2].tolist()
    assert right() > 0.9 > before
    assert first > 0 and abs(second) < 0.2 * first
    assert not hrcam.head.weight[0, 2:].any() and not hrcam.head.weight[1].any(), "what never varies has no say"
    assert "400 whole images" in text


def test_a_few_images_of_very_strong_evidence_do_not_make_the_head_timid(
    classifier: PairClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of maps raised to a power: one lesion in 24 has a thousand times the evidence of the others."""
    rng = np.random.default_rng(0)
    labels, pooled = silent(classifier, 48)
    pooled[:, 0] = np.where(labels == 0, rng.uniform(2, 4, 48), rng.uniform(0, 1, 48))
    pooled[0, 0] = 3000
    teach(classifier, 1.0)
    refit(classifier, monkeypatch, pooled, labels, refit_module._INVERSE_PENALTY)
    logits = answers(classifier, pooled)
    ill = logits[labels == 0, 0] - logits[labels == 0, 1]
    healthy = logits[labels == 1, 0] - logits[labels == 1, 1]
    assert np.median(ill) - np.median(healthy) > 0.5
    assert ill.min() > 0 > healthy.max()


def test_a_fit_that_leaves_little_of_the_twins_head_is_dropped(
    classifier: PairClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evidence says nothing of these few images, something else does: the map would no longer show lesions."""
    hrcam, rng = classifier.hrcam, np.random.default_rng(0)
    labels, pooled = silent(classifier, 40)
    pooled[:, 0] = rng.normal(5, 1, 40)
    pooled[:, 1] = (labels == 0) + rng.normal(0, 0.1, 40)
    teach(classifier, 2.0)
    text = refit(classifier, monkeypatch, pooled, labels, 0.1)
    assert hrcam.head.weight[0, 0] > 0 and not hrcam.head.weight[0, 1:].any() and "1.00" in text
    logits = answers(classifier, pooled)
    assert abs(float((logits[:, 0] - logits[:, 1]).mean())) < 0.5, "neither class is preferred"


def test_where_the_fit_is_dropped_the_bias_is_that_of_the_twins_head(
    classifier: PairClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Squared evidence has a long tail: the threshold lies far below its mean, and below what the dropped fit needs."""
    rng = np.random.default_rng(0)
    labels, pooled = silent(classifier, 2000)
    pooled[:, 0] = rng.lognormal(np.where(labels == 0, 1.5, -1.5), 1.0)
    pooled[:, 1:] = (labels == 0)[:, None] + rng.normal(0, 0.5, pooled[:, 1:].shape)
    teach(classifier, 1.0)
    text = refit(classifier, monkeypatch, pooled, labels, 0.1)
    assert "1.00" in text, "dropped"
    assert float((answers(classifier, pooled).argmax(1) == labels).mean()) > 0.85
