"""What a notebook shows of a learner: whatever it has learnt, small, on light and dark pages, and nothing active."""

import base64
import copy
import pickle
import re
import struct
import sys
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

from stream_infomax.learning.infomax.course import GROWTH, Course
from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.infomax.notebook import png, side_of

MOST_BYTES = 200_000
EMPTY = {"img", "path", "circle", "polyline"}


def mixed(n: int, width: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.laplace(size=(n, width)) @ generator.standard_normal((width, width)).T


def smooth(n: int, side: int) -> np.ndarray:
    """Patches of a picture with edges of all directions."""
    generator = np.random.default_rng(0)
    y, x = np.indices((side, side)) - (side - 1) / 2
    angles, shifts = generator.uniform(0, np.pi, (n, 1, 1)), generator.uniform(-side / 2, side / 2, (n, 1, 1))
    edges = np.tanh(x * np.cos(angles) + y * np.sin(angles) - shifts)
    return (edges * generator.laplace(size=(n, 1, 1))).reshape(n, -1) + 0.05 * generator.standard_normal((n, side**2))


class Whole(HTMLParser):
    """Collects tags and words; fails where a tag is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def shown(learner: OnlineInfomax) -> Whole:
    html = learner._repr_html_()
    assert len(html.encode()) <= MOST_BYTES
    found = Whole()
    found.feed(html)
    assert not found.open
    assert not {tag for tag, _ in found.tags} & {"script", "style", "link", "iframe", "a"}
    assert not [name for _, given in found.tags for name in given if name.startswith("on")]
    sources = [given["src"] for _, given in found.tags if "src" in given]
    assert all(source is not None and source.startswith("data:image/png;base64,") for source in sources)
    return found


def test_a_learner_that_has_seen_nothing_says_so() -> None:
    assert shown(OnlineInfomax(output="halves")).words == "OnlineInfomax(output='halves')It has seen no row."


def test_the_warm_up_says_what_is_missing() -> None:
    words = shown(OnlineInfomax().partial_fit(mixed(30, 5))).words
    assert "Warm-up: 30 rows of 5 features; 34 more rows that vary are needed." in words


def test_components_and_curve_of_a_table() -> None:
    pandas = pytest.importorskip("pandas")
    names = ["temperature", "<b>&\"'", "x\u202ey\x1b", "$z$"]
    rows = mixed(4000, 4)
    rows[7, 0] = np.nan
    found = shown(OnlineInfomax().partial_fit(pandas.DataFrame(rows, columns=names)))
    assert "4 components of 4 features, rank 4; 3,999 rows seen" in found.words
    assert "1 not finite" in found.words
    assert "from the left temperature, <b>&\"', x\\u202ey\\x1b, $z$" in found.words
    assert len(re.findall(r"component \d: ", found.words)) == 4
    assert not {"\u202e", "\x1b"} & set(found.words)
    assert "nats; lower is better" in found.words
    assert len([tag for tag, _ in found.tags if tag == "svg"]) == 2


def test_a_learner_that_was_given_all_there_was_has_no_curve_yet() -> None:
    with pytest.warns(UserWarning, match="data end before the warm-up"):
        found = shown(OnlineInfomax().fit(mixed(20, 5)))
    assert "5 components" in found.words
    assert "nats" not in found.words


def test_drawings_have_the_colour_of_the_words_around_them() -> None:
    html = OnlineInfomax().partial_fit(mixed(4000, 40))._repr_html_()
    assert set(re.findall(r'(?:stroke|fill|color)[=:]"?([^";]+)', html)) == {"none", "currentColor"}


def test_patches_are_a_picture_with_nothing_between_them() -> None:
    found = shown(OnlineInfomax(n_rank=20).partial_fit(smooth(3000, 8)))
    ((_, given),) = [one for one in found.tags if one[0] == "img"]
    assert "20 components as 8 × 8 pixels" in str(given["alt"])
    with_alpha = decoded(base64.b64decode(str(given["src"]).partition(",")[2]))
    assert with_alpha.shape == (4 * 9 - 1, 5 * 9 - 1, 2)
    assert (with_alpha[8, :, 1] == 0).all(), "the page shines through"
    assert (with_alpha[:8, :8, 1] == 255).all()
    assert np.ptp(with_alpha[:8, :8, 0]) > 100


def decoded(data: bytes) -> np.ndarray:
    """The values of a PNG without filters, by the letter of RFC 2083."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", data, place + 8 + length) == (zlib.crc32(kind + content),)
        chunks[kind] = content
        place += 12 + length
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert rest == [8, 4, 0, 0, 0]
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:].reshape(height, width, 2)


def test_pillow_reads_the_same_picture() -> None:
    image = pytest.importorskip("PIL.Image")
    import io

    grey, alpha = np.random.default_rng(0).integers(0, 256, (2, 5, 7), np.uint8)
    with image.open(io.BytesIO(png(grey, alpha))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), np.stack([grey, alpha], 2))


class TestPatches:
    def test_of_pictures(self) -> None:
        learner = OnlineInfomax(n_rank=20).partial_fit(smooth(3000, 8))
        assert side_of(learner.mixing_.T.astype(float)) == 8

    @pytest.mark.parametrize("width", [16, 63, 64])
    def test_rows_of_anything_else_are_none(self, width: int) -> None:
        assert side_of(np.random.default_rng(0).standard_normal((width, width))) is None
        waves = np.sin(np.outer(np.arange(1, width + 1), np.arange(width)) * np.pi / width)
        assert side_of(waves / np.arange(1, width + 1)[:, None]) is None

    def test_pixels_that_are_always_the_same_are_no_obstacle(self) -> None:
        rows = smooth(3000, 8).reshape(-1, 8, 8)
        rows[:, [0, -1]] = rows[:, :, [0, -1]] = 0
        learner = OnlineInfomax(n_rank=10).partial_fit(rows.reshape(-1, 64))
        assert side_of(learner.mixing_.T.astype(float)) == 8


@pytest.mark.parametrize(
    ("n_components", "n_features"), [(1, 1), (2, 2), (300, 4), (64, 1000), (500, 25), (40, 40_000), (3, 262_144)]
)
def test_however_wide_it_is_it_stays_small(n_components: int, n_features: int) -> None:
    """The basis is put in place of what was learnt: nothing else of the learner is drawn."""
    learner = OnlineInfomax().partial_fit(mixed(2000, 4))
    basis = np.random.default_rng(0).standard_normal((n_features, n_components)).astype(np.float32)
    if n_features == 40_000:
        basis = smooth(n_components, 200).T.astype(np.float32)
    published = learner._learner.published
    learner._learner.published = type(published)(**{**vars(published), "basis": basis, "filters": basis.T})
    found = shown(learner)
    assert "components" in found.words
    assert (n_features == 40_000) == any(tag == "img" for tag, _ in found.tags)


def test_events_stand_below_and_are_text() -> None:
    learner = OnlineInfomax(adapt="hold").partial_fit(mixed(2000, 4))
    learner._learner.events.add(1234, "change", "<img src=x onerror=alert(1)>")
    assert "row 1,234: change, <img src=x onerror=alert(1)>" in shown(learner).words


# ---------------------------------------------------------------- the curve


def test_the_curve_is_there_after_a_copy_and_however_rows_are_cut(tmp_path) -> None:
    rows = mixed(9000, 4)
    learner = OnlineInfomax().partial_fit(rows)
    pieces = OnlineInfomax()
    for piece in np.array_split(rows, 57):
        pieces.partial_fit(piece)
    learner.save(tmp_path / "one.safetensors")
    copies = [pickle.loads(pickle.dumps(learner)), copy.deepcopy(learner)]  # noqa: S301
    copies += [OnlineInfomax.load(tmp_path / "one.safetensors"), pieces]
    course = learner._learner.course
    assert len(course.rows) > 10
    for one in copies:
        np.testing.assert_array_equal(one._learner.course.rows, course.rows)
        np.testing.assert_array_equal(one._learner.course.values, course.values)
        assert one._repr_html_() == learner._repr_html_()
        one.partial_fit(rows)
        assert len(one._learner.course.rows) > len(course.rows)


def test_a_course_stays_small_and_evenly_apart() -> None:
    course = Course()
    for row in range(64, 64 * 20_000, 64):
        course.add(row, 1 / row)
    apart = course.rows[1:] / course.rows[:-1]
    assert len(course.rows) < 300
    assert apart.min() >= GROWTH
    assert apart[len(apart) // 2 :].max() < 1.06
    np.testing.assert_array_equal(course.values, 1 / course.rows)


def test_values_that_are_not_finite_are_no_part_of_it() -> None:
    course = Course()
    for row, value in ((1, np.nan), (2, 3.0), (3, np.inf), (4, 2.0)):
        course.add(row, value)
    assert course.rows.tolist() == [2, 4]


@pytest.mark.parametrize(
    "state",
    [
        {"rows": np.arange(3), "values": np.zeros(2)},
        {"rows": np.arange(5000), "values": np.zeros(5000)},
        {"rows": np.zeros((2, 2)), "values": np.zeros(2)},
        {"rows": np.array([1.5]), "values": np.zeros(1)},
    ],
)
def test_a_course_that_is_none_is_refused(state: dict) -> None:
    with pytest.raises(ValueError, match=r"values: |rows: "):
        Course().restore(state)


# ---------------------------------------------------------------- beside other packages


def test_scikit_learn_shows_a_pipeline_with_it() -> None:
    pipeline = pytest.importorskip("sklearn.pipeline")
    from sklearn.utils import estimator_html_repr

    made = pipeline.make_pipeline(OnlineInfomax()).fit(mixed(2000, 4))
    assert "OnlineInfomax" in made._repr_html_()
    assert "OnlineInfomax" in estimator_html_repr(made[0])


def test_it_needs_no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "PIL", "IPython"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "svg" in OnlineInfomax().partial_fit(mixed(2000, 4))._repr_html_()
