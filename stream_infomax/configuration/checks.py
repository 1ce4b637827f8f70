"""What holds between the tables of a configuration: names, services, and the arrays that reach each stage."""

from __future__ import annotations

from stream_infomax.configuration.kinds import is_live
from stream_infomax.configuration.tables import RECORDER, Config
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.reach import check_reach
from stream_infomax.settings.sink import SinkSettings
from stream_infomax.settings.words import one_of

# A service's folder has its name; these are taken in a run's folder.
RESERVED = (RECORDER, "in-process", "lock", "page", "shards", "rounds", "coordinator")


def check(config: Config) -> None:
    """Raise SettingError where the tables do not fit together."""
    _check_names(config)
    _check_services(config)
    _check_journal(config)
    below = {config.source.name: config.source.settings}
    for stage in config.stage:
        try:
            stage.settings.check_place(config.input_of(stage), below)
        except SettingError as error:
            raise error.under(f"stage.{stage.name}") from None
        below[stage.name] = stage.settings
    _check_arrays(config)
    _check_batches(config)
    _check_reach(config)


def _check_names(config: Config) -> None:
    names = [config.source.name]
    for stage in config.stage:
        if stage.name in names:
            raise SettingError(
                f"stage.{stage.name}.name",
                stage.name,
                "another name than those of source and other stages",
                "used twice",
            )
        names.append(stage.name)


def _check_services(config: Config) -> None:
    services = [config.source.name, *(stage.service_name for stage in config.stage)]
    keys = ["source.name", *(f"stage.{stage.name}.{'service' if stage.service else 'name'}" for stage in config.stage)]
    for sink in config.sink:
        if sink.service_name in services:
            key = f"sink.{sink.service_name}.name"
            raise SettingError(key, sink.service_name, "another name than those of services and other sinks")
        services.append(sink.service_name)
        keys.append(f"sink.{sink.service_name}.name")
    for i, (key, name) in enumerate(zip(keys, services, strict=True)):
        if name in RESERVED:
            raise SettingError(key, name, f"another name than {one_of(RESERVED)}", "taken in the run folder")
        if i and name == services[0]:
            raise SettingError(key, name, "another name than the source's")
        if i and name != services[i - 1] and name in services[:i]:
            raise SettingError(
                key, name, "stages of one service that follow one another", f"the services are {one_of(services[1:])}"
            )


def _check_journal(config: Config) -> None:
    if config.source.journal.enabled and not is_live(config.source.kind, config.source.settings):
        raise SettingError(
            "source.journal.enabled",
            True,
            "false",
            f"the frames of a source of kind {config.source.kind!r} can be had again without a journal",
        )


def _check_reach(config: Config) -> None:
    """Check that no address can be reached by others unless there are keys, or the configuration says that it may."""
    source, given = config.source, config.run
    logs = {"source": source.log, **{f"stage.{stage.name}": stage.log for stage in config.stage}}
    found = {f"{name}.log.{key}": getattr(log, key) for name, log in logs.items() for key in ("bind", "tap", "control")}
    found |= {"source.label_bind": source.label_bind, "fleet.bind": config.fleet.bind if config.fleet else ""}
    for key, address in found.items():
        check_reach(key, address, given.keys, given.insecure)


def _check_arrays(config: Config) -> None:
    """Check that every array that a stage reads or passes on is in its incoming frame."""
    arrays = {config.source.name}
    for stage in config.stage:
        read = {**stage.settings.reads(config.input_of(stage)), "carry": stage.carry}
        for key, names in read.items():
            for name in names:
                if name not in arrays:
                    raise SettingError(
                        f"stage.{stage.name}.{key}",
                        name,
                        f"{one_of(sorted(arrays))}; what stands further up must be carried by every stage between",
                        "no such array reaches it",
                    )
        arrays = {*stage.settings.adds(stage.name), *stage.carry}
    made = [config.source.name, *(name for stage in config.stage for name in stage.settings.adds(stage.name))]
    for sink in config.sink:
        for name in sink.settings.wants(()) if isinstance(sink.settings, SinkSettings) else ():
            if name not in made:
                key = "arrays" if "arrays" in sink.settings.__struct_fields__ else "array"
                raise SettingError(f"sink.{sink.service_name}.{key}", name, one_of(made), "there is no such array")


def _check_batches(config: Config) -> None:
    """Check that training batches reach the modules that need them: no `carry` takes them along."""
    carrying = ""  # the stage whose batches are in the frame
    replay = ""  # the windows stage that plays again what nobody has learnt from yet
    for stage in config.stage:
        input = config.input_of(stage)
        if stage.kind == "windows":
            carrying = stage.name if getattr(stage.settings, "replay", 0) else ""
            replay = carrying or replay
        elif stage.kind == "contrast":
            module, learn = getattr(stage.settings, "module", 1), getattr(stage.settings, "learn", True)
            needed = (replay if module == 1 else input) if learn else ""
            if needed and carrying != input:
                problem = f"the batches of {needed!r} do not come with it: `carry` does not take them along"
                accepted = "what is made of them without another stage between"
                raise SettingError(f"stage.{stage.name}.input", input, accepted, problem)
            carrying, replay = stage.name, ""
        elif stage.kind not in ("learner", "encoder") or carrying != input:
            carrying = ""
        else:
            carrying = stage.name
    if replay:
        settings = next(stage.settings for stage in config.stage if stage.name == replay)
        value, problem = str(getattr(settings, "replay", 0)), "no contrastive module learns from it"
        raise SettingError(f"stage.{replay}.replay", value, "0", problem)
