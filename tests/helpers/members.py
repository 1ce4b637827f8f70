"""Learners of a fleet in this process, whose loops take turns, and a coordinator that only merges."""

from contextlib import closing, contextmanager

from helpers.kills import leaves

from stream_infomax import LearnerStage, OnlineInfomax
from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.learning.infomax.exchange import Delta, Shared
from stream_infomax.service.checkpoints import Checkpoints
from stream_infomax.service.process import FromSource, Service, opened
from stream_infomax.service.rounds import Joining
from stream_infomax.service.signals import Signals
from stream_infomax.sinks.store import FrameStore
from stream_infomax.transport.messages import Ask, Common, Heard
from stream_infomax.transport.rounds import Rendezvous


class Hub:
    """Merges a round when all members that are left have handed in."""

    def __init__(self, context, address, members):
        self.socket = Rendezvous(context, address)
        self.left = set(members)
        self.shared = []
        self.handed_in = {}
        self.bytes = {}
        self.waiting = []

    def work(self):
        for asked in [*self.waiting, *self.socket.asked()]:
            if asked not in self.waiting:
                self.waiting.append(asked)
                self._take(asked)
        if self.shared and self.left and self.handed_in.keys() == self.left:
            deltas = [delta for delta, _ in self.handed_in.values()]
            self.left -= {name for name, (_, last) in self.handed_in.items() if last}
            self.shared.append(OnlineInfomax.merge(self.shared[-1], deltas, max(1, len(self.left))))
            self.handed_in = {}
        waiting, self.waiting = self.waiting, []
        for asked in waiting:
            wanted = 0 if isinstance(asked.request, Ask) or asked.request.what == "share" else asked.request.number + 1
            if wanted < len(self.shared):
                self.socket.answer(asked, Common("f", wanted), self.shared[wanted].to_bytes())
            else:
                self.waiting.append(asked)
                self.socket.answer(asked, Heard("f", len(self.shared)))

    def _take(self, asked):
        request = asked.request
        if isinstance(request, Ask):
            return
        key = (request.member, request.what, request.number)
        assert self.bytes.setdefault(key, asked.payload) == asked.payload, "it learns otherwise than before"
        if request.what == "share":
            if not self.shared:
                self.shared.append(Shared.from_bytes(asked.payload, request.member))
        elif request.number == len(self.shared) - 1:
            self.handed_in[request.member] = (Delta.from_bytes(asked.payload, request.member), request.last)


class Shard:
    """Lives of a service whose learner is a member of a fleet."""

    def __init__(self, folder, name, source, begins, *, rows=256, learners=2, address="", **settings):
        self.folder, self.source, self.settings = folder / name, source, settings
        self.folder.mkdir(parents=True, exist_ok=True)
        self.service = Service(name="toy", outlet="", tap="", folder=self.folder / "toy", checkpoint_every=5)
        self.joining = Joining(name=name, rows=rows, learners=learners, begins=begins, address=lambda: address)

    @contextmanager
    def life(self):
        stages = Pipeline([LearnerStage("features", "source", seed=1, **self.settings)])
        with (
            closing(Signals()) as signals,
            opened(
                self.service,
                FromSource(self.source()),
                stages,
                [FrameStore(self.folder / "kept")],
                signals,
                joining=self.joining,
            ) as loop,
        ):
            loop.start()
            yield loop

    def made(self):
        """Return every bit of the frames that were kept, and of the last state."""
        kept = [wire.encode(frame) for frame in FrameStore(self.folder / "kept").frames()]
        (checkpoint,) = [Checkpoints(self.service.folder, 3).latest()]
        return kept, leaves(checkpoint.stages)
