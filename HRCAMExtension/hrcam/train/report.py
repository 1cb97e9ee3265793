"""How well a training went, in numbers with intervals by patient, in words and in pictures."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.metrics import confusion_matrix

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

RESAMPLES = 1000
SEED = 0


@dataclass(frozen=True, eq=False)
class Answers:
    """Probabilities N×K, truth N, and whose each is."""

    probabilities: Floats
    labels: Labels
    patients: npt.NDArray[np.str_]

    def of_patients(self) -> "Answers":
        """One answer a patient and label: the mean of the probabilities."""
        keys = sorted(set(zip(self.patients.tolist(), self.labels.tolist(), strict=True)))
        means = [self.probabilities[(self.patients == p) & (self.labels == c)].mean(0) for p, c in keys]
        return Answers(np.array(means), np.array([c for _, c in keys]), np.array([p for p, _ in keys]))


def join(answers: Sequence[Answers]) -> Answers:
    """All answers of several folds."""
    return Answers(
        np.concatenate([a.probabilities for a in answers]),
        np.concatenate([a.labels for a in answers]),
        np.concatenate([a.patients for a in answers]),
    )


def summarize(images: Answers, cases: Answers, classes: Sequence[str]) -> dict[str, Any]:
    """Metrics per image and per patient, each with its 95 % interval by patient.

    Parameters
    ----------
    images : one answer a slice (2D), or a volume (3D).
    cases : one answer a scan; patients' answers are means over their scans.
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


def _metrics(answers: Answers) -> dict[str, Any]:
    return {
        "count": len(answers.labels),
        "patients": len(set(answers.patients.tolist())),
        "balanced_accuracy": _with_interval(_balanced_accuracy, answers),
        "auc": _with_interval(_auc, answers),
    }


def _balanced_accuracy(probabilities: Floats, labels: Labels) -> float:
    hits = np.bincount(labels[probabilities.argmax(1) == labels], minlength=probabilities.shape[1])
    return float(np.mean(hits / np.bincount(labels, minlength=probabilities.shape[1])))


def _auc(probabilities: Floats, labels: Labels) -> float:
    """ROC AUC, each class against the rest, averaged: by ranks (Mann and Whitney), fast enough to be resampled."""
    found = []
    for c in range(probabilities.shape[1]):
        positive = labels == c
        ranks, number = rankdata(probabilities[:, c])[positive], positive.sum()
        found.append((ranks.sum() - number * (number + 1) / 2) / (number * (len(labels) - number)))
    return float(np.mean(found))


def _with_interval(metric: Callable[[Floats, Labels], float], answers: Answers) -> dict[str, float | None]:
    """Value and percentile bootstrap over patients; resamples that lack a class say nothing and are left out."""
    classes = set(range(answers.probabilities.shape[1]))
    if set(answers.labels.tolist()) != classes:
        return {"value": None, "low": None, "high": None}
    value = metric(answers.probabilities, answers.labels)
    members = [np.flatnonzero(answers.patients == p) for p in np.unique(answers.patients)]
    rng = np.random.default_rng(SEED)
    found = []
    for _ in range(RESAMPLES):
        chosen = np.concatenate([members[n] for n in rng.integers(len(members), size=len(members))])
        if set(answers.labels[chosen].tolist()) == classes:
            found.append(metric(answers.probabilities[chosen], answers.labels[chosen]))
    if len(members) < 2 or not found:
        return {"value": value, "low": None, "high": None}
    low, high = np.quantile(found, [0.025, 0.975])
    return {"value": value, "low": float(low), "high": float(high)}


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
        values = " | ".join(_interval(m[name]) for name in ("balanced_accuracy", "auc"))
        lines.append(f"| {singular} | {m['count']} | {m['patients']} | {values} |")
    return lines


def _confusion_table(metrics: dict[str, Any]) -> list[str]:
    names = metrics["confusion"]["classes"]
    lines = ["| truth (patients) | " + " | ".join(f"called {n}" for n in names) + " |", "|---" * (len(names) + 1) + "|"]
    rows = zip(names, metrics["confusion"]["patients"], strict=True)
    return lines + [f"| {name} | " + " | ".join(map(str, row)) + " |" for name, row in rows]


def _interval(found: dict[str, float | None]) -> str:
    if found["value"] is None:
        return "not defined: a class is missing"
    interval = "" if found["low"] is None else f" ({found['low']:.3f} to {found['high']:.3f})"
    return f"{found['value']:.3f}{interval}"


def draw_curves(folder: Path, target: Path, title: str) -> None:
    """Draw the losses, balanced accuracy and learning rate of a stage one's logs, resumed runs in one line."""
    from matplotlib.figure import Figure

    rows = _logged(folder)
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
        axes.xaxis.get_major_locator().set_params(integer=True)
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
