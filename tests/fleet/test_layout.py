"""The shards of a fleet: what each has follows from configuration and data, and together they are the whole."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_infomax.configuration.compose import source_of
from stream_infomax.configuration.load import ConfigError, convert
from stream_infomax.fleet.layout import Shard, divided, empty, resolved, shards

LEARNER = {"name": "learner", "kind": "learner"}


def laid(source: dict[str, Any], n_shards: int = 4, **more: Any) -> list[Shard]:
    return shards(fleet(source, n_shards, **more))


def fleet(source: dict[str, Any], n_shards: int = 4, **more: Any) -> Any:
    return convert(
        {
            "run": {"folder": "runs/fleet"},
            "source": source,
            "stage": [LEARNER],
            "fleet": {"workers": 2, "shards": n_shards},
            **more,
        }
    )


def rows(config: Any) -> list[bytes]:
    return [array.data.tobytes() for frame in source_of(config).frames() for array in frame.arrays.values()]


def tables(folder: Path, n: int) -> None:
    for number in range(n):
        np.save(folder / f"table-{number}.npy", np.full((20, 2), number) + np.arange(40).reshape(20, 2))


def test_files_are_divided_by_their_names_and_none_is_lost_or_twice(tmp_path: Path) -> None:
    tables(tmp_path, 12)
    source = {"kind": "table", "path": str(tmp_path)}
    alone = Counter(rows(convert({"run": {"folder": "x"}, "source": source})))
    found = laid(source)
    assert sum((Counter(rows(shard.config)) for shard in found), Counter()) == alone
    assert sum(shard.files for shard in found) == 12
    # A file that comes does not move the others.
    before = {shard.name: {table.path for table in source_of(shard.config).tables} for shard in found}  # type: ignore[union-attr]
    np.save(tmp_path / "more.npy", np.ones((20, 2)))
    after = {shard.name: {table.path for table in source_of(shard.config).tables} for shard in laid(source)}  # type: ignore[union-attr]
    assert all(files <= after[name] for name, files in before.items())


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "synthetic", "frames": 10, "rows": 8, "drift": 0.1},
        {"kind": "images", "path": "skimage:natural", "frames": 10, "items": 8},
        {"kind": "images", "path": "skimage:natural", "frames": 10, "mode": "tiles", "order": "shuffled"},
    ],
    ids=["synthetic", "patches", "tiles"],
)
def test_what_is_made_or_drawn_is_divided_by_frames(source: dict[str, Any]) -> None:
    alone = rows(convert({"run": {"folder": "x"}, "source": source}))
    found = laid(source)
    assert [shard.files for shard in found] == [2, 3, 2, 3]
    assert [row for shard in found for row in rows(shard.config)] == alone


def test_a_shard_without_data_is_left_out_and_told(tmp_path: Path) -> None:
    tables(tmp_path, 2)
    source = {"kind": "table", "path": str(tmp_path)}
    found = laid(source, 12)
    assert len(found) <= 2
    assert len(empty(fleet(source, 12), found)) == 12 - len(found)
    with pytest.raises(ValueError, match="none of 2 files is of shard"):
        source_of(convert({"run": {"folder": "x"}, "source": {**source, "shard": _other(found)}}))
    source["include"] = "nothing"
    with pytest.raises(ConfigError, match="none of the shards has data"):
        laid(source)


def _other(found: list[Shard]) -> str:
    return next(f"{number}/12" for number in range(12) if number not in {shard.number for shard in found})


def test_the_number_of_a_shard_stands_in_texts_of_a_live_source() -> None:
    source = {
        "kind": "devices",
        "log": {"bind": "tcp://127.0.0.1:56{shard}"},
        "bind": "tcp://127.0.0.1:57{shard}",
        "shape": [2],
        "axes": ["time", "channel"],
    }
    found = laid({key: value for key, value in source.items() if key in _keys("devices")}, 2)
    assert [shard.config.source.log.bind for shard in found] == ["tcp://127.0.0.1:5600", "tcp://127.0.0.1:5601"]
    assert [shard.config.source.settings.bind for shard in found] == ["tcp://127.0.0.1:5700", "tcp://127.0.0.1:5701"]  # type: ignore[attr-defined]
    assert [shard.files for shard in found] == [-1, -1]


def _keys(kind: str) -> set[str]:
    from stream_infomax.configuration.kinds import SOURCES

    return {*SOURCES.settings_of(kind).__struct_fields__, "kind", "log"}


@pytest.mark.parametrize(
    ("source", "more", "message"),
    [
        ({"kind": "devices"}, {}, "source.kind = 'devices'.*every shard would read the same.*{shard}"),
        ({"kind": "synthetic", "log": {"tap": "tcp://127.0.0.1:5600"}}, {}, r"source\.log\.tap.*every shard would use"),
        ({"kind": "synthetic", "shard": "1/2"}, {}, "source.shard = '1/2'.*the fleet sets it"),
        ({"kind": "synthetic", "shard": "2/2"}, {}, "there is no shard 2 of 2"),
        ({"kind": "synthetic", "shard": "x"}, {}, "NUMBER/SHARDS"),
        ({"kind": "synthetic"}, {"fleet": {"workers": 0}}, r"fleet\.workers"),
        ({"kind": "synthetic"}, {"fleet": {"bind": "tcp://*:5700"}}, r"fleet\.bind"),
    ],
)
def test_what_cannot_be_divided_is_refused_by_name(source: dict[str, Any], more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        laid(source, **more)


def test_workers_change_nothing_but_who_does_what() -> None:
    found = laid({"kind": "synthetic", "frames": 50}, 5)
    assert [[shard.number for shard in of] for of in divided(found, 2)] == [[0, 2, 4], [1, 3]]
    assert len(divided(found, 9)) == 5
    assert [shard.config.run.folder for shard in found] == [f"runs/fleet/shards/0{number}" for number in range(5)]
    alone = resolved(fleet({"kind": "synthetic"}, 0))
    assert alone.fleet is not None
    assert alone.fleet.shards == 2


@pytest.mark.parametrize("kind", ["table", "images"])
def test_what_is_left_out_is_counted_in_one_shard(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("PIL")
    from PIL import Image

    tables(tmp_path, 20)
    for number in range(20):
        Image.fromarray(np.full((24, 24), 10 * number, np.uint8)).save(tmp_path / f"picture-{number}.png")
        (tmp_path / f".hidden-{number}").touch()
    (tmp_path / "bad.png").write_bytes(b"none")
    (tmp_path / "bad.npy").write_bytes(b"none")
    source = {"kind": kind, "path": str(tmp_path), "include": r"(table|picture)-1?[0-7]|bad"}
    if kind == "images":
        source |= {"mode": "tiles", "crop": [12, 12]}
    alone = source_of(convert({"run": {"folder": "x"}, "source": source})).counts()
    found = laid(source, 3)
    together = sum((Counter(source_of(shard.config).counts()) for shard in found), Counter())
    assert together == Counter({key: count for key, count in alone.items() if count})
    assert len(found) == 3  # what is left out of a shard without data is not counted
