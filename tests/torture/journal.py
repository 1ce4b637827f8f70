"""A live source with a journal: killed in the middle of things, and after deaths of the machine that tore its files."""

import json
import random as randoms
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import zmq
from helpers.chains import Chain, features

from stream_infomax.settings.extras import installed
from torture.frame import Trial, need, torture

VICTIMS = (("source",), ("source", "a"), ("source", "recorder"), ("source", "a", "recorder"), ("a", "recorder"))
# How often all die, and the end of the journal was not on the disk.
MACHINE = 0.25


@torture(minutes=30, short=None)
def kills_of_a_live_source(trial: Trial) -> str:
    """Whatever a live source had accepted is read once, under one offset, though it and its readers are killed."""
    need(installed("mcap"), "mcap")
    total, killed, lives, frames, torn = trial.times(200, least=4), 0, 0, 0, 0
    while killed < total:
        life = Life(trial, lives)
        try:
            deaths, damaged = life.killed(min(12, total - killed))
            frames += life.check()
        finally:
            life.end()
        killed, torn, lives = killed + deaths, torn + damaged, lives + 1
        trial.progress(min(killed, total), total)
    return f"{killed} kills in {lives} runs, {torn} torn journals, {frames:,} frames: none twice, none missing"


class Life:
    """A run with a device that pushes numbers."""

    def __init__(self, trial: Trial, number: int) -> None:
        self.folder = trial.folder / str(number)
        self.folder.mkdir()
        self.random = trial.random(number)
        self.made = Chain(
            self.folder,
            0,
            last="recorder",
            journal={"enabled": True, "part": "64 KiB", "keep": "1 GiB"},
            checkpoint_every=self.random.choice((20, 100, 10_000)),
            log_frames=self.random.choice((30, 1000)),
        )
        self.made.settings["source"]["device"] = f"ipc://{self.folder}/device"
        self.context = zmq.Context()
        self.device = self.context.socket(zmq.PUSH)
        self.device.connect(f"ipc://{self.folder}/device")
        self.sent = 0
        self.torn = 0

    def killed(self, kills: int) -> tuple[int, int]:
        """Push and kill in turn; return how many processes were killed, and how often a journal was torn."""
        self.made.start()
        self.made.line("source")  # READY
        killed = 0
        while killed < kills:
            self.push(self.random.randrange(1, 200))
            self.pause(self.random.choice((0, 20, 150, 300)))  # it dies while they come, or when they are read
            machine = self.random.random() < MACHINE
            victims = VICTIMS[3] if machine else self.random.choice(VICTIMS)
            for name in victims:
                self.made.processes[name].kill()
            killed += sum(self.made.end(name)[0] == -signal.SIGKILL for name in victims)
            if machine:
                self.tear()
            self.made.start(*victims)
            if "source" in victims:
                self.made.line("source")
        self.push(50)
        self.device.send_string(f"{self.sent} end")
        for code, errors in self.made.ends():
            torn = ("damaged at the death before", "are gone from") if self.torn else ()
            lines = [line for line in errors.splitlines() if not any(word in line for word in torn)]
            assert (code, lines) == (0, []), errors
        return killed, self.torn

    def push(self, n: int) -> None:
        """Push numbers, with a pause here and there."""
        for _ in range(n):
            self.device.send_string(str(self.sent))
            self.sent += 1
            if self.random.random() < 0.05:
                self.pause(self.random.randrange(1, 8))

    def pause(self, milliseconds: int) -> None:
        """Let time go by."""
        self.device.poll(milliseconds, zmq.POLLERR)  # which never comes

    def tear(self) -> None:
        """Take away what a second of no flush may cost: the end of the newest file, or its pages are zeros."""
        from stream_infomax.journal.mending import parts_in

        parts = parts_in(self.folder / "source/journal")
        reserved = self.folder / "source/journal/reserved.json"
        if not parts or not reserved.exists():  # nothing has been published
            return
        content = parts[-1].read_bytes()
        at = self.random.randrange(len(content) // 2, len(content))
        end = bytes(len(content) - at) if self.random.random() < 0.5 else b""
        parts[-1].write_bytes(content[:at] + end)
        reserved.write_bytes(json.dumps({**json.loads(reserved.read_bytes()), "boot": "another"}).encode())
        self.torn += 1

    def check(self) -> int:
        """Compare what the reader has kept with the journal; return how many frames it has."""
        from stream_infomax.journal.mending import parts_in
        from stream_infomax.journal.stretch import frames_of

        kept = features(self.made)
        numbers = [int(json.loads(labels)["number"]) for labels in kept["frames/labels"]]
        offsets = kept["frames/offset"].tolist()
        assert np.all(np.diff(numbers) > 0), "a frame came twice"
        assert np.all(np.diff(offsets) > 0), "an offset came twice"
        read = dict(zip(offsets, numbers, strict=True))
        journal = {frame.offset: int(frame.labels["number"]) for frame in frames_of(self.parts(parts_in), 0)}
        assert journal.items() <= read.items(), "the journal has what nobody read, or something else under an offset"
        if not self.torn:
            assert journal == read, "what was read is not in the journal"
            assert offsets == list(range(len(offsets))), "an offset is missing"
            assert self.made.saved("a").lost == {}
        return len(read)

    def parts(self, parts_in):
        return parts_in(self.folder / "source/journal")

    def end(self) -> None:
        self.made.kill_all()
        self.context.destroy(linger=0)


@torture(minutes=20, short=0.003)
def torn_journals(trial: Trial) -> str:
    """A journal that ends anywhere, or has bytes changed anywhere, gives whole frames only, and goes on."""
    need(installed("mcap"), "mcap")
    from helpers.journals import frame, read, settings, write

    from stream_infomax.frames import wire
    from stream_infomax.journal.journal import Journal
    from stream_infomax.journal.mending import parts_in
    from stream_infomax.journal.reading import PartReader

    written = {offset: wire.encode(frame(offset)) for offset in range(120)}
    total, lost = trial.times(3000, least=5), 0
    for done in range(total):
        random = trial.random(done)
        folder = trial.folder / str(done)
        journal = Journal(folder, "log", settings(part=random.choice(("8 KiB", "1 MiB"))))
        write(journal, map(frame, range(100)))
        if random.random() < 0.3:
            journal.close()
        else:  # as a death leaves it
            journal._flusher.shutdown()
        damage(random.choice(parts_in(folder)), random)
        try:
            again = Journal(folder, "log", settings())
        except ValueError as error:  # the name of another log is no damage that can be seen
            assert "journal of another run" in str(error), error
            continue
        kept = {wire.decode(parts).offset: parts for parts in read(again)}
        assert kept.items() <= written.items(), f"trial {done}: something that was never written"
        lost += 100 - len(kept)
        following = again.newest + 1
        write(again, [frame(following)])
        again.close()
        (newest,) = read(Journal(folder, "log", settings()), following)
        assert newest == wire.encode(frame(following)), f"trial {done}: it does not go on"
        for path in parts_in(folder):
            assert sum(1 for _ in PartReader(path).places()) >= 0
        trial.progress(done + 1, total)
    return f"{total:,} damaged journals, on average {lost / total:.1f} of 100 frames gone, none wrong"


def damage(path, random: randoms.Random) -> None:
    """Cut a file off, zero its end, or change bytes of it."""
    content = bytearray(path.read_bytes())
    at = random.randrange(len(content))
    match random.randrange(3):
        case 0:
            del content[at:]
        case 1:
            content[at:] = bytes(len(content) - at)
        case _:
            for _ in range(random.choice((1, 1, 5, 50))):
                content[random.randrange(len(content))] = random.randrange(256)
    path.write_bytes(content)


LIVE = """
[run]
folder = "run"
checkpoint_every = 16

[source]
kind = "devices"
bind = "ipc://{folder}/devices"
ends = true
idle_seconds = 10.0  # its end may be lost with the source

[source.journal]
enabled = true
part = "256 KiB"

[[stage]]
name = "windows"
kind = "windows"
form = "waveform"
length = 4
hop = 2

[[stage]]
name = "learner"
kind = "learner"
n_components = 4
warmup = 300
"""


@torture(minutes=30, short=None)
def verified_kills(trial: Trial) -> str:
    """A live run whose processes were killed is what its journal gives, to the last bit."""
    need(installed("mcap"), "mcap")
    from helpers.kills import Deployment

    from stream_infomax.run.verify import verify

    total, killed, runs, frames = trial.times(100, least=3), 0, 0, 0
    while killed < total:
        kills = min(10, total - killed)
        folder = trial.folder / str(runs)
        folder.mkdir()
        deployment = Deployment(folder, LIVE.format(folder=folder), ("source", "windows", "learner"))
        with device_at(f"ipc://{folder}/devices", 300 * kills):
            # What was on its way from the device when its source was killed is lost, and that is said (3).
            done = deployment.killed("run", trial.random(runs), kills, codes=(0, 3))
        verdict = verify(folder / "run", lambda *_: None)
        assert verdict.same, [one.difference for one in verdict.compared]
        assert verdict.first == 0, "it was computed from the beginning"
        killed, runs, frames = killed + done.count, runs + 1, frames + verdict.end
        trial.progress(min(killed, total), total)
    return f"{killed} kills in {runs} runs, {frames:,} frames computed again, 0 differing bits"


@contextmanager
def device_at(address: str, n: int) -> Iterator[None]:
    """A device that sends so many messages, one every few milliseconds, and ends its stream."""
    program = f"""
import time
import numpy as np
from stream_infomax import Push
rows = np.random.default_rng(0).laplace(size=({n}, 16, 2)).astype(np.float32)
with Push({address!r}, "ear", rate=1000.0, timeout=600) as push:
    for block in rows:
        push(block)
        time.sleep(0.004)
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    try:
        yield
    finally:
        process.kill()
        process.wait()
