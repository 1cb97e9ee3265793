"""Speed and memory, as ratios within one run: ``make bench``.

Prints tables, and writes them as ``docs/bench/VERSION.json`` and into ``docs/PERFORMANCE.md``: what the evidence map
costs beside the plain forward pass of the same network, what other engines and other libraries take, and what a whole
scan takes from its file to its saved results. Runs take turns and count processor time, so that a machine that is busy
with something else changes little (`timing`).
"""

import argparse
import json
import os
import platform
import re
import subprocess
from pathlib import Path

import torch
from alternatives import engines, map_cost, rivals
from hrcam import __version__
from hrcam.bundle.bundle import DEFAULT_MODEL
from hrcam.errors import ModelError
from hrcam.run.memory import keep_memory
from networks import NETWORKS, wrapped
from roof import shares
from volume import measure

DOCS = Path(__file__).parents[2] / "docs"
MARKED = re.compile(r"(<!-- bench: written by make bench -->\n).*(<!-- bench: end -->)", re.DOTALL)


def records(repeats, say):
    """Rows of map costs, engines and rivals for every network and batch size."""
    costs, on_engines, by_rivals = [], [], []
    for name, (build, size, batches) in NETWORKS.items():
        network = wrapped(build)
        for batch in batches:
            images, which = torch.rand(batch, 1, *size), {"network": name, "batch": batch}
            costs.append(which | map_cost(network, images, repeats))
            say(costs[-1])
            if batch != batches[0]:
                continue  # engines and rivals at one size are enough
            on_engines.extend(which | row for row in engines(network, images, max(2, repeats // 2)))
            try:
                by_rivals.extend(which | row for row in rivals(network, images, max(2, repeats // 3)))
            except ModelError as error:
                print(f"Rivals left out: {error}")
    return {"map_cost": costs, "engines": on_engines, "rivals": by_rivals, "roof": shares(max(2, repeats // 2))}


def tables(document):
    """The record as Markdown."""
    jobs = document["localize"]
    parts = [
        f"HR-CAM {document['hrcam']} ({document['commit']}), PyTorch {document['torch']}, "
        f"{document['threads']} thread, {document['cpu']}; "
        f"load of other programs {document['load']:.1f} on {document['cores']} cores.",
        "**The fused map beside the plain forward pass**: ratio of time / of peak memory.",
        _table(("network", "batch", "plain pass", "map of a class named before", "map of the likeliest class"), [
            (row["network"], row["batch"], f"{row['plain_cpu_ms']:.0f} ms",
             *(f"{row[f'time_{kind}']:.2f} / {row[f'memory_{kind}']:.2f}" for kind in ("one_class", "any_class")))
            for row in document["map_cost"]]),
        "**Other libraries' maps** of the same networks in the same run: ratio of time / of peak memory.",
        _table(("method", *_columns(document["rivals"])), _pivot(
            document["rivals"], lambda row: f"{row['method']} ({row['package']})",
            lambda row: f"{row['time']:.2f} / {row['memory']:.2f}")),
        "**Engines**: logits and level maps, ratio of time to eager PyTorch (largest difference, in shares of a "
        "level's greatest evidence).",
        _table(("engine", *_columns(document["engines"])), _pivot(
            document["engines"], lambda row: row["engine"],
            lambda row: f"{row['ratio']:.2f} ({row['difference']:.0e})")),
        "**Share of the processor's roof**: arithmetic a second of logits and level maps beside that of a matrix "
        "product in fp32, same threads and run.",
        _table(("model", "arithmetic an image", *dict.fromkeys(row["engine"] for row in document["roof"])), _by_model(
            document["roof"])),
        f"**A whole scan**, {' × '.join(map(str, jobs[0]['size_ijk']))} voxels, all slices with tissue: from the file "
        "to the saved results, beside the plain forward passes of its slices in eager PyTorch.",
        _table(("model", "plain passes", "engine", "ratio to the plain passes", "largest difference of the map",
                "reading", "localizing", "writing", "together"), [
            (job["model"], f"{job['plain_cpu_s']:.1f} s", name, f"**{row['ratio']:.2f}**",
             f"{row['difference']:.0e} of its peak",
             *(f"{row[part]:.2f} s" for part in ("reading", "localizing", "writing")), f"{row['cpu_s']:.1f} s")
            for job in jobs for name, row in job["engines"].items()]),
        f"Shares of its processor time, from a profile of {jobs[0]['model']}:",
        _table(("part", *jobs[0]["profile"]), [
            (part, *(f"{shares[part]:.0%}" for shares in jobs[0]["profile"].values()))
            for part in next(iter(jobs[0]["profile"].values()))]),
    ]
    return "\n\n".join(parts) + "\n"


def _columns(rows):
    return list(dict.fromkeys(f"{row['network']}, batch {row['batch']}" for row in rows))


def _pivot(rows, label, cell):
    """One line a label, one column a network and batch."""
    found = {}
    for row in rows:
        found.setdefault(label(row), {})[f"{row['network']}, batch {row['batch']}"] = cell(row)
    return [(name, *(cells.get(column, "") for column in _columns(rows))) for name, cells in found.items()]


def _by_model(rows):
    """One line a model, one column an engine."""
    found = {}
    for row in rows:
        found.setdefault((row["model"], f"{row['gflop_an_image']:.1f} GFLOP"), []).append(f"{row['share']:.0%}")
    return [(*model, *cells) for model, cells in found.items()]


def _table(heads, rows):
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def cpu_name():
    """The processor's name, as the system states it."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


def commit():
    """The commit that is measured, short; "+" where files were changed since."""
    asked = ["git", "-C", str(DOCS), "describe", "--always", "--exclude=*", "--dirty=+"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or "no commit"


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=[DEFAULT_MODEL, "t1ce-tumor"], help="bundles for the whole scan")
    parser.add_argument("--repeats", type=int, default=6, help="turns of each comparison")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder with PERFORMANCE.md and bench/")
    parser.add_argument("--verbose", action="store_true", help="print every row as it is measured")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    keep_memory()  # as the command and the worker do
    say = print if options.verbose else lambda row: None
    jobs = [measure(model, max(1, options.repeats // 3)) for model in options.model]
    say(jobs)
    document = {
        "hrcam": __version__, "commit": commit(), "torch": torch.__version__, "threads": torch.get_num_threads(),
        "cpu": cpu_name(), "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, "localize": jobs,
        **records(options.repeats, say),
    }
    text = tables(document)
    print(text)
    (options.docs / "bench").mkdir(parents=True, exist_ok=True)
    (options.docs / "bench" / f"{__version__}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    page = options.docs / "PERFORMANCE.md"
    if page.exists():
        written = MARKED.sub(lambda marks: f"{marks[1]}\n{text}\n{marks[2]}", page.read_text(encoding="utf-8"))
        page.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
