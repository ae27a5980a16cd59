/**
 * The first word of a stage: a URI, a bare path or a name, told apart by its look alone.
 *
 * Pure. `scheme://` makes a URI, a `/` elsewhere makes a path, the rest must be a name. So
 * `disk.img` is neither and refused: a misspelt filter must not become a file.
 */

import type { Span } from "./ast.ts";
import { parseAuthority } from "./authority.ts";
import { percentDecode } from "./characters.ts";
import { GrammarError, quote } from "./grammar-error.ts";
import { NAME_LENGTH_MAX } from "./limits.ts";

export type StageHead = UriHead | CallHead;

interface UriHead {
  readonly kind: "uri";
  readonly scheme: string;
  readonly host: string;
  readonly port: number | undefined;
  readonly path: string;
  readonly schemeSpan: Span;
  readonly authoritySpan: Span;
  readonly pathSpan: Span;
}

interface CallHead {
  readonly kind: "call";
  readonly name: string;
  readonly nameSpan: Span;
}

/** What may start a stage, for messages. */
export const STAGE_FORMS = "scheme://host/path, a path with a / in it, or a name";

const SCHEME_COLON = /^([A-Za-z][A-Za-z0-9+.-]*):/;

/**
 * Parses the word at `span` of `text`. Throws a GrammarError with code `bad-scheme`, `bad-path`,
 * `bad-name`, `name-too-long`, `bad-escape`, `bad-host` or `bad-port`.
 */
export function parseStageHead(text: string, span: Span): StageHead {
  const word = text.slice(span.offset, span.offset + span.length);
  const scheme = SCHEME_COLON.exec(word)?.[1];
  if (scheme !== undefined) {
    return parseUri(text, span, scheme);
  }
  const slashes = word.indexOf("://");
  if (slashes >= 0 && slashes < word.indexOf("/")) {
    const schemeSpan = { offset: span.offset, length: slashes };
    const found = slashes === 0 ? 'nothing before "://"' : quote(word.slice(0, slashes));
    const message = `found ${found}, expected a scheme: a letter, then letters, digits, + - or .`;
    throw new GrammarError({ code: "bad-scheme", text, span: schemeSpan, message });
  }
  return word.includes("/") ? parseBarePath(text, span, word) : parseName(text, span, word);
}

function parseUri(text: string, span: Span, scheme: string): UriHead {
  const end = span.offset + span.length;
  const schemeSpan = { offset: span.offset, length: scheme.length };
  checkNameLength(text, schemeSpan, "scheme");
  const afterColon = span.offset + scheme.length + 1;
  if (!text.startsWith("//", afterColon) || afterColon + 2 > end) {
    throw new GrammarError({
      code: "bad-scheme",
      text,
      span: { offset: afterColon, length: 0 },
      message:
        `found no "//" after ${quote(`${scheme}:`)}, expected ${STAGE_FORMS} ` +
        "(write ./ before a relative path that holds a colon)",
    });
  }
  const authorityOffset = afterColon + 2;
  const slash = text.slice(authorityOffset, end).indexOf("/");
  const pathOffset = slash < 0 ? end : authorityOffset + slash;
  const authoritySpan = { offset: authorityOffset, length: pathOffset - authorityOffset };
  const pathSpan = { offset: pathOffset, length: end - pathOffset };
  return {
    kind: "uri",
    scheme: scheme.toLowerCase(),
    ...parseAuthority(text, authoritySpan),
    path: percentDecode(text, pathSpan),
    schemeSpan,
    authoritySpan,
    pathSpan,
  };
}

function parseBarePath(text: string, span: Span, word: string): UriHead {
  if (word.startsWith("~")) {
    throw new GrammarError({
      code: "bad-path",
      text,
      span: { offset: span.offset, length: 1 },
      message:
        'found "~", which only a shell expands, expected a path (write %7E for the character)',
    });
  }
  const nothing = { offset: span.offset, length: 0 };
  return {
    kind: "uri",
    scheme: "file",
    host: "",
    port: undefined,
    path: percentDecode(text, span),
    schemeSpan: nothing,
    authoritySpan: nothing,
    pathSpan: span,
  };
}

function parseName(text: string, span: Span, word: string): CallHead {
  const goodLength = /^(?:[a-z][a-z0-9-]*)?/.exec(word)?.[0].length ?? 0;
  if (goodLength < word.length) {
    throw new GrammarError({
      code: "bad-name",
      text,
      span: { offset: span.offset + goodLength, length: 1 },
      message: `found ${quote(word)}, expected ${STAGE_FORMS}${nameAdvice(word)}`,
    });
  }
  checkNameLength(text, span, "name");
  return { kind: "call", name: word, nameSpan: span };
}

function nameAdvice(word: string): string {
  if (word.includes("=")) {
    return ' (options follow a name and "?")';
  }
  if (word.includes(".")) {
    return " (write ./ before a file in the current folder)";
  }
  return /[A-Z]/.test(word) ? " in lower case" : "";
}

/** Throws a GrammarError `name-too-long`; `what` says what the name is of. */
export function checkNameLength(text: string, span: Span, what: string): void {
  if (span.length > NAME_LENGTH_MAX) {
    throw new GrammarError({
      code: "name-too-long",
      text,
      span,
      message: `found a ${what} of ${span.length} characters, expected at most ${NAME_LENGTH_MAX}`,
    });
  }
}
