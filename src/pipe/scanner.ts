/**
 * Cuts a pipe's text into delimiters and words, one at a time.
 *
 * A word is everything between delimiters and white space: a URI's scheme to its path, a name, a
 * `key=value`. The delimiters mean themselves everywhere, so this needs no context and passes over
 * each character once. State: the token under the cursor, owned by the parser.
 */

import { type Delimiter, isDelimiter, isWhiteSpace } from "./characters.ts";

export type TokenKind = "word" | "end" | Delimiter;

export interface Token {
  readonly kind: TokenKind;
  /** Of the `end` token: after the last character that is not white space. */
  readonly offset: number;
  /** 0 for `end`. */
  readonly length: number;
  /** True when white space stands directly before it. */
  readonly isSpaced: boolean;
}

export class Scanner {
  readonly text: string;
  #token: Token;

  constructor(text: string) {
    this.text = text;
    this.#token = readToken(text, 0);
  }

  get token(): Token {
    return this.#token;
  }

  /** Moves to the next token and returns the one left behind. Stays at `end`. */
  advance(): Token {
    const left = this.#token;
    this.#token = readToken(this.text, left.offset + left.length);
    return left;
  }
}

function readToken(text: string, start: number): Token {
  let offset = start;
  while (isWhiteSpace(text.charAt(offset))) {
    offset += 1;
  }
  if (offset === text.length) {
    return { kind: "end", offset: start, length: 0, isSpaced: offset > start };
  }
  const isSpaced = offset > start;
  const first = text.charAt(offset);
  if (isDelimiter(first)) {
    return { kind: first, offset, length: 1, isSpaced };
  }
  let end = offset + 1;
  while (end < text.length && !isDelimiter(text.charAt(end)) && !isWhiteSpace(text.charAt(end))) {
    end += 1;
  }
  return { kind: "word", offset, length: end - offset, isSpaced };
}
