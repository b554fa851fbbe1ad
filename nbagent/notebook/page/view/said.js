// What the kernel says of a run, as types, and how the page takes it in. Nothing here touches a page.
// @ts-check

/**
 * A value as the kernel's preview tells it.
 * @typedef {{
 *   kind: string, type: string, text: string, cut?: boolean, items?: Array<[string | number, Preview]>, more?: number, offset?: number,
 *   columns?: string[], rows?: string[][], more_columns?: number, src?: string, html?: string,
 * }} Preview
 * @typedef {[string, Preview]} Row a field and its value
 * @typedef {{type: string, message: string, traceback: string}} Failure
 * @typedef {{path?: string, words?: Array<["-" | "+" | "=" | "…", string]>, table?: {text: string, columns: string[], rows: Cell[][], same?: number},
 *   records?: {columns: string[], rows: Array<[string, RecordCell[] | number]>, more: number}, before?: Preview, after?: Preview}} Part
 * @typedef {string | [string, string]} Cell a text, or before and after
 * @typedef {string | null | [string | null, string | null]} RecordCell null: the field is not there
 * @typedef {{field: string, type?: string, kind: string, counts?: string[], by?: string[], parts: Part[], more: number}} Change
 */

/**
 * @typedef {{
 *   status: string, total: number, finished: number, runs: number, attempt: number, since: number, retry_at: number, duration: number | null,
 *   step: number, writes: Row[], effects: Array<[string, string]>, emitted: string[], printed: string, failure: Failure | null, warning: string,
 *   cached: boolean, inner_threads: string[], now?: boolean,
 * }} NodeState
 * What a node's task says, joined; `at` is how many characters stood before `text`.
 * @typedef {{node: string, name: string, since: number, ended: number, step: number, status: string, pieces: number, prose: boolean, at: number, text: string}} Stream
 * @typedef {{loops?: Record<string, number>, nodes: Record<string, NodeState>, values: Record<string, Preview>, changes: Change[], changed_in: number, taken: string[][], step: number}} Shown
 */

/**
 * A thread as it stands now.
 * @typedef {Shown & {
 *   thread: string, title: string, parent: string, store: string, graph: string, status: string, count: number, turn: number, started: number, ended: number,
 *   next: string[], error: string, notice: string, code: string, questions: Array<{id: string, node: string, text: string}>,
 *   rail: Array<[number, string, string]>, marks: Array<[number, string]>, working: number, waited: number, busy_since: number, streams: Record<string, Stream>,
 * }} Now
 * @typedef {Partial<Omit<Now, "nodes" | "values" | "streams">> & {streams?: Record<string, Stream | null>, nodes?: Record<string, NodeState | null>, values?: Record<string, Preview | null>, whole?: boolean}} Patch
 */

/**
 * What the kernel knows of a failed node; `source` are lines with their numbers.
 * @typedef {{
 *   where: {cell: string, file: string, line: number, name: string, source: Array<[number, string]>} | null,
 *   read: Array<[string, string]>, nearest: string, kept: string, attempts: number[], frames: number,
 * }} Told
 * @typedef {{working: number, waited: number, backing: number, tokens: number, cost: number, by_node: Array<[string, number]>}} Sums
 */

/**
 * A checkpoint of its past; `compared` where the changes are those between two checkpoints.
 * @typedef {Shown & {checkpoint: number, index: number, total: number, is_latest: boolean, kind: string, note: string, compared?: [number, number]}} Past
 * @typedef {{id: number, parent: number | null, step: number, kind: string, ran: string[], updated: string[], at: number, note: string, actor: string}} Checkpoint
 * @typedef {{thread: string, title?: string, status: string, from: number}} Fork
 * @typedef {{rows: Checkpoint[], more: number, latest: number, forks: Fork[], parent: string, notes: Record<string, string>}} History
 * @typedef {{
 *   thread: string, step: number, node: string, task: string, attempt: number, kind: string, name: string, start: number, duration: number,
 *   status: string, id: string | number, parent?: string | null, error?: string, tokens?: number | null, cost?: number | null, span_kind?: string,
 * }} Bar
 */

/**
 * @typedef {{
 *   changes: Change[], same?: string[], path?: {after: number, a: string, b: string}, working?: [number, number], cost?: [number, number], code?: string[],
 * }} Compared
 */

/**
 * What the page may ask, and what it is told: null when there is no answer, and then the reason is shown.
 * @typedef {{
 *   at: Past, compare: Compared, history: History, timeline: {rows: Bar[], more: number, sums: Sums, waits: Array<[number, number, number]>}, sums: Sums, failure: Told, value: Preview, reads: {reads: Row[]},
 *   search: {hits: Array<{path: string, text: string}>, more: boolean}, annotate: object, rename: object,
 * }} Answers
 * @typedef {<W extends keyof Answers>(what: W, args?: object) => Promise<Answers[W] | null>} Ask
 */

/**
 * A patch taken in: parts of `nodes` and `values` replace what they name; null takes one away.
 * @param {Now} now @param {Patch} patch @returns {Now}
 */
export function merged(now, patch) {
  const nodes = patch.whole ? patch.nodes : { ...now.nodes, ...patch.nodes };
  const values = patch.whole ? patch.values : { ...now.values, ...patch.values };
  const { streams: _, ...said } = patch;
  return { ...now, ...said, nodes: present(nodes), values: present(values) };
}

/** Without what is null. @template T @param {Record<string, T | null>} [all] @returns {Record<string, T>} */
function present(all = {}) {
  return /** @type {Record<string, T>} */ (Object.fromEntries(Object.entries(all).filter(([, one]) => one !== null)));
}

/** Which buttons make sense in a status. @param {string} status @returns {Record<string, boolean>} */
export function enabled(status) {
  const running = status === "running";
  const resumable = status === "paused" || status === "stopped" || status === "failed";
  return { pause: running, step: resumable, resume: resumable, stop: running };
}
