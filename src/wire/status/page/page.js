// Keeps the page as it is now: the server sends the parts that changed, and what differs is changed
// in place, so that what is open, selected, scrolled or focused stays so.
(() => {
  "use strict";
  const live = document.getElementById("live");
  const said = document.getElementById("said");
  const asOf = document.getElementById("as-of");
  const time = () => new Date().toLocaleTimeString();
  const [SILENT_MS, AGAIN_MS] = [6000, 5000];
  let source, heard = Date.now(), at = time();

  const key = (node) => node.nodeType === 1 ? node.dataset.key || node.id || "" : "";
  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b);

  const morph = (old, now) => {
    if (old.nodeType !== 1) {
      if (old.nodeValue !== now.nodeValue) old.nodeValue = now.nodeValue;
      return;
    }
    for (const { name, value } of now.attributes) {
      // Whether details are open is the reader's to say.
      if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      if (name !== "open" && !now.hasAttribute(name)) old.removeAttribute(name);
    }
    children(old, now);
  };

  const children = (old, now) => {
    const keyed = new Map([...old.children].filter(key).map((e) => [e.nodeName + key(e), e]));
    let next = old.firstChild;
    for (const wanted of [...now.childNodes]) {
      const twin = key(wanted) ? keyed.get(wanted.nodeName + key(wanted)) : next;
      if (twin && alike(twin, wanted)) {
        if (twin === next) next = next.nextSibling;
        else old.insertBefore(twin, next);
        morph(twin, wanted);
      } else {
        old.insertBefore(wanted, next);
      }
    }
    while (next) {
      const gone = next;
      next = next.nextSibling;
      // What somebody reads stays, even where newer ones took its place.
      if (!(gone.nodeName === "DETAILS" && gone.open)) gone.remove();
    }
  };

  const statuses = () => new Map([...document.querySelectorAll("[data-says]")]
    .map((row) => [row.dataset.says, row.dataset.status]));

  const show = (parts, title, when) => {
    const before = statuses();
    for (const [id, html] of Object.entries(parts)) {
      const made = document.createElement("template");
      made.innerHTML = html;
      children(document.getElementById(id), made.content);
    }
    const changes = [...statuses()].filter(([who, is]) => before.get(who) !== is);
    if (changes.length) said.textContent = changes.slice(0, 5).map(([who, is]) => `${who}: ${is}`).join(". ");
    document.title = title;
    asOf.textContent = when;
    asOf.dateTime = when;
    fresh();
  };

  const fresh = () => {
    [heard, at] = [Date.now(), time()];
    document.body.classList.remove("old");
    live.textContent = `live, as of ${at}`;
  };

  const old = (why) => {
    document.body.classList.add("old");
    live.textContent = `${why} since ${at}: these figures are old`;
  };

  const connect = () => {
    if (source || document.hidden) return;
    heard = Date.now();
    source = new EventSource("api/v1/events");
    source.addEventListener("page", (event) => {
      const { parts, title, as_of } = JSON.parse(event.data);
      show(parts, title, as_of);
    });
    source.addEventListener("same", fresh);
    source.addEventListener("silent", () => { heard = Date.now(); old("the engine has not answered"); });
    source.addEventListener("error", () => {
      // A stream that ended is opened again by the browser; one that was refused is not.
      if (source && source.readyState === EventSource.CLOSED) { disconnect(); poll(); }
    });
  };

  const disconnect = () => { source?.close(); source = undefined; };

  // Where there is no room for another listener: the whole page, now and then.
  const poll = async () => {
    try {
      const answer = await fetch(location.pathname, { cache: "no-store", signal: AbortSignal.timeout(AGAIN_MS) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!answer.ok || !page.getElementById("as-of")) throw new Error(`status ${answer.status}`);
      const parts = [...page.querySelectorAll("main > section")].map((part) => [part.id, part.innerHTML]);
      show(Object.fromEntries(parts), page.title, page.getElementById("as-of").textContent);
    } catch {
      old("no answer");
    }
    setTimeout(connect, AGAIN_MS);
  };

  document.addEventListener("visibilitychange", () => document.hidden ? disconnect() : connect());
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", connect);
  setInterval(() => { if (source && Date.now() - heard > SILENT_MS) old("no answer"); }, 1000);
  live.textContent = `as of ${at}`;
  connect();
})();
