"""Stage two: one linear head on all levels of a trained, frozen CNN, fitted to convergence.

Features are pooled once, standardized, and a multinomial logistic regression with an L2 penalty, a convex problem, is
solved; the standardization is folded back into weights and bias. How well the problem is conditioned decides the map:
at equal accuracy a strongly regularized, converged head localizes far better than one trained for some epochs of Adam.
So, of the penalties whose validation accuracy cannot be told from the best one's, the strongest is taken. Masks play no
part.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch
from hrcam.errors import ModelError

if TYPE_CHECKING:
    from hrcam.cam.model import HRCAM

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse penalties C that are tried, strongest penalty first (scikit-learn's C: larger means weaker)."""

_MAX_ITERATIONS = 10_000


@dataclass(frozen=True)
class PenaltyScore:
    """One penalty: C and the validation's balanced accuracy and mean negative log-likelihood (each class weighs the
    same)."""

    inverse_penalty: float
    balanced_accuracy: float
    loss: float


@dataclass(frozen=True)
class HeadFit:
    """A fitted head in the features' own units.

    Attributes
    ----------
    weight, bias : K×C and K, for features that are not standardized.
    inverse_penalty : the C chosen.
    temperature : divides validation logits for calibrated probabilities; 1 where there was no validation set.
    scores : what each C gave, strongest penalty first; empty where only one was given.
    constant_features : number of features without spread in training, whose weights are 0.
    iterations : of the solver, for the chosen C.
    """

    weight: Array
    bias: Array
    inverse_penalty: float
    temperature: float
    scores: tuple[PenaltyScore, ...]
    constant_features: int
    iterations: int

    def logits(self, features: npt.ArrayLike) -> Array:
        """N×C pooled features → N×K logits."""
        return np.asarray(features, np.float64) @ self.weight.T + self.bias

    def copy_to(self, hrcam: "HRCAM") -> None:
        """Write weights and bias into a network's head; raise `ModelError` where the shape differs."""
        head = hrcam.head
        if tuple(head.weight.shape) != self.weight.shape:
            raise ModelError(
                f"The fitted head is {self.weight.shape}, the network's {tuple(head.weight.shape)}.",
                "Fit on features of this network, with all of its classes.",
            )
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(self.weight))
            head.bias.copy_(torch.from_numpy(self.bias))


def pool_features(
    hrcam: "HRCAM", loader: Iterable[Sequence[torch.Tensor]], device: str | torch.device = "cpu"
) -> tuple[npt.NDArray[np.float32], Labels]:
    """Run the frozen CNN once over a loader of (images B×C×*size, labels B) and return features N×ΣC and labels N.

    The network is moved to `device`; its training flags are given back as they were.

    Raises
    ------
    ModelError : the loader is empty, or features are not finite.
    """
    training = {module: module.training for module in hrcam.modules()}
    hrcam.to(device).eval()
    features, labels = [], []
    try:
        with torch.inference_mode():
            for images, targets, *_ in loader:
                features.append(hrcam.pooled(images.to(device)).float().cpu().numpy())
                labels.append(torch.as_tensor(targets).cpu().numpy().astype(np.int64))
    finally:
        for module, flag in training.items():
            module.training = flag
    if not features:
        raise ModelError("The loader gave no image.", "Give at least one batch.")
    pooled = np.concatenate(features)
    _check_finite(pooled)
    return pooled, np.concatenate(labels)


def fit_head(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    val_features: npt.ArrayLike | None = None,
    val_labels: npt.ArrayLike | None = None,
    *,
    num_classes: int | None = None,
    inverse_penalties: Sequence[float] = STRENGTHS,
    class_weight: Literal["balanced"] | Sequence[float] | None = "balanced",
) -> HeadFit:
    """Fit the head of stage two on pooled features.

    Parameters
    ----------
    features, labels : N×C and N (class indices).
    val_features, val_labels : used to choose C and the temperature; without them give exactly one C.
    num_classes : K; None for the largest label + 1. Every class must occur in `labels`.
    inverse_penalties : candidates for C. Chosen is the smallest whose validation balanced accuracy is within one
        standard error of the best one's.
    class_weight : "balanced" (inverse to frequency), one weight a class, or None.

    Raises
    ------
    ModelError : shapes that do not match, features that are not finite, a class without images, one class only, no
        convergence, or scikit-learn missing.
    """
    x, y = _checked(features, labels, "training")
    count = int(num_classes if num_classes is not None else y.max() + 1)
    absent = sorted(set(range(count)) - set(y.tolist()))
    if count < 2:
        raise ModelError("The labels hold one class only.", "Give images of at least two classes.")
    if absent or y.min() < 0 or y.max() >= count:
        what = f"no image of class {absent[0]}" if absent else f"labels outside 0…{count - 1}"
        raise ModelError(f"There is {what}.", "Check labels and num_classes.")
    candidates = sorted({float(c) for c in inverse_penalties})
    if not candidates or candidates[0] <= 0:
        raise ModelError(f"inverse_penalties is {inverse_penalties!r}.", "Give positive numbers.")
    if val_features is None or val_labels is None:
        if len(candidates) > 1:
            raise ModelError("Several penalties but no validation set to choose by.", "Give one, or a validation set.")
        fit = _solve(x, y, count, candidates[0], class_weight)
        return HeadFit(fit[0], fit[1], candidates[0], 1.0, (), fit[2], fit[3])
    vx, vy = _checked(val_features, val_labels, "validation")
    if vx.shape[1] != x.shape[1] or vy.min() < 0 or vy.max() >= count:
        raise ModelError("Validation and training do not match.", "Use the same network and classes for both.")
    fits, scores, errors = [], [], []
    for candidate in candidates:
        fits.append(_solve(x, y, count, candidate, class_weight))
        logits = vx @ fits[-1][0].T + fits[-1][1]
        accuracy, error, loss = _score(logits, vy)
        scores.append(PenaltyScore(candidate, accuracy, loss))
        errors.append(error)
    best = int(np.argmax([score.balanced_accuracy for score in scores]))
    enough = scores[best].balanced_accuracy - errors[best]
    chosen = next(i for i, score in enumerate(scores) if score.balanced_accuracy >= enough)
    weight, bias, constant, iterations = fits[chosen]
    temperature = fit_temperature(vx @ weight.T + bias, vy)
    return HeadFit(weight, bias, candidates[chosen], temperature, tuple(scores), constant, iterations)


def fit_temperature(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Return T > 0 that minimizes the negative log-likelihood of ``softmax(logits / T)`` (Guo et al., ICML 2017).

    Searched between 0.01 and 100; the likelihood has a single optimum in 1/T.

    Raises
    ------
    ModelError : shapes that do not match, values that are not finite.
    """
    z, y = _checked(logits, labels, "calibration")
    if y.min() < 0 or y.max() >= z.shape[1]:
        raise ModelError(f"Labels run outside 0…{z.shape[1] - 1}.", "Use the classes that the logits were made for.")
    low, high = np.log(0.01), np.log(100.0)
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(60):  # golden section: derivative-free, cannot diverge
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if _negative_log_likelihood(z / np.exp(a), y).mean() < _negative_log_likelihood(z / np.exp(b), y).mean():
            high = b
        else:
            low = a
    return float(np.exp((low + high) / 2))


def _solve(
    x: Array, y: Labels, count: int, c: float, class_weight: Literal["balanced"] | Sequence[float] | None
) -> tuple[Array, Array, int, int]:
    """Return weight, bias (features' units), number of constant features, iterations."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ModelError("Fitting a head needs scikit-learn.", "Run: pip install 'hrcam[train]'.") from error
    mean, spread = x.mean(0), x.std(0)
    varies = spread > 1e-7 * np.maximum(np.abs(mean), np.finfo(np.float32).tiny)
    scale = np.where(varies, spread, 1.0)
    standardized = np.where(varies, (x - mean) / scale, 0.0)
    weights: Literal["balanced"] | dict[int, float] | None = None
    if class_weight == "balanced":
        weights = "balanced"
    elif class_weight is not None:
        if len(class_weight) != count or min(class_weight) <= 0:
            raise ModelError(f"class_weight is {class_weight!r}.", f"Give {count} positive numbers.")
        weights = dict(enumerate(map(float, class_weight)))
    model = LogisticRegression(C=c, class_weight=weights, tol=1e-6, max_iter=_MAX_ITERATIONS, solver="lbfgs")
    model.fit(standardized, y)
    if int(model.n_iter_.max()) >= _MAX_ITERATIONS:
        raise ModelError(f"The head did not converge for C = {c:g}.", "Use a smaller C.")
    coefficients, intercept = model.coef_, model.intercept_
    if count == 2:  # one row of log-odds, shared evenly by the two logits
        coefficients, intercept = (
            np.vstack([-coefficients, coefficients]) / 2,
            np.concatenate([-intercept, intercept]) / 2,
        )
    weight = np.where(varies, coefficients / scale, 0.0)
    return weight, intercept - weight @ mean, int((~varies).sum()), int(model.n_iter_.max())


def _score(logits: Array, labels: Labels) -> tuple[float, float, float]:
    """Balanced accuracy, its standard error, and the loss, each class weighing the same."""
    hits = logits.argmax(1) == labels
    losses = _negative_log_likelihood(logits, labels)
    rates, variances, means = [], [], []
    for index in np.unique(labels):
        own = labels == index
        rate, number = hits[own].mean(), own.sum()
        rates.append(rate)
        variances.append(rate * (1 - rate) / number)
        means.append(losses[own].mean())
    return float(np.mean(rates)), float(np.sqrt(np.sum(variances)) / len(rates)), float(np.mean(means))


def _negative_log_likelihood(logits: Array, labels: Labels) -> Array:
    shifted = logits - logits.max(1, keepdims=True)
    return np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(labels)), labels]


def _checked(features: npt.ArrayLike, labels: npt.ArrayLike, what: str) -> tuple[Array, Labels]:
    x, y = np.asarray(features, np.float64), np.asarray(labels)
    if x.ndim != 2 or y.ndim != 1 or len(x) != len(y) or not x.size:
        raise ModelError(
            f"The {what} data have shapes {x.shape} and {y.shape}.", "Give N×C values and N labels, N > 0."
        )
    if not np.issubdtype(y.dtype, np.integer):
        raise ModelError(f"The {what} labels are of type {y.dtype}.", "Give class indices.")
    _check_finite(x)
    return x, y.astype(np.int64)


def _check_finite(values: npt.NDArray[np.floating]) -> None:
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise ModelError(
            f"{int(bad.sum())} of {len(values)} rows hold NaN or infinity, first row {int(bad.argmax())}.",
            "Check the images and the network's weights.",
        )
