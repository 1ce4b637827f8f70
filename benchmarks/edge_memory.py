"""A small box: resident memory and start-up of services/edge.py with configs/edge.toml, and what each package takes.

An hour of sound at 16 kHz is pushed in frames of 20 ms as fast as it is taken, once to a learner and once to a stage
that only encodes. It is measured in an environment of its own with nothing but what stream_infomax requires, which
this makes (it needs the network); with --here in this one.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import machine, write_table

ROOT = Path(__file__).parents[1]
SECONDS = 3600
PACKAGES = (
    "numpy",
    "zmq",
    "msgspec",
    "safetensors.numpy",
    "soundfile",
    "soxr",
    "numba",
)
LOOK = "import sys, importlib\nfor n in sys.argv[1:]: importlib.import_module(n)\n"
MEMORY = "print({l.split()[0]: int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmRSS')})"
PUSH = """
import sys, time
import numpy as np
from stream_infomax import Push
rng = np.random.default_rng(0)
sound = np.cumsum(rng.laplace(size=16000 * 10)).astype(np.float32)
sound = (sound - np.convolve(sound, np.ones(200) / 200, "same")).reshape(-1, 320, 1)
with Push(sys.argv[1], stream="box", rate=16000.0) as push:
    for number in range(int(sys.argv[2]) * 50):
        push(sound[number % len(sound)])
"""


def environment(folder):
    """Return the Python of an environment without any extra."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = Path(folder) / "bin" / "python"
    pinned = ("--constraint", str(ROOT / "constraints.txt"))
    subprocess.run([python, "-m", "pip", "install", "--quiet", *pinned, str(ROOT)], check=True)
    return str(python)


def status(process):
    """Return resident memory of a process in MiB: now, its part that no file stands behind, and the most so far."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    found = {
        line.split(":")[0]: int(line.split()[1]) / 1024
        for line in lines
        if line.startswith(("VmRSS", "RssAnon", "VmHWM"))
    }
    return found["VmRSS"], found["RssAnon"], found["VmHWM"]


def imports(python):
    """Return what a process takes with one package more each time, in MiB."""
    rows, before = [], 0.0
    for n in range(len(PACKAGES) + 1):
        done = subprocess.run(
            [python, "-P", "-c", LOOK + MEMORY, *PACKAGES[:n]], capture_output=True, text=True, check=True
        )
        resident = int(done.stdout.split("'VmRSS:': ")[1].split("}")[0]) / 1024
        rows.append({"package": PACKAGES[n - 1] if n else "Python alone", "MiB more": round(resident - before, 1)})
        before = resident
    return rows


def encoding(folder):
    """Write the configuration that encodes with what was learnt, and return its path."""
    text = (ROOT / "configs" / "edge.toml").read_text()
    head, _, tail = text.partition('kind = "learner"\n')
    path = Path(folder) / "encode.toml"
    path.write_text(
        f'{head}kind = "encoder"\nbasis = "{folder}/learning"\n\n[stage.log]{tail.partition("[stage.log]")[2]}'
    )
    return path


def run(python, folder, title, config):
    """Run an hour of stream time; return a row of the table."""
    begun = time.perf_counter()
    command = [python, "-P", str(ROOT / "services" / "edge.py"), str(config)]
    address = f"ipc://{folder}/{title}.devices"
    settings = (f"run.folder={folder}/{title}", "source.ends=true", f"source.bind={address}")
    command += [word for change in settings for word in ("--set", change)]
    edge = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert edge.stdout is not None
    assert edge.stdout.readline().startswith("READY")
    start = time.perf_counter() - begun
    resident = [status(edge.pid)]
    device = subprocess.Popen([python, "-P", "-c", PUSH, address, str(SECONDS)])
    begun = time.perf_counter()
    while edge.poll() is None:
        if device.poll():
            edge.kill()
            raise SystemExit("the device failed")
        try:
            resident.append(status(edge.pid))
        except (FileNotFoundError, KeyError, ProcessLookupError):
            break
        time.sleep(0.2)
    taken = time.perf_counter() - begun
    assert device.wait() == 0
    assert edge.wait() == 0
    late = resident[len(resident) // 2 :]
    return {
        "what": title,
        "start to READY, s": round(start, 2),
        "at READY, MiB": round(resident[0][0]),
        "after half an hour, MiB": round(late[0][0]),
        "peak, MiB": round(max(one[2] for one in resident)),
        "of that no file behind it, MiB": round(max(one[1] for one in resident)),
        "times real time": round(SECONDS / taken),
    }


def main():
    with tempfile.TemporaryDirectory() as folder:
        python = sys.executable if "--here" in sys.argv else environment(f"{folder}/venv")
        subprocess.run([python, "-P", "-m", "stream_infomax.cli", "warmup"], check=True)
        shares = imports(python)
        learner = run(python, folder, "learning", ROOT / "configs" / "edge.toml")
        rows = [learner, run(python, folder, "encoding", encoding(folder))]
    where = "this environment" if "--here" in sys.argv else "an environment without extras"
    write_table("edge_memory", "An hour of 16 kHz sound in one process", rows, f"{where}; {machine('pyzmq')}")
    write_table("edge_packages", "Resident memory by package", shares, "each imported behind those above it")


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    main()
