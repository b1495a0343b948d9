"""Results on tables of embeddings as text, as JSON, and as a picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from nncomp.bench import machine
from nncomp.bench.embeddings import BANDWIDTHS, totals
from nncomp.text import aligned, plural, printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from nncomp.bench.embeddings import Plan, Result

__all__ = ["Report"]

_COPIES = "optimistic: every table {} times over, and copies compress; a larger batch has new rows"


@dataclass(frozen=True)
class Report:
    """What was measured, for showing.

    Args:
        plan: How.
        results: Of each table and setting.
        bandwidths: Of networks, in Gbit/s, for the model.
        arguments: Of the command line.
    """

    plan: Plan
    results: Sequence[Result]
    bandwidths: Sequence[float] = BANDWIDTHS
    arguments: Sequence[str] = ()

    @property
    def violations(self) -> int:
        """Elements off by more than their bound, in all tables and settings."""
        return sum(result.violations for result in self.results)

    # --- JSON ------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """All of it, and where it was measured, as JSON can hold it."""
        return {
            "kind": "embeddings",
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "machine": machine.machine(),
            "versions": machine.versions(),
            "environment": machine.environment(),
            "arguments": list(self.arguments),
            "rounds": self.plan.rounds,
            "copies": self.plan.copies,
            "optimistic": self.plan.copies > 1,
            "model": "1 / (1/CR + B (1/Tc + 1/Td)), rates by processor time, B in Gbit/s",
            "tables": [result.to_dict(self.bandwidths) for result in self.results],
            "totals": [result.to_dict(self.bandwidths) for result in totals(self.results)],
        }

    def to_json(self) -> str:
        """`to_dict`, as text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    # --- text ------------------------------------------------------------------------

    def as_text(self) -> str:
        """For each setting its tables and all of them together; then what that means."""
        whole = totals(self.results)
        parts = [self._setting(total) for total in whole]
        parts.append(self._model(whole))
        facts = [
            f"Medians of {plural(self.plan.rounds, 'run')} of processor time on one thread, "
            "quantisation included; MB = 10^6 bytes of the original.",
            "Error: the largest over the bound. Speed-up 1 / (1/CR + B (1/Tc + 1/Td)) of "
            "sending; below 1 compressing costs time.",
        ]
        if self.plan.copies > 1:
            facts.insert(0, _COPIES.format(self.plan.copies))
        parts.append("\n".join(facts))
        return "\n\n".join(parts)

    def _setting(self, total: Result) -> str:
        rows = [["table", "shape", "ratio", "MB/s in", "MB/s out", "error", "violations"]]
        several = [result for result in self.results if result.setting == total.setting]
        for result in [*several, total] if len(several) > 1 else several:
            shape = "x".join(map(str, result.shape)) if result.shape else ""
            rows.append(
                [
                    printable(result.table),
                    shape,
                    f"{result.ratio:.2f}",
                    f"{result.rate('compress') / 1e6:,.0f}",
                    f"{result.rate('decompress') / 1e6:,.0f}",
                    f"{result.error:.6f}",
                    f"{result.violations:,}",
                ]
            )
        return "\n".join([self._title(total), *aligned(rows, set(range(1, 7)))])

    def _title(self, result: Result) -> str:
        copies = f", {self.plan.copies} copies (optimistic)" if self.plan.copies > 1 else ""
        return result.setting.name + copies

    def _model(self, whole: Sequence[Result]) -> str:
        titles = ["speed-up over", *(f"{each:g} Gbit/s" for each in self.bandwidths), "break-even"]
        rows = [titles]
        for total in whole:
            figures = [f"{total.speedup(each):.2f}" for each in self.bandwidths]
            rows.append([self._title(total), *figures, f"{total.break_even:.2f} Gbit/s"])
        return "\n".join(aligned(rows, set(range(1, len(titles)))))

    # --- picture ---------------------------------------------------------------------

    def save_plot(self, path: Path) -> None:
        """Speed-up against bandwidth, a line for each setting, as .svg or .png.

        Raises:
            UsageError: matplotlib is missing, or the suffix is of no known format.
        """
        from nncomp.bench import plot

        plot.check(path)
        from matplotlib.figure import Figure

        drawn = Figure(figsize=(6.4, 4.8), layout="constrained")
        self._draw(drawn.subplots())
        drawn.savefig(path, format=path.suffix.lower()[1:], dpi=150)

    def _draw(self, axes: Axes) -> None:
        low, high = min(self.bandwidths) / 2, max(self.bandwidths) * 2
        steps = [low * (high / low) ** (i / 100) for i in range(101)]
        for total in totals(self.results):
            speeds = [total.speedup(each) for each in steps]
            name = f"{self._title(total)}: pays up to {total.break_even:.2g} Gbit/s"
            axes.plot(steps, speeds, label=name)
        axes.axhline(1, color="#888888", linewidth=1, linestyle=":")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("bandwidth, Gbit/s")
        axes.set_ylabel("modelled speed-up of sending")
        axes.legend(fontsize=8)
