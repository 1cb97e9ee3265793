"""A scan from file to network input: reading, geometry, checks, sampling plan, intensity. No torch.

`read_volume` reads any format, `discover` finds scans in folders, `plan_slices` and `plan_volume` cut what a
model sees.
"""

from ..lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "volume": "Volume read_volume to_sitk volume_from_array",
    "geometry": "Geometry",
    "io.discovery": "Case discover",
    "checks": "assess_fit check_fit check_volume",
    "intensity": "normalize",
    "sampling": "displayed plan_slices plan_volume",
})
