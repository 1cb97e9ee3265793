"""The recipe of the bundle `brain-lesion`: any brain MR scan in, "lesion" or "no lesion" and where.

``python -m hrcam_research.brain_lesion --data DATA --out FOLDER``. It learns from generated heads in any contrast and
from real slices without a lesion, both with synthetic lesions of known place; no human outline is ever opened.
"""
