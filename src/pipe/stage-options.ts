/**
 * Gives the options of one stage their types, and refuses the ones that nobody reads.
 *
 * Whoever builds a stage reads every option it knows, present or not, and then calls `finish()`:
 * so the known keys need no second list, and a misspelt key is found with the nearest of them.
 * State: which keys were asked for; lives only while the stage is built.
 */

import { type ParseDurationOptions, parseDuration } from "../util/duration.ts";
import { PenstockError } from "../util/errors.ts";
import { type ParseSizeOptions, parseSize } from "../util/size.ts";
import type { Span, Stage, StageOption } from "./ast.ts";
import { GrammarError, quote } from "./grammar-error.ts";
import { nearestName, suggestName } from "./nearest-name.ts";
import {
  checkLength,
  checkScalar,
  findChoice,
  type IntegerRange,
  type LengthRange,
  parseBoolean,
  parseInteger,
} from "./option-values.ts";
import { parseSecretReference, type SecretReference } from "./secret-reference.ts";

/**
 * What is returned when the option is not given. Without a `fallback` the option is required;
 * `{ fallback: undefined }` makes it optional without a default.
 */
interface Fallback<F> {
  readonly fallback?: F;
}

export class StageOptions {
  readonly #text: string;
  readonly #stage: Stage;
  readonly #known = new Set<string>();

  /** `text` is the one that `stage` was parsed from. */
  constructor(text: string, stage: Stage) {
    this.#text = text;
    this.#stage = stage;
  }

  /** Any text within the lengths. */
  string<F = never>(key: string, rules: LengthRange & Fallback<F> = {}): string | F {
    return this.value(key, (value) => checkLength(value, rules), rules);
  }

  /** A size in bytes, written with a unit: `64MiB`. */
  size<F = never>(
    key: string,
    rules: Omit<ParseSizeOptions, "bareNumber"> & Fallback<F> = {},
  ): number | F {
    const { minBytes = 0, maxBytes = Number.MAX_SAFE_INTEGER } = rules;
    return this.value(
      key,
      (value) => parseSize(checkScalar(value), { minBytes, maxBytes, bareNumber: "refuse" }),
      rules,
    );
  }

  /** A duration in milliseconds, fractions allowed, written with a unit: `5ms`. */
  duration<F = never>(key: string, rules: ParseDurationOptions & Fallback<F> = {}): number | F {
    return this.value(key, (value) => parseDuration(checkScalar(value), rules), rules);
  }

  /** A decimal integer within the range. */
  integer<F = never>(key: string, rules: IntegerRange & Fallback<F> = {}): number | F {
    return this.value(key, (value) => parseInteger(value, rules), rules);
  }

  /** `true`, `yes`, `on`, `1` or their opposites; the key alone is true. */
  boolean<F = never>(key: string, rules: Fallback<F> = {}): boolean | F {
    return this.#find(key)?.isFlag === true || this.value(key, parseBoolean, rules);
  }

  /** One of `values`, spelt exactly. */
  oneOf<V extends string, const F = never>(
    key: string,
    values: readonly V[],
    rules: Fallback<F> = {},
  ): V | F {
    return this.value(key, (value) => findChoice(value, values), rules);
  }

  /** A reference to a secret; what is wrong is reported without showing the value. */
  secret<F = never>(key: string, rules: Fallback<F> = {}): SecretReference | F {
    const option = this.#find(key);
    if (option === undefined) {
      return this.#fallback(key, rules);
    }
    this.#refuseFlag(option);
    const reference = parseSecretReference(option.value);
    if (reference === undefined) {
      throw new GrammarError({
        code: "secret-invalid",
        text: this.#text,
        span: option.valueSpan,
        message:
          `option "${key}": found something that is no reference, expected file:PATH or ` +
          "env:NAME: a secret itself never stands in a pipe",
        secretSpan: option.valueSpan,
      });
    }
    return reference;
  }

  /**
   * An option of any other type. A PenstockError thrown by `convert` is reported at the value,
   * with the same code.
   */
  value<T, F = never>(key: string, convert: (value: string) => T, rules: Fallback<F> = {}): T | F {
    const option = this.#find(key);
    if (option === undefined) {
      return this.#fallback(key, rules);
    }
    this.#refuseFlag(option);
    try {
      return convert(option.value);
    } catch (thrown) {
      if (!(thrown instanceof PenstockError)) {
        throw thrown;
      }
      const message = `option "${key}": ${thrown.message}`;
      throw this.#error(option.valueSpan, thrown.code, message, thrown);
    }
  }

  /** True when `key` is given. Does not count as reading it. */
  has(key: string): boolean {
    return this.#stage.options.some((option) => option.key === key);
  }

  /**
   * The error for an option that was read well but does not fit the others or the stage, to be
   * thrown by the caller; it points at the value, or at the stage when the option is not given.
   */
  refuse(key: string, reason: string): GrammarError {
    const option = this.#stage.options.find((candidate) => candidate.key === key);
    const span = option?.valueSpan ?? this.#stage.span;
    return this.#error(span, "option-refused", `option "${key}": ${reason}`);
  }

  /** Throws a GrammarError `unknown-option` at the first option that was never read. */
  finish(): void {
    const option = this.#unread()[0];
    if (option === undefined) {
      return;
    }
    const { key } = option;
    const left = [...this.#known].filter((known) => !this.has(known));
    const expected =
      this.#known.size === 0 ? "no options" : `one of ${[...this.#known].sort().join(", ")}`;
    const message =
      `found the option ${quote(key)}, which ${this.#stageName()} does not have, ` +
      `expected ${expected}${suggestName(key, left)}`;
    throw this.#error(
      { offset: option.span.offset, length: key.length },
      "unknown-option",
      message,
    );
  }

  #refuseFlag({ key, isFlag, valueSpan }: StageOption): void {
    if (isFlag !== true) return;
    const message = `found ${quote(key)} without a value, expected ${key}=VALUE`;
    throw this.#error(valueSpan, "bad-option", message);
  }

  #find(key: string): StageOption | undefined {
    this.#known.add(key);
    return this.#stage.options.find((option) => option.key === key);
  }

  #fallback<F>(key: string, rules: Fallback<F>): F {
    if ("fallback" in rules) {
      // Present, so it is an F: `exactOptionalPropertyTypes` lets undefined in only as part of F.
      return rules.fallback as F;
    }
    throw this.#missing(key);
  }

  /** What is missing may be there under a wrong name: that is the better place to point at. */
  #missing(key: string): GrammarError {
    const unread = this.#unread();
    const misspelt = nearestName(
      key,
      unread.map((option) => option.key),
    );
    const option = unread.find((candidate) => candidate.key === misspelt);
    const advice = option === undefined ? "" : ` (did you mean it by "${option.key}"?)`;
    const message = `found no option "${key}", which ${this.#stageName()} needs${advice}`;
    return this.#error(option?.span ?? this.#stage.span, "missing-option", message);
  }

  #unread(): StageOption[] {
    return this.#stage.options.filter((option) => !this.#known.has(option.key));
  }

  #stageName(): string {
    return this.#stage.kind === "uri" ? `${this.#stage.scheme}://` : quote(this.#stage.name);
  }

  #error(span: Span, code: string, message: string, cause?: unknown): GrammarError {
    const { offset, length } = span;
    return new GrammarError({ code, text: this.#text, span: { offset, length }, message, cause });
  }
}
