// Everything here adds to pages that work without it: live refresh, theme, copy.
"use strict";
(() => {
  const root = document.documentElement;

  // Theme: system, light or dark. Only the choice is kept, on this device.
  const themes = ["system", "light", "dark"];
  const apply = (name) => {
    if (name === "light" || name === "dark") root.dataset.theme = name;
    else delete root.dataset.theme;
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      button.textContent = "Theme: " + name;
      button.hidden = false;
    }
  };
  let theme = "system";
  try { theme = localStorage.getItem("theme") || "system"; } catch { /* storage may be off */ }
  apply(theme);
  document.addEventListener("click", (event) => {
    const toggle = event.target.closest("[data-theme-toggle]");
    if (toggle) {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      try { localStorage.setItem("theme", theme); } catch { /* storage may be off */ }
      apply(theme);
    }
    const copy = event.target.closest("[data-copy]");
    if (copy) copyText(copy);
    // A click elsewhere closes open menus.
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  async function copyText(button) {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without a secure origin there is no clipboard: select the text instead.
      const field = document.createElement("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
      button.focus();
    }
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = before; }, 1500);
  }
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;

  // Live parts: asked again with the ETag of what is shown; unchanged answers are 304 and cost nothing.
  const status = document.getElementById("live-status");
  let lastSaid = 0;
  const say = (text, now) => {
    if (!status || !text) return;
    if (!now && Date.now() - lastSaid < 30000) return;
    lastSaid = Date.now();
    status.textContent = text;
  };
  for (const part of document.querySelectorAll("[data-live]")) live(part);

  function live(part) {
    let etag = null;
    let wait = Number(part.dataset.every) || 2000;
    const ask = async () => {
      if (document.hidden) { again(); return; }
      try {
        const headers = etag ? { "If-None-Match": etag } : {};
        const answer = await fetch(part.dataset.live, { headers, credentials: "same-origin" });
        if (answer.status === 200) {
          etag = answer.headers.get("ETag");
          replace(part, await answer.text());
        } else if (answer.status !== 304) {
          throw new Error("status " + answer.status);
        }
        lost(part, false);
        wait = Number(part.dataset.every) || 2000;
      } catch {
        lost(part, true);
        wait = Math.min(wait * 2, 30000);
      }
      if (part.isConnected && !part.querySelector("[data-ended]")) again();
    };
    const again = () => setTimeout(ask, wait);
    if (!part.querySelector("[data-ended]")) again();
  }

  function replace(part, html) {
    const fresh = new DOMParser().parseFromString(html, "text/html").body.firstElementChild;
    if (!fresh) return;
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const key = focused && (focused.getAttribute("href") || focused.id);
    part.replaceChildren(...fresh.childNodes);
    if (key) {
      const same = [...part.querySelectorAll("a, button")].find((node) => (node.getAttribute("href") || node.id) === key);
      if (same) same.focus();
    }
    const said = part.querySelector("[data-say]");
    const ended = part.querySelector("[data-ended]");
    if (said) say(said.dataset.say, Boolean(ended));
    if (ended && part.dataset.title) {
      document.title = ended.dataset.ended + " " + document.title.replace(/^[✓✗!] /, "");
    }
  }

  function lost(part, is) {
    let line = part.previousElementSibling;
    if (!line || !line.matches("[data-lost]")) {
      if (!is) return;
      line = document.createElement("p");
      line.dataset.lost = "";
      line.className = "muted small";
      part.before(line);
    }
    line.textContent = is ? "Connection lost. Showing the state of " + new Date().toLocaleTimeString() + ". Trying again." : "";
    if (!is) line.remove();
  }
})();
