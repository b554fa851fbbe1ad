// A text with the few marks of Markdown that models write, as elements. Never HTML.
//
// Rule 1: only textContent is set; a link is shown as its words and its address, and leads nowhere.
// @ts-check
import { el } from "./dom.js";

const MOST = 400; // blocks of one text; the rest is one more, as it is
const INLINE = /(\*\*[^*\n]+\*\*|`[^`\n]+`)/;

/** @param {string} text @returns {HTMLElement} */
export function prose(text) {
  const node = el("div", "nba-prose");
  const blocks = text.split(/\n{2,}|\n(?=#{1,6} |```)|(?<=\n#{1,6} [^\n]*)\n/);
  let code = "";
  for (const [place, block] of blocks.entries()) {
    if (place >= MOST) {
      node.append(el("pre", "nba-mono", blocks.slice(place).join("\n\n")));
      break;
    }
    if (code || block.startsWith("```")) {
      code += (code ? "\n\n" : "") + block;
      if ((code.match(/```/g) ?? []).length < 2 && place < blocks.length - 1) continue;
      node.append(el("pre", "nba-mono", code.replace(/^```[^\n]*\n?|\n?```\s*$/g, "")));
      code = "";
    } else if (block.trim()) node.append(blockOf(block.trim()));
  }
  return node;
}

/** @param {string} block */
function blockOf(block) {
  const heading = /^(#{1,6}) +(.*)$/.exec(block);
  if (heading) {
    const made = el("p");
    made.append(el("b", "", heading[2]));
    return made;
  }
  const lines = block.split("\n");
  const kind = lines.every((line) => /^\s*[-*•] /.test(line)) ? "ul" : lines.every((line) => /^\s*\d+[.)] /.test(line)) ? "ol" : "";
  if (kind === "ul" || kind === "ol") {
    const list = el(kind);
    for (const line of lines) list.append(inline(el("li"), line.replace(/^\s*(?:[-*•]|\d+[.)]) /, "")));
    return list;
  }
  return inline(el("p"), block);
}

/** @template {HTMLElement} E @param {E} into @param {string} text */
function inline(into, text) {
  for (const part of text.split(INLINE)) {
    if (part.startsWith("**") && part.endsWith("**") && part.length > 4) into.append(el("b", "", part.slice(2, -2)));
    else if (part.startsWith("`") && part.endsWith("`") && part.length > 2) into.append(el("code", "", part.slice(1, -1)));
    else if (part) into.append(el("span", "", part));
  }
  return into;
}
