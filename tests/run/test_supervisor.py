"""The supervisor keeps real processes alive: small scripts that get ready, die, finish and refuse to stop."""

import asyncio
import errno
import os
import resource
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.faults import fault
from helpers.programs import FINISHED, FINISHES, OBEDIENT, READY, Stage

from stream_infomax.run.program import Program
from stream_infomax.run.supervisor import Patience, ServiceError
from stream_infomax.run.threads import THREADS


def test_the_run_ends_when_the_last_service_has_finished(stage: Stage) -> None:
    stage.add("source", OBEDIENT)
    stage.add("learner", FINISHES)
    assert stage.run(Patience(stop=0.2)) is True
    assert stage.states("learner") == ["starting", "running", "finished"]
    assert stage.states("source")[-1] == "stopped"


def test_all_may_finish_by_themselves(stage: Stage) -> None:
    stage.add("source", FINISHES)
    stage.add("learner", FINISHES)
    assert stage.run() is True
    assert stage.states("source") == ["starting", "running", "finished"]


def test_what_dies_is_restarted(stage: Stage) -> None:
    stage.add(
        "learner",
        f"""
        import os, pathlib, signal
        lives = pathlib.Path({str(stage.folder)!r}, "lives")
        lives.write_text((lives.read_text() if lives.exists() else "") + "x")
        print("READY learner ipc://x", flush=True)
        if len(lives.read_text()) < 3:
            os.kill(os.getpid(), signal.SIGKILL)
        print("FINISHED learner")
        """,
    )
    assert stage.run() is True
    assert stage.states("learner") == [*["starting", "running", "restarting"] * 2, "starting", "running", "finished"]
    assert stage.told[-1] == ("learner", "finished", 2)
    assert (stage.folder / "learner.log").read_text() == "learner was ended by SIGKILL\n" * 2


@fault("crash loop")
def test_a_crash_loop_ends_the_run_with_the_last_words(stage: Stage) -> None:
    stage.add("source", OBEDIENT)
    stage.add("learner", "raise ValueError('the basis fell over')")
    with pytest.raises(ServiceError, match=r"service 'learner' ended with exit code 1, 5 times") as caught:
        stage.run()
    assert caught.value.last_words.endswith("ValueError: the basis fell over")
    assert caught.value.last_words.count("Traceback") == 1, "only the words of the last life"
    assert caught.value.log.read_text().count("Traceback") == 5
    assert stage.states("learner").count("starting") == 5
    assert stage.states("source")[-1] == "stopped"


def dies_seven_times(folder: Path) -> str:
    return f"""
        import os, pathlib, signal
        lives = pathlib.Path({str(folder)!r}, "lives")
        lives.write_text((lives.read_text() if lives.exists() else "") + "x")
        if len(lives.read_text()) < 8:
            os.kill(os.getpid(), signal.SIGKILL)
        print("FINISHED service")
        """


def test_deaths_with_progress_between_them_are_no_crash_loop(stage: Stage) -> None:
    stage.add("learner", dies_seven_times(stage.folder))
    offsets = iter(range(100))
    stage.when("learner", "starting", lambda: stage.supervisor.progress("learner", next(offsets)))
    assert stage.run() is True
    assert stage.told[-1] == ("learner", "finished", 7)


def test_nor_are_they_where_those_behind_make_progress(stage: Stage) -> None:
    """A source far ahead of its reader makes the same frames again; what it is there for is that the reader goes on."""
    stage.add("source", dies_seven_times(stage.folder))
    stage.add("learner", OBEDIENT)
    stage.add("classifier", OBEDIENT)
    offsets = iter(range(100))

    def goes_on() -> None:
        stage.supervisor.progress("source", 1000)
        stage.supervisor.progress("classifier", next(offsets))

    stage.when("source", "starting", goes_on)
    stage.when("source", "finished", lambda: stage.supervisor.stop())
    assert stage.run() is False
    assert ("source", "finished", 7) in stage.told


def test_they_are_where_only_those_before_make_progress(stage: Stage) -> None:
    stage.add("source", OBEDIENT)
    stage.add("learner", "exit(1)")
    offsets = iter(range(100))
    stage.when("learner", "starting", lambda: stage.supervisor.progress("source", next(offsets)))
    with pytest.raises(ServiceError, match=r"service 'learner' ended with exit code 1, 5 times without progress"):
        stage.run()


def test_the_same_deaths_without_progress_are_one(stage: Stage) -> None:
    stage.add("learner", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    stage.when("learner", "starting", lambda: stage.supervisor.progress("learner", 5))
    with pytest.raises(ServiceError, match="was ended by SIGKILL, 5 times without progress"):
        stage.run()


@pytest.mark.parametrize("names", [["source"], ["source", "learner"]], ids=["the last", "a middle one"])
def test_a_service_that_somebody_else_stops_has_not_finished(stage: Stage, names: list[str]) -> None:
    """It saves and exits 0, as it should; but its stream has not ended."""
    stopped = stage.folder / "stopped"
    stage.add(
        "source",
        f"""
        import os, pathlib, signal
        signal.signal(signal.SIGTERM, lambda *_: exit(0))
        print("READY source ipc://x", flush=True)
        if pathlib.Path({str(stopped)!r}).exists():
            print("FINISHED source", flush=True)
        else:
            pathlib.Path({str(stopped)!r}).touch()
            os.kill(os.getpid(), signal.SIGTERM)
        """,
    )
    for name in names[1:]:
        stage.add(name, OBEDIENT)
        stage.when("source", "finished", lambda: stage.supervisor.stop())
    assert stage.run() is (len(names) == 1)
    assert stage.states("source") == [*["starting", "running", "restarting"], "starting", "running", "finished"]


def test_a_service_that_is_stopped_again_and_again_ends_the_run(stage: Stage) -> None:
    stage.add("source", READY)
    with pytest.raises(ServiceError, match="was stopped by somebody else before its stream had ended, 5 times"):
        stage.run()


def test_a_closed_terminal_stops_all(stage: Stage) -> None:
    stage.add("source", OBEDIENT)
    stage.when("source", "running", lambda: os.kill(os.getpid(), signal.SIGHUP))
    assert stage.run() is False
    assert stage.states("source")[-2:] == ["stopping", "stopped"]


@pytest.mark.parametrize("victim", ["source", "learner"])
def test_a_service_that_cannot_be_started_again_ends_the_run(stage: Stage, victim: str) -> None:
    """Whichever it is: the others do not wait for it for ever."""
    for name in ("source", "learner", "classifier"):
        stage.add(name, OBEDIENT if name != victim else READY + "exit(1)")
    logs = stage.folder / "logs"
    logs.mkdir()
    stage.logs = logs
    stage.when(victim, "restarting", lambda: logs.exists() and logs.rename(stage.folder / "gone"))
    with pytest.raises(ServiceError) as caught:
        stage.run()
    words = f"service {victim!r} cannot be started: [Errno 2] No such file or directory: '{logs}/{victim}.log', 5 times"
    assert words in str(caught.value)
    assert {stage.states(name)[-1] for name in ("source", "learner", "classifier")} == {"stopped", "failed"}


def test_a_name_that_is_a_path_ends_the_run(stage: Stage) -> None:
    stage.add("source", OBEDIENT)
    stage.programs.append(Program("a/b", [sys.executable, "-c", ""]))
    stage.add("classifier", OBEDIENT)
    with pytest.raises(ServiceError, match=r"service 'a/b' cannot be started: .*a/b\.log"):
        stage.run()


def test_without_a_file_descriptor_the_run_ends(stage: Stage) -> None:
    stage.add("source", OBEDIENT)
    stage.add("learner", READY + "exit(1)")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def use_up() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))

    stage.when("learner", "restarting", use_up)
    try:
        with pytest.raises(ServiceError, match=r"service 'learner' cannot be started: .*Too many open files"):
            stage.run()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_work_beside_that_fails_ends_the_run_in_order(stage: Stage) -> None:
    stage.add("source", OBEDIENT)
    stage.add("learner", OBEDIENT)
    running = asyncio.Event()
    stage.when("learner", "running", running.set)

    async def beside() -> None:
        await running.wait()
        raise ValueError("the display fell over")

    stage.beside.append(beside())
    with pytest.raises(ValueError, match="the display fell over"):
        stage.run()
    assert [stage.states(name)[-1] for name in ("source", "learner")] == ["stopped", "stopped"]
    assert not stage.supervisor.killed


def test_a_display_that_is_gone_stops_all_in_order(stage: Stage) -> None:
    stage.add("source", OBEDIENT)

    def gone() -> None:
        raise BrokenPipeError

    for state in ("running", "stopping", "stopped"):
        stage.when("source", state, gone)
    with pytest.raises(BrokenPipeError):
        stage.run()
    assert stage.states("source") == ["starting", "running", "stopping", "stopped"]


def test_a_grandchild_does_not_hide_the_end(stage: Stage) -> None:
    """It inherits stdout and lives on."""
    stage.add("source", "import subprocess; subprocess.Popen(['sleep', '1000'])\n" + FINISHES)
    assert stage.run() is True


def test_who_finishes_while_its_reader_is_restarted_is_started_again(stage: Stage) -> None:
    """The reader may have fallen back to an older checkpoint, and nobody else has what it needs."""
    gate, lives = stage.folder / "gate", stage.folder / "lives"
    os.mkfifo(gate)
    stage.add("source", READY + f"open({str(gate)!r}).read()\n" + FINISHED)
    once = f"import os\nif not os.path.exists({str(lives)!r}):\n    open({str(lives)!r}, 'w')\n    exit(1)\n"
    stage.add("learner", once + OBEDIENT)
    stage.when("learner", "restarting", lambda: gate.write_text("go on"))

    def second_life() -> None:
        if stage.states("source").count("starting") == 2:
            stage.supervisor.stop()

    stage.when("source", "running", second_life)
    assert stage.run(Patience(pause=0.01, stop=0.5)) is False
    assert stage.states("source")[:4] == ["starting", "running", "finished", "starting"]


def test_a_line_without_end_is_passed_over(stage: Stage) -> None:
    stage.add("source", "print('x' * 1_000_000)\n" + FINISHES)
    assert stage.run() is True
    assert stage.states("source") == ["starting", "running", "finished"]


def test_exit_code_2_is_not_tried_again(stage: Stage) -> None:
    stage.add(
        "source",
        "import sys; print('no folder', file=sys.stderr); exit(2)",
    )
    with pytest.raises(ServiceError, match=r"ended with exit code 2$") as caught:
        stage.run()
    assert caught.value.last_words == "no folder"
    assert caught.value.useless
    assert stage.states("source") == ["starting", "failed"]


def test_a_service_that_never_gets_ready_is_killed(stage: Stage) -> None:
    stage.add("source", "import signal; signal.pause()")
    with pytest.raises(ServiceError, match="was ended by SIGKILL, 2 times"):
        stage.run(Patience(deaths=2, pause=0.01, ready=0.3))


def test_threads_are_pinned_for_every_service(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    words = f"import os, sys; sys.stderr.write(str({{k: os.environ[k] for k in {list(THREADS)}}}))\n"
    stage.add("source", words + FINISHED)
    assert stage.run() is True
    assert (stage.folder / "source.log").read_text() == str(dict.fromkeys(THREADS, "1"))


def test_services_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(
        textwrap.dedent("""
        import os, pathlib, signal
        from stream_infomax.service.parent import end_with_parent

        end_with_parent()
        pathlib.Path(__file__).with_name("pid").write_text(str(os.getpid()))
        print("READY service ipc://somewhere", flush=True)
        signal.pause()
        """)
    )
    (tmp_path / "supervise.py").write_text(
        textwrap.dedent("""
        import asyncio, pathlib, sys
        from stream_infomax.run.program import Program
        from stream_infomax.run.supervisor import Supervisor

        async def main():
            folder = pathlib.Path(__file__).parent
            service = Program("service", [sys.executable, "-P", str(folder / "service.py")])
            await Supervisor([service], folder, lambda name, state, restarts: print(state, flush=True)).run()

        asyncio.run(main())
        """)
    )
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "supervise.py")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline().strip() for _ in range(2)] == ["starting", "running"]
        child = os.pidfd_open(int((tmp_path / "pid").read_text()))
        process.kill()
    readable, _, _ = select.select([child], [], [], 10.0)  # a pidfd is readable when its process has ended
    os.close(child)
    assert readable


def test_words_that_a_full_disk_did_not_take_are_said_to_be_missing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("stream_infomax.run.supervisor.tempfile.TemporaryFile", full)
    stage.add("learner", "import sys; sys.exit(2)")
    with pytest.raises(ServiceError) as caught:
        stage.run()
    words = f"what it had to say could not be written to {stage.folder / 'learner.log'}: No space left on device"
    assert caught.value.last_words == words


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _link(path: Path) -> None:
    (path.parent / "letter.txt").write_text("dear")
    path.symlink_to(path.parent / "letter.txt")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("make", "words"), [(_pipe, "it is no regular file"), (_link, "it is a symbolic link")])
def test_a_log_that_is_no_regular_file_ends_the_run(stage: Stage, make: Callable[[Path], None], words: str) -> None:
    stage.add("source", FINISHES)
    make(stage.folder / "source.log")
    with pytest.raises(ServiceError, match=f"service 'source' cannot be started: .*{words}"):
        stage.run()
    letter = stage.folder / "letter.txt"
    assert not letter.exists() or letter.read_text() == "dear"
