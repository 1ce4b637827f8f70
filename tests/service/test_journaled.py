"""A live source with a journal: whoever dies, what was accepted reaches its readers once, under one offset."""

import errno
import json
import random
import signal
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import zmq
from helpers import devices
from helpers.chains import features
from helpers.extras import extra
from helpers.journals import Life, push, until
from helpers.steered import Steerable, ask
from helpers.toys import Device

extra("mcap")
from stream_infomax.frames.contracts import Mark  # noqa: E402
from stream_infomax.journal.mending import parts_in  # noqa: E402
from stream_infomax.journal.settings import JournalSettings  # noqa: E402
from stream_infomax.service.signals import Signals  # noqa: E402
from stream_infomax.sinks.store import FrameStore  # noqa: E402
from stream_infomax.sources.devices import DevicesSource  # noqa: E402
from stream_infomax.sources.several import SeveralSource  # noqa: E402
from stream_infomax.transport.tap import FRAME, TapReader  # noqa: E402


@pytest.fixture
def device(context, tmp_path):
    """What pushes numbers to a live source."""
    socket = context.socket(zmq.PUSH)
    socket.connect(f"ipc://{tmp_path}/device")
    return socket


def numbers_in(kept):
    return [int(json.loads(labels)["number"]) for labels in kept["frames/labels"]]


def test_what_was_accepted_is_read_though_all_die(chain, device, tmp_path):
    """Also what no reader had committed, nor any checkpoint: the source goes on from its journal."""
    made = chain(0, last="recorder", journal={"enabled": True}, checkpoint_every=10_000)
    made.settings["source"]["device"] = f"ipc://{tmp_path}/device"
    made.start()
    generator = random.Random(0)
    sent = 0
    for victims in (["source"], ["source", "a", "recorder"]):
        with TapReader(made.tap("a"), topics=(FRAME,)) as observer:
            while not observer.socket.poll(50):  # until the observer listens
                push(device, [sent])
                sent += 1
            n = generator.randrange(20, 60)
            push(device, range(sent, sent + n))
            sent += n
            next(frame for frame in observer if frame.labels["number"] == str(sent - 1))
        for name in victims:
            made.processes[name].kill()
        assert [code for code, _ in made.ends(*victims)] == [-signal.SIGKILL] * len(victims)
        made.start(*victims)
    push(device, range(sent, sent + 5), end=True)
    made.finish()
    kept = features(made)
    np.testing.assert_array_equal(kept["frames/offset"], np.arange(sent + 5))
    assert numbers_in(kept) == list(range(sent + 5))
    assert made.saved("a").lost == {}


@pytest.fixture
def signals():
    with closing(Signals()) as made:
        yield made


def test_in_one_process_too(tmp_path, device, signals):
    life = Life(tmp_path)
    with life.opened(signals) as loop:
        push(device, range(5))
        until(loop, 4)
    with life.opened(signals) as loop:  # there was no checkpoint
        push(device, range(5, 8), end=True)
        assert loop.run()
    assert life.kept() == [(n, n) for n in range(8)]


def test_what_the_machine_lost_names_no_frame_again(tmp_path, device, signals):
    """The end of the journal was not on the disk, and somebody has had those frames."""
    life = Life(tmp_path)
    with life.opened(signals) as loop:
        push(device, range(6))
        until(loop, 5)
        loop.sinks[0].save(Mark(loop.feed.log_id, 6, False))  # and it dies before its checkpoint
    (path,) = parts_in(tmp_path / "source/journal")
    path.write_bytes(path.read_bytes()[:900])
    with life.opened(signals) as loop:
        assert loop.feed.journal.newest < 5
        push(device, range(6, 8), end=True)
        assert loop.run()
    assert life.kept() == [(n, n) for n in range(8)]


@pytest.mark.parametrize("policy", ["stop", "drop"])
def test_a_full_disk_stops_the_source_or_is_said(tmp_path, device, signals, monkeypatch, policy):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    life = Life(tmp_path, on_full=policy)
    with life.opened(signals) as loop:
        journal = loop.feed.journal
        with monkeypatch.context() as patched:
            patched.setattr(journal, "_check_room", full)
            push(device, range(3))
            if policy == "drop":
                until(loop, 2)
            while not journal.full:
                loop.turn()
            assert loop.feed.counts()["source"]["journal full"] == 1
            assert loop.newest == (2 if policy == "drop" else -1)
            loop.turn()
        journal._again = loop.feed._again = 0.0
        push(device, range(3, 7), end=True)
        assert loop.run()
        counts = loop.feed.counts()["source"]
    assert life.kept() == [(n, n) for n in range(7)]
    assert counts["journal full"] == 0
    assert counts.get("left out: frames that the journal lacks", 0) == (3 if policy == "drop" else 0)
    assert journal.first == (3 if policy == "drop" else 0)


def test_what_devices_count_goes_on_without_a_gap(tmp_path, context, signals):
    """The checkpoint knows nothing of what they have sent since; the journal does."""
    address = f"ipc://{tmp_path}/devices"
    life = Life(tmp_path, lambda: DevicesSource(bind=address, ends=True))
    one, other = (devices.Device(context, address, name, session=name) for name in ("one", "other"))
    with life.opened(signals) as loop:
        for _ in range(4):
            one.send(time=1.0 + one.count / 25)
        one.count += 2  # these never arrive
        one.send(time=1.0 + one.count / 25)
        other.send()
        until(loop, 5)
        assert loop.feed.lost == {"never arrived": 2}
    with life.opened(signals) as loop:
        assert loop.feed.lost == {"never arrived": 2}
        one.send(time=1.0 + one.count / 25)
        one.tell(end=True)
        other.count += 3
        other.send()
        other.tell(end=True)
        assert loop.run()
        assert loop.feed.lost == {"never arrived": 2, "perhaps lost in a restart": 3}
    kept = [frame for frame in FrameStore(tmp_path / "kept").frames() if frame.stream == "one"]
    sent = [frame.arrays["source"].data.tobytes() for frame in kept if not frame.end]
    assert sent == [data.tobytes() for data in one.sent]
    segments = [frame.segment for frame in kept]
    assert len(set(segments[:4])) == len(set(segments[4:])) == 1, "none begins where nothing is missing"


def test_several_devices_inputs_go_on_each_with_its_own(tmp_path, context, signals):
    places = {name: f"ipc://{tmp_path}/{name}" for name in ("left", "right")}
    inputs = [{"name": name, "kind": "devices", "bind": place, "ends": True} for name, place in places.items()]
    life = Life(tmp_path, lambda: SeveralSource(inputs=inputs))
    left, right = (devices.Device(context, place, name, session=name) for name, place in places.items())
    with life.opened(signals) as loop:
        for one in (left, right, left):
            one.send()
        until(loop, 2)
    with life.opened(signals) as loop:
        right.count += 2  # these never arrive
        for one in (left, right):
            one.send()
            one.tell(end=True)
        assert loop.run()
        assert loop.feed.lost == {"perhaps lost in a restart (right)": 2}
    kept = list(FrameStore(tmp_path / "kept").frames())
    for one in (left, right):
        found = [
            frame.arrays["source"].data.tobytes() for frame in kept if one.stream in frame.stream and not frame.end
        ]
        assert found == [data.tobytes() for data in one.sent]


@pytest.mark.parametrize("policy", ["wait", "drop-oldest"])
def test_what_a_full_log_drops_is_not_read_again(tmp_path, device, signals, policy):
    life = Life(tmp_path)
    life.service = replace(life.service, policy=policy)
    with life.opened(signals) as loop:
        push(device, range(3))
        until(loop, 2)
        assert loop.feed.rewinds(1) == (policy == "wait")
        assert not loop.feed.rewinds(3)


def seen(frame):
    return frame.labels.get("mark"), len(frame.events)


def test_a_mark_is_in_the_journal(tmp_path, context):
    """So it is in whatever is made of the journal; read again, the frame has it once."""
    one = Steerable(
        tmp_path,
        lambda: Device(f"ipc://{tmp_path}/device"),
        journal=JournalSettings(enabled=True),
        checkpoint_every=1000,
    )
    device = context.socket(zmq.PUSH)
    device.connect(f"ipc://{tmp_path}/device")
    with one.life() as (loop, client):
        push(device, [0])
        until(loop, 0)
        assert ask(loop, client, "mark", "here").offset == 1
        push(device, [1, 2])
        until(loop, 2)
        written = [seen(entry.frame) for entry in loop.feed.journal.entries(0)]
    assert written == [(None, 0), ("here", 1), (None, 0)]
    with one.life() as (loop, client):
        push(device, [3], end=True)
        assert loop.run()
    kept = [seen(frame) for frame in FrameStore(tmp_path / "kept").frames()]
    assert kept == [*written, (None, 0)]
