"""Where a file comes from, in a few words that fit into the headers of images and pictures."""

from __future__ import annotations

import json

from ..run.result import RESEARCH_USE, Result


def provenance_of(result: Result) -> dict[str, str]:
    """What made a file, of what, and what it is not for, as keys of a header: versions, checksums, options.

    The scan's path stays out, because folder names may name a patient.
    """
    provenance = result.provenance
    model, scan = provenance.get("model", {}), provenance.get("input", {})
    return {
        "HRCAM.IntendedUse": RESEARCH_USE,
        "HRCAM.Version": str(provenance.get("hrcam_version", "")),
        "HRCAM.Created": str(provenance.get("created", "")),
        "HRCAM.Model": f"{model.get('name', '')} {model.get('version', '')}".strip(),
        "HRCAM.ModelSHA256": str(model.get("sha256", "")),
        "HRCAM.InputSHA256": str(scan.get("content_hash", "")),
        "HRCAM.Options": json.dumps(provenance.get("options", {})),
        "HRCAM.Warnings": str(len(result.warnings)),
    }
