"""Training examples in batches. An example is P images that go through augmentation together: 1, or a pair.

Batches are (images B×P×*size float32, labels B×P); all images of a batch have the same size, because scans with a wider
field of view than the model's are larger, as at inference.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from hrcam_train.prepare_cases import PreparedCase

Example = tuple[Tensor, Tensor]


class Examples(Protocol):
    """A data set that knows its sizes and labels without loading anything."""

    @property
    def sizes(self) -> Sequence[tuple[int, ...]]:
        """Spatial size of each example."""
        ...

    @property
    def labels(self) -> Sequence[int]:
        """Class index of each image of each example."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch begins; generated examples are new in each."""


class ImageExamples(Dataset[Example]):
    """The slices (or volumes) of prepared cases, one an example."""

    def __init__(self, cases: Sequence[PreparedCase]) -> None:
        self.cases = cases
        self.places = [(c, n) for c, case in enumerate(cases) for n in range(len(case.labels))]
        self.sizes = [cases[c].size for c, _ in self.places]
        self.labels = [int(cases[c].labels[n]) for c, n in self.places]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Example:
        case, number = self.places[index]
        image = np.asarray(self.cases[case].images[number], np.float32)
        return torch.from_numpy(image[None]), torch.tensor([self.labels[index]])

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the images are the same in every epoch."""


class SameSizeBatches(Sampler[list[int]]):
    """Batches of examples of one size, shuffled anew in each epoch, an equal number on every rank.

    The order depends on seed and epoch alone, so that a resumed run goes on as the uninterrupted one would have.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.groups: dict[tuple[int, ...], list[int]] = {}
        for index, size in enumerate(examples.sizes):
            self.groups.setdefault(size, []).append(index)
        self.batch_size, self.shuffle, self.seed, self.rank, self.ranks = batch_size, shuffle, seed, rank, ranks
        self.examples, self.epoch = examples, 0

    @property
    def sampler(self) -> "SameSizeBatches":
        """Itself: Lightning looks here for what wants to know the epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch."""
        self.epoch = epoch
        self.examples.set_epoch(epoch)

    def __len__(self) -> int:
        return -(-self._total() // self.ranks)

    def _total(self) -> int:
        return sum(-(-len(group) // self.batch_size) for group in self.groups.values())

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        batches = []
        for group in self.groups.values():
            order = rng.permutation(group).tolist() if self.shuffle else group
            batches += [order[n : n + self.batch_size] for n in range(0, len(order), self.batch_size)]
        if self.shuffle:
            rng.shuffle(batches)
        # Every rank must take the same number of steps: the last round is filled up from the beginning.
        batches += [batches[n % len(batches)] for n in range(len(self) * self.ranks - len(batches))]
        return iter(batches[self.rank :: self.ranks])


def make_loader(
    examples: Examples, batch_size: int, *, shuffle: bool = False, seed: int = 0, workers: int = 0, rank: int = 0,
    ranks: int = 1,
) -> DataLoader[Example]:  # fmt: skip
    """Batches of `examples`, see the module's docstring."""
    batches = SameSizeBatches(examples, batch_size, shuffle, seed, rank, ranks)
    return DataLoader(examples, batch_sampler=batches, num_workers=workers, persistent_workers=False)  # type: ignore[arg-type]


def flattened(loader: DataLoader[Example]) -> Iterator[tuple[Tensor, Tensor]]:
    """Images B·P×1×*size and labels B·P of a loader's batches."""
    for images, labels in loader:
        yield images.flatten(0, 1).unsqueeze(1), labels.flatten()


def class_weights(labels: Sequence[int], count: int) -> Tensor:
    """Weights inverse to the classes' frequencies, 1 on average over the examples."""
    numbers = np.bincount(np.asarray(labels), minlength=count)
    return torch.tensor(len(labels) / (count * np.maximum(numbers, 1)), dtype=torch.float32)
