"""Does the map say what the *network* used? Masks compare a map with the lesion, these tests with the network itself.

* Deletion and insertion: Petsiuk et al., *RISE*, BMVC 2018, §4.2.
* ROAD: Rong et al., *A Consistent and Efficient Evaluation Strategy for Attribution Methods*, ICML 2022.
* Model randomization: Adebayo et al., *Sanity Checks for Saliency Maps*, NeurIPS 2018, §3.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import ndimage, sparse, stats
from scipy.sparse.linalg import cg, spsolve

from hrcam_research.evaluate.case import fitting

if TYPE_CHECKING:
    from hrcam.cam.model import HRCAM

STEPS = 10
ROAD_FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2)
ROAD_NOISE = 0.01
BLUR_PX = 10.0
_BATCH = 16


def _order(values: np.ndarray) -> np.ndarray:
    """Pixel numbers from the strongest evidence to the weakest; equal values in the order of pixels."""
    return np.argsort(-values, axis=None, kind="stable")


def probabilities(model: torch.nn.Module, images: np.ndarray, class_index: int) -> np.ndarray:
    """Softmax probability of one class for N×C×*size images."""
    device = next(model.parameters()).device
    batch_size = fitting(_BATCH, images[0].size)
    found = []
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            x = torch.from_numpy(images[start : start + batch_size].astype(np.float32)).to(device)
            found.append(model(x).softmax(1)[:, class_index].cpu().numpy())
    return np.concatenate(found)


def deletion_insertion(
    model: torch.nn.Module, image: np.ndarray, values: np.ndarray, class_index: int, steps: int = STEPS
) -> tuple[float, float]:
    """Areas under the curves of the class's probability as the strongest pixels are taken away, and as they are put
    back.

    Taken away means replaced by the image blurred with a Gaussian of 10 pixels, which leaves tissue's brightness but
    no detail (a black hole would be a lesion of its own). A faithful map has a small deletion area and a large
    insertion area.

    Parameters
    ----------
    image : C×*size float32; values : *size.
    """
    baseline = np.stack([ndimage.gaussian_filter(channel, BLUR_PX) for channel in image])
    rank = np.empty(values.size, dtype=np.int64)
    rank[_order(values)] = np.arange(values.size)
    edges = np.linspace(0, values.size, steps + 1).round().astype(int)
    taken = (rank[None] < edges[:, None]).reshape(-1, 1, *values.shape)
    deleted, inserted = np.where(taken, baseline, image), np.where(taken, image, baseline)
    curve = probabilities(model, np.concatenate([deleted, inserted]), class_index)
    fractions = edges / values.size
    return float(np.trapezoid(curve[: steps + 1], fractions)), float(np.trapezoid(curve[steps + 1 :], fractions))


def impute(image: np.ndarray, missing: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """ROAD's noisy linear imputation: each missing pixel is the weighted mean of its neighbors (known or missing)
    plus noise.

    Weights as published for 2D: 1/6 for the four direct neighbors, 1/12 for the diagonal ones; in any dimension
    here, weight 2 for direct and 1 for the others, divided by their sum. Solved as one sparse linear system.

    Parameters
    ----------
    image : C×*size; missing : boolean *size; noise : C×*size, added where pixels are missing.
    """
    shape = missing.shape
    count = int(missing.sum())
    if count == 0:
        return image.copy()
    flat = image.reshape(len(image), -1)
    number = np.full(shape, -1)
    number[missing] = np.arange(count)
    where = np.argwhere(missing)
    total = np.zeros(count)
    known = np.zeros((count, len(image)))
    rows, columns, entries = [], [], []
    for offset in np.argwhere(np.ones((3,) * len(shape))) - 1:
        if not offset.any():
            continue
        weight = 2.0 if np.abs(offset).sum() == 1 else 1.0
        beside = where + offset
        inside = ((beside >= 0) & (beside < shape)).all(1)
        source, at = np.flatnonzero(inside), tuple(beside[inside].T)
        total[source] += weight
        absent = number[at] >= 0
        rows.append(source[absent])
        columns.append(number[at][absent])
        entries.append(np.full(int(absent.sum()), -weight))
        np.add.at(known, source[~absent], weight * flat[:, np.ravel_multi_index(at, shape)].T[~absent])
    rows.append(np.arange(count))
    columns.append(np.arange(count))
    entries.append(total)
    system = sparse.csr_matrix(
        (np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns))), shape=(count, count)
    )
    filled = image.astype(np.float64).copy()
    filled[:, missing] = _solve(system, known, len(shape)).T + noise[:, missing]
    return filled.astype(np.float32)


def _solve(system: sparse.csr_matrix, known: np.ndarray, dims: int) -> np.ndarray:
    """Pixels × channels. In 3D by conjugate gradients (it is symmetric and diagonally dominant): factors fill in."""
    if dims == 2:
        return np.asarray(spsolve(system.tocsc(), known)).reshape(known.shape)
    diagonal = sparse.diags(1 / system.diagonal())
    return np.stack([cg(system, channel, rtol=1e-8, M=diagonal)[0] for channel in known.T], 1)


def road(
    model: torch.nn.Module,
    image: np.ndarray,
    values: np.ndarray,
    class_index: int,
    fractions: Sequence[float] = ROAD_FRACTIONS,
    seed: int = 0,
) -> float:
    """Mean over `fractions` of half the probability without the least minus without the most important pixels.

    Higher is better; 0 is what an order by chance earns.
    """
    order = _order(values)
    noise = np.random.default_rng(seed).normal(0.0, ROAD_NOISE, image.shape)
    images = []
    for fraction in fractions:
        amount = max(1, round(fraction * values.size))
        for chosen in (order[:amount], order[-amount:]):
            missing = np.zeros(values.size, dtype=bool)
            missing[chosen] = True
            images.append(impute(image, missing.reshape(values.shape), noise))
    found = probabilities(model, np.stack(images), class_index).reshape(-1, 2)
    return float(((found[:, 1] - found[:, 0]) / 2).mean())


def randomized(model: HRCAM, share: float, seed: int = 0) -> HRCAM:
    """A copy whose last `share` of layers (from the head downwards, 0 = the head alone, 1 = all) is initialized anew.

    Layers are the modules that can `reset_parameters`, in the order of definition; running statistics of normalization
    layers are reset with them.
    """
    made = copy.deepcopy(model)
    layers: list[Any] = [module for module in made.cnn.modules() if hasattr(module, "reset_parameters")]
    chosen = layers[len(layers) - round(share * len(layers)) :]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in [made.head, *reversed(chosen)]:
            layer.reset_parameters()
    return made.eval()


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Absolute Spearman rank correlation of two maps, as Adebayo et al. report; a flat map is like nothing: 0."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(abs(stats.spearmanr(first, second, axis=None).statistic))
