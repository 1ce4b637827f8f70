"""How many updates a second does a module make on the device that `auto` gives, and how much memory does it take there?

Every module of the default net, all of them one after another, and CPC end to end with the same layers, on batches of
8 to 256 excerpts of 256 rows of 64 channels, as the stage trains: the batch comes from and goes back to the memory of
the processor. Peak memory is what torch's allocator had on a GPU, parameters and Adam's moments included, its
reservation beside it; on a processor see contrast_memory.py.

    python benchmarks/contrast_device.py
"""

import common  # isort: skip  (pins threads)
import time

import torch
from contrast_memory import CHANNELS, ROWS, modules

from stream_infomax.learning.contrast.excerpts import Batch
from stream_infomax.learning.contrast.online import OnlineModule

NET = "default (fine)"
BATCHES = (8, 32, 128, 256)
WARMUP, FEWEST, SECONDS = 3, 5, 2.0  # updates before the clock starts; updates and seconds that it runs at least


def measure(stack: list[OnlineModule], batch: Batch) -> dict[str, float]:
    """Return updates of the whole stack a second, and on a GPU its peak memory in MiB."""
    on_gpu = stack[0].device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time  # a busy processor counts only what it gave us
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    updates, start = 0, clock()
    while updates < WARMUP + FEWEST or clock() - start < SECONDS:
        if updates == WARMUP:
            start = clock()
        passed_on: Batch | None = batch
        for module in stack:
            assert passed_on is not None
            passed_on = module.learn(passed_on)  # waits for the device: the output comes back
        updates += 1
    found = {"updates/s": (updates - WARMUP) / (clock() - start)}
    if on_gpu:
        found["MiB allocated"] = torch.cuda.max_memory_allocated() / 2**20
        found["MiB reserved"] = torch.cuda.max_memory_reserved() / 2**20
    return found


def stacks() -> dict[str, list[tuple[int, int, tuple[object, ...], int]]]:
    """Return what is measured: (channels, rows, layers, steps) of the modules of each."""
    greedy = modules(NET, end_to_end=False)
    alone = {f"module {number}": [module] for number, module in enumerate(greedy, 1)}
    return {**alone, "all modules": greedy, "CPC end to end": modules(NET, end_to_end=True)}


def main() -> None:
    """Measure all and write the table."""
    rows: dict[tuple[str, str], dict[str, object]] = {}
    generator = torch.Generator().manual_seed(0)
    name = "cpu"
    for size in BATCHES:
        for what, described in stacks().items():
            torch.cuda.empty_cache()  # nothing without a GPU
            channels, length = described[0][:2]
            batch = Batch(
                torch.randn(size, length, channels, generator=generator).numpy(), torch.full((size,), length).numpy()
            )
            stack = [
                OnlineModule(channels, layers, steps, index=index, device="auto")
                for index, (channels, _, layers, steps) in enumerate(described)
            ]
            name = stack[0].device.type
            for measured, value in measure(stack, batch).items():
                row = rows.setdefault((measured, what), {"measured": measured, "what": what})
                row[f"batch {size}"] = f"{value:.1f}"
    if name == "cuda":
        note = f"On {torch.cuda.get_device_name()}. "
    else:
        note = "No GPU was found: these are the processor's figures, one thread, a second of its time. "
    note += f"Excerpts of {ROWS} rows, {CHANNELS} channels, 256 anchors a batch. {common.machine('torch')}"
    table = [rows[key] for key in sorted(rows, key=lambda key: key[0] != "updates/s")]
    common.write_table("contrast_device", "Updates a second while training, and memory on the device", table, note)


if __name__ == "__main__":
    main()
