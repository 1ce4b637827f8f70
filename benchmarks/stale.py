"""Which tables in results/ were made by other code than there is now? A listing; it never fails.

python benchmarks/stale.py
"""

from __future__ import annotations

import re
from pathlib import Path

from digest import BENCHMARKS, ROOT, digest

RESULTS = BENCHMARKS / "results"
LINE = re.compile(r"^Code: (.*), ([\w/]+\.py)$", re.MULTILINE)


def reason(table: Path) -> str:
    """Return why a table is stale, or nothing."""
    found = LINE.search(table.read_text(encoding="utf-8"))
    if found is None:
        return "does not say which code made it"
    made, script = found[1], (ROOT if "/" in found[2] else BENCHMARKS) / found[2]
    if not script.is_file():
        return f"made by {script.name}, which is no more"
    if made.startswith("version "):
        return f"made by {made}, before tables had a digest of their code"
    return "" if made == digest(script) else f"made by {made}; {script.name} or code that it imports has changed since"


def main() -> None:
    """Name the stale tables."""
    tables = sorted(RESULTS.glob("*.md"))
    stale = {table.stem: why for table in tables if (why := reason(table))}
    for name, why in stale.items():
        print(f"  {name}: {why}")
    print(f"{len(stale)} of {len(tables)} tables in benchmarks/results are stale; make bench makes them again")


if __name__ == "__main__":
    main()
