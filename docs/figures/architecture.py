"""Draw docs/figures/architecture.svg: the rooms that a volume passes through, and who uses them."""

from html import escape
from pathlib import Path

WALK = [("read", "volume.py"), ("check", "checks.py"), ("prepare", "prepare.py"), ("forward", "model.py, taps.py"),
        ("fuse", "fusion.py"), ("back to the grid", "prepare.py"), ("levels", "evidence.py"), ("regions", "regions.py"),
        ("result", "result.py")]
SLICER = [("panel", "HRCAMModule.py, widget.py"), ("console", "logic.py"), ("batch in Slicer", "HRCAMBatch.py")]
ENGINE = [("worker", "worker.py"), ("commands", "cli.py, batch.py"), ("Python", "localize.py")]
OUT = [("scene", "scene_results.py"), ("files", "writers.py, overview.py, scene.py")]
WIDTH, BOX, GAP, TOP = 1010, 100, 8, 30
STYLE = {"slicer": ("#e8f0fb", "#4477aa"), "engine": ("#eef7ee", "#228833"), "walk": ("#fff7e6", "#bb8800")}


def box(x, y, width, title, files, kind):
    fill, line = STYLE[kind]
    return (f'<rect x="{x}" y="{y}" width="{width}" height="50" rx="6" fill="{fill}" stroke="{line}"/>'
            f'<text x="{x + width / 2}" y="{y + 21}" text-anchor="middle" font-weight="bold">{escape(title)}</text>'
            f'<text x="{x + width / 2}" y="{y + 39}" text-anchor="middle" font-size="10">{escape(files)}</text>')


def row(boxes, y, width, kind, label):
    start = (WIDTH - len(boxes) * width - (len(boxes) - 1) * GAP) / 2
    parts = [f'<text x="{start}" y="{y - 8}" fill="#555">{escape(label)}</text>']
    return parts + [box(start + n * (width + GAP), y, width, *one, kind) for n, one in enumerate(boxes)]


def arrow(y):
    x = WIDTH / 2
    return f'<path d="M{x} {y} v20 m-5 -7 l5 7 l5 -7" stroke="#555" fill="none"/>'


def main():
    parts = row(SLICER, TOP, 230, "slicer", "HRCAMModule: 3D Slicer, Qt, MRML")
    parts += [arrow(TOP + 54), *row(ENGINE, TOP + 100, 230, "engine", "hrcam: no Slicer, no Qt, no VTK")]
    parts.append(arrow(TOP + 154))
    parts += row(WALK, TOP + 200, BOX + 4, "walk", "the walk of a volume, forward only")
    parts += [arrow(TOP + 254), *row(OUT, TOP + 300, 300, "slicer", "what comes out")]
    svg = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {TOP + 360}" font-family="sans-serif" '
           f'font-size="13"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n')
    path = Path(__file__).parent / "architecture.svg"
    path.write_text(svg, encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
