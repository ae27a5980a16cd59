/**
 * One line on a terminal that says how far something is, drawn over and over; nothing where there
 * is no terminal.
 */

import { formatSize } from "../util/size.ts";

const BAR_CELLS = 24;
const CLEAR_LINE = "\r\u001b[2K";

/** What of a stream it needs. */
export interface TerminalStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface Progress {
  readonly phase: string;
  /** 0 to 1. */
  readonly done: number;
  readonly iops: number;
  readonly bytesPerSecond: number;
}

export class ProgressLine {
  readonly #stream: TerminalStream;
  #isShown = false;

  constructor(stream: TerminalStream) {
    this.#stream = stream;
  }

  show(progress: Progress): void {
    if (this.#stream.isTTY !== true) return;
    const line = formatProgress(progress).slice(0, (this.#stream.columns ?? 80) - 1);
    this.#stream.write(`${CLEAR_LINE}${line}`);
    this.#isShown = true;
  }

  clear(): void {
    if (this.#isShown) this.#stream.write(CLEAR_LINE);
    this.#isShown = false;
  }
}

/** `run        [########----------------]  33%  1234 IOPS  4.82MiB/s` */
export function formatProgress({ phase, done, iops, bytesPerSecond }: Progress): string {
  const cells = Math.floor(done * BAR_CELLS);
  const bar = "#".repeat(cells) + "-".repeat(BAR_CELLS - cells);
  const percent = `${Math.floor(done * 100)}%`.padStart(4);
  const rate = `${Math.round(iops)} IOPS  ${formatSize(Math.round(bytesPerSecond))}/s`;
  return `${phase.padEnd(9)} [${bar}] ${percent}  ${rate}`;
}
