"""How much memory does training one gradient-isolated module take, against CPC end to end with the same layers?

Three figures a configuration, at the same batch (8 excerpts of 256 rows, 64 channels):
kept: bytes that the forward pass keeps for the backward one, by unique storages, parameters left out (exact);
static: parameters, gradients and Adam's moments, 16 bytes a parameter, and the average of the weights (exact);
peak: growth of the process's resident memory over ten updates, in a fresh process, after imports and building the
modules (measured; glibc's allocator gives freed memory back, MALLOC_ARENA_MAX=1).

Two nets: the default one (`fine`), and a deep one of two strided convolutions, six of kernel 3 and a GRU, in modules of
two layers.

    python benchmarks/contrast_memory.py
"""

import common  # isort: skip  (pins threads)
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from stream_infomax.learning.contrast.excerpts import Batch
from stream_infomax.learning.contrast.layouts import Conv, Layout, Recurrent, layout
from stream_infomax.learning.contrast.online import OnlineModule

BATCH, ROWS, CHANNELS, RATE, WIDTH = 8, 256, 64, 200.0, 128
STRIDED, PLAIN = Conv(4, 2, WIDTH), Conv(3, 1, WIDTH)
NETS: dict[str, Layout] = {
    "default (fine)": layout("fine", WIDTH),
    "deep, two layers a module": ((STRIDED, STRIDED), *((PLAIN, PLAIN),) * 3, (Recurrent(WIDTH),)),
}


def modules(net: str, end_to_end: bool) -> list[tuple[int, int, tuple[Any, ...], int]]:
    """Return (channels, rows, layers, steps) of each module of a net."""
    stack = NETS[net]
    if end_to_end:
        stack = (tuple(layer for layers in stack for layer in layers),)
    found, channels, rows, rate = [], CHANNELS, ROWS, RATE
    for layers in stack:
        stride = 1
        for layer in layers:
            stride *= layer.stride if isinstance(layer, Conv) else 1
        rate /= stride
        found.append((channels, rows, layers, round(0.12 * rate)))
        channels = next((layer.width for layer in reversed(layers) if isinstance(layer, Conv)), channels)
        rows //= stride
    return found


def build(net: str, end_to_end: bool, number: int) -> tuple[OnlineModule, Batch]:
    """Return one module of a net and a batch for it."""
    channels, rows, layers, steps = modules(net, end_to_end)[number]
    batch = Batch(
        torch.randn(BATCH, rows, channels, generator=torch.Generator().manual_seed(0)).numpy(),
        torch.full((BATCH,), rows).numpy(),
    )
    return OnlineModule(channels, layers, steps), batch


def kept(net: str, end_to_end: bool, number: int) -> tuple[int, int]:
    """Return the bytes that a forward pass keeps, and the static ones."""
    online, batch = build(net, end_to_end, number)
    parameters = {parameter.untyped_storage().data_ptr() for parameter in online.module.parameters()}
    storages: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage  # held, so that its address is not given to another
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        x, lengths = torch.from_numpy(batch.rows), torch.from_numpy(batch.lengths)
        score = online.module(x, lengths, torch.Generator().manual_seed(0))[3]
        size = sum(storage.nbytes() for storage in storages.values())
        score.loss.backward()
    averaged = sum(parameter.numel() for parameter in online.published.parameters())
    return size, 16 * sum(parameter.numel() for parameter in online.module.parameters()) + 4 * averaged


def peak(net: str, end_to_end: bool, number: int) -> int:
    """Return by how many bytes a fresh process grows over ten updates of one module."""
    command = [sys.executable, __file__, "child", net, str(int(end_to_end)), str(number)]
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    return int(json.loads(output))


def child(net: str, end_to_end: bool, number: int) -> None:
    """Measure in this process: after a tiny module has loaded all of torch that training uses."""
    channels, layers = 4, (Conv(2, 1, 4), Recurrent(4))
    tiny = OnlineModule(channels, layers, 2)
    tiny.learn(Batch(torch.randn(4, 8, channels).numpy(), torch.full((4,), 8).numpy()))
    online, batch = build(net, end_to_end, number)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here
    before = memory("VmRSS")
    for _ in range(10):
        online.learn(batch)
    print(json.dumps(memory("VmHWM") - before))


def memory(key: str) -> int:
    """Return bytes of this process from /proc: VmRSS now, VmHWM at the peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def main() -> None:
    """Measure all and write the table."""
    rows, notes = [], []
    for net in NETS:
        figures = {}
        for end_to_end in (True, False):
            for number in range(len(modules(net, end_to_end))):
                name = "CPC end to end" if end_to_end else f"module {number + 1}"
                bytes_kept, static = kept(net, end_to_end, number)
                grown = peak(net, end_to_end, number)
                figures[name] = (bytes_kept, static, bytes_kept + static, grown)
        cpc = figures.pop("CPC end to end")
        largest = tuple(max(values) for values in zip(*figures.values(), strict=True))
        total = tuple(sum(values) for values in zip(*figures.values(), strict=True))
        ratios = [one / other for one, other in zip(largest, cpc, strict=True)]
        for name, values in {"CPC end to end": cpc, **figures, "sum of the modules": total}.items():
            columns = zip(("kept", "static", "kept + static", "peak"), values, strict=True)
            rows.append({"net": net, "what": name, **{f"{key}, MiB": f"{value / 2**20:.2f}" for key, value in columns}})
        notes.append(
            f"{net}: largest module ÷ CPC: kept {ratios[0]:.2f}, static {ratios[1]:.2f}, both {ratios[2]:.2f}, "
            f"peak of the process {ratios[3]:.2f}.\n"
        )
    note = "\n".join([*notes, common.machine("torch")])
    common.write_table("contrast_memory", "Memory while training: one module against CPC", rows, note)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], bool(int(sys.argv[3])), int(sys.argv[4]))
    else:
        main()
