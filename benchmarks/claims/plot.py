"""One plot per claim: a panel per metric, bars of the conditions or a line over them, and the trivial baseline."""

from __future__ import annotations

from pathlib import Path

from .claim import Claim, Results


def plot(claim: Claim, results: Results, file: Path) -> None:
    """Draw the results to a PNG.

    Raises:
        SystemExit: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise SystemExit("plots need matplotlib: pip install 'visprog[bench]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    metrics = [m for m in claim.metrics if any(m in found for found in results.values())]
    figure, panels = pyplot.subplots(1, len(metrics), figsize=(3.2 * len(metrics), 3.4), squeeze=False)
    for panel, metric in zip(panels[0], metrics, strict=True):
        conditions = [c for c in claim.conditions if metric in results[c]]
        means = [results[c][metric].mean for c in conditions]
        spread = [results[c][metric].deviation for c in conditions]
        if all(_is_number(c) for c in conditions) and len(conditions) > 2:
            panel.errorbar([float(c) for c in conditions], means, spread, marker="o", capsize=3)
        else:
            panel.bar(range(len(conditions)), means, yerr=spread, capsize=3, color="#4477aa")
            panel.set_xticks(range(len(conditions)), conditions, rotation=30, ha="right", fontsize=7)
        level = claim.metrics[metric]
        if level is not None:
            panel.axhline(level, linestyle="--", color="#cc3311", linewidth=1)
        panel.set_title(metric, fontsize=9)
    figure.suptitle(claim.title, fontsize=10)
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
