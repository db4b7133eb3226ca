// The transcript viewer. All text of a run is hostile: it reaches the page through textContent alone, never as markup.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;

  // a text that overrides the writing direction must not turn what stands next to it
  const STEERS = /\p{Bidi_Control}/u;
  function isolated(value) {
    if (!STEERS.test(value)) return value;
    const node = document.createElement("bdi");
    node.textContent = value;
    return node;
  }

  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    for (const child of children.flat()) {
      if (child !== null && child !== undefined && child !== "") node.append(typeof child === "string" ? isolated(child) : child);
    }
    return node;
  }

  // -- theme ---------------------------------------------------------------------------------------------------

  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);
  function showTheme() {
    $("theme").textContent = isDark() ? "Light theme" : "Dark theme";
  }
  try {
    const kept = localStorage.getItem("palaestra-theme");
    if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  } catch { /* storage may be closed to pages opened from disk */ }
  $("theme").hidden = false;
  $("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("palaestra-theme", root.dataset.theme); } catch { /* as above */ }
    showTheme();
  });
  prefersDark.addEventListener("change", showTheme);
  showTheme();

  // -- data ----------------------------------------------------------------------------------------------------

  const holder = $("transcript-data");
  if (!holder) return;
  const data = JSON.parse(holder.textContent);
  const episodes = data.episodes;
  const haystacks = new Array(episodes.length);
  let shown = [];
  let current = -1;
  let query = "";

  const SEAT_STYLES = 4; // of report.css
  const TAG = /<(audio|image) sha256=([0-9a-f]{64})(?: [a-z]+=[^\s<>]+)*\/>/g;
  const pretty = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
  const signed = (x) => (x > 0 ? "+" : "") + Number(x.toFixed(4));
  const count = (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;
  const linkOf = (i) => `#/${encodeURIComponent(data.arms[episodes[i].arm].run)}/${encodeURIComponent(episodes[i].id)}`;

  function haystack(i) {
    if (haystacks[i] === undefined) {
      const e = episodes[i];
      const parts = [e.id, e.key, e.type, data.arms[e.arm].name, e.stop, e.final];
      if (e.error) parts.push(e.error.boundary, e.error.type, e.error.message, e.error.detail);
      for (const s of e.steps) {
        parts.push(s.seat, s.observation, s.content, s.raw, s.reasoning, s.action_error);
        for (const c of s.calls || []) parts.push(c.name, pretty(c.arguments));
        for (const r of s.results || []) parts.push(r.name, r.status, r.content);
        for (const b of s.blocks || []) parts.push(b.title, b.verdict, b.text, ...b.tags, ...b.details.flat(), ...b.tables.flatMap((t) => t.rows.flat()));
      }
      haystacks[i] = parts.filter(Boolean).join("\n").toLowerCase();
    }
    return haystacks[i];
  }

  // -- list ----------------------------------------------------------------------------------------------------

  function numberIn(id, fallback) {
    const value = Number.parseInt($(id).value, 10);
    return Number.isNaN(value) ? fallback : value;
  }

  function matches(e, i) {
    const arm = $("f-arm").value, type = $("f-type").value, outcome = $("f-outcome").value;
    return (arm === "" || String(e.arm) === arm) && (type === "" || `=${e.type}` === type) && (outcome === "" || e.outcome === outcome)
      && e.turns >= numberIn("f-min", 0) && e.turns <= numberIn("f-max", Infinity)
      && (query === "" || haystack(i).includes(query));
  }

  function filter() {
    query = $("f-text").value.trim().toLowerCase();
    shown = episodes.map((_, i) => i).filter((i) => matches(episodes[i], i));
    const items = shown.map((i) => {
      const e = episodes[i];
      const value = e.outcome === "error" ? "error" : e.score === null ? "–" : String(Number(e.score.toFixed(3)));
      const button = el("button", { type: "button", "data-index": i, "aria-current": i === current ? "true" : null },
        el("span", { class: `dot ${e.outcome}`, role: "img", "aria-label": e.outcome }),
        el("span", { class: "key" }, e.key), el("span", { class: "value" }, value),
        el("span", { class: "sub" }, [data.arms[e.arm].name, e.type, count(e.turns, "turn")].filter(Boolean).join(" · ")));
      return el("li", {}, button);
    });
    $("episodes").replaceChildren(...items);
    if (!items.length) $("episodes").append(el("li", { class: "empty" }, "No transcript matches. Clear a filter."));
    $("shown").textContent = `${shown.length} of ${episodes.length} shown`;
    $("clear").hidden = shown.length === episodes.length;
    if (current >= 0) showBar();
  }

  // -- one transcript ------------------------------------------------------------------------------------------

  function text(value) {
    const pre = el("pre");
    let from = 0;
    for (const found of data.media ? value.matchAll(TAG) : []) {
      const [tag, kind, name] = found;
      if (!Object.hasOwn(data.media, name)) continue;
      prose(pre, value.slice(from, found.index));
      pre.append(shownMedia(tag, kind, data.media[name]));
      from = found.index + tag.length;
    }
    prose(pre, value.slice(from));
    return pre;
  }

  function prose(pre, value) {
    const lower = value.toLowerCase();
    // A few letters change length in lower case; positions would then be wrong, so such texts are shown plain.
    if (query === "" || lower.length !== value.length) { pre.append(value); return; }
    let from = 0;
    for (let at = lower.indexOf(query); at >= 0; at = lower.indexOf(query, from)) {
      pre.append(value.slice(from, at), el("mark", {}, value.slice(at, at + query.length)));
      from = at + query.length;
    }
    pre.append(value.slice(from));
  }

  // A sound or a picture where its tag stands: the report holds its bytes, or a link to them, or a word about them.
  function shownMedia(tag, kind, item) {
    const said = (name) => (tag.match(new RegExp(` ${name}=([0-9.]+)`)) || [])[1];
    const label = kind === "audio"
      ? ["Sound", said("seconds") && `${said("seconds")} s`, said("rate") && `${said("rate") / 1000} kHz`].filter(Boolean).join(", ")
      : ["Picture", said("width") && `${said("width")} × ${said("height")}`].filter(Boolean).join(", ");
    const box = el("span", { class: "media", title: tag });
    if (item.src && kind === "audio") box.append(el("audio", { controls: true, preload: "metadata", "aria-label": label, src: item.src }));
    else if (item.src) box.append(el("img", { alt: label, class: Number(said("width")) < 64 ? "tiny" : null, src: item.src }));
    const note = item.note ? `${label} (${item.note})` : label;
    box.append(item.href ? el("a", { href: item.href }, note) : el("span", { class: "quiet" }, note));
    return box;
  }

  function said(who, node, kind) {
    return [el("div", { class: "who" }, who), el("div", { class: `text ${kind}` }, node)];
  }

  // Whose name stands where: the policy's seat has the accent, the others are told apart by their names and their lines.
  function seatOf(name, seats) {
    return el("span", { class: `seat seat-${Math.max(0, seats.findIndex(([known]) => known === name)) % SEAT_STYLES}` }, name);
  }

  function turn(step, number, seats) {
    const head = el("div", { class: "turn-head" }, el("b", {}, `Turn ${number}`), step.seat && seatOf(step.seat, seats));
    if (step.reward !== 0) head.append(el("span", { class: "reward" }, `reward ${signed(step.reward)}`));
    else head.append(el("span", {}, "reward 0"));
    if (step.score !== undefined && step.score !== null) head.append(el("span", {}, `score ${Number(step.score.toFixed(4))}`));
    const parts = Object.entries(step.parts || {});
    if (parts.length > 1) head.append(el("span", {}, parts.map(([name, x]) => `${name} ${signed(x)}`).join(", ")));
    for (const [name, value] of step.metrics || []) head.append(el("span", {}, `${name.toLowerCase()} ${value}`));
    if (step.tokens !== undefined) head.append(el("span", {}, count(step.tokens, "token")));
    if (step.terminated) head.append(el("span", { class: "tag" }, "terminated"));
    if (step.truncated) head.append(el("span", { class: "tag" }, "truncated"));
    if (step.action_error) head.append(el("span", { class: "tag alarm" }, "action error"));
    const body = el("div", { class: "said" });
    if (step.observation) body.append(...said("Observation", text(step.observation), "seen"));
    if (step.reasoning) body.append(...said("Reasoning", text(step.reasoning), "thought"));
    if (step.raw) body.append(...said("Model wrote", text(step.raw), "thought"));
    if (step.content || !(step.calls || []).length) body.append(...said("Action", text(step.content || "(empty)"), "action"));
    if ((step.calls || []).length) {
      const calls = step.calls.map((call) => el("div", { class: "call" },
        el("span", { class: "name" }, call.name), text(pretty(call.arguments))));
      body.append(...said(calls.length > 1 ? "Tool calls" : "Tool call", calls, "action"));
    }
    for (const result of step.results || []) {
      if (result.status !== "ok") body.append(...said(`${result.name || "Tool"}: ${result.status.replaceAll("_", " ")}`, text(result.content), "wrong"));
    }
    const told = (step.results || []).some((result) => result.content === step.action_error);
    if (step.action_error && !told) body.append(...said("Not done", text(step.action_error), "wrong"));
    return el("li", { class: "turn", id: `turn-${number}` }, head, body, (step.blocks || []).map(blockOf));
  }

  // What a step came to, where the environment says it.
  function blockOf(b) {
    const title = el("div", { class: "block-head" }, el("b", {}, b.title));
    if (b.verdict) title.append(el("span", { class: `verdict ${b.mark}` }, b.verdict));
    for (const tag of b.tags) title.append(el("span", { class: "tag" }, tag));
    if (b.notes.length) title.append(el("span", {}, b.notes.join(" · ")));
    const block = el("section", { class: "block", "aria-label": b.title }, title);
    if (b.text) block.append(el("div", { class: "asked" }, text(b.text)));
    for (const [summary, words] of b.details) block.append(el("details", { open: words.length < 600 }, el("summary", {}, summary), text(words)));
    for (const table of b.tables) {
      if (table.rows.length) block.append(resultTable(table));
      for (const line of (table.note || "").split("\n").filter(Boolean)) block.append(el("p", { class: "quiet" }, line));
    }
    return block;
  }

  function resultTable(t) {
    const number = (i) => (i < t.text_columns ? null : "number");
    const cell = (value, i, mark) => {
      const label = t.columns[i];
      if (mark) return el("td", { class: number(i), "data-label": label }, el("span", { class: `verdict ${mark}` }, value));
      const classes = [number(i), (t.quiet || []).includes(value) ? "quiet" : null].filter(Boolean).join(" ");
      return el("td", { class: classes || null, "data-label": label }, value);
    };
    const row = (cells, mark) => el("tr", { class: mark || null }, el("th", { scope: "row" }, text(cells[0])),
      cells.slice(1).map((value, i) => cell(value, i + 1, i === cells.length - 2 ? mark : "")));
    const head = t.columns.map((name, i) => el("th", { scope: "col", class: number(i) }, name));
    return el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": t.title },
      el("table", { class: t.text_columns < t.columns.length ? "figures" : "texts" }, el("thead", {}, el("tr", {}, head)),
        el("tbody", {}, t.rows.map((cells, i) => row(cells, (t.marks || [])[i])))));
  }

  function showBar() {
    const at = shown.indexOf(current);
    $("where").textContent = at >= 0 ? `${at + 1} of ${shown.length}` : "outside the filter";
    $("previous").disabled = !shown.length || at === 0;
    $("next").disabled = !shown.length || at === shown.length - 1;
  }

  function facts(e) {
    const u = e.usage, list = [["arm", data.arms[e.arm].name]];
    if (e.type) list.push(["type", e.type]);
    if (e.split) list.push(["split", e.split]);
    list.push(["outcome", e.outcome]);
    if (e.score !== null) list.push(["score", Number(e.score.toFixed(4))]);
    for (const [name, value] of e.metrics) list.push([name.toLowerCase(), value]);
    list.push(["return", Number(e.return.toFixed(4))], ["turns", e.max_turns === null ? e.turns : `${e.turns} of ${e.max_turns}`]);
    if (e.stop) list.push(["stopped by", e.stop]);
    if (e.seed !== null) list.push(["seed", e.seed]);
    if (e.sample) list.push(["sample", e.sample]);
    if (u.prompt_tokens || u.completion_tokens) {
      const cached = u.cached_tokens ? ` (${u.cached_tokens.toLocaleString("en")} from cache)` : "";
      list.push(["tokens", `${u.prompt_tokens.toLocaleString("en")} read${cached}, ${u.completion_tokens.toLocaleString("en")} written`]);
    }
    if (u.retries) list.push(["retries", u.retries]);
    if (u.cost) list.push(["cost", u.cost.toFixed(4)]);
    if (u.model_s || u.env_s) list.push(["time, summed over calls", `${(u.model_s + u.env_s).toFixed(2)} s`]);
    for (const [name, agent] of e.seats) list.push([`seat ${name}`, agent || "?"]);
    list.push(["episode", e.id]);
    return el("dl", { class: "facts" }, list.map(([k, v]) => el("div", {}, el("dt", {}, k), el("dd", {}, String(v)))));
  }

  function show(i, { focus = false, link = true } = {}) {
    current = i;
    const e = episodes[i];
    const nodes = [el("h3", {}, e.key), facts(e)];
    const instructions = data.texts[e.instructions], tools = data.texts[e.tools];
    if (instructions) nodes.push(el("details", {}, el("summary", {}, "Instructions"), text(instructions)));
    if (tools) nodes.push(el("details", {}, el("summary", {}, "Tools"), text(tools)));
    nodes.push(el("ol", { class: "turns-list" }, e.steps.map((step, n) => turn(step, n + 1, e.seats))));
    if (e.left_out_turns) nodes.push(el("p", { class: "notice" }, `${count(e.left_out_turns, "further turn")} left out to bound the size of this file.`));
    if (e.final) nodes.push(el("div", { class: "turn" }, el("div", { class: "turn-head" }, el("b", {}, "End")),
      el("div", { class: "said" }, ...said("Observation", text(e.final), "seen"))));
    if (e.error) {
      const detail = e.error.detail ? el("details", {}, el("summary", {}, "Details"), text(e.error.detail)) : null;
      nodes.push(el("div", { class: "turn" }, el("div", { class: "turn-head" }, el("b", { class: "alarm" }, "Stopped by an error, not scored")),
        el("div", { class: "said" }, ...said(`${e.error.boundary} error`, [text(`${e.error.type}: ${e.error.message}`), detail], "wrong"))));
    }
    $("transcript").replaceChildren(...nodes);
    for (const button of $("episodes").querySelectorAll("button")) {
      if (Number(button.dataset.index) === i) {
        button.setAttribute("aria-current", "true");
        const list = $("episodes"), top = button.offsetTop - list.offsetTop;
        if (top < list.scrollTop || top + button.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 3;
      } else button.removeAttribute("aria-current");
    }
    showBar();
    if (link) history.replaceState(null, "", linkOf(i));
    if (focus) {
      $("episode").focus({ preventScroll: true });
      const top = $("episode").getBoundingClientRect().top;
      if (top < 0 || top > window.innerHeight * 0.6) $("episode").scrollIntoView({ block: "start", behavior: "instant" });
    }
  }

  function move(by) {
    if (!shown.length) return;
    const at = shown.indexOf(current);
    const to = at < 0 ? 0 : at + by;
    if (to >= 0 && to < shown.length) show(shown[to], { focus: true });
  }

  function follow(hash) {
    const match = /^#\/([^/]*)\/(.*)$/.exec(hash);
    if (!match) return false;
    let run, id;
    try { [run, id] = [decodeURIComponent(match[1]), decodeURIComponent(match[2])]; } catch { return false; }
    const i = episodes.findIndex((e) => e.id === id && data.arms[e.arm].run === run);
    if (i < 0) {
      $("shown").textContent = "The linked transcript is not in this file.";
      return false;
    }
    show(i, { focus: true, link: false });
    return true;
  }

  // -- wiring --------------------------------------------------------------------------------------------------

  for (const id of ["f-text", "f-arm", "f-type", "f-outcome", "f-min", "f-max"]) {
    $(id).addEventListener("input", () => {
      filter();
      if (shown.length && !shown.includes(current)) show(shown[0], { link: false });
      else if (current >= 0 && id === "f-text") show(current, { link: false });
    });
  }
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("clear").addEventListener("click", () => { $("filters").reset(); filter(); if (current >= 0) show(current, { link: false }); });
  $("episodes").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) show(Number(button.dataset.index), { focus: true });
  });
  $("previous").addEventListener("click", () => move(-1));
  $("next").addEventListener("click", () => move(1));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "Escape" && typing) { event.target.blur(); return; }
    if (typing) return;
    if (event.key === "j" || event.key === "n") move(1);
    else if (event.key === "k" || event.key === "p") move(-1);
    else if (event.key === "/") { event.preventDefault(); $("f-text").focus(); }
  });
  window.addEventListener("hashchange", () => follow(location.hash));

  $("viewer").hidden = false;
  filter();
  if (!follow(location.hash) && episodes.length) show(0, { link: false });
})();
