// Fetches this very page every two seconds and puts its <main> in place of the one shown.
(() => {
  "use strict";
  const live = document.getElementById("live");
  const time = () => new Date().toLocaleTimeString();
  let answered = time();

  const keep = (before, after) => {
    const byKey = (key) => [...after.querySelectorAll("[data-key]")].find((e) => e.dataset.key === key);
    for (const element of before.querySelectorAll("[data-key]")) {
      const twin = byKey(element.dataset.key);
      if (!twin) continue;
      if (element.parentElement.open) twin.parentElement.open = true;
      // A microtask: after the twin has taken its place, before it is drawn.
      const [left, focused] = [element.scrollLeft, element === document.activeElement];
      queueMicrotask(() => {
        twin.scrollLeft = left;
        if (focused) twin.focus({ preventScroll: true });
      });
    }
  };

  const refresh = async () => {
    const selection = getSelection();
    if (document.hidden) return;
    if (selection && !selection.isCollapsed) {
      live.textContent = `paused while text is selected, as of ${answered}`;
      return;
    }
    try {
      const answer = await fetch(location.pathname, { cache: "no-store", signal: AbortSignal.timeout(5000) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const [before, after] = [document.querySelector("main"), page.querySelector("main")];
      keep(before, after);
      before.replaceWith(after);
      answered = time();
      live.textContent = `live, as of ${answered}`;
      document.body.classList.remove("old");
    } catch (error) {
      live.textContent = `no answer since ${answered}: these figures are old`;
      document.body.classList.add("old");
    }
  };

  const loop = () => refresh().finally(() => setTimeout(loop, 2000));
  live.textContent = `live, as of ${answered}`;
  setTimeout(loop, 2000);
})();
