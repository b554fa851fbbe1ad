// The page's types say what they are: `any` switches the checker off, and is counted.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";

const PAGE = new URL("../../nbagent/notebook/page/", import.meta.url);
const MOST = 20;

/** The types of a file's JSDoc comments: what stands in the braces after a tag. @param {string} text */
function types(text) {
  const found = [];
  for (const [comment] of text.matchAll(/\/\*\*[^]*?\*\//g)) {
    for (const tag of comment.matchAll(/@(?:type|param|returns?|typedef|template|satisfies|property)\s*\{/g)) {
      let depth = 1;
      let end = tag.index + tag[0].length;
      for (const start = end; depth && end < comment.length; end++) {
        depth += { "{": 1, "}": -1 }[comment[end]] ?? 0;
        if (!depth) found.push(comment.slice(start, end));
      }
    }
  }
  return found;
}

test("types are found where they stand", () => {
  const text = "/** Any one. @param {any} a @param {{b: Array<any>, c: {d: any}}} e */ /**\n * @type {Map<string, any>}\n */ // any";
  assert.deepEqual(types(text).map((type) => type.match(/\bany\b/g)?.length), [1, 2, 1]);
});

test("fewer than twenty types are any", async () => {
  const names = (await readdir(PAGE, { recursive: true })).filter((name) => name.endsWith(".js"));
  assert.ok(names.length > 15);
  const counted = await Promise.all(names.map(async (name) => {
    const text = await readFile(new URL(name, PAGE), "utf-8");
    assert.match(text, /^\/\/ @ts-check$/m, `${name} is not checked`);
    assert.doesNotMatch(text, /@ts-(?:ignore|expect-error|nocheck)/, name);
    return { name, count: types(text).flatMap((type) => type.match(/\bany\b/g) ?? []).length };
  }));
  const sum = counted.reduce((all, one) => all + one.count, 0);
  assert.ok(sum < MOST, JSON.stringify(counted.filter((one) => one.count)));
});
