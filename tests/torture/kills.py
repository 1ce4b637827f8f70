"""Kills at random moments: every bit of the features and of the final state is that of an undisturbed run."""

import signal

import numpy as np
from helpers.chains import LIVE, Chain, features, in_a_row

from stream_infomax.frames.frame import Frame
from stream_infomax.transport.tap import FRAME, TapReader
from torture.frame import Trial, torture

VICTIMS = (("a",), ("source", "recorder"), ("a", "recorder"), ("source", "a", "recorder"))


@torture(minutes=20, short=0.01)
def kills_of_a_chain(trial: Trial) -> str:
    """Source, stage and recorder are killed one by one, in pairs and all at once."""
    total, killed, runs = trial.times(100, least=2), 0, 0
    while killed < total:
        random = trial.random(runs)
        killed += killed_chain(trial, random, runs, min(10, total - killed))
        runs += 1
        trial.progress(killed, total)
    return f"{killed} kills in {runs} runs, 0 differing bits"


def reached(made: Chain, name: str, offset: int) -> bool:
    """Wait until a service has published a frame so late; return False where it ends before it is seen."""
    with TapReader(made.tap(name), topics=(FRAME,)) as observer:
        while made.processes[name].poll() is None:
            if observer.socket.poll(20):
                frame = observer.receive()
                if isinstance(frame, Frame) and frame.offset >= offset:
                    return True
    return False


def killed_chain(trial: Trial, random, number: int, kills: int) -> int:
    """Run a chain, kill, compare; return how many processes were killed."""
    folder = trial.folder / str(number)
    folder.mkdir()
    n_frames = 400 + 60 * kills
    made = Chain(folder, n_frames, last="recorder")  # 1 ms a frame
    made.settings["source"].update(LIVE)
    killed = 0
    try:
        made.start()
        for moment in sorted(random.sample(range(30, n_frames - 50), kills)):
            if not reached(made, "a", moment):
                break  # it was faster than the observer
            victims = random.choice(VICTIMS)
            for name in victims:
                made.processes[name].kill()
            killed += sum(made.end(name)[0] == -signal.SIGKILL for name in victims)
            made.start(*victims)
        made.finish()
    finally:
        made.kill_all()
    outputs, state = in_a_row(n_frames, "a")
    kept, saved = features(made), made.saved("a")
    np.testing.assert_array_equal(kept["frames/offset"], np.arange(n_frames))
    assert kept["a"].tobytes() == outputs.tobytes(), "features differ"
    assert (saved.finished, saved.lost) == (True, {})
    assert saved.stages["a"]["total"].tobytes() == state["total"].tobytes(), "the final state differs"
    assert saved.stages["a"]["rng"] == state["rng"], "the final random state differs"
    return killed
