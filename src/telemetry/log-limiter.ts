/**
 * LogLimiter: how many lines of one code a log takes before it only counts.
 *
 *   first of a code --> a window of LOG_WINDOW_MS begins --> LINES_PER_WINDOW lines pass
 *     --> the rest is counted --> the window ends: one summary, if there was a rest
 *
 * Pure: the caller says what time it is and asks for the summaries that are due. Bounded: codes
 * beyond CODES_MAX in one window share a place.
 */

export const LOG_WINDOW_MS = 10_000;
export const LINES_PER_WINDOW = 20;
const CODES_MAX = 256;
const OTHER = "other";

/** What was held back of one code. */
export interface LogSummary {
  readonly code: string;
  readonly count: number;
  /** From the window's first line to its end. */
  readonly windowMs: number;
}

interface Window {
  readonly startMs: number;
  lines: number;
  heldBack: number;
}

export class LogLimiter {
  readonly #windows = new Map<string, Window>();

  /** True when a line of this code may be written now. Ask for `due` first. */
  admit(code: string, nowMs: number): boolean {
    const key = this.#windows.has(code) || this.#windows.size < CODES_MAX ? code : OTHER;
    let window = this.#windows.get(key);
    if (window === undefined) {
      window = { startMs: nowMs, lines: 0, heldBack: 0 };
      this.#windows.set(key, window);
    }
    if (window.lines < LINES_PER_WINDOW) {
      window.lines += 1;
      return true;
    }
    window.heldBack += 1;
    return false;
  }

  /** Ends the windows that are over, or all of them, and tells what each held back. */
  due(nowMs: number, isEnd = false): LogSummary[] {
    const summaries: LogSummary[] = [];
    for (const [code, { startMs, heldBack }] of this.#windows) {
      const windowMs = nowMs - startMs;
      // A clock that was set back ends the window as well.
      if (windowMs >= 0 && windowMs < LOG_WINDOW_MS && !isEnd) continue;
      this.#windows.delete(code);
      if (heldBack > 0) summaries.push({ code, count: heldBack, windowMs });
    }
    return summaries;
  }

  /** How long until a summary is due; null when nothing is held back. */
  nextMs(nowMs: number): number | null {
    let nextMs: number | null = null;
    for (const { startMs, heldBack } of this.#windows.values()) {
      if (heldBack === 0) continue;
      const leftMs = Math.max(startMs + LOG_WINDOW_MS - nowMs, 0);
      nextMs = nextMs === null ? leftMs : Math.min(nextMs, leftMs);
    }
    return nextMs;
  }
}
