"""Registration of two images of one head, or of a head and a template, and whether it succeeded.

`align` is rigid, of one person at two dates; `align_to_template` affine, to the MNI template.
"""

from ..lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "rigid": "Alignment align",
    "affine": "TemplateAlignment align_to_template",
})
