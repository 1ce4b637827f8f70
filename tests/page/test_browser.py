"""The page in a browser: it shows what comes, acts, comes back by itself, and asks nobody else for anything."""

import os
import re
import signal
import time

import numpy as np
import pytest
from helpers.browsers import MISSING, Tab, browser, complaints, is_there, requests, wait
from helpers.commands import child_of, ended, started
from helpers.extras import extra
from helpers.pages import Served, config
from helpers.wire import status

from stream_infomax.frames.basis import Basis
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.measure import Measure
from stream_infomax.page.hearing import HearingSection
from stream_infomax.page.watched import Stage, Watched

extra("selenium")
pytestmark = pytest.mark.skipif(not is_there(), reason=MISSING)

EVIL = "<img src=x onerror=document.title='evil'><script>document.title='evil'</script>"


def basis(seed):
    values = np.random.default_rng(seed).normal(size=(9, 16)).astype(np.float32)
    ones = np.ones(9, np.float32)
    return Basis(
        stage="learner", encoder="e", version=f"{seed:012x}", offset=10 * seed, output="potential", amplitude=1.0,
        mean=np.zeros(16), components=values, mixing=np.linalg.pinv(values).astype(np.float32), beta=ones, bias=ones,
        axes=("y", "x"), shape=(4, 4),
    )  # fmt: skip


def fresh():
    stages = [Stage("source", "images", "source"), Stage("learner", "learner", "learner", "source")]
    return Watched("a run", ["source", "learner"], stages)


def feed(watched, step):
    """Let a run come one step further."""
    measures = [Measure("learner", "", "objective", 20 - step / 10, 100 * (step + 1))]
    events = [Event(stage="learner", position=50, kind="change", text=EVIL)]
    watched.status("source", status(step, name="source", expected=1000))
    watched.status("learner", status(step, name="learner", measures=measures, events=events))
    watched.basis(basis(step))
    data = np.random.default_rng(step).normal(size=(5, 9)).astype(np.float32)
    for service, name in (("source", "source"), ("learner", "learner")):
        arrays = {name: Array(data, ("time", "component"))}
        watched.frame(service, Frame(EVIL, step, EVIL, arrays, rate=50.0, time=step / 10, labels={"word": EVIL}))


@pytest.fixture(scope="module")
def chromium():
    with browser() as made:
        yield made


@pytest.fixture(scope="module")
def page():
    watched = fresh()
    with Served(watched) as served:
        served.do(feed, watched, 1)
        yield served


@pytest.fixture(scope="module")
def opened(chromium, page):
    made = Tab(chromium, page.url)
    made.shown("frame", "state")
    yield made
    made.close()


@pytest.fixture
def tab(chromium, opened):
    opened.ask("scrollTo(0, 0)")
    yield opened
    opened.ask("return 0")
    assert complaints(chromium) == []


def points(tab):
    return tab.model("learning-objective", "return model.renderers.at(-1).data_source.data.y.length")


def mosaic(tab):
    """Return what the mosaic's picture holds, as one number."""
    script = (
        "const d = model.renderers[0].data_source.data.image; return d ? [...d[0]].reduce((a, b, i) => a + b * i) : 0"
    )
    return tab.model("components-filters", script)


def hide(tab, hidden):
    tab.ask(
        "Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))",
        hidden,
    )


def test_what_comes_is_shown_and_nobody_else_is_asked(chromium, page, tab):
    assert "token" not in chromium.current_url
    wait(lambda: points(tab) >= 1, "a curve")
    before = wait(lambda: mosaic(tab), "a mosaic")
    page.do(feed, page.watched, 2)
    tab.shown("frame 3 of 1,000", "state")
    wait(lambda: mosaic(tab) != before, "another mosaic")
    wait(lambda: points(tab) >= 2, "a longer curve")
    own = page.address.removeprefix("http")
    asked = requests(chromium)
    assert any("/ws" in address for address in asked)
    assert [address for address in asked if not address.startswith((f"http{own}", f"ws{own}", "data:", "blob:"))] == []


def test_text_from_outside_stays_text(chromium, page, tab):
    tab.shown("<img src=x", "learning-events")
    time.sleep(0.2)  # an image that is not there has its time to say so
    assert tab.ask("return [document.querySelectorAll('main img, main script').length, document.title]") == [
        0, "a run – stream_infomax"
    ]  # fmt: skip


def test_without_the_token_a_browser_sees_a_sentence(chromium, page):
    made = Tab(chromium, page.address.replace("127.0.0.1", "localhost"))  # another name: no cookie
    assert "needs its token" in made.ask("return document.body.textContent")
    assert "a run" not in made.ask("return document.documentElement.outerHTML")
    made.close()
    complaints(chromium)


def test_two_look_at_the_same_and_one_may_pause_its_view(chromium, page, tab):
    other = Tab(chromium, page.url)
    other.shown("frame", "state")
    tab.press("Pause the view")
    before = tab.text("state")
    page.do(feed, page.watched, 20)
    other.shown("frame 21 of", "state")
    assert tab.text("state") == before
    assert tab.ask("return document.getElementById('pause').getAttribute('aria-pressed')") == "true"
    tab.press("Go on with the view")
    tab.shown("frame 21 of", "state")
    other.close()


def test_nothing_is_sent_to_a_page_that_is_hidden_and_all_when_it_is_seen_again(page, tab):
    hide(tab, True)
    wait(lambda: not page.page.looked_at, "nobody looks")
    before = tab.text("state")
    page.do(feed, page.watched, 30)
    tab.ask("return new Promise(done => setTimeout(done, 700))")
    assert tab.text("state") == before
    hide(tab, False)
    tab.shown("frame 31 of", "state")
    assert tab.is_hidden("banner")


def test_a_service_that_says_nothing_is_grey_with_a_sentence(page, tab):
    page.do(feed, page.watched, 40)
    page.do(page.watched._heard.update, {"learner": page.watched.now() - 6001})
    tab.shown("said nothing for 6,0", "pipeline-problems")
    assert tab.ask("return document.querySelectorAll('#pipeline-flow .is-silent').length") == 1
    page.do(feed, page.watched, 41)
    wait(lambda: not tab.text("pipeline-problems"), "all is well")


def test_the_keyboard_is_enough_and_an_answer_is_text(chromium, page, tab):
    from selenium.webdriver.common.keys import Keys

    names = []
    while "configuration" not in names and len(names) < 60:
        chromium.switch_to.active_element.send_keys(Keys.TAB)
        names.append(tab.ask("const e = document.activeElement; return e.id || e.textContent.trim().slice(0, 30)"))
    assert {"To the content", "Steering", "pause", "steering-hold", "steering-stage", "steering-label"} <= {*names}, (
        names
    )
    assert "" not in names, "a figure does nothing with keys"
    tab.ask("document.getElementById('steering-label').focus()")
    chromium.switch_to.active_element.send_keys("a <b>label</b>", Keys.ENTER)
    tab.shown("takes effect at frame 7", "steering-answer")
    assert page.asked[-1] == ("mark", "", "a <b>label</b>")
    assert "<b>takes" in tab.text("steering-answer")
    assert tab.ask("return document.getElementById('steering-label').value") == ""
    tab.press("Go back to version")
    tab.shown("Choose first", "steering-answer")
    assert page.asked[-1][0] == "mark"


def test_a_press_on_a_tile_opens_its_component(chromium, page, tab):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    place = chromium.find_element(By.CSS_SELECTOR, '[data-root="components-basis"]')

    def press():
        """Press a tile that is not open; return the title that is to come, where it comes: tiles change places."""
        tiles = tab.model(
            "components-basis",
            "const d = model.renderers.map(r => r.data_source.data).find(d => d.number);"
            "return Array.from(d.number, (n, i) => [n, d.x[i] / model.x_range.end, 1 - d.y[i] / model.y_range.end])",
        )
        titles = [(f"Component {number} of 9", x, y) for number, x, y in tiles]
        wanted, x, y = next(one for one in titles if one[0] != tab.text("components-title"))
        tab.ask("arguments[0].scrollIntoView({block: 'center'})", place)
        left, high = (x - 0.5) * place.size["width"], (y - 0.5) * place.size["height"]
        ActionChains(chromium).move_to_element_with_offset(place, round(left), round(high)).click().perform()
        for _ in range(10):  # the server may be busy
            tab.ask("return new Promise(done => setTimeout(done, 300))")
            if tab.text("components-title") == wanted:
                return wanted
        return ""

    pressed = wait(press, "the component of a tile")
    tab.press("Next in the picture")
    wait(lambda: tab.text("components-title") != pressed, "another component")
    box = chromium.find_element(By.CSS_SELECTOR, "#components input[type=number]")
    box.clear()
    box.send_keys("7\n")
    tab.shown("Component 7 of 9", "components-title")


def hear(watched):
    """Let the second of three units be driven most, by a segment with a hostile name."""
    rng = np.random.default_rng(0)
    for offset in range(30):
        sound = rng.normal(size=(800, 1)).astype(np.float32)
        rows = (rng.random((10, 3)) * [1, 5, 2]).astype(np.float32)
        place = {"stream": "a", "offset": offset, "segment": EVIL, "time": offset / 10}
        watched.frame("source", Frame(**place, arrays={"source": Array(sound, ("time", "channel"))}, rate=8000.0))
        watched.frame("contrast", Frame(**place, arrays={"module1": Array(rows, ("time", "component"))}, rate=100.0))


def test_what_modules_hear_is_drawn_turned_over_and_named(chromium):
    stages = [Stage("source", "audio", "source"), Stage("module1", "contrast", "contrast", "source")]
    watched = Watched("a run", ["source", "contrast"], stages)
    with Served(watched, sections=(HearingSection,)) as served:
        served.do(hear, watched)
        tab = Tab(chromium, served.url)
        tab.shown("Unit 2, 1 of 3 by the deviation of its output", "hearing-title")
        drawn = "const d = model.renderers[0].data_source.data.image; return d ? Math.max(...d[0]) : 0"
        wait(lambda: tab.model("hearing-excerpts", drawn), "spectrograms")
        assert EVIL[:40] in tab.text("hearing-where")
        tab.press("Next unit")
        tab.shown("Unit 3, 2 of 3", "hearing-title")
        tab.shown("Play unit 3", "hearing-play")
        assert tab.ask("return document.title") != "evil"
        assert complaints(chromium) == []
        tab.close()


def contrast(tab):
    """Return the texts whose contrast with what is behind them is below 4.5, in the page's colours as they are."""
    return tab.ask("""
        const light = c => { const v = c.map(x => (x /= 255) <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
                             return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
        const numbers = text => text.match(/[\\d.]+/g).map(Number);
        const behind = e => { for (; e; e = e.parentElement) { const c = numbers(getComputedStyle(e).backgroundColor);
                              if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
        const found = [];
        for (const e of document.querySelectorAll('header *, main *, #banner')) {
          if (![...e.childNodes].some(n => n.nodeType === 3 && n.nodeValue.trim()) || !e.offsetParent) continue;
          const [a, b] = [light(numbers(getComputedStyle(e).color)), light(behind(e))];
          const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
          if (ratio < 4.5) found.push(`${e.textContent.trim().slice(0, 40)} ${ratio.toFixed(2)}`);
        }
        return found;""")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_can_be_read_at_any_width_in_light_and_in_dark(chromium, tab, scheme, width):
    features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert tab.ask("return matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
    assert contrast(tab) == []
    narrow = "return document.documentElement.scrollWidth <= innerWidth"
    wait(lambda: tab.ask(narrow), "nothing has to be moved sideways, once it is laid out anew")


def test_the_page_comes_back_by_itself_when_the_server_does(chromium):
    watched = fresh()
    with Served(watched) as first:
        first.do(feed, watched, 1)
        made = Tab(chromium, first.url)
        made.shown("frame 2 of", "state")
        port = first.port
    made.shown("The run has finished", "banner")
    again = fresh()
    with Served(again, port=port) as second:
        second.do(feed, again, 50)
        made.shown("frame 51 of", "state")
        assert made.is_hidden("banner")
        second.do(second.page.viewers.clear)  # it goes without a word
    made.shown("No connection since", "banner", patience=50)  # the page itself waits for twenty seconds
    made.close()
    complaints(chromium)


def numbers(tab):
    """Return the numbers of which the components of a run are drawn."""
    script = "return JSON.stringify(model.renderers.map(r => Object.values(r.data_source.data).map(v => [...v])))"
    return tab.model("components-filters", script)


def test_a_run_is_seen_steered_and_mended_and_its_page_ends_with_it(chromium, tmp_path):
    path = config(tmp_path, 100_000, "live")
    with started("run", path, "--plain", "--page", folder=tmp_path) as (process, output):
        url = output.readline().split()[1]
        tab = Tab(chromium, url)
        wait(lambda: "[" in (numbers(tab) or ""), "a mosaic")
        tab.shown("learner: 4 components", "components-about")
        before = numbers(tab)
        wait(lambda: numbers(tab) != before, "the mosaic changes as it learns")

        tab.press("Pause learning")
        tab.shown("learner: pause takes effect at frame", "steering-answer")
        offset = int(re.search(r"frame ([\d,]+)", tab.text("steering-answer"))[1].replace(",", ""))
        assert (tmp_path / "run" / "learner" / "commands.jsonl").read_text().count("pause") == 1
        tab.shown("pause", "learning-events")
        tab.shown("learner is paused", "pipeline-problems")
        assert offset > 0
        tab.press("Resume learning")
        tab.shown("learner: resume takes effect at frame", "steering-answer")
        wait(lambda: "is paused" not in tab.text("pipeline-problems"), "it learns again")

        os.kill(child_of(process.pid, "learner"), signal.SIGKILL)
        tab.shown("started again 1×", "pipeline-problems")
        tab.shown("restart", "learning-events")

        process.send_signal(signal.SIGINT)
        tab.shown("The run was stopped", "banner")
        done = ended(process)
    tab.close()
    complaints(chromium)
    assert done.code == 0, done.errors
    assert not (tmp_path / "run" / "page.log").read_text()
