"""Brackets within brackets are refused before they are decoded; all else is left to its decoder."""

import json
import random
import sys

import msgspec
import pytest

from stream_infomax.state.nesting import DEEPEST, MOST_VALUES, NestedError, check_json, check_packed

PLAIN = [1, -5, 2**40, 1.5, "", "[[{" * 30, "é\x80\x9f" * 90, b"\x91\xdc" * 300, None, True, -(2**63)]


def depth(value):
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)


def grown(generator, levels):
    kind = generator.random() if levels else 1
    if kind < 0.5:
        return [grown(generator, levels - 1) for _ in range(generator.randrange(4))]
    if kind < 0.6:
        return {name: grown(generator, levels - 1) for name in ("a", "[{", "c" * 40)}
    return generator.choice(PLAIN)


def refused(check, message):
    try:
        check(message)
    except NestedError:
        return True
    return False


@pytest.mark.parametrize("seed", range(60))
def test_what_is_too_deep_is_refused_and_nothing_else(seed):
    generator = random.Random(seed)
    value = grown(generator, 6)
    for _ in range(generator.randrange(DEEPEST - 8, DEEPEST + 4)):
        value = [value] if generator.random() < 0.7 else {"x": value}
    value = [value, *[[]] * 70] if seed % 2 else value  # many beside one another are not deep
    message = msgspec.msgpack.encode(value)
    assert refused(check_packed, message) == (depth(value) > DEEPEST)
    assert not refused(check_packed, memoryview(msgspec.msgpack.encode(PLAIN * 20)))
    text = msgspec.json.encode(value)
    assert refused(check_json, text) == (depth(value) > DEEPEST)


def test_many_values_are_refused():
    check_packed(msgspec.msgpack.encode([[]] * (MOST_VALUES // 2)))
    with pytest.raises(NestedError):
        check_packed(msgspec.msgpack.encode([[]] * (2 * MOST_VALUES)))


def test_extensions_are_passed_over_whatever_is_in_them():
    extensions = [msgspec.msgpack.Ext(3, b"\x91" * size) for size in (1, 2, 4, 8, 16, 5, 300, 70_000)]
    check_packed(msgspec.msgpack.encode(extensions))


@pytest.mark.parametrize("noise", [b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\x9f" * DEEPEST])
def test_noise_is_for_the_decoder_to_name(noise):
    check_packed(noise)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", [b'"' + b'\\"' * 200_000 + b"[" * 100, b'{"a": "' + b"[" * 10**6, b"[]" * 10**5])
def test_strings_that_nobody_closes_take_no_time(text):
    check_json(text)


def test_far_deeper_than_any_stack():
    for levels in (1000, sys.getrecursionlimit(), 10**6):
        assert refused(check_packed, b"\x91" * levels + b"\xc0")
        assert refused(check_json, b"[" * levels)
        assert refused(check_json, b'{"a":' * levels)
    assert json.loads("[[]]") == [[]]
