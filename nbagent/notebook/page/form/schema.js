// JSON Schemas and JSON values, as a form needs them. Nothing here touches a page.
//
// Rule 1: a name may be any text ("constructor", "__proto__"): objects are read by `own` alone, and
//         made by `Object.fromEntries`.
// @ts-check
import { plain } from "../dom.js";

/** @typedef {{[name: string]: Json}} JsonObject */
/** @typedef {Json[]} JsonList */
/** @typedef {null | boolean | number | string | JsonList | JsonObject} Json */
/** @typedef {Json | undefined} Maybe a value, or undefined where there is none */
/** @typedef {[string, Maybe, Maybe]} Difference its path, what was there, and what is there */
/** @typedef {Record<string, Schema>} Defs */
/**
 * @typedef {{
 *   $ref?: string, $defs?: Defs, allOf?: Schema[], anyOf?: Schema[], oneOf?: Schema[], type?: string, title?: string, format?: string,
 *   enum?: Json[], const?: Json, default?: Json, properties?: Record<string, Schema>, required?: string[], items?: Schema, prefixItems?: Schema[],
 *   additionalProperties?: boolean | Schema, readOnly?: boolean, minimum?: number, maximum?: number, exclusiveMinimum?: number,
 *   exclusiveMaximum?: number, multipleOf?: number, minLength?: number, maxLength?: number, pattern?: string, minItems?: number, maxItems?: number,
 *   description?: string,
 * }} Schema
 */
/** @typedef {[number, number, string]} CellEdit row, column, text */
/** @typedef {{columns: string[], types: string[], index: string[], rows: string[][], total: [number, number]}} Table */
/** @typedef {{$table: Table, $cells?: Record<string, CellEdit>}} Sheet a table's first rows, and the cells that were changed */

/** What an object holds under a name; undefined also for what only its prototype has. @template T @param {{[name: string]: T} | undefined} object @param {string} name @returns {T | undefined} */
export function own(object, name) {
  return object && Object.hasOwn(object, name) ? object[name] : undefined;
}

/** Is it a JSON object? @param {unknown} value @returns {value is JsonObject} */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Is it a table, as the kernel sends one? @param {unknown} value @returns {value is Sheet} */
export function isSheet(value) {
  if (!isObject(value)) return false;
  const table = own(value, "$table");
  return isObject(table) && Array.isArray(own(table, "rows"));
}

/** The schema behind a `$ref`, and one level of a lone `allOf`. @param {Schema | undefined} schema @param {Defs} defs @returns {Schema} */
export function resolve(schema, defs) {
  for (let hops = 0; schema && schema.$ref && hops < 20; hops++) {
    const name = schema.$ref.split("/").pop() || "";
    const { $ref, ...rest } = schema;
    schema = { ...own(defs, name), ...rest };
  }
  return schema && schema.allOf && schema.allOf.length === 1
    ? { ...resolve(schema.allOf[0], defs), ...schema, allOf: undefined }
    : schema || {};
}

/** `anyOf: [X, null]` as X and a flag. @param {Schema} schema @param {Defs} defs */
export function unwrapNull(schema, defs) {
  const choices = schema.anyOf;
  if (Array.isArray(choices) && choices.length === 2) {
    const rest = choices.filter((one) => one.type !== "null");
    if (rest.length === 1) return { schema: resolve({ ...rest[0], title: schema.title }, defs), nullable: true };
  }
  return { schema, nullable: false };
}

/** A first value for a schema: what a new row of a list holds. @param {Schema | undefined} raw @param {Defs} defs @returns {Json} */
export function blank(raw, defs) {
  const schema = resolve(raw, defs);
  if (schema.default !== undefined) return schema.default;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.type === "object") return Object.fromEntries(Object.entries(schema.properties || {}).map(([name, inner]) => [name, blank(inner, defs)]));
  if (schema.type === "array") return [];
  if (schema.type === "string") return "";
  if (schema.type === "boolean") return false;
  return schema.type === "integer" || schema.type === "number" ? 0 : null;
}

/**
 * What an object begins with that nobody has filled in yet: nothing is chosen in it that a person
 * has not chosen. @param {Schema | undefined} raw @param {Defs} defs @returns {Json}
 */
export function unset(raw, defs) {
  const schema = resolve(raw, defs);
  if (schema.default !== undefined || schema.type !== "object") return blank(schema, defs);
  const open = Object.entries(schema.properties || {}).filter(([, inner]) => {
    const one = resolve(inner, defs);
    return one.default !== undefined || (one.type !== "boolean" && !one.enum && !choices(one).length);
  });
  return Object.fromEntries(open.map(([name, inner]) => [name, unset(inner, defs)]));
}

/** The property that a refusal says is missing; "" where it says something else. @param {string} message */
export function missing(message) {
  return /^'(.*)' is a required property$/.exec(message)?.[1] ?? "";
}

/** Same JSON? @param {unknown} a @param {unknown} b */
export function equal(a, b) {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** One line for a value. @param {unknown} value */
export function brief(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text === undefined ? "nothing" : text.length > 90 ? `${plain(text.slice(0, 87))}…` : plain(text) || "(empty)";
}

/**
 * What differs, leaf by leaf.
 * @param {Maybe} a @param {Maybe} b @param {string} path @returns {Difference[]}
 */
export function differences(a, b, path) {
  if (equal(a, b)) return [];
  if (Array.isArray(a) && Array.isArray(b)) {
    if (a.length === b.length) return a.flatMap((one, place) => differences(one, b[place], `${path}[${place}]`));
    const gone = a.filter((one) => !b.some((other) => equal(one, other)));
    const come = b.filter((one) => !a.some((other) => equal(one, other)));
    return [
      ...gone.map((one) => /** @type {Difference} */ ([path, one, undefined])),
      ...come.map((one) => /** @type {Difference} */ ([path, undefined, one])),
    ];
  }
  if (!isObject(a) || !isObject(b)) return [[path, a, b]];
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return keys.flatMap((key) => differences(own(a, key), own(b, key), `${path}.${key}`));
}

/** A whole number of a JSON text that a browser would change, as it is written; "" where there is none. @param {string} text */
export function inexact(text) {
  const numbers = text.replace(/"(?:[^"\\]|\\.)*"/g, '""').match(/(?<![\d.eE+-])-?\d+(?![\d.eE])/g) || [];
  return numbers.find((one) => !Number.isSafeInteger(Number(one))) || "";
}

/** What is wrong with a number that a browser cannot hold. @param {string} text */
export function tooLarge(text) {
  return `${text} has more digits than a browser keeps: set it in code`;
}

/** Where JSON.parse stumbled, in words. @param {string} text @returns {string} "" when it parses */
export function jsonProblem(text) {
  try {
    JSON.parse(text);
    return inexact(text) && tooLarge(inexact(text));
  } catch (error) {
    const said = String(/** @type {Error} */ (error).message);
    const at = /position (\d+)/.exec(said);
    if (!at) return said;
    const before = text.slice(0, Number(at[1])).split("\n");
    return `line ${before.length}, column ${before[before.length - 1].length + 1}: ${said.split(" in JSON")[0]}`;
  }
}

/** Is every property one plain value, so that a list of them is a grid? @param {Schema | undefined} raw @param {Defs} defs */
export function isFlat(raw, defs) {
  const schema = resolve(raw, defs);
  if (schema.type !== "object" || !schema.properties) return false;
  return Object.values(schema.properties).every((inner) => {
    const { schema: one } = unwrapNull(resolve(inner, defs), defs);
    return one.enum || ["string", "integer", "number", "boolean"].includes(one.type || "");
  });
}

/** The types that a union offers. @param {Schema} schema @returns {Schema[]} */
export function choices(schema) {
  return schema.anyOf || schema.oneOf || [];
}

/** Which of the types a value has: the first that its shape fits, or -1. @param {Maybe} value @param {Schema[]} options @param {Defs} defs */
export function fitting(value, options, defs) {
  return options.findIndex((raw) => {
    const one = resolve(raw, defs);
    if (one.const !== undefined) return equal(one.const, value);
    if (one.enum) return one.enum.some((option) => equal(option, value));
    if (value === null || value === undefined) return one.type === "null";
    if (Array.isArray(value)) return one.type === "array";
    if (isObject(value)) {
      if (one.type !== "object") return false;
      const marks = Object.entries(one.properties || {}).map(([name, inner]) => [name, resolve(inner, defs).const]);
      if (marks.some(([name, mark]) => mark !== undefined && !equal(mark, own(value, String(name))))) return false;
      return (one.required || []).every((name) => Object.hasOwn(value, name));
    }
    if (typeof value === "number") return one.type === "number" || (one.type === "integer" && Number.isInteger(value));
    return one.type === typeof value;
  });
}

/** The cells of an edited table, as the kernel takes them; anything else as it is. @param {Maybe} value */
export function sent(value) {
  return isSheet(value) ? { $cells: Object.values(value.$cells || {}) } : value;
}

/** What differs, for people: a table by its cells. @param {Maybe} a @param {Maybe} b @param {string} path @returns {Difference[]} */
export function told(a, b, path) {
  if (!isSheet(b)) return differences(a, b, path);
  const { index, columns, rows } = b.$table;
  return Object.values(b.$cells || {}).map(([row, column, text]) => [`${path}[${index[row]}, ${columns[column]}]`, rows[row][column], text]);
}

/** An edited table with its cells put in; anything else as it is. @param {Maybe} value */
export function applied(value) {
  if (!isSheet(value) || !value.$cells) return value;
  const rows = value.$table.rows.map((row) => [...row]);
  for (const [row, column, text] of Object.values(value.$cells)) if (rows[row]) rows[row][column] = text;
  return { $table: { ...value.$table, rows } };
}

/** What was typed, on top of the state as it is now: undefined where that has it already. @param {Maybe} typed @param {Maybe} now @returns {Maybe} */
export function rebased(typed, now) {
  if (!isSheet(typed) || !isSheet(now)) return equal(typed, now) ? undefined : typed;
  if (!typed.$cells) return undefined;
  const cells = Object.entries(typed.$cells).filter(([, [row, column, text]]) => {
    const line = now.$table.rows[row];
    return line && column < line.length && line[column] !== text;
  });
  return cells.length ? /** @type {Json} */ (/** @type {unknown} */ ({ $table: now.$table, $cells: Object.fromEntries(cells) })) : undefined;
}

/** What a schema says of its values, for people: what it is for, and its bounds. @param {Schema} schema */
export function hint(schema) {
  const { description = "", minimum: low, maximum: high, exclusiveMinimum: above, exclusiveMaximum: below } = schema;
  const said = [description.trim()];
  if (low !== undefined && high !== undefined) said.push(`${low} to ${high}`);
  else if (low !== undefined) said.push(`at least ${low}`);
  else if (high !== undefined) said.push(`at most ${high}`);
  if (above !== undefined) said.push(`above ${above}`);
  if (below !== undefined) said.push(`below ${below}`);
  if (schema.multipleOf !== undefined && schema.multipleOf !== 1) said.push(`a multiple of ${schema.multipleOf}`);
  said.push(sized(schema.minLength, schema.maxLength, "character"), sized(schema.minItems, schema.maxItems, "entry"));
  if (schema.pattern && schema.pattern.length < 60) said.push(`of the form ${schema.pattern}`);
  return said.filter(Boolean).join(" · ");
}

/** @param {number | undefined} low @param {number | undefined} high @param {string} what */
function sized(low, high, what) {
  const many = what === "entry" ? "entries" : `${what}s`;
  if (low && high !== undefined) return low === high ? `${low} ${low === 1 ? what : many}` : `${low} to ${high} ${many}`;
  if (high !== undefined) return `at most ${high} ${high === 1 ? what : many}`;
  return low && low > 1 ? `at least ${low} ${many}` : "";
}

/** What is plainly wrong with a value, "" for nothing; the kernel knows the rest. @param {Schema} schema @param {number | string} value */
export function flaw(schema, value) {
  if (typeof value === "string") {
    const length = [...value].length;
    if (schema.maxLength !== undefined && length > schema.maxLength) return `${length} characters: at most ${schema.maxLength}`;
    if (schema.minLength !== undefined && length < schema.minLength) return schema.minLength === 1 ? "Needed" : `${length} characters: at least ${schema.minLength}`;
    return "";
  }
  if (schema.minimum !== undefined && value < schema.minimum) return `Not below ${schema.minimum}`;
  if (schema.maximum !== undefined && value > schema.maximum) return `Not above ${schema.maximum}`;
  if (schema.exclusiveMinimum !== undefined && value <= schema.exclusiveMinimum) return `Above ${schema.exclusiveMinimum}`;
  if (schema.exclusiveMaximum !== undefined && value >= schema.exclusiveMaximum) return `Below ${schema.exclusiveMaximum}`;
  return "";
}

/** The columns of a list of records: those that its schema names, or those that its rows have. @param {Schema | undefined} raw of a row @param {Json[]} rows @param {Defs} defs @returns {Array<[string, Schema]>} none where it is no list of records */
export function columnsOf(raw, rows, defs) {
  const schema = resolve(raw, defs);
  if (isFlat(raw, defs)) return Object.entries(schema.properties || {});
  const isOpen = (!schema.type || schema.type === "object") && !schema.properties && !schema.anyOf && !schema.oneOf && !schema.enum;
  if (!isOpen || !rows.length || !rows.every((row) => isObject(row) && !("$opaque" in row) && Object.values(row).every(isPlain))) return [];
  const names = [...new Set(rows.slice(0, 200).flatMap((row) => Object.keys(row ?? {})))];
  if (!names.length || names.length > 30) return [];
  const inner = typeof schema.additionalProperties === "object" ? schema.additionalProperties : {};
  return names.map((name) => [name, Object.keys(inner).length ? inner : seen(rows.map((row) => own(/** @type {JsonObject} */ (row), name)))]);
}

/** @param {Maybe} value */
function isPlain(value) {
  return value === null || typeof value !== "object";
}

/** A schema for values that have none: what all of them are. @param {Maybe[]} values @returns {Schema} */
export function seen(values) {
  const kinds = new Set(values.filter((one) => one !== undefined && one !== null).map((one) => (Number.isInteger(one) ? "integer" : typeof one)));
  if (kinds.has("number")) kinds.delete("integer");
  const [kind] = kinds;
  const isOne = kinds.size === 1 && ["string", "integer", "number", "boolean"].includes(kind);
  const one = isOne ? { type: kind } : kinds.size ? {} : { type: "string" };
  return values.includes(null) && isOne ? { anyOf: [one, { type: "null" }] } : one;
}
