"""A run in one process: the same stages in a row, the same features to the last bit."""

from __future__ import annotations

from contextlib import closing

from stream_infomax.configuration.compose import pipeline_of, source_of, take_over
from stream_infomax.configuration.load import RECORDER, Config, ConfigError, to_builtins
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.run.folder import IN_PROCESS, RunFolder
from stream_infomax.run.settings import RunError
from stream_infomax.service.checkpoints import Checkpoint, Checkpoints
from stream_infomax.service.feeds import SourceFeed
from stream_infomax.service.recorder import FrameStore
from stream_infomax.service.signals import Signals
from stream_infomax.service.status import INTERVAL, Meter, plain_counts
from stream_infomax.transport.messages import Status
from stream_infomax.watch.monitor import Monitor


def run(config: Config, folder: RunFolder, watch: Monitor) -> bool:
    """Run source and stages here.

    Returns whether the source came to its end; False where a signal stopped it. Raises RunError where it cannot go on.
    """
    checkpoints = Checkpoints(folder.path / IN_PROCESS, config.run.keep)
    store = FrameStore(folder.path / RECORDER) if config.run.record else None
    try:
        pipeline, feed = _prepare(config, checkpoints)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from error
    with closing(Signals()) as signals:
        watch.change(IN_PROCESS, "running", 0)
        try:
            _work(config, pipeline, feed, checkpoints, store, watch, signals)
        except ValueError as error:
            watch.change(IN_PROCESS, "failed", 0)
            raise RunError(f"frame {feed.next - 1}: {error}") from error
        watch.change(IN_PROCESS, "finished" if feed.finished else "stopped", 0)
    return feed.finished


def _prepare(config: Config, checkpoints: Checkpoints) -> tuple[Pipeline, SourceFeed]:
    """Return the stages with their saved state and the source set to what comes after it."""
    pipeline = pipeline_of(config)
    source = source_of(config)
    feed = SourceFeed(source, "", config.source.pace)
    saved = checkpoints.latest()
    if saved is None:
        take_over(config, pipeline)
    else:
        source.restore(saved.source)
        pipeline.restore(saved.stages)
        feed.seek(saved.processed + 1)
    return pipeline, feed


def _work(
    config: Config,
    pipeline: Pipeline,
    feed: SourceFeed,
    checkpoints: Checkpoints,
    store: FrameStore | None,
    watch: Monitor,
    signals: Signals,
) -> None:
    meter = Meter()
    since = 0

    def save() -> None:
        checkpoint = Checkpoint(
            log="",
            processed=feed.next - 1,
            finished=feed.finished,
            lost={},
            config=to_builtins(config),
            source=feed.state(),
            stages=pipeline.state(),
            outputs={},
        )
        if store:  # before the position moves on, so that no frame is missing after a crash
            store.flush(feed.next, feed.finished)
        checkpoints.save(checkpoint)

    def report() -> None:
        status = Status(
            name=IN_PROCESS,
            run="",
            log="",
            processed=feed.next - 1,
            newest=feed.next - 1,
            committed={},
            finished=feed.finished,
            log_frames=0,
            log_bytes=0,
            log_fill=0.0,
            dropped=0,
            lost={},
            refused={},
            expected=feed.expected,
            measures=pipeline.measures(),
            counts=plain_counts({**feed.counts(), **pipeline.counts()}),
            **meter.read()._asdict(),
        )
        watch.update(IN_PROCESS, status)
        watch.refresh()

    while not feed.finished and not signals.stop:
        arrival = feed.receive()
        if arrival is not None:
            output = pipeline.process(arrival.frame)
            if store:
                store.add(output)
            meter.count(output, arrival.origin, arrival.origin)
            since += 1
            if since == config.run.checkpoint_every:
                save()
                since = 0
        elif not feed.finished:
            signals.wait(min(feed.due(), INTERVAL))
        if meter.due():
            report()
    save()
    report()
