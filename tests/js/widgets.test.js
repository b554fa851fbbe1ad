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

const form = { ...(await file("form/schema")), ...(await file("form/state_form")) };
const view = { ...(await file("view/run_view")), ...(await file("dom")) };
const { axis, nested } = await file("view/timeline");
const { lanes } = await file("view/history");
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
  assert.deepEqual(form.moved({ a: 1, b: 2 }, { a: 3, b: 4 }, { b: 4 }), [["a", 1, 3]]);
});
