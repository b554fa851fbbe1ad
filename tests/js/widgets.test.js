// The pure parts of the widgets' JavaScript, in Node's own test runner.

import assert from "node:assert/strict";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

// Node takes a .js file for a module only beside a package.json that says so.
const folder = await mkdtemp(join(tmpdir(), "nbagent-"));
after(() => rm(folder, { recursive: true }));
for (const part of ["notebook/page", "graph/look.json"]) {
  await cp(new URL(`../../nbagent/${part}`, import.meta.url), join(folder, part), { recursive: true });
}
await writeFile(join(folder, "package.json"), '{"type": "module"}');
/** @param {string} name */
const file = (name) => import(join(folder, "notebook/page", `${name}.js`));

const form = { ...(await file("form/schema")), ...(await file("form/typed")) };
const view = { ...(await file("view/said")), ...(await file("dom")) };
const { axis, nested } = await file("view/timeline");
const history = await file("view/history");
const { lanes } = history;
const { kernelLine } = await file("view/kernel");
const { shownThread } = await file("view/shown");
const { notices, progress } = await file("view/head");
const { headed } = await file("view/changes");
const table = await file("view/threads_view");
const { viewBox, zoomed } = await file("view/graph");

test("a $ref is followed, and what stands beside it wins", () => {
  const defs = { Fix: { type: "object", title: "Fix", properties: {} } };
  assert.equal(form.resolve({ $ref: "#/$defs/Fix", title: "mine" }, defs).title, "mine");
  assert.equal(form.resolve({ allOf: [{ $ref: "#/$defs/Fix" }], default: 1 }, defs).type, "object");
  const loop = { A: { $ref: "#/$defs/A" } };
  assert.ok(form.resolve({ $ref: "#/$defs/A" }, loop));
});

test("an optional type is the type with a flag; a real union is left alone", () => {
  const found = form.unwrapNull({ anyOf: [{ type: "integer" }, { type: "null" }] }, {});
  assert.deepEqual([found.schema.type, found.nullable], ["integer", true]);
  const union = { anyOf: [{ type: "integer" }, { type: "string" }] };
  assert.deepEqual(form.unwrapNull(union, {}), { schema: union, nullable: false });
});

test("a new row holds a value for every property", () => {
  const schema = {
    type: "object",
    properties: {
      name: { type: "string" }, count: { type: "integer" }, on: { type: "boolean", default: true },
      kind: { enum: ["a", "b"] }, tags: { type: "array" }, other: {},
    },
  };
  assert.deepEqual(form.blank(schema, {}), { name: "", count: 0, on: true, kind: "a", tags: [], other: null });
  assert.equal(form.isFlat(schema, {}), false);
  assert.equal(form.isFlat({ type: "object", properties: { a: { type: "string" } } }, {}), true);
});

test("nothing is chosen in an answer that nobody has chosen", () => {
  const schema = {
    type: "object",
    properties: { ok: { type: "boolean" }, why: { type: "string" }, kind: { enum: ["a", "b"] }, on: { type: "boolean", default: true }, deep: { $ref: "#/$defs/D" } },
  };
  const defs = { D: { type: "object", properties: { sure: { type: "boolean" }, n: { type: "integer" } } } };
  assert.deepEqual(form.unset(schema, defs), { why: "", on: true, deep: { n: 0 } });
  assert.equal(form.missing("'ok' is a required property"), "ok");
  assert.equal(form.missing("3 is not of type 'string'"), "");
});

test("differences go down to the leaves", () => {
  const old = { plan: [{ a: 1, b: [1] }, { a: 2, b: [] }] };
  assert.deepEqual(form.differences(old, structuredClone(old), "x"), []);
  assert.deepEqual(form.differences(old.plan, [{ a: 1, b: [1] }, { a: 3, b: [] }], "plan"), [["plan[1].a", 2, 3]]);
  assert.deepEqual(form.differences(["a"], ["a", "b"], "x"), [["x", undefined, "b"]]);
  assert.deepEqual(form.differences(["a", "b"], ["b"], "x"), [["x", "a", undefined]]);
  assert.deepEqual(form.differences(null, { a: 1 }, "x"), [["x", null, { a: 1 }]]);
});

test("a JSON mistake says where it is", () => {
  assert.equal(form.jsonProblem('{"a": 1}'), "");
  assert.match(form.jsonProblem('{\n  "a": 1,\n  b: 2\n}'), /line 3, column 3/);
});

test("long values are cut to a line", () => {
  assert.equal(form.brief("x".repeat(200)).length, 88);
  assert.equal(form.brief(undefined), "nothing");
  assert.equal(form.brief(""), "(empty)");
});

test("buttons follow the status", () => {
  assert.deepEqual(view.enabled("running"), { pause: true, step: false, resume: false, stop: true });
  assert.deepEqual(view.enabled("paused"), { pause: false, step: true, resume: true, stop: false });
  for (const status of ["done", "waiting", "new"]) {
    assert.ok(Object.values(view.enabled(status)).every((one) => !one));
  }
});

test("times are said as people say them", () => {
  assert.deepEqual([0.04, 59.9, 61, 3700].map(view.clock), ["40 ms", "59.9 s", "1 min 1 s", "1 h 1 min"]);
  assert.equal(view.clock(NaN), "");
});

test("a patch replaces what it names and removes what is gone", () => {
  const state = { status: "running", nodes: { a: { status: "idle" }, b: {} }, values: { x: 1, y: 2 } };
  const made = view.merged(state, { status: "done", nodes: { a: { status: "done" } }, values: { x: null } });
  assert.deepEqual(made, { status: "done", nodes: { a: { status: "done" }, b: {} }, values: { y: 2 } });
  assert.deepEqual(view.merged(state, { whole: true, nodes: {}, values: {} }).nodes, {});
  assert.equal(state.values.x, 1);
});

test("the timeline cuts long pauses short and keeps the order", () => {
  const rows = [{ start: 0, duration: 1 }, { start: 0.5, duration: 1 }, { start: 10_000, duration: 1 }];
  const { place, cuts, worked } = axis(rows, 10_001);
  assert.equal(worked, 2.5);
  assert.deepEqual(cuts.map((cut) => cut.seconds), [9998.5]);
  const places = [0, 1, 1.5, 5_000, 10_000, 10_001].map(place);
  assert.deepEqual(places, [...places].sort((a, b) => a - b));
  assert.equal(places[0], 0);
  assert.equal(places[5], 1);
  assert.ok(places[4] - places[2] < 0.12);
});

test("a task's spans stand below it, in their own order", () => {
  const task = { kind: "node", thread: "t", task: "a", step: 1, name: "a" };
  const inner = { kind: "span", thread: "t", task: "a", step: 1, name: "search", id: "2", parent: "1" };
  const outer = { kind: "span", thread: "t", task: "a", step: 1, name: "llm", id: "1", parent: null };
  const other = { ...task, task: "b", name: "b" };
  const found = nested([inner, task, outer, other]).map((row) => [row.name, row.depth]);
  assert.deepEqual(found, [["a", 0], ["llm", 1], ["search", 2], ["b", 0]]);
});

test("the latest line has lane 0, older branches have their own", () => {
  const rows = [{ id: 5, parent: 2 }, { id: 4, parent: 3 }, { id: 3, parent: 2 }, { id: 2, parent: 1 }, { id: 1, parent: null }];
  assert.deepEqual([...lanes(rows)].sort(), [[1, 0], [2, 0], [3, 1], [4, 1], [5, 0]]);
});

test("zooming keeps the point under the pointer", () => {
  const before = { x: 0, y: 0, k: 1 };
  const view = zoomed(before, 2, 30, 40);
  assert.deepEqual([(30 - view.x) * view.k, (40 - view.y) * view.k], [30, 40]);
  assert.equal(zoomed(before, 100, 0, 0).k, 8);
  assert.equal(viewBox(before, 100, 50), "-8 -8 100 50");
});

test("a union's value finds its type; an edited table sends its cells", () => {
  const options = [
    { type: "object", properties: { kind: { const: "a" } }, required: ["kind"] },
    { type: "object", properties: { kind: { const: "b" } }, required: ["kind"] },
    { type: "integer" }, { type: "string" }, { type: "null" },
  ];
  const values = [{ kind: "a" }, { kind: "b" }, 1, "x", null, [1]];
  assert.deepEqual(values.map((value) => form.fitting(value, options, {})), [0, 1, 2, 3, 4, -1]);
  const table = { $table: { index: ["r"], columns: ["c"], rows: [["1"]] } };
  const edited = { ...table, $cells: { "0,0": [0, 0, "2"] } };
  assert.deepEqual(form.sent(edited), { $cells: [[0, 0, "2"]] });
  assert.deepEqual(form.told(table, edited, "t"), [["t[r, c]", "1", "2"]]);
  assert.equal(form.sent("x"), "x");
});

test("what changed under a form is told, but not what was typed alike", () => {
  assert.deepEqual(form.moved({ a: 1, b: 2 }, { a: 3, b: 4 }, new Map([["b", 4]])), [["a", 1, 3]]);
});

test("what still has a place in a form over another state is kept", () => {
  const typed = { fields: new Map([["a", 1], ["b", 2], ["gone", 3]]), answers: new Map([["q1", "yes"], ["q2", "no"]]), note: "why" };
  const next = { schema: { properties: { a: {}, b: {} } }, values: { a: 0, b: 2 }, questions: [{ id: "q2" }] };
  const still = form.carried(typed, next);
  assert.deepEqual([[...still.fields], [...still.answers], still.note], [[["a", 1]], [["q2", "no"]], "why"]);
  assert.equal(form.isEmpty(form.carried(form.nothing(), next)), true);
  assert.deepEqual([...form.dropped(typed, still).answers], [["q1", "yes"]]);
  assert.deepEqual([...form.without(typed, ["a"]).fields.keys()], ["b", "gone"]);
});

test("keys that follow each other quickly are one step back", () => {
  let now = 0;
  const steps = form.undoSteps(() => now);
  const typed = (/** @type {string} */ note) => ({ ...form.nothing(), note });
  for (const [at, note] of [[1000, "a"], [1100, "ab"], [5000, "abc"]]) {
    now = at;
    steps.type(typed(note));
  }
  assert.deepEqual([steps.back()?.note, steps.back()?.note, steps.back()], ["ab", "", null]);
  steps.type(typed("x"));
  steps.forget();
  assert.equal(steps.isEmpty(), true);
});

test("a field may be called like what every object has", () => {
  const names = ["constructor", "toString", "__proto__", "valueOf", "hasOwnProperty"];
  const schema = { type: "object", properties: Object.fromEntries(names.map((name) => [name, { type: "string" }])) };
  assert.deepEqual(Object.keys(form.blank(schema, {})), names);
  assert.deepEqual(names.map((name) => form.own({}, name)), names.map(() => undefined));
  assert.deepEqual(form.differences({}, JSON.parse('{"__proto__": 1, "constructor": 2}'), "x"), [["x.__proto__", undefined, 1], ["x.constructor", undefined, 2]]);
  assert.deepEqual(form.moved({}, JSON.parse('{"__proto__": 1}'), new Map()), [["__proto__", undefined, 1]]);
  assert.equal(form.fitting({}, [{ type: "object", required: ["constructor"] }], {}), -1);
  const state = { nodes: {}, values: {} };
  assert.deepEqual(Object.keys(view.merged(state, { values: JSON.parse('{"__proto__": 1, "toString": 2}') }).values), ["__proto__", "toString"]);
});

test("a whole number that a browser would change is refused", () => {
  assert.equal(form.inexact("9007199254740993"), "9007199254740993");
  assert.equal(form.inexact("[1, -9007199254740993]"), "-9007199254740993");
  for (const fine of ["9007199254740991", "1.5", "1e300", "12345678901234567890.5", '"9007199254740993"', '{"9007199254740993": "\\"9007199254740993"}']) {
    assert.equal(form.inexact(fine), "", fine);
  }
  assert.match(form.jsonProblem('{"id": 9007199254740993}'), /more digits than a browser keeps/);
});

test("no text turns the direction of what stands around it", () => {
  assert.equal(view.plain("pay \u202enhoJ\u202c\u2066 \x1b[31m\x9b\tx\ny"), "pay \ufffdnhoJ\ufffd\ufffd \u241b[31m\ufffd\tx\ny");
  assert.equal(form.brief("\u202ea"), "\ufffda");
});

test("an Enter that only ends a character is no Enter", () => {
  assert.equal(view.keyOf({ key: "Enter", isComposing: false, keyCode: 13 }), "Enter");
  assert.equal(view.keyOf({ key: "Enter", isComposing: true, keyCode: 229 }), "");
  assert.equal(view.keyOf({ key: "Enter", isComposing: false, keyCode: 229 }), "");
});

/** Views on one model, whose kernel answers to all of them. @param {(content: any) => void} send */
function lines(send) {
  const said = { patches: [], complaints: [], lost: 0 };
  const line = kernelLine({ send }, {
    patch: (patch) => said.patches.push(patch),
    complain: (text) => said.complaints.push(text),
    lost: () => said.lost++,
  });
  return { line, said };
}

test("a view takes the answer to its own question, though all hear it", async () => {
  const asked = [];
  const [one, two] = [lines((content) => asked.push(content)), lines((content) => asked.push(content))];
  const answers = [one.line.ask("value", { path: ["alpha"] }), two.line.ask("value", { path: ["beta"] })];
  for (const { id, view, path } of asked) {
    for (const each of [one, two]) each.line.receive({ type: "reply", id, view, data: { text: path[0] } });
  }
  assert.deepEqual((await Promise.all(answers)).map((found) => found.text), ["alpha", "beta"]);
  for (const each of [one, two]) each.line.receive({ type: "error", text: "no", view: asked[1].view });
  for (const each of [one, two]) each.line.receive({ type: "error", text: "all" });
  assert.deepEqual([one.said.complaints, two.said.complaints], [["all"], ["no", "all"]]);
});

test("a kernel that is gone is told once", () => {
  const { line, said } = lines(() => {
    throw new Error("closed");
  });
  line.hello();
  line.command("pause");
  assert.deepEqual([said.lost, line.isGone()], [1, true]);
});

test("of the places that a slider passes only the last is asked for", async () => {
  /** @type {Array<(found: object) => void>} */
  const open = [];
  const asked = [];
  const thread = shownThread({ status: "done" }, (what, args) => {
    asked.push(args.index);
    return new Promise((resolve) => open.push(resolve));
  });
  const looks = [0, 1, 2, 3].map((index) => thread.look({ index }));
  open[0]({ checkpoint: 1 });
  await looks[0];
  await new Promise((resolve) => setTimeout(resolve));
  open[1]({ checkpoint: 4 });
  assert.deepEqual(await Promise.all(looks), [false, false, false, true]);
  assert.deepEqual([asked, thread.checkpoint()], [[0, 3], 4]);
  thread.live();
  assert.equal(thread.checkpoint(), null);
});

test("a comparison with a checkpoint brings its own changes", async () => {
  const answers = { at: { checkpoint: 8, is_latest: true, changes: [] }, compare: { changes: [{ field: "x" }] } };
  const thread = shownThread({ status: "done" }, async (what) => answers[what]);
  await thread.look({ checkpoint: 8 });
  assert.equal(thread.past(), null);
  await thread.look({ checkpoint: 8 }, 4);
  assert.deepEqual([thread.past().compared, thread.past().changes], [[4, 8], [{ field: "x" }]]);
});

test("what must be said of a thread", () => {
  const now = { status: "paused", next: ["a", "b"], notice: "", error: "" };
  assert.deepEqual(notices(now, null, false), [["nba-notice", "It is paused. Next: a, b. Fields can be corrected below."]]);
  assert.deepEqual(notices({ ...now, error: "no" }, null, true), [["nba-error", "no"]]);
  assert.match(notices(now, { checkpoint: 3, step: 2, note: "n" }, false)[0][1], /^You look at checkpoint 3, after super-step 2. “n”$/);
  const turn = notices({ ...now, turn: 2 }, null, false)[0];
  assert.match(turn[1], /^This is turn 2 of the thread, on top of what turn 1 left\. $/);
  assert.equal(turn[2], "afresh");
  assert.equal(notices({ ...now, turn: 2, status: "running" }, null, false)[0][2], undefined);
  assert.equal(progress({ status: "new" }, 0), "not started");
  assert.equal(progress({ status: "running", step: 3, started: 10, ended: 0 }, 12.5), "super-step 3 · 2.5 s");
});

test("the heading says what the changes are of", () => {
  assert.equal(headed({ compared: [4, 8] })[0], "Checkpoint 4 → 8");
  assert.equal(headed({ changed_in: 2 })[0], "Changed in super-step 2");
  assert.equal(headed({ changed_in: 0, kind: "edit" })[0], "Set by the edit");
  assert.equal(headed({ changed_in: 0 })[0], "Changes");
});

test("threads are counted, filtered and ordered", () => {
  const row = { graph: "g", step: 1, created: 0, error: "" };
  const rows = [{ ...row, thread: "t10", status: "done", updated: 5 }, { ...row, thread: "t2", status: "running", updated: 9 }, { ...row, thread: "x", status: "constructor", updated: 1 }];
  assert.deepEqual(table.counts(rows).slice(1), [["running", 1], ["done", 1]]);
  assert.deepEqual(table.selected(rows, "T", "", { by: "thread", down: false }).map((one) => one.thread), ["t2", "t10", "x"]);
  assert.deepEqual(table.selected(rows, "", "", { by: "took", down: true }).map((one) => one.thread), ["t2", "t10", "x"]);
  assert.deepEqual([table.footnote(0, 0, 0), table.footnote(9, 0, 0), table.footnote(9, 9, 9)].map(Boolean), [true, true, false]);
});

test("a row's picture joins the lanes that end in it", () => {
  const rows = [{ id: 5, parent: 2 }, { id: 4, parent: 3 }, { id: 3, parent: 2 }, { id: 2, parent: 1 }];
  const found = history.lines(rows, lanes(rows));
  assert.deepEqual(found.get(5), { path: ["M8 13V26"], x: 8 });
  assert.deepEqual(found.get(3).path, ["M8 0V26", "M22 0V13", "M22 13V26"]);
  assert.deepEqual(found.get(2).path, ["M8 0V13", "M22 0C22 13 8 4 8 13"]);
});
