"""The JSON schema and the reference: made from the records, and as strict as the configuration itself."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from stream_infomax.configuration.kinds import SOURCES, STAGES
from stream_infomax.configuration.load import convert, own_keys, to_builtins
from stream_infomax.configuration.reference import markdown
from stream_infomax.configuration.schema import schema
from stream_infomax.configuration.tables import Log, Run, SourceTable, StageTable
from stream_infomax.settings.words import bare, doc_of, in_words

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    made = schema()
    Draft202012Validator.check_schema(made)
    return Draft202012Validator(made)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configurations_are_valid(path: Path, validator: Draft202012Validator) -> None:
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    assert not list(validator.iter_errors(raw))
    assert not list(validator.iter_errors(to_builtins(convert(raw))))


def changed(table: str, **values: Any) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "run": {"folder": "runs/x"},
        "source": {"kind": "images", "path": "x", "frames": 1},
        "stage": [{"kind": "learner", "name": "learner"}],
    }
    place = raw["stage"][0] if table == "stage" else raw[table] if table else raw
    place.update(values)
    return raw


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("", {"rnu": {}}),
        ("run", {"polcy": "wait"}),
        ("run", {"policy": "hope"}),
        ("run", {"keep": 0}),
        ("source", {"pahs": "x"}),
        ("source", {"kind": "radio"}),
        ("source", {"crop": [12]}),
        ("source", {"crop": [12, 0]}),
        ("source", {"seed": 3}),
        ("source", {"log": {"frmaes": 3}}),
        ("source", {"log": {"memory": "64"}}),
        ("stage", {"blok": 3}),
        ("stage", {"block": "many"}),
        ("stage", {"energy": 0.0}),
        ("stage", {"memory": "24 MG"}),
        ("stage", {"name": ".."}),
        ("stage", {"service": "[/x]"}),
        ("stage", {"form": "grid"}),
        ("stage", {"kind": "contrast", "negatives": 1}),
    ],
)
def test_schema_and_configuration_refuse_the_same(
    table: str, values: dict[str, Any], validator: Draft202012Validator
) -> None:
    raw = changed(table, **values)
    assert list(validator.iter_errors(raw))
    with pytest.raises(ValueError, match="accepted: "):
        convert(raw)


def test_what_is_right_passes(validator: Draft202012Validator) -> None:
    raw = changed("source", crop=[8, 8], log={"memory": "1.5 MiB", "tap": "tcp://127.0.0.1:5600"})
    raw["stage"][0].update(memory=10_000_000, n_components=3, half_life=10)
    assert not list(validator.iter_errors(raw))
    assert convert(raw).stage[0].name == "learner"


RECORDS = [Run, SourceTable, StageTable, Log]
RECORDS += [kinds.settings_of(kind) for kinds in (SOURCES, STAGES) for kind in kinds.names()]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_key_stands_in_the_reference(record: Any) -> None:
    lines = markdown().splitlines()
    fields = {field.name: field for field in msgspec.structs.fields(record)}
    for key in own_keys(record):
        doc = doc_of(fields[key].type)
        assert doc, f"{record.__name__}.{key} has no documentation"
        found = [line for line in lines if line.startswith(f"| `{key}` |") and doc.replace("|", "\\|") in line]
        assert found, f"{record.__name__}.{key}"
        if not (isinstance(bare(fields[key].type), type) and issubclass(bare(fields[key].type), msgspec.Struct)):
            assert in_words(fields[key].type) in found[0]
        if fields[key].required:
            assert "| required |" in found[0]
