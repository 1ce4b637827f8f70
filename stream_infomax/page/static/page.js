// The page's own script: puts figures and texts in place, says what a person asks for, and tells when it hears nothing.
"use strict";
(() => {
  const banner = document.getElementById("banner");
  const pause = document.getElementById("pause");
  const life = document.body.dataset.life;
  // Milliseconds without a word after which there is no connection, whatever the socket says; the server says something
  // every two seconds, where it is not very busy.
  const PATIENCE = 20000;
  const ASK_AGAIN = 2000;
  let bokeh = null;
  let heard = 0; // nothing yet
  let lost = null;
  let gone = false; // the server, or bokeh's connection: only loading again helps
  let over = "";
  let count = 0;

  for (const root of document.querySelectorAll("#roots > [data-root-name]")) {
    const place = document.querySelector(`[data-root="${CSS.escape(root.dataset.rootName)}"]`);
    if (place) place.append(root);
  }

  function say(section, what, value) {
    const ear = bokeh && bokeh.get_model_by_name("ear");
    if (ear) ear.tags = [section, what, String(value), String(++count)];
  }

  const looks = () => !document.hidden && pause.getAttribute("aria-pressed") === "false";

  function look(what) {
    if (heard) heard = Date.now();
    say("page", looks() ? what : "away", "");
  }

  // Makes the inside of `into` what `from` says, and touches only what is different: nothing flickers, focus stays.
  function morph(into, from) {
    const old = [...into.childNodes];
    const now = [...from.childNodes];
    now.forEach((node, i) => {
      const was = old[i];
      if (!was) {
        into.append(node);
      } else if (was.nodeType !== node.nodeType || was.nodeName !== node.nodeName) {
        was.replaceWith(node);
      } else if (node.nodeType === Node.ELEMENT_NODE) {
        for (const { name } of [...was.attributes]) if (!node.hasAttribute(name)) was.removeAttribute(name);
        for (const { name, value } of node.attributes) if (was.getAttribute(name) !== value) was.setAttribute(name, value);
        morph(was, node);
      } else if (was.nodeValue !== node.nodeValue) {
        was.nodeValue = node.nodeValue;
      }
    });
    for (const node of old.slice(now.length)) node.remove();
  }

  // What a person has chosen stays chosen, wherever its option is now.
  function choose(before) {
    for (const [select, value] of before) {
      if (select.value === value) continue;
      select.value = value;
      if (select.selectedIndex < 0) select.selectedIndex = 0;
    }
  }

  function show(texts) {
    for (const [id, html] of Object.entries(texts instanceof Map ? Object.fromEntries(texts) : texts)) {
      const [name, attribute] = id.split("@");
      const element = document.getElementById(name);
      if (!element) continue;
      if (attribute) {
        if (html) element.setAttribute(attribute, html);
        else element.removeAttribute(attribute);
        continue;
      }
      const template = document.createElement("template");
      template.innerHTML = html;
      const selects = element.nodeName === "SELECT" ? [element] : [];
      const before = selects.map((select) => [select, select.value]);
      morph(element, template.content);
      choose(before);
    }
  }

  function clock(milliseconds) {
    return new Date(milliseconds).toTimeString().slice(0, 8);
  }

  function warn(text) {
    if (banner.textContent !== text) banner.textContent = text;
    banner.hidden = !text;
    document.body.classList.toggle("stale", Boolean(text));
  }

  function begin() {
    bokeh = window.Bokeh && Bokeh.documents && Bokeh.documents[0];
    if (!bokeh || !bokeh.get_model_by_name("ear")) {
      setTimeout(begin, 50);
      return;
    }
    bokeh.on_message("texts", (texts) => {
      heard = Date.now();
      if (lost && !over && !gone) {
        lost = null;
        warn("");
      }
      show(texts);
      // Keys do nothing in a figure: Tab passes it over.
      for (const { canvas_view } of Bokeh.index.roots) if (canvas_view) canvas_view.events_el.tabIndex = -1;
    });
    bokeh.on_message("goodbye", (words) => {
      over = `${words} (${clock(Date.now())})`;
      lost = lost || Date.now();
      warn(over);
    });
    bokeh.on_event("connection_lost", () => {
      gone = true;
      lost = lost || Date.now();
    });
    look("open");
  }

  // Whether the server is there, asked apart from bokeh's connection: it is what brings the page back by itself.
  async function ask() {
    if (!lost && heard && looks() && Date.now() - heard > PATIENCE) lost = heard;
    if (lost && !document.hidden) {
      if (!over) warn(`No connection since ${clock(lost)}. What stands here is from then. Trying again …`);
      try {
        const answer = await fetch("alive", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
        if (answer.status === 403) {
          warn("The server has another token now. Open the address that it printed.");
        } else if (answer.ok) {
          const another = (await answer.json()).life !== life;
          // A server that is only slow would be slower still for loading the page again and again.
          if (another || (!over && (gone || Date.now() - heard > 3 * PATIENCE))) {
            location.reload();
            return;
          }
        }
      } catch {
        gone = true;
      }
    }
    setTimeout(ask, ASK_AGAIN);
  }

  document.addEventListener("visibilitychange", () => look("look"));
  pause.addEventListener("click", () => {
    const paused = pause.getAttribute("aria-pressed") === "false";
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on with the view" : "Pause the view";
    document.body.classList.toggle("paused", paused);
    look("look");
  });

  function tell(element, value) {
    const section = element.closest("main > section");
    if (section) say(section.id, element.dataset.tell, value);
  }

  function value(name) {
    const element = name && document.getElementById(name);
    return element ? element.value : "";
  }

  // A command to the run: its answer is put where the button says.
  async function command(button) {
    const answer = document.getElementById(button.dataset.answer);
    const given = document.getElementById(button.dataset.value);
    if (given && given.nodeName === "SELECT" && !given.value) {
      answer.textContent = "Choose first what it is about.";
      given.focus();
      return;
    }
    const token = (document.cookie.match(/(?:^|; )_xsrf=([^;]*)/) || [])[1] || "";
    const asked = {
      action: button.dataset.ask,
      stage: value(button.dataset.stage),
      value: value(button.dataset.value),
    };
    answer.textContent = "asking …";
    try {
      const found = await fetch("control", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-XSRFToken": token },
        body: JSON.stringify(asked),
      });
      if (!found.ok) {
        answer.textContent = (await found.text()).trim().slice(0, 500);
        return;
      }
      const { answers } = await found.json();
      answer.textContent = answers.map((one) => one.text).join("\n");
      if (given && given.nodeName === "INPUT") given.value = "";
    } catch {
      answer.textContent = "The page's server did not answer; nothing is known of this command.";
    }
  }

  // Enter in a field is a press of its button.
  document.addEventListener("keydown", (event) => {
    const button = event.key === "Enter" && document.getElementById(event.target.dataset?.enter);
    if (button && !button.disabled) command(button);
  });

  // Figures take their colours from the sheet when they are painted.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const view of bokeh ? Bokeh.index.roots : []) view.request_paint?.();
  });

  let sound = null;
  function play(button) {
    if (sound) sound.pause();
    sound = new Audio(button.dataset.play);
    sound.play().catch(() => {
      button.title = "This component cannot be played.";
    });
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.tell) tell(button, button.dataset.value || "");
    if (button.dataset.ask) command(button);
    if (button.dataset.play) play(button);
  });
  document.addEventListener("change", (event) => {
    const { dataset, nodeName, type } = event.target;
    if (!dataset.tell || nodeName === "BUTTON") return;
    tell(event.target, event.target.value);
    if (type === "number") event.target.value = ""; // its placeholder says it
  });

  begin();
  ask();
})();
