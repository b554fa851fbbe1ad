// Rows that were pasted, as JSON or as CSV. Nothing here touches a page.
//
// Rule 1: a text becomes what its column holds where it plainly is that; else it stays as it is, and
//         the kernel says what is wrong with it.
// @ts-check
import { inexact, isObject, own, resolve, unwrapNull } from "./schema.js";

/** @typedef {import("./schema.js").Json} Json */
/** @typedef {import("./schema.js").JsonObject} JsonObject */
/** @typedef {import("./schema.js").Schema} Schema */
/** @typedef {import("./schema.js").Defs} Defs */

/**
 * @param {string} text @param {Array<[string, Schema]>} columns none: those of the text are taken @param {Defs} defs
 * @returns {{rows: JsonObject[], left: string[], problem: string}} `left`: columns that there are none for
 */
export function pasted(text, columns, defs) {
  const trimmed = text.trim();
  if (!trimmed) return { rows: [], left: [], problem: "Nothing was pasted." };
  const isJson = /^[[{]/.test(trimmed);
  const found = isJson ? fromJson(trimmed) : null;
  if (found && typeof found === "string") return { rows: [], left: [], problem: found };
  return found && typeof found !== "string" ? named(found, columns) : fromCsv(trimmed, columns, defs);
}

/** @param {string} text @returns {Json[] | string} */
function fromJson(text) {
  if (inexact(text)) return `${inexact(text)} has more digits than a browser keeps: set it in code`;
  try {
    const read = JSON.parse(text);
    if (Array.isArray(read)) return read;
    const inner = isObject(read) ? Object.values(read) : [];
    return inner.length === 1 && Array.isArray(inner[0]) ? inner[0] : [read];
  } catch (error) {
    try {
      return text.split("\n").filter((line) => line.trim()).map((line) => JSON.parse(line));
    } catch {
      return `This is no JSON: ${/** @type {Error} */ (error).message}`;
    }
  }
}

/** @param {Json[]} rows @param {Array<[string, Schema]>} columns */
function named(rows, columns) {
  const names = columns.map(([name]) => name);
  /** @type {Set<string>} */
  const left = new Set();
  const made = rows.map((row) => {
    if (Array.isArray(row)) return Object.fromEntries(row.slice(0, names.length).map((value, place) => [names[place], value]));
    if (!isObject(row)) return null;
    const entries = Object.entries(row).filter(([name]) => !names.length || names.includes(name) || void left.add(name));
    return Object.fromEntries(entries);
  });
  if (made.some((row) => row === null)) return { rows: [], left: [], problem: "Each row is to be an object, or a list of values in the order of the columns." };
  return { rows: /** @type {JsonObject[]} */ (made), left: [...left], problem: "" };
}

/** @param {string} text @param {Array<[string, Schema]>} columns @param {Defs} defs */
function fromCsv(text, columns, defs) {
  const first = text.split("\n", 1)[0];
  const sign = first.includes("\t") ? "\t" : count(first, ";") > count(first, ",") ? ";" : ",";
  const lines = cells(text, sign);
  const known = new Map(columns.map(([name]) => [name.trim().toLowerCase(), name]));
  const head = lines[0].map((cell) => known.get(cell.trim().toLowerCase()));
  const hasHead = !columns.length || head.filter(Boolean).length * 2 >= lines[0].length;
  const names = !columns.length ? lines[0] : hasHead ? head : columns.map(([name]) => name);
  const left = hasHead && columns.length ? lines[0].filter((_, place) => !head[place]) : [];
  const schemas = new Map(columns);
  const rows = lines.slice(hasHead ? 1 : 0).map((line) => {
    const entries = line.map((cell, place) => /** @type {[string | undefined, string]} */ ([names[place], cell])).filter(([name]) => name !== undefined);
    return Object.fromEntries(entries.map(([name, cell]) => [String(name), typed(cell, schemas.get(String(name)), defs)]));
  });
  const tooMany = !hasHead && lines.some((line) => line.length > columns.length);
  return { rows, left, problem: tooMany ? `A row has more than the ${columns.length} columns that there are.` : "" };
}

/** @param {string} text @param {string} sign */
function count(text, sign) {
  return text.split(sign).length;
}

/** The cells of a CSV text, line by line. @param {string} text @param {string} sign between two cells @returns {string[][]} */
export function cells(text, sign) {
  /** @type {string[][]} */
  const lines = [[""]];
  let isQuoted = false;
  for (let at = 0; at < text.length; at++) {
    const line = lines[lines.length - 1];
    const one = text[at];
    if (isQuoted) {
      if (one === '"' && text[at + 1] === '"') line[line.length - 1] += text[++at];
      else if (one === '"') isQuoted = false;
      else line[line.length - 1] += one;
    } else if (one === '"' && line[line.length - 1] === "") isQuoted = true;
    else if (one === sign) line.push("");
    else if (one === "\n") lines.push([""]);
    else if (one !== "\r") line[line.length - 1] += one;
  }
  return lines.filter((line) => line.length > 1 || line[0] !== "");
}

/** A text as what a column holds. @param {string} text @param {Schema | undefined} raw @param {Defs} defs @returns {Json} */
export function typed(text, raw, defs) {
  const { schema, nullable } = unwrapNull(resolve(raw, defs), defs);
  const word = text.trim();
  if (nullable && !word) return null;
  if (schema.enum) return schema.enum.find((option) => String(option).toLowerCase() === word.toLowerCase()) ?? text;
  if (schema.type === "boolean") return own(WORDS, word.toLowerCase()) ?? text;
  if (schema.type === "integer" || schema.type === "number") {
    const plain = /^-?\d+,\d+$/.test(word) ? word.replace(",", ".") : word;
    return word && Number.isFinite(Number(plain)) && !(schema.type === "integer" && inexact(plain)) ? Number(plain) : text;
  }
  return text;
}

/** @type {Record<string, boolean>} */
const WORDS = { true: true, yes: true, y: true, 1: true, x: true, false: false, no: false, n: false, 0: false, "": false };
