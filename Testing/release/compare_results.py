"""Say in which fields two result files differ, for example those that two versions wrote of one scan.

    python Testing/release/compare_results.py OLD_result.json NEW_result.json

``+`` came, ``-`` went, ``~`` changed; long lists, such as the slices, are summed up by their largest difference.
"""

import json
import sys
from pathlib import Path


def differences(old, new, place=""):
    """Lines, one a field."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key not in old:
                yield f"+ {place}/{key}: {new[key]!r:.100}"
            elif key not in new:
                yield f"- {place}/{key}: {old[key]!r:.100}"
            else:
                yield from differences(old[key], new[key], f"{place}/{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        if len(old) > 10:
            if largest := _largest(old, new):
                yield f"~ {place}: {len(old)} entries, numbers differ by {largest:.2g} at most"
        else:
            for number, pair in enumerate(zip(old, new, strict=True)):
                yield from differences(*pair, f"{place}[{number}]")
    elif old != new:
        yield f"~ {place}: {old!r:.90} -> {new!r:.90}"


def _largest(old, new):
    """The largest difference of numbers that both sides have."""
    if isinstance(old, dict) and isinstance(new, dict):
        return max((_largest(old[key], new[key]) for key in old.keys() & new.keys()), default=0.0)
    if isinstance(old, list) and isinstance(new, list):
        return max((_largest(*pair) for pair in zip(old, new, strict=False)), default=0.0)
    return abs(old - new) if isinstance(old, (int, float)) and isinstance(new, (int, float)) else 0.0


if __name__ == "__main__":
    documents = (json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:3])
    print("\n".join(differences(*documents)))
