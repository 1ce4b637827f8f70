"""A live source as a service: offsets on arrival, an end, and a death after which no offset names two frames."""

import json
import signal
from contextlib import closing

import numpy as np
import pytest
import zmq
from helpers.chains import features
from helpers.toys import Device

from stream_infomax.frames.contracts import Mark, Pipeline
from stream_infomax.service.process import FromSource, Service, opened
from stream_infomax.service.signals import Signals
from stream_infomax.sinks.npz import NpzSink
from stream_infomax.sinks.store import FrameStore
from stream_infomax.transport.labels import send_label
from stream_infomax.transport.sockets import StreamError
from stream_infomax.transport.tap import FRAME, TapReader


@pytest.fixture
def device(context, tmp_path):
    """What pushes numbers to a live source."""
    socket = context.socket(zmq.PUSH)
    socket.connect(f"ipc://{tmp_path}/device")
    return socket


def live(chain, tmp_path, **settings):
    made = chain(0, last="recorder", **settings)
    made.settings["source"]["device"] = f"ipc://{tmp_path}/device"
    made.settings["source"]["labels"] = f"ipc://{tmp_path}/labels"
    return made


def push(device, numbers, end=False):
    last = list(numbers)[-1]
    for number in numbers:
        device.send_string(f"{number} end" if end and number == last else str(number))


def numbers_in(kept):
    return [int(json.loads(labels)["number"]) for labels in kept["frames/labels"]]


def test_frames_get_their_offsets_on_arrival_and_the_stream_has_an_end(chain, device, tmp_path):
    made = live(chain, tmp_path)
    made.start()
    push(device, range(100, 160), end=True)
    made.finish()
    kept = features(made)
    np.testing.assert_array_equal(kept["frames/offset"], np.arange(60))
    assert numbers_in(kept) == list(range(100, 160))
    assert made.saved("source").finished


def test_a_source_that_dies_goes_on_behind_what_was_read(chain, device, tmp_path):
    made = live(chain, tmp_path)
    made.start()
    with TapReader(made.tap("a"), topics=(FRAME,)) as observer:
        made.line("a")  # READY
        sent = 0
        while not observer.socket.poll(100):  # until the observer listens
            push(device, [sent])
            sent += 1
        push(device, range(sent, sent + 50))
        next(frame for frame in observer if frame.labels["number"] == str(sent + 49))
    made.processes["source"].kill()
    assert made.end("source")[0] == -signal.SIGKILL
    made.start("source")
    push(device, range(sent + 50, sent + 80), end=True)
    made.finish()
    kept = features(made)
    assert numbers_in(kept) == list(range(sent + 80)), "all was read before the death"
    assert np.all(np.diff(kept["frames/offset"]) > 0)


def test_in_one_process_too_no_offset_names_two_frames(device, tmp_path):
    """What a sink has beyond the checkpoint was of frames that are gone; new ones come behind them."""
    service = Service(name="source", outlet="", tap=f"ipc://{tmp_path}/tap", folder=tmp_path / "source")
    source = f"ipc://{tmp_path}/device"

    def life(signals):
        sinks = [FrameStore(tmp_path / "kept")]
        return opened(service, FromSource(Device(source)), Pipeline([]), sinks, signals)

    with closing(Signals()) as signals:
        with life(signals) as loop:
            push(device, range(5))
            while loop.newest < 4:
                loop.turn()
            loop.sinks[0].save(Mark(loop.feed.log_id, 5, False))  # and it dies before its checkpoint
        with life(signals) as loop:
            push(device, range(5, 8), end=True)
            assert loop.run()
    kept = list(FrameStore(tmp_path / "kept").frames())
    assert [int(frame.labels["number"]) for frame in kept] == list(range(8))
    assert [frame.offset for frame in kept] == list(range(8))


def test_what_a_sink_has_is_saved_though_the_next_frame_is_long_in_coming(device, tmp_path):
    service = Service(name="source", outlet="", tap=f"ipc://{tmp_path}/tap", folder=tmp_path / "source")
    sinks = [NpzSink("npz", tmp_path / "npz", part=1)]
    source = FromSource(Device(f"ipc://{tmp_path}/device"))
    with closing(Signals()) as signals, opened(service, source, Pipeline([]), sinks, signals) as loop:
        push(device, range(5))
        while loop.newest < 4 or sinks[0].due:
            loop.turn()
        assert len(list((tmp_path / "npz/parts").glob("part-*"))) == 5


def test_labels_from_outside_get_an_offset_of_their_own(chain, device, tmp_path):
    made = live(chain, tmp_path)
    made.start()
    with TapReader(made.tap("a"), topics=(FRAME,)) as observer:
        made.line("a")  # READY
        sent = 0
        while not observer.socket.poll(100):  # until the observer listens
            push(device, [sent])
            sent += 1
        next(frame for frame in observer if frame.labels["number"] == str(sent - 1))
        send_label(f"ipc://{tmp_path}/labels", "toy", {"word": "yes"}, offset=0)
        frame = None
        while frame is None or "word" not in frame.labels:
            push(device, [sent])  # its segment is open: the next frame after the label carries it
            sent += 1
            frame = next(iter(observer))
        assert frame.labels["word"] == "yes"
    push(device, [sent], end=True)
    made.finish()


def test_a_label_for_nobody_says_so(tmp_path):
    with pytest.raises(StreamError, match="no run of a live source listens at ipc://"):
        send_label(f"ipc://{tmp_path}/labels", "toy", {"word": "yes"})
