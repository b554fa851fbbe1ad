// The live view of a run. It draws what the kernel's RunModel says and sends buttons back.
//
// Rule 1: text from the state is only ever set with textContent.
// Rule 2: the graph is drawn once; a change of status only changes classes and labels.
// @ts-check

const QUIET = 3000; // milliseconds without a word from a run that is running
const SVG = "http://www.w3.org/2000/svg";

/** Icons beside colours, so that a status does not depend on colour alone. @type {Record<string, string>} */
export const ICONS = {
  idle: "", queued: "…", running: "▶", retrying: "↻", done: "✓", waiting: "?", failed: "✕", cancelled: "■",
  paused: "❚❚", stopped: "■", new: "",
};

/** Which buttons make sense in a status. @param {string} status */
export function enabled(status) {
  const running = status === "running";
  const resumable = status === "paused" || status === "stopped" || status === "failed";
  return { pause: running, step: resumable, resume: resumable, stop: running };
}

/** Seconds as people say them. @param {number} seconds */
export function clock(seconds) {
  if (!(seconds >= 0)) return "";
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/**
 * @param {string} tag @param {string} [className] @param {string} [text]
 * @returns {HTMLElement}
 */
export function el(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** @param {string} tag @param {Record<string, string|number>} attributes */
function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

/** A value's preview as a small tree. @param {any} value @param {boolean} [open] @returns {HTMLElement} */
export function tree(value, open) {
  if (value.kind === "table" && value.rows) return table(value);
  if (!value.items) {
    const text = String(value.text);
    const long = text.length > 500 || text.split("\n").length > 8;
    if (!long) return el("span", `nba-v nba-${value.kind}`, text);
    const box = el("details", "nba-long");
    box.append(el("summary", "", `${text.slice(0, 160).replace(/\s+/g, " ")}…`), el("pre", "", text));
    return box;
  }
  if (value.items.length === 0) return el("span", "nba-v nba-muted", value.kind === "list" ? "[ ]" : "{ }");
  const leaves = value.items.every((/** @type {any} */ [, item]) => !item.items && item.kind !== "table");
  const inline = value.items.map((/** @type {any} */ [, item]) => item.text).join(", ");
  if (value.kind === "list" && leaves && !value.more && inline.length < 70) {
    return el("span", "nba-v", `[${inline}]`);
  }
  const box = /** @type {HTMLDetailsElement} */ (el("details", "nba-tree"));
  box.open = Boolean(open);
  box.append(el("summary", "nba-muted", `${value.type} · ${value.text}`));
  const rows = el("div", "nba-rows");
  for (const [key, item] of value.items) {
    const row = el("div", "nba-row");
    row.append(el("span", "nba-key", String(key)), tree(item));
    rows.append(row);
  }
  if (value.more) rows.append(el("div", "nba-muted", `… ${value.more} more`));
  box.append(rows);
  return box;
}

/** @param {any} value */
function table(value) {
  const box = el("details", "nba-tree");
  box.append(el("summary", "nba-muted", `${value.type} · ${value.text}`));
  const scroll = el("div", "nba-scroll");
  const made = el("table", "nba-table");
  const head = el("tr");
  for (const column of value.columns) head.append(el("th", "", column));
  made.append(head);
  for (const cells of value.rows) {
    const row = el("tr");
    for (const cell of cells) row.append(el("td", "", cell));
    made.append(row);
  }
  scroll.append(made);
  box.append(scroll);
  const missing = [value.more && `${value.more} more rows`, value.more_columns && `${value.more_columns} more columns`];
  const note = missing.filter(Boolean).join(", ");
  if (note) box.append(el("div", "nba-muted", `… ${note}`));
  return box;
}

/** One changed field. @param {any} change @returns {HTMLElement} */
export function changeRow(change) {
  const sign = { added: "+", grown: "+", removed: "−" }[/** @type {string} */ (change.kind)] || "~";
  const row = el("div", `nba-change nba-${change.kind}`);
  row.append(el("span", "nba-sign", sign), el("span", "nba-key", change.field));
  const body = el("div", "nba-body");
  if (change.kind === "grown") {
    for (const item of change.added) body.append(el("div", "nba-plus", `+ ${item}`));
    const more = change.count - change.added.length;
    if (more > 0) body.append(el("div", "nba-muted", `… and ${more} more`));
  } else if (change.before) {
    const before = el("div", "nba-minus");
    before.append(tree(change.before));
    const after = el("div", "nba-plus");
    after.append(tree(change.after));
    body.append(before, after);
  } else {
    const after = el("div", "nba-plus");
    after.append(tree(change.after));
    body.append(after);
  }
  row.append(body);
  return row;
}

/** The graph, drawn once. @param {any} drawing @param {(name: string) => void} pick */
export function drawGraph(drawing, pick) {
  const width = drawing.width + 16;
  const height = drawing.height + 16;
  const root = svg("svg", { viewBox: `-8 -8 ${width} ${height}`, width, height, role: "group", "aria-label": "graph", class: "nba-graph" });
  /** @type {Map<string, {group: Element, label: Element, title: Element}>} */
  const boxes = new Map();
  /** @type {Array<{key: string, group: Element}>} */
  const wires = [];
  for (const wire of drawing.wires) {
    const group = svg("g", { class: `nba-wire nba-wire-${wire.kind}` });
    group.append(svg("path", { d: wire.path, class: "nba-line" }), svg("path", { d: wire.arrow, class: "nba-tip" }));
    if (wire.label) {
      const text = svg("text", { x: wire.x, y: wire.y + 3.5, class: "nba-wire-label" });
      text.textContent = wire.label;
      group.append(text);
    }
    wires.push({ key: `${wire.source}\n${wire.target}`, group });
    root.append(group);
  }
  for (const box of drawing.boxes) {
    const plain = box.kind !== "node";
    const group = svg("g", { class: plain ? "nba-box nba-terminal" : "nba-box nba-s-idle" });
    const shape = { x: box.x - box.w / 2, y: box.y - box.h / 2, width: box.w, height: box.h, rx: plain ? box.h / 2 : 5 };
    const label = svg("text", { x: box.x, y: box.y + (plain ? 3.5 : 4) });
    label.textContent = plain ? box.kind.toUpperCase() : box.name;
    const title = svg("title", {});
    group.append(title, svg("rect", shape), label);
    if (!plain) {
      group.setAttribute("tabindex", "0");
      group.setAttribute("role", "button");
      group.addEventListener("click", () => pick(box.name));
      group.addEventListener("keydown", (event) => {
        const key = /** @type {KeyboardEvent} */ (event).key;
        if (key === "Enter" || key === " ") {
          event.preventDefault();
          event.stopPropagation();
          pick(box.name);
        }
      });
      boxes.set(box.name, { group, label, title });
    }
    root.append(group);
  }
  return { root, boxes, wires };
}

/** A node's card. @param {string} name @param {any} node */
export function card(name, node) {
  const box = el("div", "nba-card");
  const head = el("div", "nba-card-head");
  head.append(el("b", "", name), el("span", `nba-pill nba-s-${node.status}`, `${ICONS[node.status]} ${node.status}`));
  const facts = [];
  if (node.total > 1) facts.push(`${node.finished} of ${node.total} tasks`);
  const left = node.status === "retrying" ? node.retry_at - Date.now() / 1000 : 0;
  if (left > 0) facts.push(`again in ${clock(left)}`);
  if (node.attempt > 1) facts.push(`attempt ${node.attempt}`);
  if (node.cached) facts.push("from the cache");
  if (node.duration !== null) facts.push(clock(node.duration));
  head.append(el("span", "nba-muted", facts.join(" · ")));
  box.append(head);
  if (node.warning) box.append(el("div", "nba-warning", node.warning));
  if (node.failure) {
    box.append(el("div", "nba-error", `${node.failure.type}: ${node.failure.message}`));
    const details = el("details", "nba-long");
    details.append(el("summary", "", "Traceback"), el("pre", "", node.failure.traceback));
    box.append(details);
  }
  for (const [field, value] of node.writes) {
    const row = el("div", "nba-row");
    row.append(el("span", "nba-key", field), tree(value, true));
    box.append(row);
  }
  for (const item of node.emitted) box.append(el("div", "nba-emitted", item));
  if (node.printed) {
    const printed = el("pre", "nba-printed", node.printed);
    printed.setAttribute("aria-label", `what ${name} printed`);
    box.append(printed);
  }
  if (!node.failure && !node.writes.length && !node.emitted.length && !node.printed) {
    box.append(el("div", "nba-muted", node.status === "idle" ? "It has not run in this view." : "Nothing written yet."));
  }
  return box;
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el: root }) {
  /** @type {any} */
  let state = { ...model.get("snapshot") };
  /** @type {string | null} */
  let picked = null;
  let gone = false;
  let heard = Date.now();
  root.classList.add("nba-root");
  root.setAttribute("data-lm-suppress-shortcuts", "true");

  const hide = document.createElement("style");
  hide.textContent = `[data-nbagent-static="${CSS.escape(model.get("uid"))}"]{display:none}`;
  document.head.append(hide);

  const header = el("div", "nba-header");
  const title = el("span", "nba-title");
  const pill = el("span", "nba-pill");
  pill.setAttribute("role", "status");
  pill.setAttribute("aria-live", "polite");
  const facts = el("span", "nba-muted nba-facts");
  const buttons = el("span", "nba-buttons");
  /** @type {Record<string, HTMLButtonElement>} */
  const button = {};
  for (const [name, label, tip] of [
    ["pause", "Pause", "Pause on the next super-step boundary"],
    ["step", "Step", "Run one super-step, then pause"],
    ["resume", "Resume", "Go on from the last checkpoint"],
    ["stop", "Stop", "Stop now; unfinished nodes run again at resume"],
  ]) {
    const made = /** @type {HTMLButtonElement} */ (el("button", "nba-button", label));
    made.type = "button";
    made.title = tip;
    made.addEventListener("click", () => {
      note.hidden = true;
      tell({ type: "command", name });
    });
    button[name] = made;
    buttons.append(made);
  }
  header.append(title, pill, facts, buttons);
  const note = el("div", "nba-error");
  note.setAttribute("role", "alert");
  note.hidden = true;
  const message = el("div", "nba-message");
  const body = el("div", "nba-main");
  const left = el("div", "nba-left");
  const right = el("div", "nba-right");
  const changes = el("section", "nba-section");
  const values = el("section", "nba-section");
  right.append(changes, values);
  const holder = el("div", "nba-holder");
  const graph = drawGraph(model.get("drawing"), (name) => {
    picked = picked === name ? null : name;
    show(new Set(["nodes"]));
  });
  left.append(graph.root, holder);
  body.append(left, right);
  root.append(header, note, message, body);

  /** @param {object} content */
  function tell(content) {
    try {
      model.send(content);
    } catch (error) {
      lost();
    }
  }

  function lost() {
    gone = true;
    hide.remove();
    note.hidden = false;
    note.textContent =
      `The kernel of this view is gone. Run the cell that defines the graph again, then: %agent resume ${state.thread}`;
    for (const one of Object.values(button)) one.disabled = true;
  }

  function tick() {
    const end = state.ended || (state.status === "running" ? Date.now() / 1000 : 0);
    const took = state.started && end ? ` · ${clock(Math.max(0, end - state.started))}` : "";
    facts.textContent = state.status === "new" ? "not started" : `super-step ${state.step}${took}`;
  }

  /** @param {Set<string>} changed */
  function show(changed) {
    title.textContent = `${state.graph} · ${state.thread}`;
    pill.className = `nba-pill nba-s-${state.status}`;
    pill.textContent = `${ICONS[state.status] || ""} ${state.status}`.trim();
    const can = /** @type {Record<string, boolean>} */ (enabled(state.status));
    for (const [name, one] of Object.entries(button)) one.disabled = gone || !can[name];
    tick();
    message.replaceChildren();
    if (state.notice) message.append(el("div", "nba-notice", state.notice));
    if (state.error) message.append(el("div", "nba-error", state.error));
    if (state.status === "waiting") {
      message.append(el("div", "nba-notice", "It waits for an answer; nothing runs. The form is below."));
    } else if (state.status === "paused" || state.status === "stopped") {
      const next = state.next.length ? ` Next: ${state.next.join(", ")}.` : "";
      message.append(el("div", "nba-notice", `It is ${state.status}.${next} Fields can be corrected below.`));
    }
    const taken = new Set(state.taken.map((/** @type {string[]} */ edge) => edge.join("\n")));
    for (const { key, group } of graph.wires) group.classList.toggle("nba-taken", taken.has(key));
    for (const [name, { group, label, title: tip }] of graph.boxes) {
      const node = state.nodes[name];
      if (!node) continue;
      group.setAttribute("class", `nba-box nba-s-${node.status}${picked === name ? " nba-picked" : ""}`);
      const count = node.total > 1 ? ` ${node.finished}/${node.total}` : "";
      label.textContent = `${ICONS[node.status] ? ICONS[node.status] + " " : ""}${name}${count}`;
      tip.textContent = `${name}: ${node.status}`;
      group.setAttribute("aria-label", `node ${name}, ${node.status}`);
    }
    const shown = picked ?? Object.keys(state.nodes).find((name) => state.nodes[name].failure || state.nodes[name].warning);
    const unfolded = holder.querySelector("details[open] > pre") !== null;
    holder.replaceChildren(...(shown ? [card(shown, state.nodes[shown])] : []));
    const trace = holder.querySelector("details:has(> pre)");
    if (unfolded && trace instanceof HTMLDetailsElement) trace.open = true;
    if (changed.has("changes")) {
      changes.replaceChildren(el("h4", "", state.changed_in ? `Changed in super-step ${state.changed_in}` : "Changes"));
      for (const change of state.changes) changes.append(changeRow(change));
      if (!state.changes.length) {
        changes.append(el("div", "nba-muted", state.changed_in ? "Nothing." : "What each super-step changes appears here."));
      }
    }
    if (changed.has("values")) {
      const open = new Set([...values.querySelectorAll("details[open]")].map((one) => one.getAttribute("data-field")));
      values.replaceChildren(el("h4", "", "State"));
      for (const [name, value] of Object.entries(state.values)) {
        const row = el("div", "nba-row");
        const shape = tree(value, open.has(name));
        if (shape.tagName === "DETAILS") shape.setAttribute("data-field", name);
        row.append(el("span", "nba-key", name), shape);
        values.append(row);
      }
      if (!Object.keys(state.values).length) values.append(el("div", "nba-muted", "Empty so far."));
    }
  }

  /** @param {any} content */
  function receive(content) {
    heard = Date.now();
    if (content.type === "patch") {
      state = { ...state, ...content.patch };
      show(new Set(Object.keys(content.patch)));
    } else if (content.type === "error") {
      note.hidden = false;
      note.textContent = content.text;
    }
  }

  const whole = () => {
    state = { ...model.get("snapshot") };
    show(new Set(Object.keys(state)));
  };
  model.on("msg:custom", receive);
  model.on("change:snapshot", whole);
  const alive = () => model.comm_live === false && lost();
  model.on("comm_live_update", alive);
  whole();
  tell({ type: "hello" });
  const timer = setInterval(() => {
    if (state.status !== "running" || gone) return;
    tick();
    if (Date.now() - heard > QUIET) {
      heard = Date.now(); // a message may be lost on a busy page: ask how it stands
      tell({ type: "hello" });
    }
    if (Object.values(state.nodes).some((node) => node.status === "retrying")) show(new Set(["nodes"]));
  }, 250);
  return () => {
    clearInterval(timer);
    hide.remove();
    model.off("msg:custom", receive);
    model.off("change:snapshot", whole);
    model.off("comm_live_update", alive);
  };
}

export default { render };
