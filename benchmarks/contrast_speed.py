"""How fast does everything learn at once, and what do several module processes bring over one?

FSDD, log-mel patches → infomax → three modules → classifier, frames of 100 ms, as configs/speech.toml runs it: (1) all
stages in this process on one core, in seconds of sound per second of CPU; (2) the same stages as services, the modules
in one service or in three, on two cores, in seconds of sound per second of the run, start and end included; and whether
the weights are the same bit for bit.

    python benchmarks/contrast_speed.py [RECORDINGS]     100 by default
"""

import common  # isort: skip  (pins threads)
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from stream_infomax.configuration.compose import pipeline_of, source_of
from stream_infomax.configuration.load import load
from stream_infomax.service.checkpoints import Checkpoints

CONFIG = Path(__file__).parents[1] / "configs" / "speech.toml"
MODULES = ("module1", "module2", "module3")


def some(folder: Path, n: int, into: Path) -> float:
    """Link n recordings, evenly taken from the sorted set, into a folder; return their seconds."""
    paths = sorted((folder / "fsdd" / "recordings").glob("*.wav"), key=lambda path: path.stem.split("_")[1::-1])
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, n).astype(int)]
    for path in chosen:
        (into / path.name).symlink_to(path)
    return sum(soundfile.info(path).duration for path in chosen)


def one_core(source: Path) -> tuple[float, dict[str, Any]]:
    """Return the CPU seconds of one pass in this process, and the modules' states."""
    config = load(CONFIG, (f"source.path={source}",))
    pipeline = pipeline_of(config)
    frames = source_of(config).frames()
    for _ in range(3):  # compiles the kernels
        pipeline.process(next(frames))
    start = time.process_time()
    for frame in frames:
        pipeline.process(frame)
    return time.process_time() - start, {name: pipeline.state()[name] for name in MODULES}


def services(source: Path, folder: Path, apart: bool) -> tuple[float, dict[str, Any]]:
    """Return the wall seconds of a run over services, and the modules' states."""
    changes = [f"source.path={source}", f"run.folder={folder}"]
    changes += [f"stage.{name}.service={name if apart else 'contrast'}" for name in MODULES]
    command = [sys.executable, "-m", "stream_infomax.cli", "run", str(CONFIG), "--plain"]
    subprocess.run([*command, *(part for change in changes for part in ("--set", change))], check=True)
    summary = json.loads((folder / "run.json").read_text(encoding="utf-8"))["summary"]
    states = {}
    for service in MODULES if apart else ("contrast",):
        tree = Checkpoints(folder / service).latest()
        assert tree is not None
        states.update({name: state for name, state in tree.stages.items() if name in MODULES})
    return float(summary["seconds"]), states


def same(one: Any, other: Any) -> bool:
    """Return whether two trees hold the same bits."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        return one.tobytes() == other.tobytes()
    return bool(one == other or one != one)


def main() -> None:
    """Measure and write the table."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    place = Path(tempfile.mkdtemp(prefix="speed"))
    try:
        source = place / "sound"
        source.mkdir()
        seconds = some(common.data_folder(), n, source)
        cpu, alone = one_core(source)
        together, joined = services(source, place / "one", apart=False)
        apart, split = services(source, place / "apart", apart=True)
    finally:
        shutil.rmtree(place)
    rows = [
        {"what": "all stages in one process, one core", "× real time": f"{seconds / cpu:.1f}", "measured in": "CPU s"},
        {"what": "services, modules in one", "× real time": f"{seconds / together:.1f}", "measured in": "wall s"},
        {"what": "services, modules apart", "× real time": f"{seconds / apart:.1f}", "measured in": "wall s"},
    ]
    bits = all(same(alone[name], joined[name]) and same(alone[name], split[name]) for name in MODULES)
    note = (
        f"{n} recordings, {seconds:.0f} s of sound. Module services apart ÷ one: {together / apart:.2f}. Weights, "
        f"optimisers and memories are {'the same bit for bit' if bits else 'NOT the same'} in all three. Load of the "
        f"machine before: {os.getloadavg()[2]:.1f}. {common.machine('torch')}"
    )
    common.write_table("contrast_speed", "Speed while everything learns (FSDD)", rows, note)


if __name__ == "__main__":
    main()
