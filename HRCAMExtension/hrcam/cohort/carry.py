"""Resample each case's map to the common grid, one after another: in this process, or on Dask as a batch is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..run.result import FloatArray
from ..scan.geometry import Geometry
from .cases import Member
from .maps import on_grid

if TYPE_CHECKING:
    from distributed import Client, Future

Carried = tuple[FloatArray, npt.NDArray[np.bool_]] | None


def carry_cases(
    members: Sequence[Member], grid: Geometry, space: str, jobs: int = 1, scheduler: str | None = None
) -> Iterator[Carried]:
    """Yield what `maps.on_grid` says of each case, in their order, so that sums do not depend on who computed them.

    Parameters
    ----------
    jobs, scheduler : processes of this machine, or the address of a Dask cluster that is there, as for a batch.

    Raises ``OutputError`` where Dask is missing or does not answer.
    """
    if jobs == 1 and scheduler is None:
        for member in members:
            yield on_grid(member, grid, space)
        return
    from ..batch.cluster import cluster

    with cluster(jobs, scheduler, retries=3) as executor:
        yield from _carry_on(executor.client, members, grid, space)


def _carry_on(client: Client, members: Sequence[Member], grid: Geometry, space: str) -> Iterator[Carried]:
    """A few cases ahead of the one that is waited for, so that memory stays bounded."""
    from ..batch.cluster import CASES_AHEAD

    waiting = iter(members)
    running: deque[Future] = deque()

    def fill() -> None:
        room = CASES_AHEAD * max(1, sum(client.nthreads().values())) - len(running)
        running.extend(client.submit(on_grid, member, grid, space, pure=False) for member in islice(waiting, room))

    fill()
    while running:
        future = running.popleft()
        found: Carried = future.result()
        future.release()
        yield found
        fill()
