/**
 * The recursive descent over the tokens of one text. The grammar is drawn in grammar.ts.
 *
 * State: the scanner's cursor, the depth of open parentheses and the labels seen; a parser is used
 * once. It never goes back, so its time is linear in the text, and it nests at most
 * NESTING_DEPTH_MAX deep, so its stack is bounded.
 */

import { assert } from "../util/assert.ts";
import type { Pipe, Span, Stage, StageOption } from "./ast.ts";
import { GrammarError, quote } from "./grammar-error.ts";
import { ARGUMENT_COUNT_MAX, NESTING_DEPTH_MAX, STAGE_COUNT_MAX } from "./limits.ts";
import { OptionList } from "./option-list.ts";
import { Scanner, type Token, type TokenKind } from "./scanner.ts";
import { checkNameLength, parseStageHead, type StageHead } from "./stage-head.ts";
import { emptyStage, missingOption, unexpected } from "./syntax-errors.ts";

const LABEL = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** An open parenthesis, and the call it belongs to. */
interface OpenCall {
  readonly name: string;
  readonly parenthesis: Span;
}

export class Parser {
  readonly #text: string;
  readonly #scanner: Scanner;
  readonly #labels = new Set<string>();
  /** Innermost last; its length is the depth. */
  readonly #open: OpenCall[] = [];
  /** End of the last token that was taken, where the span of what it ends also ends. */
  #end = 0;

  /** `text` is within TEXT_BYTES_MAX and free of refused characters. */
  constructor(text: string) {
    this.#text = text;
    this.#scanner = new Scanner(text);
  }

  /** The whole text as one pipe. Throws a GrammarError. */
  parse(): Pipe {
    const pipe = this.#parsePipe();
    if (!this.#isAt("end")) {
      throw unexpected(this.#text, this.#scanner.token, '"|" or the end');
    }
    assert(this.#open.length === 0, "every call that was opened is closed");
    return pipe;
  }

  #isAt(kind: TokenKind): boolean {
    return this.#scanner.token.kind === kind;
  }

  #take(): Token {
    const token = this.#scanner.advance();
    this.#end = token.offset + token.length;
    return token;
  }

  #spanFrom(offset: number): Span {
    return { offset, length: this.#end - offset };
  }

  #parsePipe(): Pipe {
    const stages: Stage[] = [];
    const { offset } = this.#scanner.token;
    do {
      if (stages.length > 0) {
        this.#take();
      }
      if (stages.length === STAGE_COUNT_MAX) {
        const message = `found more than ${STAGE_COUNT_MAX} stages, expected at most that many`;
        throw this.#errorAt(this.#scanner.token, "too-many-stages", message);
      }
      stages.push(this.#parseStage(stages.length));
    } while (this.#isAt("|"));
    return { stages, span: this.#spanFrom(offset) };
  }

  #parseStage(index: number): Stage {
    const word = this.#scanner.token;
    if (word.kind !== "word") {
      this.#refuseUnclosed();
      throw emptyStage({ text: this.#text, token: word, index, call: this.#open.at(-1)?.name });
    }
    const head = parseStageHead(this.#text, this.#take());
    const list = new OptionList(this.#text);
    let label = this.#parseLabel(undefined);
    let argumentPipes: readonly Pipe[] = [];
    if (head.kind === "call" && this.#isAt("(")) {
      argumentPipes = this.#parseArguments(head.name, list);
      label = this.#parseLabel(label);
    }
    if (this.#isAt("?")) {
      this.#refuseWhiteSpace();
      this.#parseOptions(list, "&");
    }
    const span = this.#spanFrom(word.offset);
    return makeStage({ head, label, arguments: argumentPipes, options: list.options, span });
  }

  /** `(a, b; key=value)`: the pipes are returned, the options go to `list`. */
  #parseArguments(name: string, list: OptionList): Pipe[] {
    const parenthesis = this.#take();
    if (this.#open.length === NESTING_DEPTH_MAX) {
      const message = `found parentheses deeper than ${NESTING_DEPTH_MAX}, expected at most that`;
      throw this.#errorAt(parenthesis, "too-deep", message);
    }
    this.#open.push({ name, parenthesis });
    const pipes: Pipe[] = [];
    do {
      if (pipes.length > 0) {
        this.#take();
      }
      if (pipes.length === ARGUMENT_COUNT_MAX) {
        const message = `found more than ${ARGUMENT_COUNT_MAX} arguments, expected at most that`;
        throw this.#errorAt(this.#scanner.token, "too-many-arguments", message);
      }
      pipes.push(this.#parsePipe());
    } while (this.#isAt(","));
    if (this.#isAt(";")) {
      this.#parseOptions(list, ";");
    }
    this.#refuseUnclosed();
    if (!this.#isAt(")")) {
      throw unexpected(this.#text, this.#scanner.token, '"|", ",", ";" or ")"');
    }
    this.#take();
    this.#open.pop();
    return pipes;
  }

  /** From the `?` or `;` under the cursor on. After `;` both separators are good. */
  #parseOptions(list: OptionList, separator: "&" | ";"): void {
    do {
      this.#take();
      this.#refuseUnclosed();
      this.#refuseWhiteSpace();
      if (!this.#isAt("word")) {
        throw missingOption(this.#text, this.#scanner.token);
      }
      list.add(this.#take());
      if (this.#isAt("&")) {
        this.#refuseWhiteSpace();
      }
    } while (this.#isAt("&") || this.#isAt(separator));
  }

  /** `#label` if it stands here, else `earlier`, which is the label that stood elsewhere. */
  #parseLabel(earlier: string | undefined): string | undefined {
    if (!this.#isAt("#")) {
      return earlier;
    }
    this.#refuseWhiteSpace();
    const hash = this.#take();
    if (earlier !== undefined) {
      const message = `found a second label, expected one ("#${earlier}" stands already)`;
      throw this.#errorAt(hash, "duplicate-label", message);
    }
    this.#refuseWhiteSpace();
    const token = this.#scanner.token;
    const label = this.#text.slice(token.offset, token.offset + token.length);
    if (token.kind !== "word" || !LABEL.test(label)) {
      const found = token.kind === "end" ? "the end" : quote(label);
      const message = `found ${found} after "#", expected a label of letters, digits, . _ and -`;
      throw this.#errorAt(token, "bad-label", message);
    }
    checkNameLength(this.#text, token, "label");
    if (this.#labels.has(label)) {
      const message = `found the label ${quote(label)} again, expected it once in the whole text`;
      throw this.#errorAt(token, "duplicate-label", message);
    }
    this.#labels.add(label);
    this.#take();
    return label;
  }

  /** Before the token under the cursor; it is free after a parenthesis and after `;`. */
  #refuseWhiteSpace(): void {
    const token = this.#scanner.token;
    const before = this.#text.charAt(this.#end - 1);
    if (!token.isSpaced || token.kind === "end" || before === ")" || before === ";") {
      return;
    }
    const found = token.kind === "word" ? "an option or a label" : quote(token.kind);
    const span = { offset: this.#end, length: token.offset - this.#end };
    throw new GrammarError({
      code: "white-space",
      text: this.#text,
      span,
      message: `found white space before ${found}, expected none (write %20 for it in a value)`,
    });
  }

  /** At the end of the text the useful place to point at is the parenthesis left open. */
  #refuseUnclosed(): void {
    const call = this.#open.at(-1);
    if (this.#isAt("end") && call !== undefined) {
      const message = `found the end, expected ")" for the "(" of ${quote(call.name)}`;
      throw this.#errorAt(call.parenthesis, "unclosed-parenthesis", message);
    }
  }

  #errorAt(span: Span, code: string, message: string): GrammarError {
    const { offset, length } = span;
    return new GrammarError({ code, text: this.#text, span: { offset, length }, message });
  }
}

function makeStage(parts: {
  readonly head: StageHead;
  readonly label: string | undefined;
  readonly arguments: readonly Pipe[];
  readonly options: readonly StageOption[];
  readonly span: Span;
}): Stage {
  const { head, label, options, span } = parts;
  return head.kind === "uri"
    ? { ...head, label, options, span }
    : { ...head, label, arguments: parts.arguments, options, span };
}
