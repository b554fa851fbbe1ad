// The pure parts of the widgets' JavaScript, in Node's own test runner.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

/** A widget's file, imported as the page does: as text, with no neighbours. */
async function widget(name) {
  const url = new URL(`../../nbagent/notebook/static/${name}`, import.meta.url);
  const text = await readFile(url, "utf8");
  assert.ok(text.length < 60_000, `${name} is ${text.length} bytes: every view on a page carries it`);
  return import(`data:text/javascript;base64,${Buffer.from(text).toString("base64")}`);
}

const form = await widget("state_form.js");
const view = await widget("run_view.js");

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
  assert.deepEqual([0.04, 59.9, 61, 3700].map(view.clock), ["0.0 s", "59.9 s", "1 min 1 s", "1 h 1 min"]);
  assert.equal(view.clock(NaN), "");
});
