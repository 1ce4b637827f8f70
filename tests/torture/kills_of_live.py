"""A live source with a journal is killed, alone and with its readers: what was accepted is there, in its place."""

import json
import signal
from itertools import count, cycle
from pathlib import Path
from random import Random

import numpy as np
import zmq
from helpers.chains import Chain, features
from helpers.toys import Counting, Summing

from stream_infomax.settings.extras import installed
from stream_infomax.transport.tap import FRAME, TapReader
from torture.frame import Trial, need, torture

VICTIMS = (("source",), ("a",), ("source", "a"), ("source", "recorder"), ("source", "a", "recorder"))


@torture(minutes=20, short=0.02)
def kills_of_a_live_source(trial: Trial) -> str:
    """A device pushes on while source, stage and recorder are killed; every frame that was seen is kept."""
    need(installed("mcap"), "mcap is not installed")
    total, killed, runs, kept = trial.times(120), 0, 0, 0
    while killed < total:
        folder = trial.folder / str(runs)
        folder.mkdir()
        one, frames = killed_live(folder, trial.random(runs), min(12, total - killed))
        killed, runs, kept = killed + one, runs + 1, kept + frames
        trial.progress(killed, total)
    return f"{killed} kills in {runs} runs, {kept} frames: none that was seen is missing or moved, 0 differing bits"


class Pushed:
    """A device that pushes one number after another, and what has been seen of them at the source's tap."""

    def __init__(self, context: zmq.Context, made: Chain) -> None:
        self.socket = context.socket(zmq.PUSH)
        self.socket.linger = 0
        self.socket.connect(made.settings["source"]["device"])
        self.numbers = count()
        self.seen: dict[int, int] = {}

    def until(self, observer: TapReader, n: int) -> None:
        """Push until so many more frames have been seen."""
        wanted = len(self.seen) + n
        while len(self.seen) < wanted:
            if self.socket.poll(0, zmq.POLLOUT):
                self.socket.send_string(str(next(self.numbers)))
            while observer.socket.poll(2):
                frame = observer.receive()
                number = int(frame.labels["number"])
                assert self.seen.setdefault(frame.offset, number) == number, "an offset names two frames"


def killed_live(folder: Path, random: Random, kills: int) -> tuple[int, int]:
    """Run, push, kill, compare; return how many processes were killed, and how many frames there are."""
    made = Chain(folder, 0, last="recorder", journal={"enabled": True}, checkpoint_every=20)
    made.settings["source"]["device"] = f"ipc://{folder}/device"
    order, killed = cycle(random.sample(VICTIMS, len(VICTIMS))), 0
    try:
        made.start()
        with zmq.Context() as context, TapReader(made.tap("source"), topics=(FRAME,)) as observer:
            device = Pushed(context, made)
            while killed < kills:
                device.until(observer, random.randint(5, 60))
                victims = next(order)
                for name in victims:
                    made.processes[name].kill()
                killed += sum(made.end(name)[0] == -signal.SIGKILL for name in victims)
                made.start(*victims)
            device.until(observer, 30)
            device.socket.send_string(f"{next(device.numbers)} end")
            made.finish()
            device.socket.close()
    finally:
        made.kill_all()
    return killed, compared(made, device.seen)


def compared(made: Chain, seen: dict[int, int]) -> int:
    """Compare what was kept with what was seen, and with the same frames in a row; return how many there are."""
    kept, saved = features(made), made.saved("a")
    numbers = [int(json.loads(labels)["number"]) for labels in kept["frames/labels"]]
    np.testing.assert_array_equal(kept["frames/offset"], np.arange(len(numbers)))
    assert (np.diff(numbers) > 0).all(), "something is there twice, or in another order"
    assert not [offset for offset, number in seen.items() if numbers[offset] != number]
    stage = Summing("a")
    outputs = [stage.process(next(Counting(number + 1).frames(number))).arrays["a"].data for number in numbers]
    assert kept["a"].tobytes() == np.concatenate(outputs).tobytes(), "features differ"
    assert (saved.finished, saved.lost) == (True, {})
    assert saved.stages["a"]["total"].tobytes() == stage.total.tobytes(), "the final state differs"
    return len(numbers)
