// What a widget has to do with the page around it: its model, and the picture that stands behind it.
// @ts-check

/**
 * The parts of anywidget's model that are used here.
 * @typedef {{
 *   get: (name: string) => any,
 *   send: (content: object) => void,
 *   on: (event: string, act: (content: any) => void) => void,
 *   off: (event: string, act: (content: any) => void) => void,
 *   widget_manager?: Manager & {isDisposed?: boolean},
 * }} Model
 * @typedef {{kernel?: {createComm: (target: string) => Comm}, get_model: (id: string) => Promise<object>, create_view: (model: object) => Promise<{el: HTMLElement, remove?: () => void}>}} Manager
 * @typedef {{onClose: () => void, onMsg: (message: {content: {data: {error?: string, model_id: string}}}) => void, open: (data: object) => void}} Comm
 * @typedef {{model: Model, el: HTMLElement}} Context
 */

/** An id for one view of a model, of which a page, or another page, may show several. */
export function viewId() {
  return `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
}

/** Listen to the model; the function that ends it. @param {Model} model @param {Record<string, (content: any) => void>} acts */
export function listen(model, acts) {
  for (const [event, act] of Object.entries(acts)) model.on(event, act);
  return () => {
    for (const [event, act] of Object.entries(acts)) model.off(event, act);
  };
}

const LEAVING = 2000; // milliseconds: what is only moved to another place is there again by then
const ANSWERING = 3000; // milliseconds that other pages have to say that they show it, too

/**
 * Tell the kernel that a view is there, whenever it asks; the function that tells that it is gone.
 * A notebook that is closed tells nothing: it may be opened again. Where a page does not say which
 * of the two it is, nothing is told either. @param {Model} model
 */
export function present(model) {
  const view = viewId();
  /** @param {string} said */
  const tell = (said) => {
    try {
      model.send({ type: "presence", said, view });
    } catch {
      // the kernel is gone, and with it whoever would want to know
    }
  };
  const deafen = listen(model, { "msg:custom": (content) => content.type === "who" && tell("here") });
  tell("here");
  return () => {
    deafen();
    const leave = (/** @type {string} */ said) => () => model.widget_manager?.isDisposed === false && tell(said);
    setTimeout(leave("gone"), LEAVING);
    setTimeout(leave("gone for good"), LEAVING + ANSWERING);
  };
}

/** Make an element the root of a widget, whose keys are not the notebook's. @param {HTMLElement} root @param {string} className @param {string} role */
export function dress(root, className, role) {
  root.classList.add(className);
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  root.setAttribute("role", role);
}

/**
 * The picture that stands behind a widget, hidden while the widget lives.
 * @param {HTMLElement} root the widget @param {string} uid
 */
export function pictureBehind(root, uid) {
  const marked = `[data-nbagent-static="${CSS.escape(uid)}"]`;
  const rule = document.createElement("style");
  rule.textContent = `${marked}{display:none}`;
  document.head.append(rule);
  return {
    show: () => rule.remove(),
    /** Show the picture, if there is one, in the place of the widget, or the widget again. @param {boolean} isAhead the picture knows more */
    prefer(isAhead) {
      const gives = isAhead && document.querySelector(marked) !== null;
      root.hidden = gives;
      rule.disabled = gives;
    },
  };
}

/** Has the form that stands with a view something that was typed and not sent? @param {HTMLElement} root of the view */
export function hasUnsent(root) {
  return (root.closest(".widget-vbox") ?? root).querySelector(".nbf-root[data-unsent]") !== null;
}
