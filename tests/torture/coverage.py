"""A decoder under atheris, which follows what messages reach: ``python -m torture.coverage NAME RUNS SEED FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path


def main(name: str, runs: str, seed: str, place: str) -> None:
    """Give a decoder so many messages; whatever it raises ends the process with another code than 0."""
    import atheris

    with atheris.instrument_imports(include=["stream_infomax"]):
        from torture.decoders import targets
        from torture.mutations import joined, split

    folder = Path(place)
    (target,) = (one for one in targets(folder) if one.name == name)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, parts in enumerate(target.seeds):
        (corpus / f"seed{number}").write_bytes(joined(parts))

    def feed(content: bytes) -> None:
        target.feed(split(content))

    limits = (
        "-max_len=4096",
        "-timeout=20",
        "-rss_limit_mb=2048",
        f"-artifact_prefix={folder}/",
    )
    atheris.Setup([sys.argv[0], f"-runs={runs}", f"-seed={int(seed) + 1}", *limits, str(corpus)], feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
