"""Run every test that makes a fault, and write the table of docs/operations.md:

    PYTHONPATH=tests python -m faults

What fails keeps the table as it is; what cannot be made here (a skipped test) is named.
"""

import sys
from pathlib import Path

import pytest
from helpers.faults import FAULTS, write

ROOT = Path(__file__).parents[2]


class Ran:
    """The faults whose tests passed, failed or were left out."""

    def __init__(self) -> None:
        self.names: dict[str, set[str]] = {"passed": set(), "failed": set(), "skipped": set()}
        self._of: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Take note of which test makes which fault."""
        for item in items:
            if (marker := item.get_closest_marker("fault")) is not None:
                self._of[item.nodeid] = marker.args[0]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of how a test ended."""
        if report.nodeid in self._of and (report.when == "call" or report.outcome != "passed"):
            self.names[report.outcome].add(self._of[report.nodeid])


def main() -> int:
    """Run, say what did not, write."""
    ran = Ran()
    code = pytest.main(["-q", "-m", "fault", "--rootdir", str(ROOT), str(ROOT / "tests")], plugins=[ran])
    missing = FAULTS.keys() - ran.names["passed"]
    if code or missing & ran.names["failed"]:
        return 1
    for name in sorted(missing):
        print(f"{name}: " + ("its test was left out here" if name in ran.names["skipped"] else "has no test"))
    write(ROOT / "docs" / "operations.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
