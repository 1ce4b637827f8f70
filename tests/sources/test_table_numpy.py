"""Arrays of NumPy: what archives say, what is refused, and that nothing is held that need not be."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from stream_infomax.settings.error import SettingError
from stream_infomax.sources import bounds, table_numpy
from stream_infomax.sources.table import TableSource


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def read(path: Path, **keys: object) -> np.ndarray:
    return np.concatenate([f.arrays["source"].data for f in TableSource(path, **keys).frames()])


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("kind", ["f2", "f8", ">f4", "i1", "u2", "i8", "?"])
def test_every_kind_of_number(tmp_path: Path, suffix: str, kind: str) -> None:
    rows = (10 * noise(300, 3)).astype(kind)
    path = tmp_path / f"a.{suffix}"
    np.save(path, rows) if suffix == "npy" else np.savez_compressed(path, rows=rows)
    np.testing.assert_array_equal(read(path), rows.astype(np.float32))


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_layout(tmp_path: Path, suffix: str, transposed: bool, order: str) -> None:
    rows = noise(300, 3)
    stored = np.asarray(rows.T if transposed else rows, order=order)
    path = tmp_path / f"a.{suffix}"
    np.save(path, stored) if suffix == "npy" else np.savez_compressed(path, rows=stored)
    np.testing.assert_array_equal(read(path, transposed=transposed), rows)


def test_one_dimension_is_one_channel(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise(300))
    np.testing.assert_array_equal(read(tmp_path)[:, 0], noise(300))


def test_archives_say_more(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz",
        data=np.arange(12, dtype=np.int16).reshape(3, 4),
        channel_names=["Fz", "Cz", "Pz"],
        sampling_rate_hz=160.0,
        unit="uV",
        event=[0, 0, 1, 1],
        condition="rest",
        photo=noise(3, 3, 3),
    )
    source = TableSource(tmp_path, transposed=True, array="data", label="event")
    assert (source.channels, source.units, source.rate) == (("Fz", "Cz", "Pz"), ("uV",) * 3, 160.0)
    assert [frame.labels for frame in source.frames()] == [{"event": "0"}, {"event": "1"}]
    assert source.counts()["left out: members"] == 1
    source = TableSource(tmp_path, transposed=True, array="data", label="condition")
    assert [frame.labels for frame in source.frames()] == [{"condition": "rest"}]
    source = TableSource(tmp_path, transposed=True, array="data", channels=["Pz", "event"])
    np.testing.assert_array_equal(next(source.frames()).arrays["source"].data, [[8, 0], [9, 0], [10, 1], [11, 1]])


def test_an_archive_of_the_recording_set(data_folder: Path) -> None:
    source = TableSource(data_folder / "eeg_motor", array="data", transposed=True, label="event")
    assert source.channels[:2] == ("Fc5", "Fc3")
    assert source.outline().rows == 47_232
    with np.load(data_folder / "eeg_motor" / "S001R03_fists.npz") as archive:
        expected, events = archive["data"].T, archive["event"]
    third = TableSource(data_folder / "eeg_motor", array="data", transposed=True, label="event", include="R03")
    found = [(frame.arrays["source"].data, frame.labels["event"]) for frame in third.frames()]
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in found]), expected)
    labels = [label for rows, label in found for _ in range(len(rows))]
    assert labels == [str(event) for event in events]


REFUSED = {
    "texts": ({"x": np.array([["a", "b"]])}, "x", "is <U1; accepted are whole numbers"),
    "objects": ({"x": np.array([[{}, []]], object)}, "x", "is object; accepted are whole numbers"),
    "complex": ({"x": np.zeros((3, 2), complex)}, "x", "is complex128"),
    "three dimensions": ({"x": np.zeros((3, 2, 2))}, "x", r"has shape \(3, 2, 2\); accepted are \(rows, channels\)"),
    "no dimension": ({"x": np.zeros(())}, "x", r"has shape \(\)"),
    "no rows": ({"x": np.zeros((0, 3))}, "x", "holds no row"),
    "records": ({"x": np.zeros(3, [("a", "f4")])}, "x", "accepted are whole numbers"),
    "two that can be": (
        {"x": np.zeros((3, 2)), "y": np.zeros((3, 2))},
        "",
        r"say which with array; it has x \(3, 2\), y",
    ),
    "none that can be": ({"x": np.array(["a"])}, "", "say which with array"),
    "no such member": ({"x": np.zeros((3, 2))}, "z", "array = 'z': it has no such member; it has x"),
    "wide": ({"x": np.zeros((2, 70_000))}, "x", "has 70,000 channels; .* transposed = true"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_table_is_refused(tmp_path: Path, case: str) -> None:
    arrays, array, why = REFUSED[case]
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(SettingError, match=why):
        TableSource(tmp_path / "a.npz", array=array)


def test_objects_beside_the_table_are_never_unpickled(tmp_path: Path) -> None:
    class Boom:
        def __reduce__(self) -> tuple[object, ...]:
            return (pytest.fail, ("unpickled",))

    np.savez(tmp_path / "a.npz", x=noise(5, 2), channel_names=np.array([Boom(), Boom()], object))
    source = TableSource(tmp_path)
    assert source.channels == ("0", "1")
    assert source.counts()["left out: members"] == 1
    np.save(tmp_path / "b.npy", np.array([[Boom()]], object), allow_pickle=True)
    with pytest.raises(SettingError, match="is object"):
        TableSource(tmp_path / "b.npy")


def head(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue()


def test_announced_sizes_are_looked_at_first(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(head((1 << 50, 4)))
    with pytest.raises(SettingError, match=r"announces 36,028,797,018,963,968 bytes and holds 0"):
        TableSource(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("x.npy", head((1 << 50, 4)))
    with pytest.raises(SettingError, match="announces"):
        TableSource(tmp_path / "b.npz")


def test_a_bomb_is_read_in_blocks_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_numpy, "WHOLE", 1 << 20)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as file:
        file.write(head((1 << 21, 4)))
        for _ in range(64):
            file.write(bytes(1 << 20))
    assert (tmp_path / "a.npz").stat().st_size < 1 << 17
    tracemalloc.start()
    try:
        source = TableSource(tmp_path, frame=1 << 15)
        n_rows = sum(frame.arrays["source"].n_rows for frame in source.frames(60))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n_rows == 4 << 15
    assert peak < 16 << 20
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((4, 1 << 20)))
    monkeypatch.setattr(bounds, "LARGEST", 1 << 20)
    with pytest.raises(SettingError, match=r"what has to be held whole of it \(x\) comes to 33,554,432 bytes"):
        TableSource(tmp_path, transposed=True)


def test_reading_in_blocks_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = noise(40_000, 5)
    np.savez_compressed(tmp_path / "a.npz", x=rows)
    monkeypatch.setattr(table_numpy, "WHOLE", 0)
    source = TableSource(tmp_path, frame=1000)
    np.testing.assert_array_equal(read(tmp_path), rows)
    for start in (1, 17, 39):
        np.testing.assert_array_equal(next(source.frames(start)).arrays["source"].data, rows[1000 * start :][:1000])


def test_damage_within_an_archive_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_numpy, "WHOLE", 0)
    np.savez_compressed(tmp_path / "a.npz", x=noise(40_000, 5))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 100] = bytes(100)
    (tmp_path / "a.npz").write_bytes(content)
    source = TableSource(tmp_path)
    assert sum(frame.arrays["source"].n_rows for frame in source.frames()) < 40_000
    assert set(source.lost) == {"files that broke off"}
    assert "left out: ends of files that broke off" not in source.counts()


def test_what_float32_cannot_hold_is_infinite(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[1e300, 1.0]]))
    np.testing.assert_array_equal(read(tmp_path), [[np.inf, 1]])
