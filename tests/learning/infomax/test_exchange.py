"""What learners send each other, as bytes."""

import io
from dataclasses import replace

import numpy as np
import pytest
from helpers.mixtures import mixed_sources

from stream_infomax import OnlineInfomax
from stream_infomax.learning.infomax.exchange import FORMAT, Delta, MergeError, Shared
from stream_infomax.state import file

ROWS, _ = mixed_sources(2000, 5)


@pytest.fixture(scope="module")
def sent():
    learner = OnlineInfomax().partial_fit(ROWS[:800])
    shared = learner.share(2)
    return shared, learner.take(shared).partial_fit(ROWS[800:]).delta("00")


def test_the_bytes_are_those_of_the_file_and_give_the_same_record(sent, tmp_path):
    for record in sent:
        content = record.to_bytes()
        record.save(tmp_path / "record.safetensors")
        assert content == (tmp_path / "record.safetensors").read_bytes()
        again = type(record).from_bytes(content, "one")
        assert again.digest == record.digest
        assert again.to_bytes() == content


@pytest.mark.parametrize("cut", [0, 7, 8, 50, -1])
def test_bytes_that_were_cut_are_refused_by_name(sent, cut):
    with pytest.raises(MergeError, match="delta of 00: not readable"):
        Delta.from_bytes(sent[1].to_bytes()[:cut], "delta of 00")


def test_bytes_that_were_changed_are_refused(sent):
    content = bytearray(sent[1].to_bytes())
    content[-1] ^= 1
    with pytest.raises(MergeError, match="delta of 00: its content does not match its digest"):
        Delta.from_bytes(bytes(content), "delta of 00")


def test_another_kind_and_another_version_are_refused(sent, monkeypatch):
    with pytest.raises(MergeError, match="delta of 00: kind: 'shared'; accepted is 'delta'"):
        Delta.from_bytes(sent[0].to_bytes(), "delta of 00")
    newer = {**sent[0].tree(), "format": 9}
    with pytest.raises(MergeError, match=f"shared: format: 9; this version reads {FORMAT}"):
        Shared.from_bytes(file.dumped(newer), "shared")


def test_bytes_name_no_files_here():
    text = '{"sum": {"$pages": {"names": ["0-00"], "shape": [1], "dtype": "<f8"}}}'
    content = io.BytesIO()
    file._write(content, {}, {"format": "1", "tree": text, "digest": file._digest(text, {})})
    with pytest.raises(MergeError, match=r"delta: its tree makes no sense \(it names pages in a folder\)"):
        Delta.from_bytes(content.getvalue(), "delta")


@pytest.mark.parametrize("values", [np.zeros(5, np.int64), np.zeros(5, np.complex64)])
def test_numbers_that_are_no_floats_are_refused(sent, values):
    shared, delta = sent
    with pytest.raises(MergeError, match=r"sum has numbers of .*; accepted are floats"):
        OnlineInfomax.merge(shared, [replace(delta, sum=values)])
