"""What tests read from the documents: code blocks, commands, quoted messages."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.glob("*.md"))]


def code_blocks(page, language):
    """Contents of a page's fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(page, program):
    """Command lines of one program in a page's console blocks and in backticks, without comments and prompts."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:console|bash|sh|text)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`([^`\n]+)`", text)
    found = (re.match(rf"(?:\$ |\.venv/bin/)?({program} [^#|;&>]*)", line.strip()) for line in lines)
    return [match.group(1).strip() for match in found if match]
