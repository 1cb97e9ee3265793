"""US spelling in code, documentation and what users read."""

import re
import subprocess

import pytest
from documents import REPOSITORY

BRITISH = re.compile(
    r"\b(?:\w*colour\w*|centre[ds]?\b|centring|grey\w*|\w*neighbour\w*|behaviour\w*|favour\w*|tumour\w*|honour\w*"
    r"|\w*(?:milli|centi|kilo)?metres?\b|\w*litres?\b|fibre\w*|labell(?:ed|ing)|modell(?:ed|ing)|travell(?:ed|ing)"
    r"|analyse[ds]?|analysing|catalogue\w*|artefact\w*|programmes?|defence|licence\w*|ageing|judgement"
    r"|(?:normal|optim|minim|maxim|initial|random|regular|standard|summar|visual|local|categor|organ|recogn|real"
    r"|serial|general|special|character|emphas|penal|harmon|quant|binar|color|vector|token|parameter|final)"
    r"is(?:e[drs]?|ing|ations?)\b)", re.IGNORECASE)  # fmt: skip
NAMES = ("Imaging Centre", "localiser")
"""An institute, and a word of scanners; `cancelled` is right in both, and a public name."""
SKIPPED = ("docs/results/", "docs/bench/", "Testing/support/version_0_1_0/", "Testing/release/test_spelling.py")
SUFFIXES = (".py", ".md", ".ui", ".toml", ".yaml", ".cff", ".sh", ".html", ".json", ".svg", ".txt")


def british_words(text):
    for name in NAMES:
        text = text.replace(name, "")
    return BRITISH.findall(text)


def test_words_are_spelled_as_in_the_united_states():
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a clone")
    wrong = []
    for file in listed.stdout.splitlines():
        path = REPOSITORY / file
        if file.endswith(SUFFIXES) and not file.startswith(SKIPPED) and path.is_file():
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                wrong += [f"{file}:{number}: {word}" for word in british_words(line)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("word", ["Colour", "centre", "neighbouring", "millimetres", "normalisation", "analysed"])
def test_british_words_are_noticed(word):
    assert british_words(f"The {word} of it") == [word]


@pytest.mark.parametrize("word", ["center", "precise", "parameter", "cancelled", "Brain Imaging Centre", "perimeter"])
def test_other_words_are_not(word):
    assert british_words(f"The {word} of it") == []
