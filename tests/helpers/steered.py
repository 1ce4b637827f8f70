"""A stage that takes commands, and lives of a service with it in this process; the test is who steers."""

import shutil
from contextlib import closing, contextmanager
from zlib import crc32

import zmq
from helpers.kills import leaves
from helpers.toys import Counting, Summing

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.service.checkpoints import Checkpoints, checkpoints_in
from stream_infomax.service.commands import FILE
from stream_infomax.service.process import FromSource, Service, opened
from stream_infomax.service.signals import Signals
from stream_infomax.sinks.store import FrameStore
from stream_infomax.transport import messages
from stream_infomax.transport.messages import Order


class Told(Summing):
    """A sum that every command changes, so that their order and their places show in each bit that follows."""

    actions = frozenset({"pause", "resume", "hold", "undo"})

    def __init__(self, name="sum", **settings):
        super().__init__(name, **settings)
        self.paused = False

    def process(self, frame):
        before = self.state()
        made = super().process(frame)
        if self.paused:
            self.restore(before)
        return made

    def command(self, command, basis):
        assert basis is None, "no file of a basis can be read here"
        if command.action in ("hold", "undo"):
            self.total = 0.5 * self.total + crc32(command.id.encode())
        else:
            self.paused = command.action == "pause"

    def counts(self):
        return {**super().counts(), "paused": int(self.paused)}

    def state(self):
        return {**super().state(), "paused": self.paused}

    def restore(self, state):
        super().restore(state)
        self.paused = state["paused"]


class Steerable:
    """Lives of a service with a source, such a stage and a recorder.

    Parameters
    ----------
    folder
        Of the service, the recorder and the sockets.
    source
        Makes the source of each life.
    stages
        Makes the stages of each life.
    settings
        Of the service.
    """

    def __init__(self, folder, source=lambda: Counting(60), stages=lambda: [Told()], **settings):
        self.folder = folder
        self.source = source
        self.stages = stages
        self.service = Service(
            name="toy",
            outlet="",
            tap="",
            folder=folder / "toy",
            **{"control": f"ipc://{folder}/control", "checkpoint_every": 7, **settings},
        )

    @contextmanager
    def life(self):
        """Give a loop, and how it is told something; what it has not saved at the end is lost."""
        sinks = [FrameStore(self.folder / "kept")]
        with (
            closing(Signals()) as signals,
            opened(self.service, FromSource(self.source()), Pipeline(self.stages()), sinks, signals) as loop,
            zmq.Context() as context,
            context.socket(zmq.DEALER) as client,
        ):
            client.linger = 0
            if self.service.control:
                client.connect(loop.steering.control.address)
            yield loop, client

    def undisturbed(self, folder):
        """Return the same service in another folder, told the same at the same frames, and nothing else."""
        other = Steerable(folder, self.source, self.stages, control="")
        other.service.folder.mkdir(parents=True)
        if (self.service.folder / FILE).exists():
            shutil.copyfile(self.service.folder / FILE, other.service.folder / FILE)
        with other.life() as (loop, _):
            assert loop.run()
        return other

    def made(self):
        """Return every bit of the frames that were kept, and of the last state."""
        kept = [wire.encode(frame) for frame in FrameStore(self.folder / "kept").frames()]
        return kept, leaves(Checkpoints(self.service.folder).latest().stages)

    def newest(self):
        return checkpoints_in(self.service.folder)[-1]


def ask(loop, client, action, value="", stage="", name="1"):
    """Tell a loop something, and return its answer; a checkpoint is written meanwhile if it asks for one."""
    client.send(messages.encode(Order(name, action, stage, value)))
    while not client.poll(0):
        if loop.steering.control.socket.poll(5):
            loop.listen()
        loop.tend()
    return messages.decode_reply(client.recv())
