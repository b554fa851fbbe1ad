// The messages of a state as a chat: who said what, tool calls and their results folded to a line,
// turns marked. It needs what is given to it, and nothing else of the view.
//
// Rule 1: a message that is shown already is not drawn anew: what a person unfolded stays so.
// @ts-check
import { arrange, el, plain, svg } from "../dom.js";
import { prose } from "../prose.js";
import { SIGNS } from "../signs.js";
import { tree } from "./values.js";

/** @typedef {{id: string, name: string, args: Array<[string, string]>}} Call */
/**
 * @typedef {{
 *   index: number, role: string, text: string, calls: Call[], result: import("./said.js").Preview | null, of: string, name: string,
 *   failed: boolean, tokens: number,
 * }} Message
 * @typedef {{field: string, messages: Message[], earlier: number, turns: Array<[number, number]>}} Chat
 */

/**
 * @param {{
 *   ask: (what: "chat", args: {checkpoint: number | null}) => Promise<Chat | null>, checkpoint: () => number | null,
 *   found: (hasMessages: boolean) => void,
 * }} given `checkpoint` null is now; `found` is told whether the state has messages at all
 */
export function chatPart({ ask, checkpoint, found }) {
  const node = el("div", "nba-chatpane");
  const list = el("div", "nba-chat");
  list.setAttribute("role", "log");
  list.setAttribute("aria-label", "messages");
  node.append(list);
  /** @type {Map<string, {said: string, made: HTMLElement}>} */
  let drawn = new Map();
  let asked = 0;
  return {
    node,
    /** Bring it up to date. */
    async refill() {
      const own = ++asked;
      const chat = await ask("chat", { checkpoint: checkpoint() });
      if (own !== asked || !chat) return;
      found(chat.messages.length > 0);
      const isAtEnd = node.scrollHeight - node.scrollTop - node.clientHeight < 40;
      drawn = draw(chat, drawn, list);
      if (isAtEnd) node.scrollTop = node.scrollHeight;
    },
  };
}

/** A chat where it stands still. @param {Chat} chat */
export function chatList(chat) {
  const list = el("div", "nba-chat");
  draw(chat, new Map(), list);
  return list;
}

/** @param {Chat} chat @param {Map<string, {said: string, made: HTMLElement}>} before @param {HTMLElement} list */
function draw(chat, before, list) {
  /** @type {Map<string, {said: string, made: HTMLElement}>} */
  const after = new Map();
  /** @param {string} key @param {unknown} what @param {() => HTMLElement} make */
  const put = (key, what, make) => {
    const said = JSON.stringify(what);
    const old = before.get(key);
    after.set(key, old && old.said === said ? old : { said, made: make() });
  };
  if (chat.earlier) put("earlier", chat.earlier, () => el("div", "nba-meta", `${chat.earlier.toLocaleString()} earlier messages are in the State`));
  const results = resultsOf(chat.messages);
  const turns = new Map(chat.turns.map(([turn, index]) => [index, turn]));
  const taken = new Set(results.values());
  chat.messages.forEach((one, place) => {
    const turn = turns.get(one.index);
    if (turn && chat.messages[place - 1]?.index !== one.index) put(`turn ${turn}`, turn, () => el("div", "nba-turnmark", `turn ${turn}, on top of turn ${turn - 1}`));
    if (one.role === "tool" && taken.has(one)) return; // it stands below its call
    const own = one.calls.map((call) => results.get(call) ?? null);
    put(`${one.index} ${place}`, [one, own], () => message(one, own));
  });
  arrange(list, [...after.values()].map(({ made }) => made));
  return after;
}

/** The result of each call: the first one behind it that names its id, which may come again later. @param {Message[]} messages @returns {Map<Call, Message>} */
export function resultsOf(messages) {
  /** @type {Map<string, Call>} */
  const open = new Map();
  const found = new Map();
  for (const one of messages) {
    const call = one.role === "tool" ? open.get(one.of) : undefined;
    if (call) {
      found.set(call, one);
      open.delete(one.of);
    }
    for (const made of one.calls) if (made.id) open.set(made.id, made);
  }
  return found;
}

/** @param {Message} one @param {Array<Message | null>} results of its calls */
function message(one, results) {
  if (one.role === "system") return system(one);
  const made = el("article", `nba-msg nba-from-${one.role}`);
  const box = el("div");
  const who = el("div", "nba-who", one.role);
  const facts = [one.name, one.tokens ? `${one.tokens.toLocaleString()} tokens` : ""].filter(Boolean).join(" · ");
  if (facts) who.append(el("span", "nba-meta", facts));
  box.append(who);
  if (one.role === "tool") box.append(folded({ id: "", name: one.name || "result", args: [] }, one));
  one.calls.forEach((call, place) => box.append(folded(call, results[place])));
  if (one.text) box.append(prose(one.text));
  made.append(mark(SIGN_OF[one.role] ?? "bot"), box);
  return made;
}

/** @type {Record<string, string>} */
const SIGN_OF = { user: "user", assistant: "bot", tool: "tool" };

/** @param {Message} one */
function system(one) {
  const made = el("details", "nba-system");
  const summary = el("summary");
  const words = one.text.split(/\s+/).filter(Boolean).length;
  summary.append(mark("tw", "nba-tw"), mark("sys"), el("span", "", "system"), el("span", "nba-meta nba-cut", `${one.text.slice(0, 120)} · ${words.toLocaleString()} words`));
  made.append(summary, prose(one.text));
  return made;
}

/** A tool call on one line; open, it shows what was given and what came back. @param {Call} call @param {Message | null} result */
function folded(call, result) {
  const made = el("details", "nba-tool");
  const summary = el("summary");
  const given = call.args.map(([name, value]) => (name ? `${name}=${value}` : value)).join(", ");
  summary.append(mark("tw", "nba-tw"), mark("tool"), el("code", "nba-cut", call.args.length || call.id ? `${call.name}(${given})` : call.name), el("span", "nba-grow"));
  if (result) {
    const state = el("span", result.failed ? "nba-call-failed" : "nba-call-done");
    state.append(mark(result.failed ? "failed" : "done"), result.failed ? "failed" : "");
    if (!result.failed) state.setAttribute("aria-label", "done");
    summary.append(state, el("span", "nba-meta", sized(result)));
  } else summary.append(el("span", "nba-meta", "no result yet"));
  made.append(summary);
  made.addEventListener("toggle", () => {
    if (!made.open || made.childElementCount > 1) return;
    const body = el("div");
    for (const [name, value] of call.args) {
      const row = el("div", "nba-row");
      row.append(el("span", "nba-key", name), el("code", "nba-v", value));
      body.append(row);
    }
    if (result?.result) {
      const row = el("div", "nba-row");
      row.append(el("span", "nba-key", "result"), tree(result.result, true));
      body.append(row);
    }
    made.append(body);
  });
  return made;
}

/** How much came back. @param {Message} result */
function sized(result) {
  const value = result.result;
  if (!value) return "";
  if (value.kind === "text") return `${value.text.length.toLocaleString()} characters`;
  return ["list", "dict", "table"].includes(value.kind) ? value.text : plain(value.text).slice(0, 40);
}

/** @param {string} name @param {string} [className] */
function mark(name, className = "") {
  const made = svg("svg", { class: `nba-i ${className}`.trim(), viewBox: "0 0 16 16", "aria-hidden": "true" });
  for (const [d, more] of SIGNS[name] ?? []) made.append(svg("path", { d, ...more }));
  return made;
}
