"""What a live source gives, recorded, replayed to a pipeline and exported: commands as a person gives them."""

import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.commands import call
from helpers.extras import extra
from helpers.journals import damaged, frame, label, settings, write

extra("mcap")
from stream_infomax import Push  # noqa: E402
from stream_infomax.cli.export import export  # noqa: E402
from stream_infomax.cli.record import record  # noqa: E402
from stream_infomax.cli.replay import replay  # noqa: E402
from stream_infomax.configuration.load import ConfigError  # noqa: E402
from stream_infomax.journal.journal import Journal  # noqa: E402
from stream_infomax.journal.mending import parts_in  # noqa: E402
from stream_infomax.run.played import played  # noqa: E402
from stream_infomax.run.threads import THREADS  # noqa: E402
from stream_infomax.run.verify import verify  # noqa: E402
from stream_infomax.service.checkpoints import checkpoints_in, read  # noqa: E402
from stream_infomax.service.feeds import SeekableFeed  # noqa: E402
from stream_infomax.sources.journal import JournalSource  # noqa: E402

CONFIG = """
[run]
folder = "live"

[source]
kind = "devices"
ends = true

[[stage]]
name = "learner"
kind = "learner"
warmup = 40
"""


def test_what_is_recorded_is_learnt_from_later(tmp_path, monkeypatch, capsys):
    for name in THREADS:
        monkeypatch.setenv(name, "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "live.toml").write_text(CONFIG)
    rows = np.random.default_rng(0).laplace(size=(20, 30, 3)).astype(np.float32)

    def device():
        with Push(f"ipc://{tmp_path}/live-recorded/source.devices", "box", rate=300.0, timeout=60) as push:
            for block in rows:
                push(block)

    thread = threading.Thread(target=device)
    thread.start()
    assert record(Path("live.toml"), plain=True) == 0
    thread.join()
    journal = tmp_path / "live-recorded/in-process/journal"
    assert capsys.readouterr().out.endswith("live-recorded/in-process/journal: the recording\n")
    (path,) = parts_in(journal)
    done = call("replay", path, "--pipeline", "live.toml", "--speed", 0, "--from", 5, "--to", "later", folder=tmp_path)
    assert done.code == 0, done.errors
    state = read(checkpoints_in(tmp_path / "later/learner")[-1]).stages["learner"]
    assert state["learner"]["n_rows_seen"] == 15 * 30
    assert f"later: frames at ipc://{tmp_path}/later/learner.tap\n" in done.output
    verdict = verify(tmp_path / "later", lambda *_: None)
    assert (verdict.same, verdict.first, verdict.end) == (True, 0, 16)
    assert export(journal, to="npz") == 0
    assert (tmp_path / "live-recorded.npz").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match=f"a run is replayed with --from .*: `stream-infomax replay {journal}`"):
        replay(tmp_path / "live-recorded")
    with pytest.raises(ConfigError, match=f"an .mcap file, or a folder of such: {journal}"):
        export(tmp_path / "live-recorded", to="wav")


@pytest.fixture
def recorded(tmp_path):
    """A journal of two streams, with a label."""
    journal = Journal(tmp_path / "journal", "log", settings(part="1 MiB"))
    frames = [frame(n, "../mic" if n % 3 else "box", dtype="float32" if n % 3 else "int16") for n in range(30)]
    write(journal, [*frames, label(30)])
    journal.close()
    return tmp_path / "journal", frames


def rows_of(frames, stream):
    return np.concatenate([one.arrays["source"].data for one in frames if one.stream == stream])


def test_sound_is_exported_to_the_bit_and_names_of_streams_lead_nowhere_else(recorded, capsys):
    folder, frames = recorded
    (path,) = parts_in(folder)
    assert export(path, to="wav", out=folder / "sound") == 0
    assert sorted(file.name for file in (folder / "sound").iterdir()) == ["box.wav", "mic.wav"]
    for name, stream, dtype in (("mic", "../mic", "float32"), ("box", "box", "int16")):
        values, rate = soundfile.read(folder / f"sound/{name}.wav", dtype=dtype)
        assert rate == 100
        np.testing.assert_array_equal(values, rows_of(frames, stream))
    assert f"{folder}/sound/mic.wav: 200 rows" in capsys.readouterr().out


def test_arrays_are_exported(recorded):
    folder, frames = recorded
    frames = [one for one in frames if one.stream == "../mic"]
    journal = Journal(folder / "mic", "log", settings())
    write(journal, [frame(n, "../mic") for n in range(20)])
    journal.close()
    assert export(folder / "mic", to="npz", out=folder / "mic.npz") == 0
    with np.load(folder / "mic.npz") as file:
        np.testing.assert_array_equal(file["source"], rows_of([frame(n, "../mic") for n in range(20)], "../mic"))
        assert set(file["frames/stream"]) == {"../mic"}


@pytest.mark.parametrize("to", ["npz", "wav"])
def test_what_a_damaged_journal_lacks_is_said_and_the_rest_is_exported(tmp_path, capsys, to):
    journal = Journal(tmp_path / "journal", "log", settings(part="1 MiB"))
    write(journal, [frame(n) for n in range(20)])
    journal.close()
    (path,) = parts_in(tmp_path / "journal")
    damaged(path, 7)
    assert export(tmp_path / "journal", to=to, out=tmp_path / "out") == 3
    shown = capsys.readouterr()
    assert "190 rows" in shown.out
    assert shown.err == f"{tmp_path}/journal: 1 frame is damaged (7)\n"
    if to == "npz":
        with np.load(tmp_path / "out") as file:
            assert list(file["frames/segment"]) == ["one"] * 7 + ["one (after gap 1)"] * 12


@pytest.mark.parametrize("to", ["npz", "wav"])
def test_a_journal_of_which_nothing_can_be_read(tmp_path, to):
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal/part-000000000000.mcap").write_bytes(b"")
    with pytest.raises(ConfigError, match="no MCAP file"):
        export(tmp_path / "journal", to=to, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("to", "says"), [("c", "accepted are npz and wav"), ("npz", "int16"), ("onnx", "accepted are npz and wav")]
)
def test_what_cannot_be_exported_is_named(recorded, to, says):
    folder, _ = recorded
    with pytest.raises(ConfigError, match=says):
        export(folder, to=to, out=folder / "out")


def test_a_checkpoint_is_no_sound(tmp_path):
    with pytest.raises(ConfigError, match="is no journal; accepted is an"):
        export(tmp_path, to="wav")


def test_a_replay_says_how_many_frames_its_journal_lacks(tmp_path):
    for first in (0, 10, 20):
        journal = Journal(tmp_path / "journal", "log", settings(part="1 MiB"))
        write(journal, [frame(n) for n in range(first, first + 10)])
        journal.close()
    parts = parts_in(tmp_path / "journal")
    damaged(parts[0], 3)
    parts[1].write_bytes(b"")
    source = JournalSource(tmp_path / "journal")
    assert len(source) == 19
    assert source.outline().left_out == {
        "frames missing in the journal, or damaged": 11,
        "files that are no part of a journal": 1,
    }
    assert source.counts()["lost: missing in the journal, or damaged"] == 11
    assert [one.segment for one in source.frames()] == ["one"] * 3 + ["one (after gap 1)"] * 6 + [
        "one (after gap 2)"
    ] * 10
    shorter = JournalSource(tmp_path / "journal")
    shorter.restore({**source.state(), "frames": 9})
    assert (len(shorter), shorter.counts()["lost: missing in the journal, or damaged"]) == (9, 1)
    done = call("replay", "journal", "--speed", 0, "--plain", "--to", "again", folder=tmp_path)
    assert done.code == 3
    assert "11 frames lost (missing in the journal, or damaged)" in " ".join(done.output.split())


@pytest.mark.parametrize(("to", "name"), [("npz", "journal.npz"), ("wav", "journal-wav")])
def test_what_is_there_is_written_over_only_where_it_is_named(tmp_path, monkeypatch, to, name):
    monkeypatch.chdir(tmp_path)
    journal = Journal(tmp_path / "journal", "log", settings())
    write(journal, [frame(0)])
    journal.close()
    assert export(Path("journal"), to=to) == 0
    written = [Path(name), *Path(name).glob("*")]
    assert [path.stat().st_mode & 0o777 for path in written] == ([0o600] if to == "npz" else [0o700, 0o600])
    with pytest.raises(ConfigError, match=f"{name} is there already, and is left as it is; --out names"):
        export(Path("journal"), to=to)
    assert export(Path("journal"), to=to, out=Path(name)) == 0


def test_a_refused_replay_leaves_nothing_behind(tmp_path, recorded):
    folder, _ = recorded
    before = sorted(tmp_path.iterdir())
    done = call("replay", folder, "--from", 999, "--plain", folder=tmp_path)
    assert (done.code, done.output) == (2, "")
    assert "no frame is there" in done.errors
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_frames_are_paced_by_when_they_came(recorded, monkeypatch, speed):
    """Not by their own times: every device has another clock."""
    folder, _ = recorded
    source = JournalSource(folder)
    came = [at for at, _ in source.arrivals()]
    now = 50.0
    monkeypatch.setattr("stream_infomax.service.feeds.time.monotonic", lambda: now)
    feed = SeekableFeed(source, "log", "live", speed)
    given = []
    while len(given) < len(came):
        if (arrival := feed.receive()) is not None:
            given.append((arrival.frame.offset, now))
            continue
        assert feed.due() > 0
        now += feed.due()
    assert [offset for offset, _ in given] == list(range(31))
    np.testing.assert_allclose([at - 50 for _, at in given], [(at - came[0]) / speed for at in came], atol=1e-5)


def test_a_pipeline_keeps_all_but_its_source(tmp_path, recorded):
    folder, _ = recorded
    (tmp_path / "live.toml").write_text(CONFIG)
    config = played(folder, tmp_path / "live.toml", 5, 2.5, None, ["stage.learner.warmup=50"])
    assert (config.source.kind, config.source.pace, config.source.speed) == ("journal", "live", 2.5)
    assert config.source.settings.start == 5
    assert config.stage[0].settings.warmup == 50
    assert config.run.folder == f"{tmp_path}/journal-replayed"
    assert played(folder, None, 0, 0.0, tmp_path / "to", []).source.pace == "fast"
