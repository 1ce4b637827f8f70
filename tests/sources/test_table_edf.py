"""EDF: physical values, annotations as labels, channels of several rates, gaps."""

from pathlib import Path

import numpy as np
import pytest
from helpers.extras import extra

from stream_infomax.settings.error import SettingError
from stream_infomax.sources.table import TableSource

extra("edfio")
from edfio import Edf, EdfAnnotation, EdfSignal, read_edf  # noqa: E402


def signal(rate: float, label: str, seconds: int = 20, unit: str = "uV") -> EdfSignal:
    values = np.random.default_rng(len(label)).normal(size=round(rate * seconds)) * 50
    return EdfSignal(values, rate, label=label, physical_dimension=unit, physical_range=(-400, 400))


def read(path: Path, **keys: object) -> np.ndarray:
    return np.concatenate([f.arrays["source"].data for f in TableSource(path, **keys).frames()])


NOTES = [
    EdfAnnotation(2.0, 3.0, "T1"),
    EdfAnnotation(6.0, None, "blink"),
    EdfAnnotation(8.0, 8.0, "T2"),
    EdfAnnotation(10.0, 2.0, "cough"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two channels at 100 a second, one at 1 a second, and annotations."""
    signals = [signal(100, "Fp1"), signal(1, "Temp", unit="degC"), signal(100, "Fp2")]
    Edf(signals, annotations=NOTES).write(tmp_path / "a.edf")
    return tmp_path / "a.edf"


def test_physical_values_in_the_order_of_time(path: Path) -> None:
    header = read_edf(path)
    expected = np.stack([header.signals[0].data, header.signals[2].data], 1)
    source = TableSource(path, rate=100, frame=77)
    assert (source.channels, source.units, source.rate) == (("Fp1", "Fp2"), ("uV", "uV"), 100)
    found = np.concatenate([frame.arrays["source"].data for frame in source.frames()])
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-4)
    for start in (1, 13, len(source) - 1):
        rows = next(source.frames(start)).arrays["source"].data
        np.testing.assert_array_equal(rows, found[77 * start :][:77])


def test_channels_of_several_rates_are_named(path: Path) -> None:
    with pytest.raises(
        SettingError, match=r"several rates, of which rate has to say one: 100 \(Fp1, Fp2\); 1 \(Temp\)"
    ):
        TableSource(path)
    with pytest.raises(SettingError, match=r"rate = 50: it has channels of 100 \(Fp1, Fp2\); 1 \(Temp\)"):
        TableSource(path, rate=50)
    assert TableSource(path, rate=100).counts()["left out: channels of another rate"] == 1
    assert TableSource(path, rate=1).channels == ("Temp",)
    assert TableSource(path, channels=["Fp2"]).rate == 100
    with pytest.raises(SettingError, match="several rates"):
        TableSource(path, channels=["Fp2", "Temp"])


def test_annotations_are_labels_or_counted(path: Path) -> None:
    source = TableSource(path, rate=100)
    assert source.counts()["left out: annotations"] == 4
    assert source.outline().left_out["annotations"] == 4
    assert {frame.segment for frame in source.frames()} == {"a.edf"}
    source = TableSource(path, rate=100, label="annotation", frame=10_000)
    assert "left out: annotations" not in source.counts()
    found = [(frame.time, frame.arrays["source"].n_rows, frame.labels.get("annotation")) for frame in source.frames()]
    assert found == [
        (0.0, 200, None),
        (2.0, 300, "T1"),
        (5.0, 100, None),
        (6.0, 200, "blink"),
        (8.0, 200, "T2"),
        (10.0, 200, "cough"),
        (12.0, 400, "T2"),
        (16.0, 400, None),
    ]


def covered(annotations: list[EdfAnnotation], time: float) -> str:
    """The text of the annotation that covers a time, said as plainly as can be."""
    text = ""
    for one in sorted(annotations, key=lambda one: one.onset):
        later = [other.onset for other in annotations if other.onset > one.onset]
        end = one.onset + one.duration if one.duration else min(later, default=np.inf)
        if one.onset <= time < end:
            text = one.text
    return text


@pytest.mark.parametrize("seed", range(20))
def test_annotations_that_overlap(tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    onsets = generator.choice(np.arange(0, 20, 0.5), 9, replace=False)
    notes = [
        EdfAnnotation(t, d or None, f"n{i}")
        for i, (t, d) in enumerate(zip(onsets, generator.integers(0, 8, 9), strict=True))
    ]
    Edf([signal(10, "a")], annotations=notes).write(tmp_path / "a.edf")
    source = TableSource(tmp_path, label="annotation", frame=1)
    assert [frame.labels.get("annotation", "") for frame in source.frames()] == [
        covered(notes, row / 10) for row in range(200)
    ]


def test_gaps_end_segments(path: Path) -> None:
    content = bytearray(path.read_bytes())
    assert content[192:197] == b"EDF+C"
    content[192:197] = b"EDF+D"
    path.write_bytes(content)
    assert len({frame.segment for frame in TableSource(path, rate=100).frames()}) == 1, "no record is late"
    for second in range(12, 20):  # everything from second 12 on comes a minute later
        content = content.replace(b"+%d\x14\x14" % second, b"+%d\x14\x14" % (second + 60))
    path.write_bytes(content)
    source = TableSource(path, rate=100, frame=10_000)
    assert [(frame.segment, frame.time) for frame in source.frames()] == [("a.edf@0", 0.0), ("a.edf@1200", 72.0)]
    assert source.counts()["gaps in time"] == 1


def test_what_is_cut_off_is_counted(path: Path) -> None:
    whole = read(path, rate=100)
    path.write_bytes(path.read_bytes()[:-50])
    source = TableSource(path, rate=100)
    assert source.counts()["left out: incomplete data records"] == 1
    np.testing.assert_array_equal(read(path, rate=100), whole[:1900])


def test_channels_of_one_name_and_foreign_letters(tmp_path: Path) -> None:
    Edf([signal(100, "EEG"), signal(100, "EEG")]).write(tmp_path / "a.edf")
    content = (tmp_path / "a.edf").read_bytes().replace(b"uV", b"\xb5V")
    (tmp_path / "a.edf").write_bytes(content)
    source = TableSource(tmp_path)
    assert (source.channels, source.units) == (("EEG", "EEG_"), ("µV", "µV"))


@pytest.mark.parametrize("content", [b"", b"0       ", b"\0" * 3000, b"no EDF" * 100])
def test_what_is_no_edf_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.edf").write_bytes(content)
    with pytest.raises(SettingError, match="no usable table"):
        TableSource(tmp_path / "a.edf")


def test_annotations_alone_are_no_table(tmp_path: Path) -> None:
    Edf([], annotations=NOTES).write(tmp_path / "a.edf")
    with pytest.raises(SettingError, match="it holds annotations, and no channel"):
        TableSource(tmp_path / "a.edf")
