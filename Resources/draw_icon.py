"""Draw the extension's icon: a head seen from above with nested evidence levels. Run from the repository root.

    python Resources/draw_icon.py
"""

from pathlib import Path

from PIL import Image, ImageDraw

SIZE, SMOOTH = 128, 4
TARGETS = ("Resources/Icons/HRCAMExtension.png", "HRCAMModule/Resources/Icons/HRCAMModule.png")
HEAD, BRAIN, FISSURE = (38, 50, 72, 255), (196, 203, 214, 255), (150, 158, 172, 255)
LEVELS = ((26, (250, 214, 60, 255)), (18, (247, 131, 25, 255)), (10, (200, 22, 40, 255)))


def draw() -> Image.Image:
    """The icon, 128 x 128 pixels, transparent around the head."""
    image = Image.new("RGBA", (SIZE * SMOOTH, SIZE * SMOOTH), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)

    def oval(x: float, y: float, rx: float, ry: float, color: tuple[int, int, int, int]) -> None:
        pen.ellipse([(x - rx) * SMOOTH, (y - ry) * SMOOTH, (x + rx) * SMOOTH, (y + ry) * SMOOTH], fill=color)

    pen.polygon([(x * SMOOTH, y * SMOOTH) for x, y in ((54, 10), (64, 1), (74, 10))], fill=HEAD)
    oval(64, 66, 52, 60, HEAD)
    oval(64, 66, 44, 52, BRAIN)
    pen.line([(64 * SMOOTH, 18 * SMOOTH), (64 * SMOOTH, 114 * SMOOTH)], fill=FISSURE, width=3 * SMOOTH)
    for radius, color in LEVELS:
        oval(82, 54, radius, radius * 0.92, color)
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    for target in TARGETS:
        path = Path(__file__).resolve().parents[1] / target
        path.parent.mkdir(parents=True, exist_ok=True)
        draw().save(path, optimize=True)
        print(path.name, path.stat().st_size, "bytes")
