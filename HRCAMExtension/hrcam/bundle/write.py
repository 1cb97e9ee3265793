"""Write model bundles: complete or not at all."""

import datetime
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BundleError
from .bundle import CARD, METADATA, WEIGHTS, Bundle, check_metadata, load_bundle
from .install import replacing_folder

if TYPE_CHECKING:
    from ..cam.model import HRCAM


def save_bundle(
    folder: str | os.PathLike[str],
    hrcam: "HRCAM",
    metadata: Mapping[str, Any],
    card: str = "",
    overwrite: bool = False,
    allow_import: bool = False,
) -> Bundle:
    """Write a bundle folder, atomically, and return it as read back.

    Parameters
    ----------
    folder : the bundle's own folder; it may not exist unless `overwrite`.
    metadata : as in ``schemas/bundle.schema.json``; ``format``, ``format_version``, ``levels``, ``fusion``, ``sha256``
        and (unless given) ``created`` are filled in from the network and the weights.
    card : text of the model card.
    allow_import : needed where the architecture is a network of your own, ``import:MODULE:CALLABLE``.

    Raises
    ------
    BundleError : the metadata are not valid or do not describe this network.
    OutputError : the folder exists, or cannot be written.
    """
    import safetensors.torch
    import torch

    target = Path(folder)
    tensors = {}
    for name, tensor in hrcam.state_dict().items():
        half = tensor.detach().cpu().contiguous()
        if half.is_floating_point() and half.numel():
            # What half precision cannot hold (a batch norm's huge variance) stays in single.
            half = half.float() if half.abs().max() > torch.finfo(torch.float16).max else half.half()
        tensors[name] = half.clone()
    weights = safetensors.torch.save(tensors)
    document = {"created": datetime.date.today().isoformat()} | dict(metadata)
    document |= {
        "format": "hrcam-bundle",
        "format_version": 1,
        "levels": [level.name for level in hrcam.levels],
        "fusion": hrcam.fusion,
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    try:
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise BundleError(
            f"The model's metadata cannot be written as JSON: {error}.", "Give plain finite numbers."
        ) from error
    check_metadata(document, allow_import)
    with replacing_folder(target, overwrite) as temporary:
        (temporary / METADATA).write_text(text, "utf-8")
        (temporary / WEIGHTS).write_bytes(weights)
        if card:
            (temporary / CARD).write_text(card, "utf-8")
        load_bundle(temporary, allow_import).build()  # what is written can be read: architecture and weights fit
    return load_bundle(target, allow_import)
