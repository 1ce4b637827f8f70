"""What the documentation of the metrics says is so: its table, its alerts and its dashboard."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.extras import extra

extra("prometheus_client")
from stream_infomax.watch.metrics import METRICS, PREFIX  # noqa: E402  (needs it)

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "metrics.md").read_text(encoding="utf-8")
ALERTS = DOCS / "prometheus" / "alerts.yml"
DASHBOARD = json.loads((DOCS / "prometheus" / "grafana.json").read_text(encoding="utf-8"))
NAMED = re.compile(rf"{PREFIX}\w+")
PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus"
)


def scraped() -> set[str]:
    """Return the names of all series that there may be."""
    ends = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    return {PREFIX + name + end for name, one in METRICS.items() for end in ends[one.kind]}


def table() -> str:
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for name, one in METRICS.items():
        shown = name + ("_total" if one.kind == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in one.labels) or "–"
        lines.append(f"| `{shown}` | {one.kind} | {labels} | {one.text} |")
    return "\n".join(lines)


def test_every_metric_stands_in_the_table() -> None:
    found = re.search(r"<!-- the metrics -->\n(.*)\n<!-- to here -->", PAGE, re.DOTALL)
    assert found
    assert found[1].strip() == table(), f"what belongs there:\n{table()}"


def panels() -> list[dict[str, object]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]  # type: ignore[attr-defined]


def test_alerts_and_dashboard_name_only_what_is_scraped() -> None:
    for text in (ALERTS.read_text(encoding="utf-8"), *expressions(), PAGE):
        assert not set(NAMED.findall(text)) - scraped() - {PREFIX}
    variables = [str(variable["query"]) for variable in DASHBOARD["templating"]["list"]]
    assert not {name for query in variables for name in NAMED.findall(query)} - scraped()


def test_each_alert_has_its_place_in_the_runbook() -> None:
    text = ALERTS.read_text(encoding="utf-8")
    alerts = re.findall(r"- alert: (\w+)", text)
    links = re.findall(r"runbook_url: docs/operations\.md#(\w+)", text)
    assert links == [alert.lower() for alert in alerts]
    book = (DOCS / "operations.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (StreamInfomax\w+)$", book, re.MULTILINE) == alerts
    assert text.count("severity: ") == len(alerts)


class TestDashboard:
    def test_it_has_a_fixed_id_and_asks_for_data_source_and_services(self) -> None:
        assert DASHBOARD["uid"] == "stream-infomax"
        assert DASHBOARD.get("id") is None
        kinds = {variable["name"]: variable["type"] for variable in DASHBOARD["templating"]["list"]}
        assert kinds == {"datasource": "datasource", "instance": "query", "service": "query"}
        sources = {json.dumps(panel["datasource"], sort_keys=True) for panel in panels()}
        assert sources == {'{"type": "prometheus", "uid": "${datasource}"}'}

    def test_panels_say_what_they_show_and_lie_beside_each_other(self) -> None:
        assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
        taken: set[tuple[int, int]] = set()
        for panel in DASHBOARD["panels"]:
            place = panel["gridPos"]
            cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            assert max(x for x, _ in cells) < 24
            assert not cells & taken, panel["title"]
            taken |= cells
        assert all(panel["title"] and panel["description"] for panel in panels())

    def test_rates_are_over_the_interval_that_fits_the_scrapes(self) -> None:
        for expression in expressions():
            ranges = re.findall(r"\[([^]]+)\]", expression)
            assert set(ranges) <= {"$__rate_interval"}, expression
            assert "$service" in expression or "disk" in expression or "run_info" in expression, expression


def promtool(*arguments: str, given: str = "") -> None:
    done = subprocess.run(["promtool", *arguments], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


@PROMTOOL
def test_the_alerts_are_rules_and_fire_when_they_should() -> None:
    promtool("check", "rules", "--lint-fatal", str(ALERTS))
    promtool("test", "rules", str(Path(__file__).parent / "alerts_test.yml"))


@PROMTOOL
def test_what_the_dashboard_asks_is_understood(tmp_path: Path) -> None:
    values = {"$__rate_interval": "1m", "$service": "learner", "$instance": "a"}
    rules = []
    for number, expression in enumerate(expressions()):
        for name, value in values.items():
            expression = expression.replace(name, value)
        rules.append({"record": f"panel:{number}", "expr": expression})
    path = tmp_path / "rules.json"  # JSON is YAML
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(path))
