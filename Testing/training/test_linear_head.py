"""Stage two: pooled once, solved to convergence, penalty chosen by classification, scaling folded back."""

import architectures as zoo
import numpy as np
import pytest
import torch
from hrcam import HRCAM, ModelError
from hrcam_train.linear_head import fit_head, fit_temperature, pool_features

pytest.importorskip("sklearn")


def blobs(counts, features=6, seed=0, shift=1.5):
    """Gaussian classes on very different scales; the last feature is constant."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    x = rng.normal(size=(len(labels), features))
    x[np.arange(len(labels)), labels] += shift
    x = x * np.logspace(-3, 3, features) + 5.0
    x[:, -1] = 7.0
    return x, labels


def test_the_solution_is_the_optimum_of_the_penalized_likelihood():
    """Oracle: the gradient of the objective, written out, vanishes at the fitted head."""
    x, y = blobs([40, 60, 30])
    c = 0.1
    fit = fit_head(x, y, inverse_penalties=[c], class_weight=None)
    spread = np.where(x.std(0) > 0, x.std(0), 1.0)
    z = (x - x.mean(0)) / spread
    logits = fit.logits(x)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    residual = p - np.eye(3)[y]
    gradient = c * residual.T @ z + fit.weight * spread
    assert np.abs(gradient).max() < 1e-3
    assert np.abs(residual.sum(0)).max() < 1e-2  # the bias is not penalized


def test_the_scaling_is_folded_back():
    x, y = blobs([50, 50])
    scale, offset = np.logspace(2, -2, 6), np.arange(6.0)
    a = fit_head(x, y, inverse_penalties=[0.1])
    b = fit_head(x * scale + offset, y, inverse_penalties=[0.1])
    np.testing.assert_allclose(b.logits(x * scale + offset), a.logits(x), atol=1e-3)


def test_a_constant_feature_gets_no_weight():
    x, y = blobs([30, 30, 30])
    fit = fit_head(x, y, inverse_penalties=[1.0])
    assert fit.constant_features == 1 and not fit.weight[:, -1].any() and np.isfinite(fit.bias).all()


def test_repeated_features_share_their_weight():
    x, y = blobs([30, 30])
    twice = fit_head(np.hstack([x, x]), y, inverse_penalties=[0.1])
    np.testing.assert_allclose(twice.weight[:, :6], twice.weight[:, 6:], atol=1e-4)


def test_class_weights_make_up_for_imbalance():
    x, y = blobs([400, 20], shift=1.0)
    test_x, test_y = blobs([200, 200], seed=1, shift=1.0)

    def recall(**arguments):
        fit = fit_head(x, y, inverse_penalties=[0.1], **arguments)
        return (fit.logits(test_x).argmax(1) == test_y)[test_y == 1].mean()

    assert recall(class_weight="balanced") > recall(class_weight=None) + 0.2
    assert recall(class_weight=[1.0, 20.0]) > recall(class_weight=None) + 0.2


def test_the_strongest_penalty_that_classifies_as_well_is_chosen():
    x, y = blobs([100, 100, 100], shift=3.0)
    val_x, val_y = blobs([50, 50, 50], seed=1, shift=3.0)
    fit = fit_head(x, y, val_x, val_y, inverse_penalties=[10.0, 1e-2, 1.0])
    assert [t.inverse_penalty for t in fit.scores] == [1e-2, 1.0, 10.0]
    best = max(t.balanced_accuracy for t in fit.scores)
    assert fit.inverse_penalty == 1e-2
    assert fit.scores[0].balanced_accuracy > best - 0.05
    assert 0.01 < fit.temperature < 1  # so strong a penalty makes logits too small: the temperature sharpens them


def test_temperature_undoes_a_known_scaling():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 2
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (rng.random((20_000, 1)) > p.cumsum(1)).sum(1)
    assert fit_temperature(logits * 4, labels) == pytest.approx(4, rel=0.05)
    assert fit_temperature(logits / 4, labels) == pytest.approx(0.25, rel=0.05)


def test_features_are_pooled_in_order_and_the_network_is_left_as_it_was():
    torch.manual_seed(0)
    hrcam = HRCAM(zoo.ResNet(2), 2).train()
    hrcam.cnn.bn1.eval()
    flags = [m.training for m in hrcam.modules()]
    state = {k: v.clone() for k, v in hrcam.state_dict().items()}
    images, targets = torch.rand(5, 1, 32, 32), torch.tensor([0, 1, 1, 0, 1])
    features, labels = pool_features(hrcam, [(images[:3], targets[:3]), (images[3:], targets[3:])])
    assert flags == [m.training for m in hrcam.modules()]
    assert all(torch.equal(v, state[k]) for k, v in hrcam.state_dict().items())
    assert labels.tolist() == targets.tolist()
    with torch.no_grad():
        np.testing.assert_allclose(features, hrcam.eval().pooled(images).numpy(), rtol=1e-4, atol=1e-6)


def test_a_fitted_head_classifies_inside_the_network():
    torch.manual_seed(0)
    hrcam = HRCAM(zoo.ResNet(2), 2).eval()
    images = torch.rand(40, 1, 32, 32)
    targets = torch.arange(40) % 2
    images[targets == 1, :, 8:16, 8:16] += 1.5
    features, labels = pool_features(hrcam, [(images, targets)])
    fit = fit_head(features, labels, inverse_penalties=[0.1])
    fit.copy_to(hrcam)
    with torch.no_grad():
        logits = hrcam(images)
    np.testing.assert_allclose(logits.numpy(), fit.logits(features), rtol=1e-3, atol=1e-3)
    assert (logits.argmax(1) == targets).float().mean() > 0.9
    with pytest.raises(ModelError, match="fitted head is"):
        fit.copy_to(HRCAM(zoo.ResNet(2), 3))


X, Y = blobs([5, 5])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_head(X, np.zeros(10, int), inverse_penalties=[1.0]), "one class only"),
        (lambda: fit_head(X, Y, num_classes=3, inverse_penalties=[1.0]), "no image of class 2"),
        (lambda: fit_head(X, Y - 1, num_classes=2, inverse_penalties=[1.0]), "no image of class 1"),
        (lambda: fit_head(np.where(X > 6, np.nan, X), Y, inverse_penalties=[1.0]), "NaN or infinity, first row"),
        (lambda: fit_head(X, Y), "no validation set"),
        (lambda: fit_head(X, Y, inverse_penalties=[0.0]), "positive numbers"),
        (lambda: fit_head(X, Y, inverse_penalties=[]), "positive numbers"),
        (lambda: fit_head(X[:, 0], Y, inverse_penalties=[1.0]), r"shapes \(10,\)"),
        (lambda: fit_head(X, Y[:4], inverse_penalties=[1.0]), "shapes"),
        (lambda: fit_head(X, Y.astype(float), inverse_penalties=[1.0]), "class indices"),
        (lambda: fit_head(X, Y, X[:, :2], Y), "do not match"),
        (lambda: fit_head(X, Y, inverse_penalties=[1.0], class_weight=[1.0]), "2 positive numbers"),
        (lambda: fit_temperature(X[:, :2], Y + 1), "outside 0…1"),
        (lambda: pool_features(HRCAM(zoo.LeNet(), 2), []), "no image"),
    ],
)
def test_data_that_cannot_be_fitted_are_refused_in_words(call, message):
    with pytest.raises(ModelError, match=message):
        call()


def test_images_that_are_not_finite_are_reported():
    bad = torch.full((1, 1, 32, 32), float("nan"))
    with pytest.raises(ModelError, match="1 of 1 rows"):
        pool_features(HRCAM(zoo.LeNet(), 2), [(bad, torch.tensor([0]))])
