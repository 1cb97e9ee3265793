"""The folder of a run: of one training only, continued when asked to, written by one process."""

import json
from pathlib import Path
from typing import Any

from hrcam.errors import OutputError
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from hrcam_train.config import TrainConfig

CONFIG = "config.json"


def is_first() -> bool:
    """Whether this process writes: with DDP, every process runs all of this file."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def open_folder(config: TrainConfig, out: Path, resume: bool) -> None:
    """Refuse to mix two runs; how it runs (trainer, workers) may change between them.

    Settings that stopped before anything was prepared are no run: corrected ones take their place.
    """
    if not is_first():
        return
    document = config.model_dump(mode="json", exclude={"trainer": True, "train": {"workers"}})
    known = out / CONFIG
    others = {entry.name for entry in out.iterdir()} - {CONFIG} if out.exists() else set()
    if known.exists() and (others or not _is_settings(known, document)):
        if not resume:
            raise OutputError(f"{out} holds a run already.", "Continue it with --resume, or choose another folder.")
        before = json.loads(known.read_text(encoding="utf-8"))
        changed = [key for key in document if document[key] != before.get(key)]
        if changed:
            raise OutputError(
                f"The run in {out} was started with other settings of {', '.join(changed)}.",
                "Resume with the same configuration, or choose another folder.",
            )
    else:
        if others:
            raise OutputError(f"{out} is not empty and holds no run.", "Choose another folder.")
        out.mkdir(parents=True, exist_ok=True)
        known.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _is_settings(file: Path, document: dict[str, Any]) -> bool:
    """Whether a file has settings as `document` has them: else it is somebody else's."""
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(held, dict) and held.keys() == document.keys()
