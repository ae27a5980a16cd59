/**
 * The error of a pipe's text: what was found, what was expected, and where, drawn for a person.
 *
 * Immutable. It keeps the text it points into, so whatever looks like a secret in there is masked
 * before it is kept: errors end up in logs, and a key must never.
 */

import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import type { Span } from "./ast.ts";

interface GrammarErrorOptions {
  /** Stable, in kebab-case, such as `empty-stage`. */
  readonly code: string;
  /** The whole text that `span` points into. */
  readonly text: string;
  /** What the error is about; its offset is where the caret stands, at most the text's length. */
  readonly span: Span;
  /** Says what was found and what was expected. Must quote no secret; see {@link quote}. */
  readonly message: string;
  /** A range that is or may be a secret, masked wherever the text is shown. */
  readonly secretSpan?: Span;
  readonly cause?: unknown;
}

interface GrammarErrorDetails {
  readonly offset: number;
  readonly length: number;
  readonly [name: string]: number;
}

/** Columns that {@link GrammarError.render} uses at most unless told otherwise. */
const RENDER_COLUMNS_MAX = 100;
const RENDER_COLUMNS_MIN = 20;
const ELLIPSIS = "...";

const QUOTE_LENGTH_MAX = 40;

/**
 * Values of options that are secrets by name, unless they are a reference, and the credentials of
 * a URI. A net below the real check, which is that such options take references only.
 */
const SECRET_VALUE =
  /\b((?:key|secret|password|passphrase|chap|token)=)(?!file:|env:)[^&|,;()?#\s]+/gi;
const CREDENTIALS = /(:\/\/)([^/|,\s]+)@/g;

export class GrammarError extends PenstockError<GrammarErrorDetails> {
  override readonly name = "GrammarError";
  /** Where the caret stands: an offset in UTF-16 code units, from 0 to the text's length. */
  readonly offset: number;
  /** The whole text, secrets masked, so offsets still hold. */
  readonly text: string;

  constructor(options: GrammarErrorOptions) {
    const { offset, length } = options.span;
    assert(offset >= 0 && length >= 0, "a span starts within its text");
    assert(offset + length <= options.text.length, "a span ends within its text");
    super({
      code: options.code,
      message: options.message,
      details: { offset, length },
      ...(options.cause === undefined ? {} : { cause: options.cause }),
    });
    this.offset = offset;
    this.text = maskSecrets(maskSpan(options.text, options.secretSpan));
    assert(this.text.length === options.text.length, "masking keeps offsets");
  }

  /**
   * Three lines: the text, a caret below the character, the message. A text longer than
   * `columnsMax` is cut to what stands around the caret.
   */
  render(columnsMax = RENDER_COLUMNS_MAX): string {
    const columns = Math.max(columnsMax, RENDER_COLUMNS_MIN);
    const before = printable(this.text.slice(0, this.offset));
    const after = printable(this.text.slice(this.offset));
    const view = cutAround(before, after, columns);
    return `${view.line}\n${" ".repeat(view.caretColumn)}^\n${this.message}`;
  }
}

/** `found` in quotes for a message: shortened, secrets masked. */
export function quote(found: string): string {
  const shown = printable(maskSecrets(found.slice(0, QUOTE_LENGTH_MAX + 1)));
  return shown.length > QUOTE_LENGTH_MAX
    ? `"${shown.slice(0, QUOTE_LENGTH_MAX).join("")}${ELLIPSIS}"`
    : `"${shown.join("")}"`;
}

/** One entry per column: code points, white space as spaces, invisible characters as `?`. */
function printable(text: string): string[] {
  const visible = text.replace(/[\t\n\r]/g, " ").replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, "?");
  return Array.from(visible);
}

function cutAround(
  before: readonly string[],
  after: readonly string[],
  columns: number,
): { readonly line: string; readonly caretColumn: number } {
  if (before.length + after.length <= columns) {
    return { line: [...before, ...after].join(""), caretColumn: before.length };
  }
  // What one side does not need goes to the other, and each side that is cut gives up three
  // columns to say so.
  const half = Math.floor(columns / 2);
  const beforeColumns = Math.max(half, columns - after.length);
  const head = before.length <= beforeColumns ? [...before] : tailOf(before, beforeColumns);
  const rest = columns - head.length;
  const tail =
    after.length <= rest
      ? [...after]
      : [...after.slice(0, rest - ELLIPSIS.length), ...Array.from(ELLIPSIS)];
  return { line: [...head, ...tail].join(""), caretColumn: head.length };
}

function tailOf(characters: readonly string[], columns: number): string[] {
  return [...Array.from(ELLIPSIS), ...characters.slice(ELLIPSIS.length - columns)];
}

function maskSpan(text: string, span: Span | undefined): string {
  if (span === undefined) {
    return text;
  }
  const end = span.offset + span.length;
  return text.slice(0, span.offset) + "*".repeat(span.length) + text.slice(end);
}

function maskSecrets(text: string): string {
  return text
    .replace(SECRET_VALUE, (all: string, key: string) => key + "*".repeat(all.length - key.length))
    .replace(CREDENTIALS, (_all, slashes: string, credentials: string) => {
      return `${slashes}${"*".repeat(credentials.length)}@`;
    });
}
