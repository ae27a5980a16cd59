/**
 * The errors of a token in the wrong place, worded for the mistakes that people make.
 *
 * Pure: each function makes an error and throws nothing.
 */

import { unreachable } from "../util/assert.ts";
import { GrammarError, quote } from "./grammar-error.ts";
import type { Token } from "./scanner.ts";
import { STAGE_FORMS } from "./stage-head.ts";

const SHARE_FORM = "a share, such as nbd://127.0.0.1:10809/name";

/** `token` stands after a complete stage, where only `expected` can follow. */
export function unexpected(text: string, token: Token, expected: string): GrammarError {
  return new GrammarError({
    code: "unexpected",
    text,
    span: spanOf(token),
    message: `found ${describe(text, token)}, expected ${expected}${adviceFor(text, token)}`,
  });
}

/** The pipe ends after its only stage, at `offset`, and is to be served. */
export function missingShare(text: string, offset: number): GrammarError {
  return new GrammarError({
    code: "missing-share",
    text,
    span: { offset, length: 0 },
    message: `found the end after the source, expected "|" and ${SHARE_FORM}`,
  });
}

/** `token` stands where a stage has to start. */
export function emptyStage(place: {
  readonly text: string;
  readonly token: Token;
  /** Of the missing stage in its pipe. */
  readonly index: number;
  /** The call that the pipe is an argument of, if any. */
  readonly call: string | undefined;
}): GrammarError {
  const { text, token, index, call } = place;
  const span = spanOf(token);
  const found = describe(text, token);
  if (token.kind === "end" && index > 0) {
    const message = `found ${found} after "|", expected ${SHARE_FORM}`;
    return new GrammarError({ code: "missing-share", text, span, message });
  }
  const missing = missingStage(index, call);
  const message = `found ${found}, expected ${missing}: ${STAGE_FORMS}`;
  return new GrammarError({ code: "empty-stage", text, span, message });
}

/** `token` stands where `key=value` has to start. */
export function missingOption(text: string, token: Token): GrammarError {
  return new GrammarError({
    code: "bad-option",
    text,
    span: spanOf(token),
    message: `found ${describe(text, token)}, expected an option key=value`,
  });
}

function missingStage(index: number, call: string | undefined): string {
  if (index > 0) {
    return 'a stage after "|"';
  }
  return call === undefined ? "a source" : `a pipe as argument of ${quote(call)}`;
}

function describe(text: string, token: Token): string {
  return token.kind === "end"
    ? "the end"
    : quote(text.slice(token.offset, token.offset + token.length));
}

function adviceFor(text: string, token: Token): string {
  const { kind } = token;
  switch (kind) {
    case "word":
      return text.slice(token.offset, token.offset + token.length).includes("=")
        ? ' (options follow a name or a path and "?", with "&" between them)'
        : " (write %20 for a space in a path)";
    case ",":
      return ' ("," stands between the arguments of a call; write %2C in a path or a value)';
    case ";":
      return ' (";" stands before the options in a call\'s parentheses; write %3B elsewhere)';
    case "(":
      return " (only a name takes arguments; write %28 in a path or a value)";
    case ")":
      return " (no parenthesis is open; write %29 in a path or a value)";
    case "?":
      return ' ("&" stands between options; write %3F in a path or a value)';
    case "&":
      return ' ("?" stands before the first option; write %26 in a path or a value)';
    case "#":
      return ' (a label stands once and before "?"; write %23 in a path or a value)';
    case "|":
    case "end":
      return "";
    default:
      return unreachable(kind);
  }
}

function spanOf(token: Token): { readonly offset: number; readonly length: number } {
  return { offset: token.offset, length: token.length };
}
