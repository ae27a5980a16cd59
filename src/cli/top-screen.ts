/**
 * TopScreen: a text on the whole terminal, shown over and over until `q`, Ctrl-C or a signal.
 *
 * The terminal's own content comes back at the end, whatever the end is. Lines beyond the window
 * are left out.
 */

import type { ReadStream, WriteStream } from "node:tty";

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H";
const CLEAR_LINE_END = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";
const CTRL_C = "\u0003";
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const ROWS_DEFAULT = 24;
const COLUMNS_DEFAULT = 80;

export class TopScreen {
  /** Aborts when it is told to end. */
  readonly ended: AbortSignal;
  readonly #input: ReadStream;
  readonly #output: WriteStream;
  readonly #end = new AbortController();
  readonly #onSignal = (): void => this.#end.abort();
  readonly #onKeys = (keys: Buffer): void => {
    const text = keys.toString("utf8");
    if (text.includes("q") || text.includes("Q") || text.includes(CTRL_C)) this.#end.abort();
  };

  constructor(input: ReadStream, output: WriteStream) {
    this.#input = input;
    this.#output = output;
    this.ended = this.#end.signal;
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
    if (input.isTTY) {
      input.setRawMode(true);
      input.on("data", this.#onKeys);
      input.resume();
    }
    output.write(ENTER);
  }

  show(text: string): void {
    // 0 where nobody has told the terminal its size.
    const rows = this.#output.rows || ROWS_DEFAULT;
    const columns = this.#output.columns || COLUMNS_DEFAULT;
    const lines = text.split("\n").slice(0, rows - 1);
    const shown = lines.map((line) => `${line.slice(0, columns)}${CLEAR_LINE_END}\n`).join("");
    this.#output.write(`${HOME}${shown}${CLEAR_BELOW}q to quit`);
  }

  close(): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
    if (this.#input.isTTY) {
      this.#input.off("data", this.#onKeys);
      this.#input.setRawMode(false);
      this.#input.pause();
    }
    this.#output.write(LEAVE);
  }
}
