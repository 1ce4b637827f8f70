"""Pages that the build makes: the API reference, the configuration reference, the gallery, and the project's files."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from inspect import isclass
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
ROOMS = {
    "frames": ("Frames and pipelines", "What travels, and the contracts of source, stage and sink."),
    "sources": ("Sources", "Sensors and files to frames."),
    "stages": ("Stages", "Where mathematics meets frames."),
    "sinks": ("Sinks", "Where frames end."),
    "learning": ("Learning", "Arrays in, arrays out: without frames, files or processes."),
    "transport": ("Reading a running pipeline", "What a service publishes, from another program."),
    "configuration": ("Configuration", "From a TOML file to a pipeline."),
    "plots": ("Pictures", "Pictures of what was learnt."),
    "kinds": ("Writing a source, a stage or a sink", "The contracts, and what helps to keep them."),
}
# What another package needs to add a kind; CONTRIBUTING.md has an example of each.
FOR_KINDS = {
    "stream_infomax.frames.contracts": (),
    "stream_infomax.frames.measure": ("Measure",),
    "stream_infomax.frames.gaps": ("Streams", "incoming", "is_unsettled"),
    "stream_infomax.state.kept": ("Kept",),
    "stream_infomax.settings.record": ("Settings", "make"),
    "stream_infomax.settings.stage": ("StageSettings",),
    "stream_infomax.settings.configured": ("configured_by",),
    "stream_infomax.settings.types": ("Doc",),
    "stream_infomax.settings.error": ("SettingError",),
    "stream_infomax.settings.extras": ("optional", "require", "MissingExtraError"),
}
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
REPOSITORY_FILES = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")


# A page of the documentation names plots of the benchmarks, and other pages, by their place in the repository.
PLOT = re.compile(r"\]\(\.\./(benchmarks/results/[\w./-]+\.png)\)")
PAGE = re.compile(rf"\]\(\.\./({'|'.join(map(re.escape, REPOSITORY_FILES))})\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages that are made into the table of contents."""
    rooms = [{ROOMS[room][0]: f"reference/{room}.md"} for room in _names()]
    examples = [{_title(example)[0]: f"gallery/{example.stem}.md"} for example in EXAMPLES]
    made: dict[str, list[Any]] = {"reference/index.md": rooms, "gallery/index.md": examples}
    for section in config.nav or ():
        for entry in next(iter(section.values())):
            if isinstance(entry, dict):
                name, page = next(iter(entry.items()))
                entry[name] = [page, *made[page]] if page in made else page
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    pages = {**dict(_project()), **dict(_reference()), **dict(_configuration()), **dict(_gallery())}
    for place, content in pages.items():
        files.append(File.generated(config, place, content=content))
    for page in (ROOT / "docs").glob("*.md"):
        for plot in PLOT.findall(page.read_text(encoding="utf-8")):
            files.append(File.generated(config, plot, content=(ROOT / plot).read_bytes()))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Find the plots of the benchmarks, and the project's files, where the build has put them."""
    return PAGE.sub(r"](\1)", PLOT.sub(r"](\1)", markdown))


def _project() -> Iterator[tuple[str, str]]:
    """Yield the files of the repository's root, with links as they are below docs/."""
    for name in REPOSITORY_FILES:
        text = (ROOT / name).read_text(encoding="utf-8")
        yield name, re.sub(r"\]\(docs/", "](", text)


@cache
def _names() -> dict[str, list[tuple[str, str, str]]]:
    """Return name, home and docstring of every public name, by room."""
    import stream_infomax
    from stream_infomax import plots

    names: dict[str, list[tuple[str, str, str]]] = {}
    for package in (stream_infomax, plots):
        for name in package.__all__:
            thing = getattr(package, name)
            home = f"{thing.__module__}.{thing.__qualname__}"
            names.setdefault(home.split(".")[1], []).append((name, home, thing.__doc__ or ""))
    for module_name, chosen in FOR_KINDS.items():
        module = import_module(module_name)
        own = (name for name, thing in vars(module).items() if isclass(thing) and thing.__module__ == module_name)
        for name in chosen or (name for name in own if name not in stream_infomax.__all__):
            names.setdefault("kinds", []).append((name, f"{module_name}.{name}", getattr(module, name).__doc__ or ""))
    unknown = names.keys() - ROOMS.keys()
    if unknown:
        raise PluginError(f"docs/hooks.py, ROOMS: no title for {', '.join(sorted(unknown))}")
    return {room: names[room] for room in ROOMS if room in names}


def _reference() -> Iterator[tuple[str, str]]:
    """Yield one page a room with every public name, and the list of all."""
    index = ["# Python", "", "Every public name. Shapes stand in parentheses, units behind a value.", ""]
    for room, names in _names().items():
        title, about = ROOMS[room]
        entries = "\n\n".join(f"::: {home}" for _, home, _ in names)
        yield f"reference/{room}.md", f"# {title}\n\n{about}\n\n{entries}\n"
        index += [f"## [{title}]({room}.md)", "", about, "", "| name | |", "|---|---|"]
        index += [f"| [`{name}`][{home}] | {_first(doc)} |" for name, home, doc in names]
        index.append("")
    yield "reference/index.md", "\n".join(index)


def _first(docstring: str) -> str:
    """Return the first sentence of a docstring, for a cell of a table."""
    return " ".join(docstring.strip().partition("\n\n")[0].split()).replace("|", "\\|").replace("``", "`")


def _configuration() -> Iterator[tuple[str, str]]:
    """Yield the reference of all settings, made from their records."""
    from stream_infomax.configuration.reference import markdown

    yield "configuration.md", markdown()


def _gallery() -> Iterator[tuple[str, str | bytes]]:
    """Run each example in a folder of its own; yield its page with what it printed and drew, and its pictures."""
    index = ["# Gallery", "", "Short programs to copy from. The pictures are made when this site is built.", ""]
    for example in EXAMPLES:
        source = example.read_text(encoding="utf-8")
        title, about = _title(example)
        printed, pictures = "", {}
        if f"python examples/{example.name}" in about.splitlines():  # it needs nothing to read
            with tempfile.TemporaryDirectory() as folder:
                printed = _run(example, Path(folder))
                pictures = {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.png"))}
        parts = [f"# {title}", "", "<div class='gallery' markdown>", ""]
        for name, data in pictures.items():
            yield f"gallery/{example.stem}-{name}", data
            parts += [f"![{title}]({example.stem}-{name})", ""]
        parts += ["</div>", ""]
        if printed:
            parts += ["It prints:", "", "```text", printed.rstrip(), "```", ""]
        parts += [f"`examples/{example.name}`:", "", "```python", source.rstrip(), "```", ""]
        yield f"gallery/{example.stem}.md", "\n".join(parts)
        index += [f"## [{title}]({example.stem}.md)", ""]
        index += [f"[![{title}]({example.stem}-{name})]({example.stem}.md)" for name in list(pictures)[:1]]
        index.append("")
    yield "gallery/index.md", "\n".join(index)


def _title(example: Path) -> tuple[str, str]:
    """Return the first sentence of an example's docstring, and the rest of it."""
    docstring = ast.get_docstring(ast.parse(example.read_text(encoding="utf-8"))) or example.stem
    first, _, rest = docstring.partition("\n")
    return re.split(r"[.:]( |$)", first)[0], rest


def _run(example: Path, folder: Path) -> str:
    """Run an example as a reader would, and return what it printed."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        cwd=folder,
        env={**os.environ, **threads},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if done.returncode:
        raise PluginError(f"{example.name}: {done.stderr}")
    return done.stdout
