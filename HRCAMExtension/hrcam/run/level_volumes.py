"""Maps of the CNN's levels, kept at the size at which the network made them, and up-sampled when one is asked for.

A level on the grid of a CT is as large as the scan; its native map has some megabytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..scan.geometry import Geometry
from ..scan.intensity import Scale
from ..scan.resample import AxisFit
from ..scan.sampling import Plan, SlicePlan, VolumePlan
from ..scan.volume import Volume
from .result import FloatArray

if TYPE_CHECKING:
    from ..cam.level_maps import Maps, Output

_SLICES_AT_ONCE = 8


class LevelVolumes(Mapping[str, FloatArray]):
    """Level name to its share of a result's map, float32 KJI, logits; made anew at each look-up, a mean over planes.

    Parameters
    ----------
    plans : how each plane's maps go back to the grid.
    weights : of each plan in the mean, sum 1.
    maps : level name to the maps of each plan, count×1×*native.
    """

    def __init__(
        self, plans: Sequence[Plan], weights: Sequence[float], maps: Mapping[str, Sequence[Maps]]
    ) -> None:
        self._plans, self._weights, self._maps = [_without_voxels(plan) for plan in plans], tuple(weights), maps

    @classmethod
    def of(
        cls, plans: Sequence[Plan], weights: Sequence[float], outputs: Sequence[Output], class_index: int
    ) -> LevelVolumes:
        """Of what a network said about plans: the levels of one class."""
        kept = [output.of_class(class_index) for output in outputs]
        return cls(plans, weights, {name: [one[name] for one in kept] for name in kept[0]})

    def __getitem__(self, name: str) -> FloatArray:
        total = np.zeros(self._plans[0].volume.geometry.shape_kji, np.float32)
        for plan, weight, store in zip(self._plans, self._weights, self._maps[name], strict=True):
            for start in range(0, plan.count, _SLICES_AT_ONCE):
                chosen = slice(start, min(start + _SLICES_AT_ONCE, plan.count))
                plan.add(total, chosen, np.float32(weight) * np.asarray(store[chosen][:, 0], np.float32))
        return total

    def __iter__(self) -> Iterator[str]:
        return iter(self._maps)

    def __len__(self) -> int:
        return len(self._maps)

    def write(self, name: str, path: Path) -> None:
        """Write one level's native maps and their places into an NPZ file, for `read_level`."""
        places = {"geometry": asdict(self._plans[0].volume.geometry), "plans": [_to_json(one) for one in self._plans],
                  "weights": self._weights}
        arrays = [np.asarray(store[slice(0, plan.count)]) for plan, store in
                  zip(self._plans, self._maps[name], strict=True)]
        with path.open("wb") as file:
            np.savez(file, *arrays, places=json.dumps(places, default=np.ndarray.tolist))


def read_level(path: Path) -> FloatArray:
    """A level's share of the map on the input's grid, float32 KJI, logits, from what `LevelVolumes.write` wrote.

    Raises ``OSError``, ``ValueError`` or ``KeyError`` where the file is none of those.
    """
    with np.load(path, allow_pickle=False) as file:
        places = json.loads(str(file["places"]))
        given = places["geometry"]
        geometry = Geometry(tuple(given["size_ijk"]), tuple(given["origin_lps"]), tuple(given["spacing"]),
                            np.asarray(given["direction_lps"]))
        volume = Volume(_nothing(geometry), geometry, path.stem)
        plans = [_from_json(one, volume) for one in places["plans"]]
        return LevelVolumes(plans, places["weights"], {"": [file[f"arr_{n}"] for n in range(len(plans))]})[""]


def _nothing(geometry: Geometry) -> FloatArray:
    """Zeros of a grid's shape that take no memory."""
    return np.broadcast_to(np.float32(0.0), geometry.shape_kji)


def _without_voxels(plan: Plan) -> Plan:
    """A plan that does not keep the scan alive: maps are placed by its numbers alone."""
    volume = replace(plan.volume, array=_nothing(plan.volume.geometry))
    return replace(plan, volume=volume)  # type: ignore[type-var]


def _to_json(plan: Plan) -> dict[str, Any]:
    if isinstance(plan, SlicePlan):
        return {"plane": plan.plane, "indices": list(plan.indices), "fits": [asdict(plan.rows), asdict(plan.columns)]}
    assert isinstance(plan, VolumePlan)
    return {"plane": None, "fits": [asdict(fit) for fit in plan.fits]}


def _from_json(given: Mapping[str, Any], volume: Volume) -> Plan:
    fits, plane, scale = [AxisFit(**fit) for fit in given["fits"]], given["plane"], Scale(0.0, 1.0)
    if plane is None:
        return VolumePlan(volume, (fits[0], fits[1], fits[2]), scale)
    return SlicePlan(volume, plane, volume.geometry.axis_of(plane), tuple(given["indices"]), fits[0], fits[1], scale)
