// What nodes say while they run: a card each, its text joined, its newest end in sight.
//
// Rule 1: a card has one text node, to which what came is added once a frame.
// Rule 2: it follows its end until somebody scrolls up; `Follow` takes it up again.
// Rule 3: a text's last 20,000 characters stay on the page.
// @ts-check
import { action, arrange, clock, el, plain, short, statusMark } from "../dom.js";

/** @typedef {import("./said.js").Stream} Stream */
/** @typedef {{key: string, card: HTMLElement, stream: Stream, add: (piece: Stream) => void, tick: (now: number) => void}} Open */

export const OPEN = 4; // cards at a time; the other texts are lines
const KEPT = 20_000;
const SLACK = 40; // pixels from its end at which a text still follows it

/** How a stream goes on, in a few figures. @param {Stream} stream @param {number} now Unix seconds */
export function pace(stream, now) {
  const seconds = Math.max(0, (stream.ended || now) - stream.since);
  const what = stream.prose ? "tokens" : "items";
  const rate = seconds >= 1 && stream.pieces ? ` · ${short(stream.pieces / seconds)}/s` : "";
  return `${short(stream.pieces)} ${what}${rate} · ${clock(seconds)}`;
}

/**
 * What is to be shown of a text after a piece of it came: the piece may overlap what is there, or lie beyond it.
 * @param {{end: number}} has how many characters of it there were @param {{at: number, text: string}} piece
 */
export function fitting(has, piece) {
  const end = piece.at + piece.text.length;
  if (end <= has.end) return "";
  if (piece.at > has.end) return `${has.end ? "\n… " : ""}${piece.text}`;
  return piece.text.slice(has.end - piece.at);
}

export function streamsPart() {
  const node = el("div", "nba-streams");
  /** @type {Map<string, Open>} */
  const cards = new Map();
  /** @type {Record<string, Stream>} */
  let all = {};

  return {
    node,
    all: () => all,
    /** @param {Record<string, Stream | null>} patch @param {boolean} isWhole */
    take(patch, isWhole) {
      if (isWhole) all = {};
      for (const [key, piece] of Object.entries(patch)) {
        if (!piece) {
          delete all[key];
          continue;
        }
        const old = all[key];
        const text = !old || piece.since !== old.since ? piece.text : (old.text + fitting({ end: old.at + old.text.length }, piece)).slice(-KEPT);
        all[key] = { ...piece, text, at: piece.at + piece.text.length - text.length };
        const open = cards.get(key);
        if (open && open.stream.since === piece.since) open.add(piece);
        else cards.delete(key);
      }
    },
    /** Show the cards of what runs, the latest last. @param {number} now */
    show(now) {
      const live = Object.entries(all).filter(([, one]) => !one.ended && one.pieces).sort(([, a], [, b]) => a.since - b.since);
      const shown = live.slice(-OPEN);
      const open = new Set(shown.map(([key]) => key));
      for (const key of [...cards.keys()]) if (!open.has(key)) cards.delete(key);
      for (const [key, stream] of shown) if (!cards.has(key)) cards.set(key, streamCard(key, stream));
      arrange(node, shown.map(([key]) => /** @type {Open} */ (cards.get(key)).card));
      for (const one of cards.values()) one.tick(now);
      return { open, rest: live.slice(0, -OPEN).map(([, one]) => one) };
    },
    /** @param {number} now */
    tick: (now) => cards.forEach((one) => one.tick(now)),
    forget() {
      all = {};
      cards.clear();
      node.replaceChildren();
    },
  };
}

/** @param {string} key @param {Stream} first @returns {Open} */
function streamCard(key, first) {
  const card = el("section", "nba-card nba-on nba-t-blue");
  card.setAttribute("aria-label", `node ${first.name}, streaming`);
  const figures = el("span", "nba-meta nba-pace");
  const log = el("pre", `nba-stream${first.prose ? "" : " nba-code"}`);
  log.setAttribute("role", "log");
  log.setAttribute("aria-live", "off");
  log.setAttribute("aria-label", `what ${first.name} says`);
  log.tabIndex = 0;
  const text = document.createTextNode(plain(first.text));
  log.append(text, el("span", "nba-caret"));
  let follows = true;
  let waiting = "";
  let isDue = false;
  const follow = action("Follow", "down", () => {
    follows = true;
    follow.hidden = true;
    end();
  }, { kind: "quiet", tip: "Follow its end again" });
  follow.hidden = true;
  const large = action("", "fit", () => {
    const isLarge = log.classList.toggle("nba-large");
    large.setAttribute("aria-pressed", String(isLarge));
    if (follows) end();
  }, { kind: "quiet", tip: "Enlarge" });
  const header = el("header");
  header.append(statusMark("running"), el("b", "", first.name), figures, el("span", "nba-grow"), follow, large);
  card.append(header, log);

  function end() {
    log.scrollTop = log.scrollHeight;
  }

  log.addEventListener("scroll", () => {
    const isNear = log.scrollHeight - log.scrollTop - log.clientHeight < SLACK;
    if (isNear) follows = true;
    follow.hidden = follows;
  }, { passive: true });
  // Only a person scrolls up: what is added moves the end away, not the place.
  for (const by of ["wheel", "pointerdown", "keydown", "touchmove"]) {
    log.addEventListener(by, () => requestAnimationFrame(() => {
      follows = log.scrollHeight - log.scrollTop - log.clientHeight < SLACK;
      follow.hidden = follows;
    }), { passive: true });
  }

  function draw() {
    isDue = false;
    text.appendData(waiting);
    waiting = "";
    if (text.length > 1.25 * KEPT) text.deleteData(0, text.length - KEPT);
    fade();
    if (follows) end();
  }

  /** Its top is faded where something stands above it. */
  function fade() {
    log.classList.toggle("nba-faded", log.scrollHeight > log.clientHeight + 2);
  }

  const open = {
    key,
    card,
    stream: first,
    /** @param {Stream} piece */
    add(piece) {
      waiting += plain(fitting({ end: open.stream.at + open.stream.text.length }, piece));
      const total = Math.max(open.stream.at + open.stream.text.length, piece.at + piece.text.length);
      open.stream = { ...piece, at: total, text: "" };
      if (!waiting || isDue) return;
      isDue = true;
      requestAnimationFrame(draw);
    },
    /** @param {number} now */
    tick(now) {
      const told = pace(open.stream, now);
      if (figures.textContent !== told) figures.textContent = told;
    },
  };
  requestAnimationFrame(() => {
    fade();
    end();
  });
  return open;
}
