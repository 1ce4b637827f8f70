"""Table and plot of results/peers.json: who gets furthest in how many CPU seconds."""

from typing import Any

import common
import numpy as np

from stream_infomax.plots.style import INK, QUIET, new_figure, panel, save

MEASURES = {
    "Q": "objective Q (nats)",
    "entropy": "coefficient entropy (bits)",
    "conditional": "conditional entropy (nats)",
}
OURS = "ours"
COLOURS = {
    "ours, 1 pass, no memory": "#8fbbe8",
    "ours, 1 pass": "#2c6fbb",
    "ours, 3 passes": "#123f73",
    "paper's batch algorithm 1, in blocks as ours": "#d9822b",
    "paper's batch algorithm 1, numpy": "#8a4b0f",
    "FastICA": "#3a9a6a",
    "Picard-O": "#9b4f96",
    "infomax ICA": "#c0392b",
    "mmica": "#b59a12",
    "ORICA": "#5f6b78",
    "IncrementalPCA": "#e58bb0",
    "dictionary learning": "#4cc0c9",
}


def share(Q: float, start: float, best: float) -> float:
    """Share of the possible gain in percent."""
    return 100 * (start - Q) / (start - best)


def draw(results: dict[str, Any]) -> None:
    """Write the table of ends, and the plot of the curves."""
    curves = {name: results["learners"][name] for name in COLOURS if name in results["learners"]}
    start, best = results["start"], results["learners"].get("optimum", {"points": [{"Q": np.nan}]})["points"][-1]
    rows = [{"learner": "random start", "CPU s": 0, "gain (%)": 0.0, **_rounded(start)}]
    for name, curve in curves.items():
        end = curve["points"][-1]
        first = next(p for p in curve["points"] if share(p["Q"], start["Q"], end["Q"]) >= 99)
        rows.append(
            {
                "learner": name,
                "CPU s": f"{end['cpu']:.3g}" + (" (cap)" if curve["capped"] else ""),
                "gain (%)": _gain(curve, end, start, best),
                **_rounded(end),
                "s to 99 % of its own gain": f"{first['cpu']:.3g}",
                "GFLOP/s before, after": " ".join(f"{rate:.0f}" for rate in curve["gflops"]),
            }
        )
    if "Q" in best and "entropy" in best:
        rows.append({"learner": "optimum (Picard-O from 3 of our passes)", "gain (%)": 100.0, **_rounded(best)})
    note = (
        f"{results['machine']}. The end of each curve; gain of ours: median (range) of 10 starts. More than 100 % is "
        "possible, because the optimum is that of the training rows. The last column is the speed of a matrix product "
        "in the same process before and after: it tells how busy the machine was with other things."
    )
    title = "Peers on photographs: 12×12 patches, 10⁵ rows, four pictures held out"
    common.write_table("peers", title, rows, note, {name: curve.get("code", "") for name, curve in curves.items()})
    _plot(curves, start, best)


def _gain(curve: dict[str, Any], end: dict[str, float], start: dict[str, float], best: dict[str, float]) -> str:
    """The share of the gain; of several seeds the median and the range."""
    shares = [share(Q, start["Q"], best["Q"]) for Q in curve.get("ends", [end["Q"]])]
    spread = f" ({min(shares):.2f}…{max(shares):.2f})" if len(shares) > 1 else ""
    return f"{np.median(shares):.2f}{spread}"


def _rounded(point: dict[str, float]) -> dict[str, str]:
    return {
        title: f"{point[name]:.{2 if name != 'entropy' else 3}f}" for name, title in MEASURES.items() if name in point
    }


def _plot(curves: dict[str, Any], start: dict[str, float], best: dict[str, float]) -> None:
    width, height = 4.1, 4.2
    note = "held-out photographs, one BLAS thread, the same random start; lower is better"
    figure = new_figure(3 * width + 5.9, height + 1.75, "How much is learnt in how many CPU seconds", note)
    for i, (measure, title) in enumerate(MEASURES.items()):
        axes = panel(figure, 0.75 + i * (width + 0.7), 0.65, width, height, title)
        for name, curve in curves.items():
            x = [point["cpu"] for point in curve["points"]]
            y = [point[measure] for point in curve["points"]]
            ours = name.startswith(OURS)
            axes.plot(x, y, color=COLOURS[name], linewidth=2.4 if ours else 1.4, label=name, zorder=3 if ours else 2)
            axes.plot(x[-1:], y[-1:], "o" if not curve["capped"] else ">", color=COLOURS[name], markersize=4)
        if measure in best:
            axes.axhline(best[measure], color=QUIET, linewidth=1, linestyle=(0, (2, 3)), label="optimum")
            span = start[measure] - best[measure]
            axes.set_ylim(best[measure] - 0.06 * span, start[measure] + 0.12 * span)
        axes.set_xscale("log")
        axes.set_xlabel("CPU seconds", fontsize=9.5, color=INK)
        axes.grid(color="#eceff2", linewidth=0.8)
        axes.set_axisbelow(True)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", frameon=False, fontsize=9, labelcolor=INK)
    save(figure, common.RESULTS / "peers.png")
