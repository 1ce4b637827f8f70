"""A fleet of one shard and its guests in this process: real sockets, and loops that take turns with the coordinator."""

from contextlib import closing, contextmanager

import numpy as np
from helpers.toys import WIDTH, Counting

from stream_infomax import LearnerStage, OnlineInfomax
from stream_infomax.fleet.archive import Archive
from stream_infomax.fleet.coordinator import Coordinator
from stream_infomax.fleet.coordinator_process import opened as at_desk
from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.service.guests import Visiting
from stream_infomax.service.process import FromSource, Service, opened
from stream_infomax.service.signals import Signals
from stream_infomax.transport.keys import LOCAL
from stream_infomax.transport.messages import HandIn

ROWS = np.random.default_rng(7).laplace(size=(20_000, WIDTH)).astype(np.float32)
WARMUP, ROUND = 256, 64


class Fleet:
    """A coordinator, and a shard that hands in when it is told to."""

    def __init__(self, folder, shards=("00",)):
        self.run, self.shards = folder / "run", shards
        self.run.mkdir(parents=True, exist_ok=True)
        self.address = f"ipc://{folder}/rounds"
        self.coordinator = Coordinator(Archive(self.run), shards)
        self.learner = OnlineInfomax(warmup=WARMUP, random_state=0)
        self.given = 0

    @contextmanager
    def desk(self, access=LOCAL):
        """Answer while the block lasts."""
        self.coordinator = Coordinator(Archive(self.run), self.shards)
        with at_desk(self.coordinator, self.address, access) as desk:
            self.address = desk.address
            yield desk

    def learn(self, n):
        """Learn from more rows."""
        self.learner.partial_fit(ROWS[self.given : self.given + n])
        self.given += n

    def begin(self):
        """Begin with the shard's warm-up."""
        self.learn(2 * WARMUP)
        shared = self.learner.share(len(self.shards))
        self.coordinator.take(HandIn("00", "share", 0), shared.to_bytes())
        self._take()

    def go_on(self, n=200):
        """Hand in what the shard learns from so many rows; it is merged with what guests have handed in."""
        self.learn(n)
        number = self.coordinator.newest
        self.coordinator.take(HandIn("00", "delta", number, since=number), self.learner.delta("00").to_bytes())
        line = self.coordinator.merge()
        self._take()
        return line

    def _take(self):
        self.learner.take(self.shared)

    @property
    def shared(self):
        """What all have in common."""
        return self.coordinator.archive.shared(self.coordinator.newest)


class Box:
    """Lives of a service whose learner is a guest. What it says of a frame it says again in the next life."""

    def __init__(self, folder, fleet, *, n_frames=400, every=5, **visiting):
        self.folder, self.n_frames = folder / "box", n_frames
        self.folder.mkdir(parents=True)
        self.service = Service(name="toy", outlet="", tap="", folder=self.folder / "toy", checkpoint_every=every)
        self.visiting = Visiting(name="box", rows=ROUND, address=lambda: fleet.address, **{"patience": 0.0} | visiting)
        self.said = {}
        self.twice = 0

    @contextmanager
    def life(self):
        """Give its loop; a life that ends without `stop` is one that is killed."""
        stages = Pipeline([LearnerStage("features", "source", seed=1, warmup=WARMUP)])
        process = stages.process
        stages.process = lambda frame: self._note(process(frame))
        with (
            closing(Signals()) as signals,
            opened(
                self.service, FromSource(Counting(self.n_frames)), stages, [], signals, joining=self.visiting
            ) as loop,
        ):
            loop.start()
            yield loop

    def _note(self, frame):
        self.twice += frame.offset in self.said
        content = wire.encode(frame)
        assert self.said.setdefault(frame.offset, content) == content, f"frame {frame.offset} is another one"
        return frame
