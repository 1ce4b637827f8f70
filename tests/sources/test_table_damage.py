"""Files that are cut off or have wrong bytes: rows of them, or an error that names the file; nothing else."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.extras import extra

from stream_infomax.settings.error import SettingError
from stream_infomax.sources.table import TableSource

ROWS = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32) / 10


def npz(path: Path) -> None:
    np.savez_compressed(path, x=ROWS, rate=100.0, event=np.arange(300) // 50, names=list("abc"))


def parquet(path: Path) -> None:
    extra("pyarrow")
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"a": ROWS[:, 0], "t": np.arange(300.0), "w": ["x"] * 300}), path)


def edf(path: Path) -> None:
    extra("edfio")
    from edfio import Edf, EdfAnnotation, EdfSignal

    signals = [EdfSignal(ROWS[:, i].astype(float), 30, label=f"C{i}") for i in range(3)]
    Edf(signals, annotations=[EdfAnnotation(1, 2, "T")]).write(path)


def csv(path: Path) -> None:
    lines = [f"{i / 10};{a:.3f};{b:.3f};x" for i, (a, b, _) in enumerate(ROWS)]
    path.write_text("\n".join(["t;a;b;w", *lines]).replace(".", ","))


KINDS: dict[str, tuple[Callable[[Path], None], dict[str, str]]] = {
    "npy": (lambda path: np.save(path, ROWS), {}),
    "npz": (npz, {"label": "event"}),
    "parquet": (parquet, {"time": "t", "label": "w"}),
    "edf": (edf, {"label": "annotation"}),
    "wav": (lambda path: soundfile.write(path, ROWS, 1000), {}),
    "csv": (csv, {"time": "t", "label": "w"}),
}


def damaged(content: bytes, seed: int) -> bytes:
    """Cut a file off, or change some bytes, mostly of its head and its end."""
    generator = random.Random(seed)
    if seed % 4 == 0:
        return content[: generator.randrange(len(content))]
    changed = bytearray(content)
    for _ in range(generator.choice([1, 2, 5, 30])):
        begin, end = generator.choice([(0, 200), (0, 1200), (0, len(content)), (len(content) - 1500, len(content))])
        place = generator.randrange(max(0, begin), min(end, len(content)))
        changed[place] = generator.choice([generator.randrange(256), *b"0123456789-. \0"])
    return bytes(changed)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_read_or_named(tmp_path: Path, kind: str) -> None:
    write, keys = KINDS[kind]
    path = tmp_path / f"a.{kind}"
    write(path)
    content = path.read_bytes()
    n_refused = 0
    for seed in range(80):
        path.write_bytes(damaged(content, seed))
        for settings in ({}, keys):
            try:
                source = TableSource(path, **settings)
                n_frames = len(source)
                if n_frames < 1000:
                    assert sum(1 for _ in source.frames()) == n_frames
            except SettingError as error:
                assert "a." in str(error)
                n_refused += 1
    assert 0 < n_refused < 160 or kind == "csv"
