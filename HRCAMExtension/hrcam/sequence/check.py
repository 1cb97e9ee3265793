"""The warning that a scan's sequence is none of those that a model was trained on."""

from __future__ import annotations

from ..errors import InputError
from ..scan.checks import stated
from ..scan.other_models import OtherModels, advice, none_known
from ..scan.sampling import HasMetadata
from ..scan.volume import Volume
from .recognition import recognize

LIMIT = 0.65
"""Evidence against the model's sequences from which a warning is given; chosen on `lgg`, see docs/RESEARCH.md."""

_IN_WORDS = {"T1": "a T1 scan", "T1-CE": "a T1 scan with contrast agent", "FLAIR": "a FLAIR scan", "T2": "a T2 scan",
             "PD": "a proton density scan", "DWI": "a diffusion scan", "CT": "a CT scan"}


def check_sequence(volume: Volume, bundle: HasMetadata, others: OtherModels = none_known) -> str | None:
    """Warn where a scan looks like a sequence that the bundle was not trained on, and name those of the `others` that
    were.

    None where it fits; where the bundle states no ``sequences``; and where name or DICOM state the scan's, which
    `hrcam.scan.checks` compares. Where they state several, of which only some fit ("T1 FLAIR"), the image decides.
    """
    accepted = set(bundle.metadata.get("sequences", ()))
    said = stated(volume)
    fitting = said.sequences & accepted
    told = said.sequences and fitting in (frozenset(), said.sequences)
    if not accepted or told or said.scanner not in (None, "MR"):
        return None
    try:
        found = recognize(volume)
    except InputError:  # said where the model itself reads the scan
        return None
    if said.scanner == "MR":
        accepted.add("CT")
    if found.against(accepted) < LIMIT:
        return None
    strange = {name: one for name, one in found.evidence.items() if name not in accepted}
    likeliest = max(strange, key=lambda name: strange[name])
    return (f"By its contrast this looks like {_IN_WORDS[likeliest]}; the model was made for "
            f"{bundle.metadata['modality']}. {advice([likeliest], others)}")
