"""``check``: what a configuration comes to, before anything runs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stream_infomax.cli.check import check
from stream_infomax.configuration.compose import pipeline_of, source_of
from stream_infomax.configuration.load import ConfigError, load
from stream_infomax.configuration.survey import survey
from stream_infomax.service.checkpoints import Checkpoint, Checkpoints

CONFIG = """
[run]
folder = "{folder}/run"
[source]
kind = "audio"
path = "{folder}/sounds"
rate = 8000
frame = 800
[[stage]]
name = "windows"
kind = "windows"
service = "learner"
[[stage]]
name = "learner"
kind = "learner"
warmup = 100
output = "halves"
n_components = 3
[[stage]]
name = "classifier"
kind = "classifier"
target = "word"
"""
SAMPLES = {"yes_1.wav": 4000, "yes_2.wav": 8000, "no_1.wav": 1700}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "sounds").mkdir()
    rng = np.random.default_rng(0)
    for name, n in SAMPLES.items():
        soundfile.write(tmp_path / "sounds" / name, rng.laplace(size=(n, 2)) / 20, 8000)
    path = tmp_path / "pipeline.toml"
    path.write_text(CONFIG.format(folder=tmp_path), encoding="utf-8")
    return path


def test_it_says_what_the_data_and_each_stage_come_to(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(config, set=("source.labels=(?P<word>[a-z]+)_", "stage.windows.hop=16")) == 0
    words = capsys.readouterr().out
    assert all(len(line) <= 80 for line in words.splitlines() if str(config.parent) not in line), words
    joined = " ".join(words.split())
    assert "data 3 recordings, 1.7 s, 8,000 samples a second, 18 frames; labels: word (2)" in joined
    assert "logs at most 64 MiB (source), 64 MiB (learner), 64 MiB (classifier)" in joined
    assert "kept for learning at most 24 MiB (learner)" in words
    lines = {" ".join(line.split()[-8:]) for line in words.splitlines()}
    assert any(line.endswith("audio 761.1 8,000 1") for line in lines), words
    assert any(line.endswith("windows 47.06 500 64") for line in lines), words
    assert any(line.endswith("learner 47.06 500 at most 6") for line in lines), words
    assert any(line.endswith("classifier 0.1667 – at most 2") for line in lines), words
    assert "warm-up 100 of 847 rows, 0.2 s" in words
    assert "hop = 16" in words
    assert not (config.parent / "run").exists()


def test_it_names_the_sinks_and_what_they_are_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sinks = '[[sink]]\nname = "features"\nkind = "npz"\npart_seconds = 5.0\n[[sink]]\nkind = "nothing"\n'
    config.write_text(config.read_text() + sinks)
    assert check(config) == 0
    shown = capsys.readouterr().out
    assert "sinks       features (npz), nothing (nothing)" in shown
    assert "features    part_seconds = 5.0" in shown


def test_what_it_foretells_is_what_comes(config: Path) -> None:
    changes = ["source.labels=(?P<word>[a-z]+)_", "source.repeat=2", "stage.windows.length=30", "stage.windows.hop=7"]
    settings = load(config, changes)
    outlines = survey(settings)
    pipeline = pipeline_of(settings)
    rows = dict.fromkeys(("source", "windows", "learner", "classifier"), 0)
    widths = {}
    for frame in source_of(settings).frames():
        rows["source"] += frame.arrays["source"].n_rows
        for stage in pipeline.stages:
            frame = stage.process(frame)
            array = frame.arrays[stage.name]
            rows[stage.name] += array.n_rows
            if array.n_rows:
                widths[stage.name] = array.row_shape
    foretold = {name: outline.rows for name, outline in outlines.items() if outline}
    assert foretold.pop("classifier") == rows.pop("classifier") + 1, "of the first segment the warm-up leaves nothing"
    assert foretold == rows
    assert {name: outlines[name].row for name in widths} == widths  # type: ignore[union-attr]
    assert outlines["source"] is not None
    assert outlines["source"].frames == len(list(source_of(settings).frames()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "stage.learner.memory=10",
            r"stage\.learner\.memory = '10 B': it holds 0 rows of 128.*at least a block",
        ),
        (
            "source.labels=(?P<digit>[0-9]{9})",
            r"source\.labels = .*: fits no recording at .*example in 'no_1\.wav'",
        ),
        (
            "stage.windows.form=log-mel",
            r"stage\.windows\.form = 'log-mel'; accepted: log-mel of one channel; 2 come in",
        ),
        ("source.path=nowhere", r"source\.path = 'nowhere': no such file or folder"),
        ("stage.learner.start=nowhere", r"stage\.learner\.start = 'nowhere': .*accepted: a checkpoint, a service's"),
        ("run.folder=" + "deep" * 40, "too deep for a socket"),
    ],
)
def test_what_cannot_work_is_named(config: Path, change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(config, set=("source.channels=keep", change))


def test_it_warns_of_a_warmup_that_does_not_end_and_of_labels_that_are_not_there(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(config, set=("stage.learner.warmup=5000",)) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "warning learner: the data end before the warm-up: warm-up 5,000 of 425 rows, 20.0 s" in words
    assert "warning classifier: no label 'word' in the source; there are none" in words


def test_start_takes_a_checkpoint_a_services_folder_or_a_runs(config: Path, tmp_path: Path) -> None:
    settings = load(config)
    taught = pipeline_of(settings)
    for frame in source_of(settings).frames():
        taught.process(frame)
    for service, names, number in (("learner", ("windows", "learner"), 1), ("classifier", ("classifier",), 1)):
        states = {name: state for name, state in taught.state().items() if name in names}
        kept = Checkpoints(tmp_path / "other" / service, 3)
        kept.save(
            Checkpoint(log="", processed=number, finished=True, lost={}, config={}, source={}, stages=states, sinks={})
        )
    (checkpoint,) = (tmp_path / "other" / "learner").glob("checkpoint-*")
    for start in (checkpoint, checkpoint.parent, tmp_path / "other"):
        assert check(config, set=(f"stage.learner.start={start}",)) == 0
    with pytest.raises(ConfigError, match=r"stage\.learner\.start = .*: holds the stages classifier; accepted"):
        check(config, set=(f"stage.learner.start={tmp_path}/other/classifier",))
    with pytest.raises(ConfigError, match=r"stage\.learner\.start = .*: it does not fit: n_components is 2 here and 3"):
        check(config, set=(f"stage.learner.start={checkpoint}", "stage.learner.n_components=2"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"stage\.learner\.start = .*: no checkpoint with stages there"):
        check(config, set=(f"stage.learner.start={tmp_path}/empty",))


def test_it_loads_no_library_that_learns(tmp_path: Path) -> None:
    program = (
        "import sys; from stream_infomax.cli.check import check; check('photographs', set=('run.folder=run',));"
        "print(sorted({'torch', 'numba', 'scipy', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert list(tmp_path.iterdir()) == []


def test_below_a_learner_whose_width_is_open_nothing_is_refused_for_it(config: Path) -> None:
    with config.open("a", encoding="utf-8") as file:
        file.write('[[stage]]\nname = "second"\nkind = "learner"\ninput = "learner"\nmemory = "1 kB"\n')
    text = config.read_text(encoding="utf-8").replace("n_components = 3\n", "")
    classifier = text[text.index('[[stage]]\nname = "classifier"') : text.index('[[stage]]\nname = "second"')]
    config.write_text(text.replace(classifier, ""), encoding="utf-8")
    outlines = survey(load(config))
    assert outlines["second"] is not None
    assert outlines["second"].at_most
    assert outlines["second"].about.startswith("warm-up at most 1,280 of ")
