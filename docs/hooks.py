"""MkDocs hook: pages and pictures that are made from other files of the repository when the manual is built.

Model cards, error messages and the public interface are read from where they are kept, so they cannot grow old.
"""

import ast
import re
from pathlib import Path

from mkdocs.structure.files import File

REPOSITORY = Path(__file__).resolve().parents[1]
SCREENSHOTS = REPOSITORY / "Resources" / "Screenshots"
MODELS = REPOSITORY / "HRCAMExtension" / "hrcam" / "models"
REPOSITORY_URL = "https://github.com/HRCAM/HRCAMExtension/blob/main"
CODE = ("HRCAMExtension/hrcam", "HRCAMModule")
REPORTS = {
    "RESULTS.md": ("Results", "make evaluate"),
    "PERFORMANCE.md": ("Performance", "make bench"),
    "RELIABILITY.md": ("Reliability", "make reliability"),
}
"""Pages that measurements write."""


def on_files(files, config):
    """Add the made pages."""
    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    for name, (title, command) in REPORTS.items():
        if files.get_file_from_path(name) is None:
            text = f"# {title}\n\nNot measured for this checkout yet: `{command}` writes this page.\n"
            files.append(File.generated(config, name, content=text))
    for picture in sorted(SCREENSHOTS.glob("*.png")):
        files.append(File.generated(config, f"screenshots/{picture.name}", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown, **_):
    """Screenshots as the manual has them: its sources name them where a reader of the repository sees them too."""
    return markdown.replace("](../Resources/Screenshots/", "](screenshots/")


def pages():
    """File name → Markdown of the made pages."""
    return {
        "models.md": model_cards(),
        "messages.md": messages_page(),
        "public-api.md": public_interface(),
        "changelog.md": (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"),
        "contributing.md": _outside_links((REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")),
    }


def model_cards():
    """The cards of all bundled models, one after the other."""
    parts = ["# Model cards\n\nOf the models that come with HR-CAM, as written by their training. "
             "`hrcam models` lists yours too."]
    for path in sorted(MODELS.glob("*/metadata.json")):
        card = path.with_name("MODEL_CARD.md")
        text = card.read_text(encoding="utf-8") if card.is_file() else f"# {path.parent.name}\n\nNo card."
        shown = re.sub(r"^(#+) ", r"#\1 ", text, flags=re.MULTILINE)
        # A card's own links and pictures are relative to its folder, which is not part of the manual.
        folder = f"{REPOSITORY_URL}/{path.parent.relative_to(REPOSITORY).as_posix()}"
        parts.append(re.sub(r"\]\((?!https?://|#)([^)\s]+)\)", rf"]({folder}/\1)", shown))
    if len(parts) == 1:
        parts.append("No model is bundled in this checkout.")
    return "\n\n".join(parts) + "\n"


def messages():
    """All messages of expected errors: (kind, message, hint, file), with … for what is filled in."""
    found = set()
    for path in (path for folder in CODE for path in sorted((REPOSITORY / folder).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _name(node.func).endswith("Error"):
                texts = [text for text in map(text_of, node.args) if text]
                if texts and " " in texts[0].strip("…. "):
                    hint = texts[1] if len(texts) > 1 else ""
                    found.add((_name(node.func), texts[0], hint, path.relative_to(REPOSITORY).as_posix()))
    return sorted(found)


def text_of(node):
    """The text of a string expression, also a translated one, with … for what is filled in; None for anything else."""
    if isinstance(node, ast.Constant):
        return re.sub(r"\{\w*(![rsa])?(:[^{}]*)?\}", "…", node.value) if isinstance(node.value, str) else None
    if isinstance(node, ast.Call) and _name(node.func) == "format":
        return text_of(getattr(node.func, "value", None))
    if isinstance(node, ast.Call) and _name(node.func) in ("_", "tr") and node.args:
        return text_of(node.args[0])
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return None


def messages_page():
    """Table of all messages, by kind."""
    lines = ["# All messages", "", "From the code, by kind of error. `…` stands for names and numbers. "
             "More on the common ones: [Troubleshooting](troubleshooting.md)."]
    kinds = {"InputError": "The scan or the data cannot be used", "ModelError": "The network or a computation",
             "BundleError": "The model's folder", "OutputError": "Results cannot be written",
             "DependencyError": "Packages are missing in Slicer", "ProtocolError": "Requests to the worker"}
    listed = [entry for entry in messages() if entry[0] in kinds]
    for kind, title in kinds.items():
        own = [entry for entry in listed if entry[0] == kind]
        if own:
            lines += ["", f"## {title} (`{kind}`)", "", "| Message | What to do |", "|---|---|"]
            lines += dict.fromkeys(f"| {_cell(message)} | {_cell(hint)} |" for _, message, hint, _ in own)
    return "\n".join(lines) + "\n"


def public_interface():
    """The accepted names, in a block a part."""
    text = (REPOSITORY / "docs" / "public-api.txt").read_text(encoding="utf-8")
    parts = [part.partition("\n") for part in text.strip().split("# ")[1:]]
    blocks = [f"## {title}\n\n```text\n{body.strip()}\n```" for title, _, body in parts]
    head = ("# Public interface\n\nWhat users' code and scripts may rely on: a test compares this list with the code. "
            "Everything else may change with any version.")
    return "\n\n".join([head, *blocks]) + "\n"


def _outside_links(text):
    """Links as seen from docs/ instead of the repository's top."""
    text = re.sub(r"\]\(docs/([^)]+)\)", r"](\1)", text)
    return re.sub(r"\]\((?!https?://)([A-Z_]+\.md)\)", rf"]({REPOSITORY_URL}/\1)", text)


def _cell(text):
    """Text for a table, its special characters taken literally."""
    return re.sub(r"([|<>*_`\[\]\\#])", r"\\\1", " ".join(text.split()))


def _name(function):
    return getattr(function, "id", getattr(function, "attr", ""))
