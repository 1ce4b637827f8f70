"""Configuration: what is wrong is named by its path, its value and what would be accepted."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_infomax.configuration.load import ConfigError, convert, load, to_builtins

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
MINIMAL = """
[run]
folder = "runs/test"
[source]
kind = "synthetic"
[[stage]]
name = "learner"
kind = "learner"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pipeline.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configurations_are_valid(path: Path) -> None:
    config = load(path)
    assert config.services()[0] == "source"


def test_changes_reach_tables_and_named_stages(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    config = load(
        path, ["stage.learner.block=32", "source.frames=7", "run.folder=elsewhere", "stage.learner.carry=['source']"]
    )
    (learner,) = config.stage
    assert (learner.settings.block, learner.carry) == (32, ("source",))  # type: ignore[attr-defined]
    assert config.source.settings.frames == 7  # type: ignore[attr-defined]
    assert config.run.folder == "elsewhere"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("stage.learner.n_components=0", r"stage\.learner\.n_components = 0; .*>= 1"),
        ("stage.learner.energy=0.0", r"stage\.learner\.energy = 0\.0; .*> 0"),
        ("stage.learner.energy=1.5", r"stage\.learner\.energy = 1\.5; .*<= 1"),
        ("stage.learner.block=many", r"stage\.learner\.block = 'many'; accepted: a whole number >= 1"),
        ("stage.learner.outptu=log", r"stage\.learner\.outptu = 'log': unknown key; accepted: kind, name, .*output"),
        ("stage.learner.output=loud", r"stage\.learner\.output = 'loud'; .*halves.*log"),
        ("source.kind=radio", r"source\.kind = 'radio'; accepted: audio, .*images, "),
        ("run.folder=3", r"run\.folder = 3; accepted: text"),
        ("run.policy=hope", r"run\.policy = 'hope'; .*wait"),
        ("stage.learner.n_rank=9", r"n_rank = 9.*n_components = 4"),
        ("stage.nobody.block=3", r"no table of the name 'nobody'; there are \['learner'\]"),
        ("source.rate.more=3", r"'rate' is a value"),
        ("block", r"expected KEY=VALUE"),
        ("stage=3", r"stage"),
        ("more=3", r"more = 3: unknown key; accepted: run, source, stage, sink"),
        ("source.log.frmaes=3", r"source\.log\.frmaes = 3: unknown key; accepted: frames, memory"),
        ("source.log.bind=tcp://*:99999", r"source\.log\.bind = 'tcp://\*:99999'; .*1 to 65535"),
        ("stage.learner.log.tap=tcp://127.0.0.1:0", r"stage\.learner\.log\.tap = 'tcp://127\.0\.0\.1:0'; .*1 to 65535"),
        ("source.log.tap=tcp://127.0.0.1", r"source\.log\.tap = 'tcp://127\.0\.0\.1'; .*1 to 65535"),
        ("stage.learner.input=ear", r"stage\.learner\.input = 'ear': .*accepted: source"),
        ("stage.learner.carry=['ear']", r"stage\.learner\.carry = 'ear': .*accepted: source"),
        ("stage.learner=3", r"give the name of a table and a key"),
        ('run.folder="a', r"is not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: str, message: str) -> None:
    text = MINIMAL + ("n_components = 4\n" if "n_rank" in change else "") + ""
    text = text.replace('kind = "synthetic"', 'kind = "synthetic"\nrate = 10.0')
    with pytest.raises(ConfigError, match=message):
        load(write(tmp_path, text), [change])


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ('form = "waveform"\nlength = 10\nhop = 20', r"stage\.windows\.hop = 20; .*hop <= length = 10"),
        ('form = "grid"\npatch = 4\nstride = 5', r"stage\.windows\.stride = 5; .*stride <= patch = 4"),
    ],
)
def test_windows_that_lose_samples_are_refused(tmp_path: Path, stage: str, message: str) -> None:
    text = MINIMAL + f'[[stage]]\nname = "windows"\nkind = "windows"\n{stage}\n'
    with pytest.raises(ConfigError, match=message):
        load(write(tmp_path, text))


def test_ports_from_1_to_65535_or_any(tmp_path: Path) -> None:
    changes = [
        "run.insecure=true",
        "source.log.bind=tcp://*:*",
        "source.log.tap=tcp://0.0.0.0:65535",
        "stage.learner.log.bind=tcp://[::1]:1",
    ]
    config = load(write(tmp_path, MINIMAL), changes)
    assert config.source.log.tap == "tcp://0.0.0.0:65535"


@pytest.mark.parametrize("name", ["..", ".", "../x", "/x", "[/x]", "a/b", "x" * 65])
@pytest.mark.parametrize("key", ["stage.learner.service", "stage.learner.name", "source.name"])
def test_names_that_become_paths_are_plain_words(tmp_path: Path, key: str, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, MINIMAL), [f"{key}={name!r}"])
    assert f".{key.rpartition('.')[2]} = {name!r}; accepted: a letter and up to 63 letters, digits" in str(caught.value)


@pytest.mark.parametrize("name", ["recorder", "in-process", "lock"])
def test_names_that_the_run_folder_needs_are_taken(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"stage\.learner\.service = '{name}': taken in the run folder; accepted: "):
        load(write(tmp_path, MINIMAL), [f"stage.learner.service={name}"])


def test_names_are_used_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"stage\.learner\.name = 'learner': used twice"):
        load(write(tmp_path, MINIMAL + '[[stage]]\nname = "learner"\nkind = "learner"\n'))


def test_stages_of_a_service_stand_together(tmp_path: Path) -> None:
    text = MINIMAL + "".join(
        f'[[stage]]\nname = "{name}"\nkind = "learner"\nservice = "{service}"\n'
        for name, service in (("a", "one"), ("b", "two"), ("c", "one"))
    )
    with pytest.raises(ConfigError, match=r"stage\.c\.service = 'one': .*accepted: stages of one service that follow"):
        load(write(tmp_path, text))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["tcp://x", "\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("value", [None, [], {}, 3, True, "", "\0"])
@pytest.mark.parametrize("key", ["kind", "name", "service", "log", "carry", "memory", "start"])
def test_any_value_of_any_type_is_named(key: str, value: Any) -> None:
    tree = to_builtins(load("known_sources"))
    tree["stage"][0][key] = value
    with suppress(ConfigError):
        assert convert(tree).stage[0].kind == "learner"


@settings(deadline=None)  # the first example imports the kinds
@given(data=st.data())
def test_whatever_stands_there_is_taken_or_named(data: st.DataObject) -> None:
    tree = to_builtins(load(data.draw(st.sampled_from(CONFIGS))))
    node: Any = tree
    while True:
        keys = range(len(node)) if isinstance(node, list) else list(node)
        key = data.draw(st.sampled_from(keys)) if len(keys) else None
        if key is None or not isinstance(node[key], dict | list) or data.draw(st.booleans()):
            break
        node = node[key]
    if key is not None:
        node[key] = data.draw(ANYTHING)
    with suppress(ConfigError):
        assert convert(to_builtins(convert(tree))) == convert(tree)


def test_no_file_and_no_toml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration file"):
        load(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="not readable as TOML"):
        load(write(tmp_path, "[run"))


def test_readers_and_plain_values(tmp_path: Path) -> None:
    config = load(write(tmp_path, MINIMAL))
    assert config.readers_of("source") == ("learner",)
    assert config.readers_of("learner") == ()
    recording = load(write(tmp_path, MINIMAL), ["run.record=true"])
    assert recording.readers_of("learner") == ("recorder",)
    plain = to_builtins(config)
    assert plain["stage"][0]["carry"] == []
    assert plain["source"]["kind"] == "synthetic"
