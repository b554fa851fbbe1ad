// JSON Schemas and JSON values, as a form needs them. Nothing here touches a page.
// @ts-check

/** The schema behind a `$ref`, and one level of a lone `allOf`. @param {any} schema @param {any} defs @returns {any} */
export function resolve(schema, defs) {
  for (let hops = 0; schema && schema.$ref && hops < 20; hops++) {
    const name = schema.$ref.split("/").pop();
    const { $ref, ...rest } = schema;
    schema = { ...(defs[name] || {}), ...rest };
  }
  return schema && schema.allOf && schema.allOf.length === 1
    ? { ...resolve(schema.allOf[0], defs), ...schema, allOf: undefined }
    : schema || {};
}

/** `anyOf: [X, null]` as X and a flag. @param {any} schema @param {any} defs */
export function unwrapNull(schema, defs) {
  const choices = schema.anyOf;
  if (Array.isArray(choices) && choices.length === 2) {
    const rest = choices.filter((one) => one.type !== "null");
    if (rest.length === 1) return { schema: resolve({ ...rest[0], title: schema.title }, defs), nullable: true };
  }
  return { schema, nullable: false };
}

/** A first value for a schema: what a new row of a list holds. @param {any} raw @param {any} defs @returns {any} */
export function blank(raw, defs) {
  const schema = resolve(raw, defs);
  if ("default" in schema) return schema.default;
  if ("const" in schema) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.type === "object") {
    const made = /** @type {Record<string, any>} */ ({});
    for (const [name, inner] of Object.entries(schema.properties || {})) made[name] = blank(inner, defs);
    return made;
  }
  return { string: "", integer: 0, number: 0, boolean: false, array: [] }[/** @type {string} */ (schema.type)] ?? null;
}

/** Same JSON? @param {any} a @param {any} b */
export function equal(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** One line for a value. @param {any} value */
export function brief(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text === undefined ? "nothing" : text.length > 90 ? `${text.slice(0, 87)}…` : text || "(empty)";
}

/**
 * What differs, leaf by leaf: `[path, before, after]`, with undefined for what is not there.
 * @param {any} a @param {any} b @param {string} path @returns {Array<[string, any, any]>}
 */
export function differences(a, b, path) {
  if (equal(a, b)) return [];
  const both = a && b && typeof a === "object" && typeof b === "object" && Array.isArray(a) === Array.isArray(b);
  if (!both) return [[path, a, b]];
  if (Array.isArray(a) && a.length !== b.length) {
    const gone = a.filter((one) => !b.some((/** @type {any} */ other) => equal(one, other)));
    const come = b.filter((/** @type {any} */ one) => !a.some((other) => equal(one, other)));
    return [
      ...gone.map((one) => /** @type {[string, any, any]} */ ([path, one, undefined])),
      ...come.map((/** @type {any} */ one) => /** @type {[string, any, any]} */ ([path, undefined, one])),
    ];
  }
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return keys.flatMap((key) => differences(a[key], b[key], Array.isArray(a) ? `${path}[${key}]` : `${path}.${key}`));
}

/** Where JSON.parse stumbled, in words. @param {string} text @returns {string} "" when it parses */
export function jsonProblem(text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    const said = String(/** @type {Error} */ (error).message);
    const at = /position (\d+)/.exec(said);
    if (!at) return said;
    const before = text.slice(0, Number(at[1])).split("\n");
    return `line ${before.length}, column ${before[before.length - 1].length + 1}: ${said.split(" in JSON")[0]}`;
  }
}

/** Is every property one plain value, so that a list of them is a grid? @param {any} raw @param {any} defs */
export function isFlat(raw, defs) {
  const schema = resolve(raw, defs);
  if (schema.type !== "object" || !schema.properties) return false;
  return Object.values(schema.properties).every((inner) => {
    const { schema: one } = unwrapNull(resolve(inner, defs), defs);
    return one.enum || ["string", "integer", "number", "boolean"].includes(one.type);
  });
}

/** The types that a union offers. @param {any} schema @returns {any[]} */
export function choices(schema) {
  return schema.anyOf || schema.oneOf || [];
}

/** Which of the types a value has: the first that its shape fits, or -1. @param {any} value @param {any[]} options @param {any} defs */
export function fitting(value, options, defs) {
  return options.findIndex((raw) => {
    const one = resolve(raw, defs);
    if ("const" in one) return equal(one.const, value);
    if (one.enum) return one.enum.some((/** @type {any} */ option) => equal(option, value));
    if (value === null || value === undefined) return one.type === "null";
    if (Array.isArray(value)) return one.type === "array";
    if (typeof value === "object") {
      if (one.type !== "object") return false;
      const known = one.properties || {};
      const marks = Object.entries(known).filter(([, inner]) => "const" in resolve(inner, defs));
      if (marks.some(([name, inner]) => !equal(resolve(inner, defs).const, value[name]))) return false;
      return (one.required || []).every((/** @type {string} */ name) => name in value);
    }
    if (typeof value === "number") return one.type === "number" || (one.type === "integer" && Number.isInteger(value));
    return one.type === typeof value;
  });
}

/** The cells of an edited table, as the kernel takes them; anything else as it is. @param {any} value */
export function sent(value) {
  return value && typeof value === "object" && value.$table ? { $cells: Object.values(value.$cells || {}) } : value;
}

/** What differs, for people: a table by its cells. @param {any} a @param {any} b @param {string} path @returns {Array<[string, any, any]>} */
export function told(a, b, path) {
  if (!b || typeof b !== "object" || !b.$table) return differences(a, b, path);
  const { index, columns, rows } = b.$table;
  return Object.values(b.$cells || {}).map(([row, column, text]) => [`${path}[${index[row]}, ${columns[column]}]`, rows[row][column], text]);
}

/** An edited table with its cells put in; anything else as it is. @param {any} value */
export function applied(value) {
  if (!value || typeof value !== "object" || !value.$cells) return value;
  const rows = value.$table.rows.map((/** @type {string[]} */ row) => [...row]);
  for (const [row, column, text] of Object.values(value.$cells)) if (rows[row]) rows[row][column] = text;
  return { $table: { ...value.$table, rows } };
}

/** What was typed, on top of the state as it is now: undefined where that has it already. @param {any} typed @param {any} now */
export function rebased(typed, now) {
  if (!typed || typeof typed !== "object" || !typed.$cells || !now || !now.$table) return equal(typed, now) ? undefined : typed;
  const cells = Object.entries(typed.$cells).filter(([, [row, column, text]]) => {
    const line = now.$table.rows[row];
    return line && column < line.length && line[column] !== text;
  });
  return cells.length ? { $table: now.$table, $cells: Object.fromEntries(cells) } : undefined;
}
