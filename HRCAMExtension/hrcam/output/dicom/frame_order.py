"""Frames of a made object in the order in which readers stack them: along the normal of the slices, upwards.

highdicom writes the highest slice first. dcmqi's converter, which is behind 3D Slicer's import of parametric maps,
takes the first frame for the lowest slice (paramap2itkimage 1.5.7), and GDCM, which is behind ITK, counts distances
upwards and along whole stacks (ComputeZSpacingFromIPP).
"""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import pack_bits, unpack_bits


def order_upwards(dataset: Dataset) -> None:
    """Sort the frames of a Segmentation (each segment by itself) or Parametric Map that highdicom made, in place.

    Pixels of one bit or 32-bit floats, uncompressed; one shared orientation.
    """
    groups = list(dataset.PerFrameFunctionalGroupsSequence)
    (shared,) = dataset.SharedFunctionalGroupsSequence
    axes = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    normal = np.cross(axes[:3], axes[3:])
    along = [float(normal @ np.array(one.PlanePositionSequence[0].ImagePositionPatient, float)) for one in groups]
    order = sorted(range(len(groups)), key=lambda n: (_segment(groups[n]), along[n]))
    places = sorted({round(place, 4) for place in along})
    for group, place in zip(groups, along, strict=True):
        indices = group.FrameContentSequence[0]
        values = np.atleast_1d(indices.DimensionIndexValues).tolist()
        indices.DimensionIndexValues = [*values[:-1], 1 + places.index(round(place, 4))]
    dataset.PerFrameFunctionalGroupsSequence = [groups[n] for n in order]
    if "FloatPixelData" in dataset:
        frames = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(len(groups), -1)
        dataset.FloatPixelData = frames[order].tobytes()
    else:
        voxels = len(groups) * dataset.Rows * dataset.Columns
        frames = np.asarray(unpack_bits(dataset.PixelData))[:voxels].reshape(len(groups), -1)
        dataset.PixelData = pack_bits(frames[order])


def _segment(group: Dataset) -> int:
    """Number of a frame's segment; 0 in a map."""
    found = group.get("SegmentIdentificationSequence")
    return int(found[0].ReferencedSegmentNumber) if found else 0
