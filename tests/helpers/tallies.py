"""A tally over the services of a small run, and what its metrics are."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from stream_infomax.watch.metrics import PREFIX, Exposition
from stream_infomax.watch.tally import Layout, Tally

SERVICES = ("source", "learner", "sink")
Labels = frozenset[tuple[str, str]]


def layout(folder: Path = Path("/"), services: tuple[str, ...] = SERVICES) -> Layout:
    """A source, a learner and a sink, or as many services in a row."""
    return Layout(
        run="0123456789abcdef",
        folder=folder,
        upstream=dict(zip(services, ("", *services), strict=False)),
        names=frozenset(services),
        learning=frozenset(services) & {"learner"},
        pausing=frozenset(services) & {"learner"},
        checkpoint_every=dict.fromkeys(services, 16),
    )


def series(tally: Tally) -> dict[tuple[str, Labels], float]:
    """Return what is scraped, by name without prefix, and labels."""
    return parsed(Exposition(tally).page().body.decode())


def parsed(page: str) -> dict[tuple[str, Labels], float]:
    """Return the samples of a page of metrics, by name without prefix, and labels."""
    return {
        (sample.name.removeprefix(PREFIX), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def of(name: str, **labels: str) -> tuple[str, Labels]:
    """Return the key of a series."""
    return name, frozenset(labels.items())
