// Keeps a served page current: asks how far the runs are, and takes in the parts of the page that have changed. Text of runs
// reaches the page as the server escaped it, or through textContent; scripts of a page that is taken in never run.
"use strict";
(() => {
  const body = document.body;
  const $ = (id) => document.getElementById(id);

  for (const form of document.querySelectorAll("form.sieve")) {
    for (const select of form.querySelectorAll("select")) select.addEventListener("change", () => form.requestSubmit());
  }
  const ticked = () => document.querySelectorAll("input[form=compare]:checked").length;
  const showTicked = () => { if ($("compare-button")) $("compare-button").disabled = ticked() < 2; };
  document.addEventListener("change", showTicked);
  showTicked();
  if (!body.dataset.state) return;

  const BUSY_MS = 1000, IDLE_MS = 4000, FAILED_MS = 3000;
  const parts = body.dataset.parts.split("|").filter(Boolean);
  const sources = new WeakMap(); // what each part was made from: readers open details, tick boxes, and scripts add to them
  for (const part of parts) for (const child of document.querySelector(part)?.children ?? []) sources.set(child, child.outerHTML);
  let taken = performance.now(), asOf = new Date();

  function keyed(container) {
    const found = new Map(), counts = {};
    for (const child of container.children) {
      const kind = `${child.tagName}.${child.className}`;
      counts[kind] = (counts[kind] ?? 0) + 1;
      found.set(child.id ? `#${child.id}` : `${kind} ${counts[kind]}`, child);
    }
    return found;
  }

  // what a reader did to a part stays done in its successor
  function keep(old, next) {
    const pairs = (selector) => {
      const after = [...next.querySelectorAll(selector)];
      return [...old.querySelectorAll(selector)].map((node, i) => [node, after[i]]).filter(([, node]) => node);
    };
    for (const [a, b] of pairs("details")) b.open = a.open;
    const chosen = new Set([...old.querySelectorAll("input:checked")].map((node) => node.value));
    for (const box of next.querySelectorAll("input[type=checkbox]")) box.checked = chosen.has(box.value);
    const scrolled = pairs(".scroll").map(([a, b]) => [b, a.scrollLeft]);
    const active = document.activeElement, focus = old.contains(active) ? pairs("a, button, input, summary, .scroll").find(([a]) => a === active) : null;
    return () => {
      for (const [node, left] of scrolled) node.scrollLeft = left;
      if (focus) focus[1].focus({ preventScroll: true });
    };
  }

  function takeIn(container, fresh) {
    const old = keyed(container);
    let place = container.firstElementChild;
    for (const [key, child] of keyed(fresh)) {
      let node = old.get(key);
      const source = child.outerHTML;
      if (!node) {
        node = document.importNode(child, true);
        container.insertBefore(node, place);
        sources.set(node, source);
      } else {
        old.delete(key);
        if (sources.get(node) !== source) {
          const next = document.importNode(child, true), after = keep(node, next);
          node.replaceWith(next);
          after();
          node = next;
          sources.set(node, source);
        }
      }
      place = node.nextElementSibling;
    }
    for (const node of old.values()) node.remove();
  }

  async function refresh() {
    const answer = await fetch(location.pathname + location.search, { cache: "no-store" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.body.dataset.state) { location.reload(); return; } // e.g. the run was deleted: a page that says so
    for (const part of parts) {
      const container = document.querySelector(part), fresh = page.querySelector(part);
      if (container && fresh) takeIn(container, fresh);
    }
    document.title = page.title;
    body.dataset.version = page.body.dataset.version;
    body.dataset.every = page.body.dataset.every;
    taken = performance.now();
    showTicked();
  }

  function showProgress(runs) {
    for (const run of runs) {
      const node = [...document.querySelectorAll(".progress")].find((one) => one.dataset.run === run.run);
      if (!node) continue;
      const badge = node.querySelector(".badge"), bar = node.querySelector(".bar");
      badge.textContent = run.status;
      badge.className = `badge is-${run.status}`;
      node.querySelector(".far").textContent = run.far;
      bar.hidden = run.share === null;
      bar.style.setProperty("--share", String(run.share ?? 0));
    }
  }

  async function look() {
    const answer = await fetch(body.dataset.state, { cache: "no-store" });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const state = await answer.json();
    showProgress(state.runs);
    asOf = new Date();
    $("stale").hidden = true;
    if (state.version !== body.dataset.version) {
      if (!parts.length) $("newer").hidden = false;
      else if (performance.now() - taken >= 1000 * Number(body.dataset.every)) await refresh();
    }
    return state.busy ? BUSY_MS : IDLE_MS;
  }

  $("newer")?.addEventListener("click", (event) => {
    event.preventDefault();
    history.replaceState(null, "", location.pathname + location.search); // the transcript that was read is not the newest
    location.reload();
  });

  let waiting = 0, isLooking = false;
  async function tick() {
    if (isLooking) return;
    isLooking = true;
    let next = IDLE_MS;
    if (!document.hidden) {
      try { next = await look(); } catch {
        next = FAILED_MS;
        $("stale").textContent = `The server does not answer. This page is as it was at ${asOf.toLocaleTimeString()}.`;
        $("stale").hidden = false;
      }
    }
    isLooking = false;
    window.clearTimeout(waiting);
    waiting = window.setTimeout(tick, next);
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { window.clearTimeout(waiting); tick(); } });
  waiting = window.setTimeout(tick, BUSY_MS);
})();
