/**
 * Which characters mean what in a pipe's text, and how the others are percent-encoded.
 *
 * Pure. The delimiters mean themselves everywhere, so that a text can be cut into tokens without
 * knowing where it stands; in a path or a value they are written as percent escapes.
 */

import { assert } from "../util/assert.ts";
import type { Span } from "./ast.ts";
import { GrammarError } from "./grammar-error.ts";

/** Means itself wherever it stands. */
export type Delimiter = "|" | "," | "(" | ")" | "?" | "&" | "#" | ";";

const DELIMITERS: ReadonlySet<string> = new Set<Delimiter>([
  "|",
  ",",
  "(",
  ")",
  "?",
  "&",
  "#",
  ";",
]);

/**
 * Characters that no text holds as they are: control and format characters, lone surrogates, and
 * every space but the plain ones. They are invisible or turn the text around on a screen, so a
 * pipe that holds them is not the one that its reader sees.
 */
const REFUSED = /[[\p{Cc}\p{Cf}\p{Cs}\p{Zs}\p{Zl}\p{Zp}]--[ \t\n\r]]/v;

/** Everything that a decoded path or value must not hold as it is when it becomes text. */
const ENCODED = /[\p{Cc}\p{Cf}\p{Zs}\p{Zl}\p{Zp}\|,\(\)?\&#;%]/gv;

const ESCAPE_RUN = /(?:%[0-9a-fA-F]{2})+/y;

const textEncoder = new TextEncoder();

export function isDelimiter(character: string): character is Delimiter {
  return DELIMITERS.has(character);
}

/** True for the white space that may stand around delimiters. */
export function isWhiteSpace(character: string): boolean {
  return character === " " || character === "\t" || character === "\n" || character === "\r";
}

/** Throws a GrammarError `bad-character` at the first character that no text may hold. */
export function checkCharacters(text: string): void {
  const match = REFUSED.exec(text);
  if (match === null) {
    return;
  }
  const [character] = match;
  const isEncodable = character.isWellFormed() && character !== "\0";
  throw new GrammarError({
    code: "bad-character",
    text,
    span: { offset: match.index, length: character.length },
    message:
      `found the character ${codePointName(character)}, expected visible text` +
      (isEncodable ? ` (write ${percentEncode(character)} for it in a path or a value)` : ""),
  });
}

/**
 * Writes a decoded path or value as text, each delimiter, white space and invisible character
 * escaped, and the characters of `also` as well. `decoded` must be well-formed Unicode.
 */
export function percentEncode(decoded: string, also = ""): string {
  assert(decoded.isWellFormed(), "text to encode is well-formed Unicode");
  const encoded = decoded.replace(ENCODED, escapeOf);
  return also === ""
    ? encoded
    : encoded.replace(/./gsu, (c) => (also.includes(c) ? escapeOf(c) : c));
}

/**
 * Decodes the percent escapes in `span` of `text`. Throws a GrammarError `bad-escape` at an escape
 * that lacks its digits, is not UTF-8, or stands for NUL, which no system call takes in a name.
 */
export function percentDecode(text: string, span: Span): string {
  // The search must not leave the span: many words in a long text would make it quadratic.
  const raw = text.slice(span.offset, span.offset + span.length);
  let decoded = "";
  let index = 0;
  for (let found = raw.indexOf("%"); found >= 0; found = raw.indexOf("%", index)) {
    const run = escapeRunAt(text, span, found);
    decoded += raw.slice(index, found) + decodeRun(text, run);
    index = found + run.length;
  }
  return decoded + raw.slice(index);
}

/** The longest run of escapes at `index` of `span`: characters of several bytes decode whole. */
function escapeRunAt(text: string, span: Span, index: number): Span {
  const offset = span.offset + index;
  ESCAPE_RUN.lastIndex = offset;
  const length = ESCAPE_RUN.exec(text)?.[0].length ?? 0;
  if (length === 0) {
    const found = text.slice(offset, Math.min(offset + 3, span.offset + span.length));
    throw new GrammarError({
      code: "bad-escape",
      text,
      span: { offset, length: found.length },
      message: `found "${found}", expected "%" and two hexadecimal digits (write %25 for "%")`,
    });
  }
  return { offset, length };
}

function decodeRun(text: string, run: Span): string {
  const raw = text.slice(run.offset, run.offset + run.length);
  const nulIndex = indexOfNulEscape(raw);
  if (nulIndex >= 0) {
    throw new GrammarError({
      code: "bad-escape",
      text,
      span: { offset: run.offset + nulIndex, length: 3 },
      message: 'found "%00", expected no zero byte: no path or name can hold one',
    });
  }
  try {
    return decodeURIComponent(raw);
  } catch (_notUtf8) {
    throw new GrammarError({
      code: "bad-escape",
      text,
      span: run,
      message: "found percent escapes that are not UTF-8, expected the bytes of whole characters",
    });
  }
}

/** Steps by whole escapes: the digits of "%10%01" are no zero byte. */
function indexOfNulEscape(raw: string): number {
  for (let index = 0; index < raw.length; index += 3) {
    if (raw.startsWith("%00", index)) {
      return index;
    }
  }
  return -1;
}

function escapeOf(character: string): string {
  let escaped = "";
  for (const byte of textEncoder.encode(character)) {
    escaped += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return escaped;
}

function codePointName(character: string): string {
  const codePoint = character.codePointAt(0) ?? 0;
  return `U+${codePoint.toString(16).toUpperCase().padStart(4, "0")}`;
}
