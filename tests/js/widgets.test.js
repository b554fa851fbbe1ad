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
const { resultsOf } = await file("view/chat");
const paste = await file("form/paste");
const { axis, ticks } = await file("view/axis");
const { nested } = await file("view/timeline");
const history = await file("view/history");
const { lanes } = history;
const { kernelLine } = await file("view/kernel");
const { shownThread } = await file("view/shown");
const { notices, figures } = await file("view/head");
const { headed } = await file("view/changes");
const table = await file("view/threads_view");
const { zoomed } = await file("view/pan");
const { counted } = await file("view/graph");
const { leading, tally } = await file("view/stack");
const { fitting, pace } = await file("view/stream");
const { underWay } = await file("view/rail");

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

test("a graph is never so small that a name has less than 11 pixels", () => {
  assert.equal(zoomed(1, 0.01), 11 / 12);
  assert.equal(zoomed(1, 100), 4);
  assert.equal(zoomed(1, 2), 2);
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
  assert.deepEqual(notices(now, false), []);
  assert.deepEqual(notices({ ...now, notice: "no" }, true), [["waiting", "no"]]);
  const turn = notices({ ...now, turn: 2 }, false)[0];
  assert.match(turn[1], /^This is turn 2 of the thread, on top of what turn 1 left\.$/);
  assert.equal(turn[2], "afresh");
  assert.equal(notices({ ...now, turn: 2, status: "running" }, false)[0][2], undefined);
});

test("three kinds of time are told apart, and a figure that is zero is left out", () => {
  const now = { status: "running", step: 3, working: 2, busy_since: 10, waited: 60, ended: 0 };
  const said = figures(now, { tokens: 10700, cost: 0.041 }, 12.5).map(([a, b, c]) => a + b + c);
  assert.deepEqual(said, ["step 3", "4.5 s working", "1 min waiting for you", "10.7k tokens", "$0.041"]);
  assert.deepEqual(figures({ ...now, working: 0, busy_since: 0, waited: 0 }, null, 12.5).map(([a, b]) => a + b), ["step 3"]);
  assert.deepEqual(figures({ status: "new" }, null, 0), []);
});

test("a piece of a text that overlaps what is there adds only what is new", () => {
  assert.equal(fitting({ end: 5 }, { at: 0, text: "hello" }), "");
  assert.equal(fitting({ end: 5 }, { at: 3, text: "lo you" }), " you");
  assert.equal(fitting({ end: 5 }, { at: 5, text: " you" }), " you");
  assert.equal(fitting({ end: 5 }, { at: 90, text: "end" }), "\n… end");
  assert.equal(pace({ since: 0, ended: 0, pieces: 412, prose: true }, 6.4), "412 tokens · 64/s · 6.4 s");
});

test("a stack says how its siblings stand, and the end of the line what goes on", () => {
  const nodes = { a: { status: "done" }, b: { status: "failed" }, c: { status: "running" } };
  assert.deepEqual([...tally(["a", "b", "c", "d"], nodes)], [["done", 1], ["running", 1], ["failed", 1], ["idle", 1]]);
  assert.equal(leading(tally(["a", "b"], nodes)), "failed");
  assert.deepEqual(underWay({ status: "failed", nodes }), ["fail", "b"]);
  assert.equal(underWay({ status: "done", nodes }), null);
  assert.equal(counted({ status: "running", since: 10, total: 1 }, 12.1), "2.1 s");
  assert.equal(counted({ status: "failed", attempt: 3, total: 1 }, 0), "3×");
});

test("the axis has round marks, and none inside what was cut out", () => {
  const on = axis([{ start: 100, duration: 20 }, { start: 1000, duration: 20 }], 1020);
  const marks = ticks(on);
  assert.ok(marks.length >= 3 && marks.length <= 12);
  assert.deepEqual(marks[0], { seconds: 0, at: 0, isNamed: true });
  const cut = on.cuts[0];
  assert.ok(marks.every(({ at }) => at <= cut.from + 1e-9 || at >= cut.from + cut.length - 1e-9));
});

test("only the rows of a history that are in sight are on the page", () => {
  const tops = Array.from({ length: 10001 }, (_, row) => row * 26);
  const seen = history.windowOf(tops, 26 * 500, 26 * 530);
  assert.ok(seen.first >= 498 && seen.first <= 500 && seen.end >= 530 && seen.end <= 532);
  assert.equal(seen.before + seen.after + 26 * (seen.end - seen.first), 260000);
  assert.deepEqual(history.windowOf([0], 0, 100), { first: 0, end: 0, before: 0, after: 0 });
});

test("the heading says what the changes are of", () => {
  assert.equal(headed({ compared: [4, 8] })[0], "Checkpoint 4 → 8");
  assert.equal(headed({ changed_in: 2 })[0], "Changed in step 2");
  assert.equal(headed({ changed_in: 0, kind: "edit" })[0], "Set by the edit");
  assert.equal(headed({ changed_in: 0 })[0], "Changes");
});

test("threads stand in groups, and each says how many there are", () => {
  const rows = ["a", "b", "c"].map((thread) => ({ thread }));
  const groups = [{ name: "waiting", count: 5, shown: 1, causes: 0, oldest: 100 }, { name: "failed", count: 2, shown: 2, causes: 1, oldest: 0 }];
  assert.deepEqual(table.grouped({ groups, rows }).map(([group, own]) => [group.name, own.map((row) => row.thread)]), [["waiting", ["a"]], ["failed", ["b", "c"]]]);
  assert.equal(table.told(groups[0], 100 + 7200), "5, the oldest since 2 h ago, 1 shown");
  assert.equal(table.told(groups[1], 0), "2, one cause");
  assert.deepEqual(table.filters({ all: 3, counts: { waiting: 2, failed: 0, done: 1 } }).map(([, word, count]) => `${word} ${count}`), ["All 3", "Needs you 2", "Done 1"]);
});

test("a row's picture joins the lanes that end in it", () => {
  const rows = [{ id: 5, parent: 2 }, { id: 4, parent: 3 }, { id: 3, parent: 2 }, { id: 2, parent: 1 }];
  const found = history.lines(rows, lanes(rows));
  assert.deepEqual(found.get(5), { path: ["M8 13V26"], x: 8 });
  assert.deepEqual(found.get(3).path, ["M8 0V26", "M22 0V13", "M22 13V26"]);
  assert.deepEqual(found.get(2).path, ["M8 0V13", "M22 0C22 13 8 4 8 13"]);
});

const COLUMNS = [
  ["name", { type: "string" }],
  ["age", { anyOf: [{ type: "integer" }, { type: "null" }] }],
  ["sure", { type: "boolean" }],
  ["kind", { enum: ["low", "High"] }],
];
const ROWS = [{ name: "Ada, L.", age: 36, sure: true, kind: "High" }, { name: 'Bo "B"', age: null, sure: false, kind: "low" }];

for (const [what, text] of Object.entries({
  "CSV with a head": 'name,age,sure,kind\n"Ada, L.",36,yes,high\n"Bo ""B""",,no,LOW\n',
  "CSV in another order and case": 'Kind;Sure;NAME;Age\r\nHigh;true;Ada, L.;36\r\nlow;false;"Bo ""B""";\r\n',
  "cells of a spreadsheet": "Ada, L.\t36\tx\tHigh\nBo \"B\"\t\t0\tlow",
  "a list of objects": JSON.stringify(ROWS),
  "a list of lists": JSON.stringify(ROWS.map((row) => Object.values(row))),
  "an object that holds the list": JSON.stringify({ rows: ROWS }),
  "an object a line": ROWS.map((row) => JSON.stringify(row)).join("\n"),
})) {
  test(`rows are pasted from ${what}`, () => assert.deepEqual(paste.pasted(text, COLUMNS, {}), { rows: ROWS, left: [], problem: "" }));
}

test("what cannot be pasted is said, and a line break in a cell is one", () => {
  assert.deepEqual(paste.pasted('name,hat\n"a\nb",red', COLUMNS, {}), { rows: [{ name: "a\nb" }], left: ["hat"], problem: "" });
  assert.match(paste.pasted("[1,", COLUMNS, {}).problem, /no JSON/);
  assert.match(paste.pasted("[1, 2]", COLUMNS, {}).problem, /is to be an object/);
  assert.match(paste.pasted('[{"age": 9007199254740993}]', COLUMNS, {}).problem, /more digits/);
  assert.match(paste.pasted("a,1,x,low,more", COLUMNS, {}).problem, /more than the 4 columns/);
  assert.equal(paste.pasted("name,age\nAda,many", COLUMNS, {}).rows[0].age, "many");
  assert.deepEqual(paste.pasted("a,b\n1,2", [], {}).rows, [{ a: "1", b: "2" }]);
});

test("a hint says what a value is for and its bounds; a flaw what is plainly wrong", () => {
  assert.equal(form.hint({ description: "How many.", minimum: 1, maximum: 10 }), "How many. · 1 to 10");
  assert.equal(form.hint({ exclusiveMinimum: 0, multipleOf: 5 }), "above 0 · a multiple of 5");
  assert.equal(form.hint({ minLength: 2, maxLength: 2 }), "2 characters");
  assert.equal(form.flaw({ minimum: 1, maximum: 10 }, 12), "Not above 10");
  assert.equal(form.flaw({ minLength: 1 }, ""), "Needed");
  assert.equal(form.flaw({ maxLength: 2 }, "😀😀"), "");
});

test("a list of flat dicts has the columns of its rows", () => {
  const rows = [{ role: "user", n: 1 }, { role: "bot", constructor: null }];
  assert.deepEqual(form.columnsOf({ type: "object", additionalProperties: true }, rows, {}), [
    ["role", { type: "string" }], ["n", { type: "integer" }], ["constructor", { type: "string" }],
  ]);
  assert.deepEqual(form.columnsOf({}, [{ deep: {} }], {}), []);
  assert.deepEqual(form.columnsOf({ type: "string" }, ["a"], {}), []);
});

test("a result belongs to the call before it, also where an id comes again", () => {
  const call = (id) => ({ role: "assistant", calls: [{ id, name: "f", args: [] }] });
  const result = (of) => ({ role: "tool", of, calls: [] });
  const messages = [call("a"), result("a"), call("a"), result("b"), result("a"), result("a")];
  const found = resultsOf(messages);
  assert.equal(found.get(messages[0].calls[0]), messages[1]);
  assert.equal(found.get(messages[2].calls[0]), messages[4]);
  assert.equal(found.size, 2);
});
