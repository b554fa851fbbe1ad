// The line to the kernel: questions and their answers, commands, and what the kernel says by itself.
//
// Rule 1: all views of a model hear all that the kernel says: an answer is for the view that asked.
// Rule 2: a kernel that is gone is told once, whoever notices it.
// @ts-check
import { viewId } from "../widget.js";

/** @typedef {import("../widget.js").Model} Model */
/** @typedef {import("./said.js").Patch} Patch */

const QUIET = 3000; // milliseconds without a word from a run that is running
const PATIENCE = 30000; // milliseconds that an answer may take: the kernel may be busy

/**
 * @param {Model} model
 * @param {{patch: (patch: Patch) => void, complain: (text: string) => void, lost: () => void}} hear
 */
export function kernelLine(model, hear) {
  const view = viewId();
  /** @type {Map<number, {resolve: (answer: any) => void, timer: ReturnType<typeof setTimeout>}>} */
  const waiting = new Map();
  let asked = 0;
  let heard = Date.now();
  let isHeard = false;
  let isGone = false;

  /** @param {object} content */
  function tell(content) {
    try {
      model.send({ ...content, view });
    } catch {
      lose();
    }
  }

  function lose() {
    if (isGone) return;
    isGone = true;
    hear.lost();
  }

  /** @param {{type: string, patch: Patch, view?: string, id: number, error?: string, data?: object, text: string}} content */
  function receive(content) {
    heard = Date.now();
    isHeard = true;
    if (content.type === "patch") hear.patch(content.patch);
    if (content.view !== undefined && content.view !== view) return;
    if (content.type === "error") hear.complain(content.text);
    if (content.type !== "reply") return;
    if (content.error) hear.complain(content.error);
    answered(content.id, content.data ?? null);
  }

  /** @param {number} id @param {object | null} data */
  function answered(id, data) {
    const one = waiting.get(id);
    waiting.delete(id);
    if (!one) return;
    clearTimeout(one.timer); // it would hold the whole view
    one.resolve(data);
  }

  return {
    receive,
    lose,
    /** The view is gone: nobody waits any more. */
    end: () => [...waiting.keys()].forEach((id) => answered(id, null)),
    isGone: () => isGone,
    isHeard: () => isHeard,
    hello: () => tell({ type: "hello" }),
    /** A message may be lost on a busy page: ask how it stands when a run has long been silent. */
    listen() {
      if (Date.now() - heard <= QUIET) return;
      heard = Date.now();
      tell({ type: "hello" });
    },
    /** @type {import("./said.js").Ask} */
    ask(what, args = {}) {
      const id = ++asked;
      return new Promise((resolve) => {
        waiting.set(id, { resolve, timer: setTimeout(() => answered(id, null), PATIENCE) });
        tell({ type: "ask", id, what, ...args });
      });
    },
    /** @param {string} name @param {object} [args] */
    command(name, args = {}) {
      hear.complain("");
      tell({ type: "command", name, ...args });
    },
  };
}

/**
 * Ask the kernel that runs now for a view of the thread, and put it in the place of this one.
 * @param {Model} model @param {{thread: string, store: string}} now @param {HTMLElement} root
 * @param {(text: string) => void} failed
 */
export function reconnect(model, now, root, failed) {
  const manager = model.widget_manager;
  if (!manager?.kernel) return;
  const link = manager.kernel.createComm("nbagent");
  link.onClose = () => failed("nbagent is not loaded in the new kernel yet.");
  link.onMsg = async (message) => {
    const { error, model_id: id } = message.content.data;
    if (error) return failed(error);
    const view = await manager.create_view(await manager.get_model(id));
    (root.closest(".widget-vbox") || root).replaceWith(view.el);
  };
  link.open({ thread: now.thread, store: now.store, uid: model.get("uid") });
}
