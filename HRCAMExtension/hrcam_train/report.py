"""How well a training went, in numbers with intervals by patient, in words and in pictures."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

RESAMPLES = 1000
SEED = 0
FEWEST_PATIENTS = 10
"""Fewer carry no figure of patients, and no interval."""


@dataclass(frozen=True, eq=False)
class Probabilities:
    """Probabilities N×K, truth N, and whose each is."""

    probabilities: Floats
    labels: Labels
    patients: npt.NDArray[np.str_]

    def of_patients(self) -> "Probabilities":
        """One row a patient and label: the mean of the probabilities."""
        keys = sorted(set(zip(self.patients.tolist(), self.labels.tolist(), strict=True)))
        means = [self.probabilities[(self.patients == p) & (self.labels == c)].mean(0) for p, c in keys]
        return Probabilities(np.array(means), np.array([c for _, c in keys]), np.array([p for p, _ in keys]))


def join(rows: Sequence[Probabilities]) -> Probabilities:
    """All rows of several folds."""
    return Probabilities(
        np.concatenate([a.probabilities for a in rows]),
        np.concatenate([a.labels for a in rows]),
        np.concatenate([a.patients for a in rows]),
    )


def summarize(images: Probabilities, cases: Probabilities, classes: Sequence[str]) -> dict[str, Any]:
    """Metrics per image and per patient, each with its 95 % interval by patient.

    Parameters
    ----------
    images : one row a slice (2D), or a volume (3D).
    cases : one row a scan; patients' rows are means over their scans.
    """
    whole = cases.of_patients()
    return {
        "images": _metrics(images),
        "patients": _metrics(whole),
        "confusion": {
            "classes": list(classes),
            "patients": confusion_matrix(
                whole.labels, whole.probabilities.argmax(1), labels=range(len(classes))
            ).tolist(),
        },
    }


def _metrics(rows: Probabilities) -> dict[str, Any]:
    """Values, and 95 % percentile intervals of the bootstrap over patients; None where a class is missing."""
    patients, owner = np.unique(rows.patients, return_inverse=True)
    rng = np.random.default_rng(SEED)
    # A resample is how often each patient was drawn: a weight of all rows of that patient.
    times = rng.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), RESAMPLES)
    found: dict[str, Any] = {"count": len(rows.labels), "patients": len(patients)}
    for name, metric in (("balanced_accuracy", balanced_accuracy), ("auc", auc)):
        value = float(metric(rows, np.ones((1, len(owner))))[0])
        resampled = np.concatenate([metric(rows, part[:, owner]) for part in np.array_split(times, RESAMPLES // 50)])
        resampled = resampled[np.isfinite(resampled)]  # a resample without one of the classes says nothing
        known = np.isfinite(value) and len(patients) > 1
        low, high = np.quantile(resampled, [0.025, 0.975]).tolist() if known else (None, None)
        found[name] = {"value": value if np.isfinite(value) else None, "low": low, "high": high}
    return found


def balanced_accuracy(rows: Probabilities, weights: npt.NDArray[Any]) -> Floats:
    """Mean of the classes' recalls, for each row of R×N weights; NaN where a class has no weight."""
    hits = rows.probabilities.argmax(1) == rows.labels
    recalls = []
    for c in range(rows.probabilities.shape[1]):
        own = rows.labels == c
        with np.errstate(invalid="ignore"):
            recalls.append(weights[:, own & hits].sum(1) / weights[:, own].sum(1))
    return np.asarray(np.mean(recalls, axis=0))


def auc(rows: Probabilities, weights: npt.NDArray[Any]) -> Floats:
    """ROC AUC of each class against the rest, averaged, for each row of R×N weights; NaN where one has no weight.

    The share of pairs that are in order, ties counting half (Mann and Whitney 1947).
    """
    areas = []
    for c in range(rows.probabilities.shape[1]):
        order = np.argsort(rows.probabilities[:, c], kind="stable")
        score, ordered = rows.probabilities[order, c], weights[:, order]
        starts = np.flatnonzero(np.r_[True, np.diff(score) > 0])
        positive = rows.labels[order] == c
        own_class, others = (np.add.reduceat(ordered * chosen, starts, axis=1) for chosen in (positive, ~positive))
        below = np.cumsum(others, axis=1) - others / 2
        with np.errstate(invalid="ignore"):
            areas.append((own_class * below).sum(1) / (own_class.sum(1) * others.sum(1)))
    return np.asarray(np.mean(areas, axis=0))


def write_report(folder: Path, report: dict[str, Any]) -> None:
    """Write `report.json` and `report.md`."""
    (folder / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / "report.md").write_text(to_markdown(report), "utf-8")


def to_markdown(report: dict[str, Any]) -> str:
    """The report in words and tables."""
    lines = [f"# {report['title']}", "", report["description"].strip(), "", *_data_lines(report)]
    for key, title in (("cross_validation", "Cross-validation, out of fold"), ("validation", "Validation patients")):
        if key in report:
            lines += ["", f"## {title}", "", *_metric_table(report[key]), "", *_confusion_table(report[key])]
    lines += ["", "## Head", "", f"{report['head']['text']}", "", "## Calibration", ""]
    lines += [f"Temperature {report['calibration']['temperature']:.3g}.", ""]
    lines += ["| level | evidence (logits) | scans without the class that show any | share of their area |"]
    lines += ["|---|---|---|---|"]
    for level in report["calibration"]["levels"]:
        lines += [f"| {level['name']} | {level['threshold']:.3g} | {level['scans']:.1%} | {level['area']:.3%} |"]
    lines += ["", "## Limits", "", report["limits"], "", report["intended_use"], ""]
    return "\n".join(lines)


def _data_lines(report: dict[str, Any]) -> list[str]:
    lines = ["## Data", "", "| split | class | scans | images | patients |", "|---|---|---|---|---|"]
    for split, classes in report["data"].items():
        lines += [
            f"| {split} | {name} | {n['scans']} | {n['images']} | {n['patients']} |" for name, n in classes.items()
        ]
    return lines


def _metric_table(metrics: dict[str, Any]) -> list[str]:
    lines = ["| per | number | patients | balanced accuracy (95 %) | AUC (95 %) |", "|---|---|---|---|---|"]
    for unit, singular in (("images", "image"), ("patients", "patient")):
        m = metrics[unit]
        few = m["patients"] < FEWEST_PATIENTS
        if few and unit == "patients":
            values = "left out | so few carry no figure"
        else:
            values = " | ".join(_interval(m[name], few) for name in ("balanced_accuracy", "auc"))
        lines.append(f"| {singular} | {m['count']} | {m['patients']} | {values} |")
    return lines


def _confusion_table(metrics: dict[str, Any]) -> list[str]:
    names = metrics["confusion"]["classes"]
    lines = ["| truth (patients) | " + " | ".join(f"called {n}" for n in names) + " |", "|---" * (len(names) + 1) + "|"]
    rows = zip(names, metrics["confusion"]["patients"], strict=True)
    return lines + [f"| {name} | " + " | ".join(map(str, row)) + " |" for name, row in rows]


def _interval(found: dict[str, float | None], few: bool = False) -> str:
    if found["value"] is None:
        return "not defined: a class is missing"
    if few:
        return f"{found['value']:.2f} (too few patients for an interval)"
    interval = "" if found["low"] is None else f" ({found['low']:.3f} to {found['high']:.3f})"
    return f"{found['value']:.3f}{interval}"


def draw_curves(folders: Sequence[Path], target: Path, title: str) -> None:
    """Draw the losses, balanced accuracy and learning rate of a stage one's logs, those of all folders in one line."""
    from matplotlib.figure import Figure

    rows: dict[int, dict[str, float]] = {}
    for folder in folders:
        done = max(rows, default=-1) + 1
        rows |= {done + epoch: row for epoch, row in _logged(folder).items()}
    figure = Figure(figsize=(11, 3.4), layout="constrained", dpi=130)
    panels: tuple[tuple[str, dict[str, str | None]], ...] = (
        ("Loss", {"training_loss": "training", "validation_loss": "validation"}),
        ("Balanced accuracy", {"validation_balanced_accuracy": "validation"}),
        ("Learning rate", {"learning_rate": None}),
    )
    for axes, (name, columns) in zip(figure.subplots(1, 3), panels, strict=True):
        for column, label in columns.items():
            points = sorted((epoch + 1, row[column]) for epoch, row in rows.items() if column in row)
            axes.plot(*zip(*points, strict=True), marker=".", label=label) if points else None
        axes.set(title=name, xlabel="Epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(alpha=0.3)
        if len(columns) > 1:
            axes.legend()
    figure.suptitle(title)
    figure.savefig(target)


def _logged(folder: Path) -> dict[int, dict[str, float]]:
    """Epoch → values; what a resumed run repeated counts as it was logged last."""
    rows: dict[int, dict[str, float]] = {}
    runs = sorted((folder / "csv").glob("version_*"), key=lambda path: int(path.name.removeprefix("version_")))
    for run in runs:
        if (run / "metrics.csv").exists():
            with (run / "metrics.csv").open(newline="") as stream:
                for row in csv.DictReader(stream):
                    if row.get("epoch"):
                        values = {k: float(v) for k, v in row.items() if v and k not in ("epoch", "step")}
                        rows.setdefault(int(row["epoch"]), {}).update(values)
    return rows
