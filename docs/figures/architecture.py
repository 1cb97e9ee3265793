"""Draw docs/figures/architecture.svg: who uses the engine, its rooms, and which way a volume and the imports go.

Each box names a folder or file; the script fails where one is gone.
"""

from html import escape
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ENGINE, MODULE = "HRCAMExtension/hrcam", "HRCAMModule"

SLICER = ("In 3D Slicer", "slicer", [
    ("panel", f"{MODULE}/HRCAMModuleLib/widget.py"), ("console", f"{MODULE}/HRCAMModuleLib/logic.py"),
    ("batch script", f"{MODULE}/HRCAMBatch.py")])
BESIDE = ("Beside it, as a Python package alone", "beside", [
    ("commands", f"{ENGINE}/cli"), ("cohorts", f"{ENGINE}/cohort"), ("training", "HRCAMExtension/hrcam_train"),
    ("research", "HRCAMExtension/hrcam_research")])
USES = ("hrcam: no Slicer, no Qt, no VTK. What builds on the walk", "engine", [
    ("worker", f"{ENGINE}/worker"), ("batch", f"{ENGINE}/batch"), ("compare", f"{ENGINE}/compare"),
    ("place", f"{ENGINE}/place"), ("align", f"{ENGINE}/align")])
WALK = ("The walk of a volume, from left to right (localize.py)", "walk", [
    ("read, check,", f"{ENGINE}/scan", "prepare"), ("model", f"{ENGINE}/bundle", "data, no code"),
    ("network", f"{ENGINE}/networks", "small CNNs"), ("feature maps,", f"{ENGINE}/cam", "fusion"),
    ("marks, regions,", f"{ENGINE}/run", "result"), ("files, scene,", f"{ENGINE}/output", "DICOM")])
WIDTH, HEIGHT, GAP = 980, 52, 10
COLORS = {"slicer": ("#e8f0fb", "#4477aa"), "beside": ("#f3eef8", "#775599"), "engine": ("#eef7ee", "#228833"),
          "walk": ("#fff7e6", "#bb8800")}


def box(x, y, width, kind, title, path, more=""):
    if not (REPOSITORY / path).exists():
        raise SystemExit(f"{path} is gone: draw the rooms as they are")
    fill, line = COLORS[kind]
    name = Path(path).name + ("/" if (REPOSITORY / path).is_dir() else "")
    texts = [(title, 'font-weight="bold"'), *([(more, 'font-weight="bold"')] if more else []),
             (name, 'font-size="11" font-family="monospace"')]
    first = y + (HEIGHT + 14 * bool(more)) / 2 - 8 * (len(texts) - 1) + 5
    lines = [f'<text x="{x + width / 2}" y="{first + 17 * n}" text-anchor="middle" {style}>{escape(text)}</text>'
             for n, (text, style) in enumerate(texts)]
    return (f'<rect x="{x}" y="{y}" width="{width}" height="{HEIGHT + 14 * bool(more)}" rx="6" fill="{fill}" '
            f'stroke="{line}"/>{"".join(lines)}')


def row(group, x, y, whole):
    label, kind, boxes = group
    width = (whole - GAP * (len(boxes) - 1)) / len(boxes)
    return [f'<text x="{x}" y="{y - 9}" fill="#555">{escape(label)}</text>',
            *(box(x + n * (width + GAP), y, width, kind, *one) for n, one in enumerate(boxes))]


def arrow(x, y, length):
    return f'<path d="M{x} {y} v{length} m-5 -7 l5 7 l5 -7" stroke="#555" fill="none"/>'


def onward(x, y):
    return f'<path d="M{x} {y} h{GAP} m-5 -4 l5 4 l-5 4" stroke="#555" fill="none"/>'


def main():
    left, right = 400, WIDTH - 20 - 400 - 40
    parts = [*row(SLICER, 10, 34, left), *row(BESIDE, 10 + left + 40, 34, right),
             arrow(10 + left / 2, 90, 26), arrow(10 + left + 40 + right / 2, 90, 26),
             *row(USES, 10, 144, WIDTH - 20), arrow(WIDTH / 2, 200, 26), *row(WALK, 10, 254, WIDTH - 20)]
    step = (WIDTH - 20 + GAP) / len(WALK[2])
    parts += [onward(10 + n * step - GAP, 254 + (HEIGHT + 14) / 2) for n in range(1, len(WALK[2]))]
    parts.append('<text x="10" y="350" fill="#555">Imports go downwards alone (make lint); below all: schemas, words, '
                 'atomic files, errors.</text>')
    svg = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 364" font-family="sans-serif" '
           f'font-size="13"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n')
    path = Path(__file__).parent / "architecture.svg"
    path.write_text(svg, encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
