"""A browser without a window, and what is asked of the pages in it."""

import json
import time
from contextlib import contextmanager
from pathlib import Path

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
MISSING = "no chromium with chromedriver here (Debian: chromium, chromium-driver)"
# Seconds until what is waited for has to be there.
PATIENCE = 20.0


def is_there():
    return CHROMIUM.exists() and DRIVER.exists()


@contextmanager
def browser(width=1280, height=900):
    """Give a browser; each of its tabs has a size of its own."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(CHROMIUM)
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"),
        *("--disable-background-networking", "--disable-component-update", f"--window-size={width},{height}"),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.add_experimental_option("perfLoggingPrefs", {"enableNetwork": True, "enablePage": False})
    made = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield made
    finally:
        made.quit()


def wait(condition, what, patience=PATIENCE):
    """Wait until a condition holds; return what it returned."""
    until = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < until, f"not within {patience} s: {what}"
        time.sleep(0.1)
    return found


class Tab:
    """A tab of a browser."""

    def __init__(self, made, url):
        self.made = made
        made.switch_to.new_window("tab")
        self.handle = made.current_window_handle
        made.get(url)

    def ask(self, script, *arguments):
        """Return what a script returns."""
        if self.made.current_window_handle != self.handle:
            self.made.switch_to.window(self.handle)
        return self.made.execute_script(script, *arguments)

    def text(self, element):
        """Return the text of the element of an id."""
        return self.ask("const e = document.getElementById(arguments[0]); return e ? e.textContent : ''", element)

    def shown(self, words, element="main", patience=PATIENCE):
        """Wait until words stand in an element."""
        wait(lambda: words in self.text(element), f"{words!r} in {element}", patience)

    def is_hidden(self, element):
        return self.ask("return document.getElementById(arguments[0]).hidden", element)

    def press(self, words):
        """Press the button that says so."""
        self.ask(
            "[...document.querySelectorAll('button')].find(b => b.textContent.trim() === arguments[0]).click()", words
        )

    def model(self, name, script):
        """Return what a script says of the figure of that name, `model`; None before it is there."""
        get = "const model = window.Bokeh?.documents?.[0]?.get_model_by_name(arguments[0]); if (!model) return null;"
        return self.ask(f"{get} {script}", name)

    def close(self):
        self.ask("return 0")
        self.made.close()
        self.made.switch_to.window(self.made.window_handles[0])


def complaints(made):
    """Return what the console has had to say since the last time, but for what bokeh tells of itself."""
    return [entry for entry in made.get_log("browser") if entry["level"] not in ("INFO", "DEBUG")]


def requests(made):
    """Return the addresses that were asked for since the last time."""
    messages = (json.loads(entry["message"])["message"] for entry in made.get_log("performance"))
    found = []
    for message in messages:
        if message["method"] == "Network.requestWillBeSent":
            found.append(message["params"]["request"]["url"])
        elif message["method"] == "Network.webSocketCreated":
            found.append(message["params"]["url"])
    return found
