// What a page runs first of a widget: it loads the widget's code.
//
// Rule 1: a page keeps every module that it has loaded for as long as it lives. So the code of one
//         kind of widget is loaded once, however many of its kind come and go.
// Rule 2: what a closed widget leaves in the page's hands is an empty element: a page may hold it.
// @ts-check

/** @typedef {{render: (context: import("./widget.js").Context) => () => void}} Widget */

const KEPT = Symbol.for("nbagent widgets");
const page = /** @type {{[KEPT]?: Map<string, Promise<{default: Widget}>>}} */ (/** @type {unknown} */ (globalThis));
const kept = (page[KEPT] ??= new Map());

/** @param {string} key of the code @param {string} code @returns {Promise<{default: Widget}>} */
async function load(key, code) {
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  try {
    return await import(/* webpackIgnore: true */ url);
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** @param {import("./widget.js").Context} context */
async function render(context) {
  const { model, el } = context;
  const key = model.get("key");
  let found = kept.get(key);
  if (!found) {
    found = load(key, model.get("code"));
    kept.set(key, found);
    found.catch(() => kept.delete(key));
  }
  const end = (await found).default.render(context);
  return () => {
    end();
    el.replaceChildren();
  };
}

export default { render };
