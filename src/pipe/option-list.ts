/**
 * The options of one stage while it is parsed: `key=value` or `key`, keys unique, bounded.
 *
 * State: the options so far; owned by the parser until the stage is complete.
 */

import type { Span, StageOption } from "./ast.ts";
import { percentDecode } from "./characters.ts";
import { GrammarError, quote } from "./grammar-error.ts";
import { OPTION_COUNT_MAX } from "./limits.ts";
import { checkNameLength } from "./stage-head.ts";

export class OptionList {
  readonly options: StageOption[] = [];
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /**
   * Parses the word at `span` and appends it. Throws a GrammarError with code `bad-option`,
   * `duplicate-option`, `name-too-long`, `too-many-options` or `bad-escape`.
   */
  add(span: Span): void {
    const text = this.#text;
    if (this.options.length === OPTION_COUNT_MAX) {
      const message = `found more than ${OPTION_COUNT_MAX} options, expected at most that many`;
      throw new GrammarError({ code: "too-many-options", text, span, message });
    }
    const option = parseOption(text, span);
    const before = this.options.find((other) => other.key === option.key);
    if (before !== undefined) {
      const message =
        `found the option "${option.key}" again, expected it once ` +
        `(first at character ${before.span.offset + 1})`;
      const keySpan = { offset: span.offset, length: option.key.length };
      throw new GrammarError({ code: "duplicate-option", text, span: keySpan, message });
    }
    this.options.push(option);
  }
}

function parseOption(text: string, span: Span): StageOption {
  const word = text.slice(span.offset, span.offset + span.length);
  const keyLength = /^(?:[a-z][a-z0-9_-]*)?/.exec(word)?.[0].length ?? 0;
  const isFlag = keyLength === word.length;
  if (keyLength === 0 || !(isFlag || word.charAt(keyLength) === "=")) {
    throw new GrammarError({
      code: "bad-option",
      text,
      span: { offset: span.offset + keyLength, length: 1 },
      message:
        `found ${quote(word)}, expected key=value ` +
        "with a key of lower-case letters, digits, - and _",
    });
  }
  checkNameLength(text, { offset: span.offset, length: keyLength }, "key");
  if (isFlag) {
    const end = { offset: span.offset + span.length, length: 0 };
    return { key: word, value: "", isFlag, span, valueSpan: end };
  }
  const valueOffset = span.offset + keyLength + 1;
  const valueSpan = { offset: valueOffset, length: span.offset + span.length - valueOffset };
  return { key: word.slice(0, keyLength), value: percentDecode(text, valueSpan), span, valueSpan };
}
