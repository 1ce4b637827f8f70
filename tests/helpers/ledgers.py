"""The ledgers of services: they balance, whatever a test has done to them."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from stream_infomax.frames.ledger import Balance, Part
from stream_infomax.service.checkpoints import read
from stream_infomax.state.error import StateFileError
from stream_infomax.state.numbered import CHECKPOINT, numbered


def balance(
    place: str,
    part: Part,
    accepted: int,
    processed: int,
    aside: Mapping[str, Mapping[str, int]] = {},
    dropped: Mapping[str, Mapping[str, int]] = {},
) -> Balance:
    """Return how a place of one stream stands."""
    return Balance(
        place=place,
        part=part,
        unit="rows" if part == "stage" else "frames",
        accepted={"a": accepted},
        processed={"a": processed},
        aside={reason: dict(term) for reason, term in aside.items()},
        dropped={reason: dict(term) for reason, term in dropped.items()},
        in_flight={},
    )


def check_balanced(balances: Iterable[Balance]) -> None:
    """Fail where something is unaccounted for, or is counted below zero."""
    for balance in balances:
        assert not balance.off, f"{balance.name} lacks {balance.off}: {balance}"
        terms = [balance.accepted, balance.processed, balance.in_flight]
        terms += [*balance.aside.values(), *balance.dropped.values()]
        assert all(count >= 0 for term in terms for count in term.values()), balance


def saved_ledgers(folder: Path) -> Iterator[list[Balance]]:
    """Yield the ledger in the newest checkpoint of each service below a folder."""
    for place in {path.parent for path in folder.rglob("checkpoint-*.safetensors")}:
        newest = [path for _, path in numbered(place, CHECKPOINT)][-1:]
        for path in newest:
            try:
                yield read(path).ledger
            except (StateFileError, OSError):  # a test has damaged it
                continue
