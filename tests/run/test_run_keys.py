"""A run with keys: its services find each other, others get in by their key alone, and its files are its user's."""

import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from helpers.commands import call, ended, started

from stream_infomax.configuration.compose import access_of
from stream_infomax.configuration.load import ConfigError, convert
from stream_infomax.transport.keys import Keys, allow, new
from stream_infomax.transport.messages import Status
from stream_infomax.transport.push import Push
from stream_infomax.transport.sockets import RefusedError
from stream_infomax.transport.tap import TapReader

CONFIG = """
[run]
folder = "run"
keys = "keys"
checkpoint_every = 5

[source]
kind = "devices"
bind = "{devices}"
label_bind = "{labels}"
log = {{ bind = "{outlet}", tap = "{tap}" }}

[[stage]]
name = "learner"
kind = "learner"
warmup = 40
log = {{ control = "{control}" }}
"""


NAMES = ("devices", "labels", "outlet", "tap", "control")


def free_addresses(n: int) -> list[str]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [f"tcp://127.0.0.1:{probe.getsockname()[1]}" for probe in probes]


def test_a_run_with_keys(tmp_path: Path) -> None:
    addresses = dict(zip(NAMES, free_addresses(len(NAMES)), strict=True))
    (tmp_path / "run.toml").write_text(CONFIG.format(**addresses))
    for name in ("keys", "friend", "stranger"):
        new(tmp_path / name)
    allow(Keys(tmp_path / "keys"), tmp_path / "friend" / "own.public", "friend")
    theirs = {"server": tmp_path / "keys" / "own.public"}
    before = os.umask(0)
    try:
        with started("run", "run.toml", "--plain", folder=tmp_path) as (process, output):
            while "learner: running" not in (line := output.readline()):
                assert line, ended(process).errors
            with (
                TapReader(addresses["tap"], keys=tmp_path / "friend", **theirs) as observer,
                TapReader(addresses["tap"], keys=tmp_path / "stranger", **theirs) as stranger,
            ):
                assert observer.receive() is not None
                with pytest.raises(RefusedError, match="refuses this key"):
                    stranger.receive()
                with Push(addresses["devices"], "box", keys=tmp_path / "friend", **theirs) as push:
                    for _ in range(20):
                        push([[1.0, 2.0, 3.0]])
                assert next(iter(observer)).stream == "box"
                while not isinstance(said := observer.receive(), Status) or not said.refused:
                    assert said is not None
                assert said.refused["key"] >= 1
            labelled = call("label", "run", "word=yes", "--stream", "box", "--offset", "3", folder=tmp_path)
            assert (labelled.code, labelled.errors) == (0, "")
            saved = call("control", "run", "save", folder=tmp_path)
            assert (saved.code, len(saved.output.splitlines())) == (0, 2), saved.output
            shown = ("--keys", "friend", "--server", "keys/own.public")
            paused = call("control", "run.toml", "pause", *shown, folder=tmp_path)
            no = "this key is not allowed to steer; those under the name control, or control-…, are"
            assert (paused.code, paused.output) == (1, f"learner: {no}\n")
            ours = ("--keys", "stranger", "--server", "keys/own.public")
            watching = call("tap", addresses["tap"], *ours, folder=tmp_path)
            refused = f"stream-infomax: {addresses['tap']} refuses this key: it is not allowed there\n"
            assert (watching.code, watching.errors) == (2, refused)
            modes = {path: path.lstat().st_mode for path in [tmp_path / "run", *(tmp_path / "run").rglob("*")]}
            process.send_signal(signal.SIGINT)
            done = ended(process)
    finally:
        os.umask(before)
    assert done.code == 0, done.errors
    assert not {str(path): oct(mode) for path, mode in modes.items() if mode & 0o077}
    assert tmp_path / "run" / "learner.tap" in modes, "a Unix socket"


REACHED = {
    "source.log.bind": {"source": {"log": {"bind": "tcp://0.0.0.0:5600"}}},
    "source.log.tap": {"source": {"log": {"tap": "tcp://*:5600"}}},
    "source.log.control": {"source": {"log": {"control": "tcp://*:5600"}}},
    "source.label_bind": {"source": {"label_bind": "tcp://192.0.2.1:5600"}},
    "source.bind": {"source": {"kind": "devices", "bind": "tcp://[::]:5600"}},
    "source.inputs.a.bind": {
        "source": {"kind": "several", "inputs": [{"name": "a", "kind": "devices", "bind": "tcp://0.0.0.0:1"}]}
    },
    "stage.learner.log.bind": {"stage": [{"name": "learner", "kind": "learner", "log": {"bind": "tcp://*:5600"}}]},
}


def configured(changes: dict[str, dict], **run: object) -> None:
    raw = {"source": {"kind": "synthetic"}, "stage": [{"name": "learner", "kind": "learner"}]}
    merged = {key: {**raw[key], **changes[key]} if isinstance(changes.get(key), dict) else raw[key] for key in raw}
    convert({"run": {"folder": "run", **run}, **merged, **{k: v for k, v in changes.items() if isinstance(v, list)}})


@pytest.mark.parametrize("key", REACHED)
def test_an_address_that_others_can_reach_needs_keys_or_that_everyone_may_come(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"{key} = 'tcp://.*': others can reach it, and there are no keys; accepted"):
        configured(REACHED[key])
    configured(REACHED[key], keys="keys")
    configured(REACHED[key], insecure=True)


def test_keys_that_cannot_be_used_are_named_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(CONFIG.format(**dict.fromkeys(NAMES, "")))
    refused = call("check", "run.toml", folder=tmp_path)
    assert refused.code == 2
    assert "run.keys = 'keys': keys: not a folder of keys, as `stream-infomax keys new` makes it" in refused.errors
    new(tmp_path / "keys")
    (tmp_path / "keys" / "own.secret").chmod(0o644)
    with pytest.raises(ConfigError, match=r"run\.keys = .*: others can read it"):
        access_of(convert({"run": {"folder": "run", "keys": str(tmp_path / "keys")}, "source": {"kind": "synthetic"}}))


def test_the_command_keys(tmp_path: Path) -> None:
    for folder in ("run", "mine"):
        made = call("keys", "new", folder, folder=tmp_path)
        assert (made.code, made.errors) == (0, "")
    mine = made.output.split(": ")[1].strip()
    call("keys", "allow", "run", "me", "mine/own.public", folder=tmp_path)
    assert call("keys", "list", "run", folder=tmp_path).output.splitlines()[1:] == [f"{mine}  me"]
    again = call("keys", "allow", "run", "me", "mine/own.public", folder=tmp_path)
    assert (again.code, again.errors) == (2, "stream-infomax: run: 'me' is allowed already; revoke it first\n")
    assert call("keys", "revoke", "run", "me", folder=tmp_path).code == 0
    assert len(call("keys", "list", "run", folder=tmp_path).output.splitlines()) == 1
