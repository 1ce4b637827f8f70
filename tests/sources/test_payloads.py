"""Payloads of messages: what is read as rows, and what is refused, under which reason."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from stream_infomax.sources.payloads import Payload, PayloadError, reader

SIZE, TEXT = "messages of another size", "messages without numbers"
INFINITE, COUNT = "messages with numbers that are not finite", "messages whose counter does not count"


def read(payload, form, channels=2, dtype="float32", fields=(), counter=""):
    return reader(form, channels, dtype, fields, counter)(payload)


def rows(payload, *arguments, **settings):
    return read(payload, *arguments, **settings).rows.tolist()


def test_raw_numbers_are_little_endian():
    assert rows(np.array([1, 2, 3, 4], ">i2").astype("<i2").tobytes(), "raw", dtype="int16") == [[1, 2], [3, 4]]
    found = read(b"\x02\x01\x00\x00" + np.float32([1.5, 2]).tobytes(), "raw", counter="uint32")
    assert found.rows.tolist() == [[1.5, 2]]
    assert (found.first, found.last) == (0x102, 0x102)


@pytest.mark.parametrize("text", ["1,2\n3,4", "1;2\r\n3;4\r\n", "1\t2\n\n3\t4", " 1 , 2 \n 3   4 ", "\ufeff1,2\n3,4"])
def test_cells_of_csv_stand_between_commas_semicolons_or_spaces(text):
    assert rows(text.encode(), "csv") == [[1, 2], [3, 4]]


def test_a_column_of_csv_counts():
    found = read(b"1,7,2\n3,8,4", "csv", counter="1")
    assert found.rows.tolist() == [[1, 2], [3, 4]]
    assert (found.first, found.last) == (7, 8)


@pytest.mark.parametrize("text", ["[1, 2, 3, 4]", "[[1, 2], [3, 4]]"])
def test_json_is_numbers(text):
    assert rows(text.encode(), "json") == [[1, 2], [3, 4]]


def test_json_is_one_number_of_one_channel():
    assert rows(b" 21.5 ", "json", channels=1) == [[21.5]]


def test_a_field_of_json_holds_the_numbers():
    found = read(b'{"n": 4, "v": [1, 2], "more": {"v": [true]}}', "json", fields=("v",), counter="n")
    assert found.rows.tolist() == [[1, 2]]
    assert (found.first, found.last) == (4, 4)


def test_fields_of_json_hold_a_channel_each():
    assert rows(b'{"x": 1, "y": 2}', "json", fields=("x", "y")) == [[1, 2]]
    assert rows(b'{"y": [2, 4], "x": [1, 3]}', "json", fields=("x", "y")) == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("payload", "form", "settings", "reason"),
    [
        (b"", "raw", {}, SIZE),
        (b"\0" * 7, "raw", {}, SIZE),
        (b"\0" * 12, "raw", {}, SIZE),
        (b"\0" * 2, "raw", {"counter": "uint32"}, SIZE),
        (b"\0" * 4, "raw", {"counter": "uint32"}, SIZE),
        (np.float32([1, np.nan]).tobytes(), "raw", {}, INFINITE),
        (b"", "csv", {}, SIZE),
        (b"1,2\n3", "csv", {}, SIZE),
        (b"1,5;2,5", "csv", {}, SIZE),  # decimal commas
        (b"1,5", "csv", {"channels": 1}, SIZE),
        (b"1,,2", "csv", {"channels": 3}, TEXT),
        (b"x,y", "csv", {}, TEXT),
        (b"1_0,2", "csv", {}, TEXT),
        (b"\xff\xfe1", "csv", {}, TEXT),
        (b"1,inf", "csv", {}, INFINITE),
        (b"1,1e39", "csv", {}, INFINITE),
        (b"1,2,x", "csv", {"counter": "2"}, COUNT),
        (b"1,2,-1", "csv", {"counter": "2"}, COUNT),
        (b"1,2,3\n1,2,5", "csv", {"counter": "2"}, COUNT),
        (b"1,2," + b"9" * 30, "csv", {"counter": "2"}, COUNT),
        (b"", "json", {}, TEXT),
        (b"[]", "json", {}, SIZE),
        (b"[1, 2, 3]", "json", {}, SIZE),
        (b"[[1, 2], [3]]", "json", {}, SIZE),
        (b"[[1, 2], 3]", "json", {}, SIZE),
        (b"[[1], [2]]", "json", {}, SIZE),
        (b"[1, NaN]", "json", {}, TEXT),
        (b"[1, null]", "json", {}, TEXT),
        (b'[1, "2"]', "json", {}, TEXT),
        (b"[1, true]", "json", {}, TEXT),
        (b"[1, 1e999]", "json", {}, TEXT),
        (b"[1, 1e39]", "json", {}, INFINITE),
        (b"[" * 100_000, "json", {}, TEXT),
        (b'{"deep":' + b"[" * 500_000, "json", {"fields": ("v",)}, TEXT),
        (b'{"w": [1, 2]}', "json", {"fields": ("v",)}, TEXT),
        (b'{"x": [1, 2], "y": 1}', "json", {"fields": ("x", "y")}, SIZE),
        (b'{"v": [1, 2]}', "json", {"fields": ("v",), "counter": "n"}, TEXT),
        (b'{"v": [1, 2], "n": -1}', "json", {"fields": ("v",), "counter": "n"}, TEXT),
        (b'{"v": [1, 2], "n": 1e300}', "json", {"fields": ("v",), "counter": "n"}, TEXT),
    ],
)
def test_what_cannot_be_used_has_a_reason(payload, form, settings, reason):
    with pytest.raises(PayloadError, match=f"^{reason}$"):
        read(payload, form, **settings)


@given(some.binary(max_size=60) | some.text('0123456789.,-+eE[]{}"xn: \nNa', max_size=60).map(str.encode))
def test_any_bytes_are_rows_or_a_reason(payload):
    for form, settings in (
        ("raw", {"counter": "uint8"}),
        ("csv", {"counter": "0"}),
        ("json", {}),
        ("json", {"fields": ("x",), "counter": "n"}),
    ):
        try:
            found = read(payload, form, **settings)
        except PayloadError:
            continue
        assert isinstance(found, Payload)
        assert found.rows.shape[1] == 2
        assert np.isfinite(found.rows).all()
