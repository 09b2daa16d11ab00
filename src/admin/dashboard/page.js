// Fills the page with what the server sends; says so when the server is away.
"use strict";

const pool = document.body.dataset.pool;
const status = document.getElementById("status");
const RETRY_MS = 2000;
let awaySince = null;

function say(text, state) {
  document.documentElement.dataset.state = state;
  if (status.textContent !== text) status.textContent = text;
}

function update(event) {
  const message = JSON.parse(event.data);
  const hasFigures = document.querySelector(".figures") !== null;
  // The page was drawn for a pool that has gone, or before there was one.
  if (message.figures !== hasFigures || (!pool && message.first_pool)) {
    location.reload();
    return;
  }
  for (const [id, html] of Object.entries(message.html)) {
    const element = document.getElementById(id);
    // A link that has the focus keeps it.
    const focused = element && element.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    if (element) element.innerHTML = html;
    if (focused) element.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  }
  awaySince = null;
  say("Live", "live");
}

function connect() {
  const source = new EventSource("/events" + (pool ? "?pool=" + encodeURIComponent(pool) : ""));
  source.addEventListener("update", update);
  source.onerror = () => {
    // A browser gives up on some errors and waits long after others: here it is always the same.
    source.close();
    awaySince ??= new Date();
    say(`Server away since ${awaySince.toLocaleTimeString()}: the figures are as they were. Trying again.`, "away");
    setTimeout(connect, RETRY_MS);
  };
}

say("Connecting", "live");
connect();
