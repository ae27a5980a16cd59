/**
 * Finds functions and their length in lines, for the limit on function length.
 *
 * Works on code whose types are stripped: a brace after `)` or `=>` then opens a function body,
 * unless a control word stands before the parenthesis. No parser, and none needed for that.
 */

import type { SourceText } from "./source-text.ts";

export interface FunctionSpan {
  /** Line, from 1, where the head begins. */
  readonly line: number;
  /** From head to closing brace. */
  readonly lines: number;
}

const CONTROL_WORDS: ReadonlySet<string> = new Set([
  "if",
  "for",
  "await",
  "while",
  "switch",
  "catch",
  "with",
]);
/** More than any of them has, so that the end of a longer word is none. */
const CONTROL_WORD_END_LENGTH = 8;

export function functionSpans(source: SourceText): FunctionSpan[] {
  const stripped = source.withoutTypes();
  if ("error" in stripped) {
    return [];
  }
  const { code } = stripped;
  const spans: FunctionSpan[] = [];
  const openBraces: number[] = [];
  for (const { 0: brace, index } of code.matchAll(/[{}]/g)) {
    if (brace === "{") {
      openBraces.push(index);
      continue;
    }
    const open = openBraces.pop();
    const head = open === undefined ? undefined : headOf(code, open);
    if (head !== undefined && !isSuite(source, code, head)) {
      const line = source.lineAt(head);
      spans.push({ line, lines: source.lineAt(index) - line + 1 });
    }
  }
  return spans;
}

/** Offset where the head of the function begins whose body opens at `brace`, if it is one. */
function headOf(code: string, brace: number): number | undefined {
  const before = code.slice(0, brace).trimEnd();
  if (before.endsWith("=>")) {
    const parameters = before.slice(0, -2).trimEnd();
    return parameters.endsWith(")") ? openingOf(parameters) : parameters.length - 1;
  }
  if (!before.endsWith(")")) {
    return undefined;
  }
  const open = openingOf(before);
  // Of its end only: a search for the end of a long text tries each place in it.
  const end = code.slice(0, open).trimEnd().slice(-CONTROL_WORD_END_LENGTH);
  const word = /[\w$#]*$/.exec(end)?.[0] ?? "";
  return CONTROL_WORDS.has(word) ? undefined : open;
}

/** Offset of the parenthesis that belongs to the one at the end of `text`. */
function openingOf(text: string): number {
  let depth = 0;
  for (let at = text.length - 1; at >= 0; at -= 1) {
    const char = text[at];
    depth += char === ")" ? 1 : char === "(" ? -1 : 0;
    if (depth === 0) {
      return at;
    }
  }
  return 0;
}

/** The callback of a describe() only groups tests: those are measured one by one. */
function isSuite(source: SourceText, code: string, head: number): boolean {
  const lineStart = code.lastIndexOf("\n", head) + 1;
  return source.isTest && /^\s*(?:describe|suite)\(/.test(code.slice(lineStart, head));
}
