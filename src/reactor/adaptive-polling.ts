/**
 * AdaptivePolling: decides how long a reactor that has run out of work looks for more before it
 * sleeps. Pure: it is told gaps and asked for a window.
 *
 * Sleeping costs a system call on each side and tens of microseconds of latency; looking costs CPU
 * for as long as nothing comes. It pays when the next work usually comes within about the cost of
 * a sleep. Two moving averages: how often the gap was short, and how long the short ones were.
 */

/** A gap up to this is worth waiting for awake. */
export const SHORT_GAP_MS = 0.06;

/** Look only while at least this share of recent gaps was short. */
const SHORT_SHARE_MIN = 0.5;

/** Weight of the newest gap in the averages. */
const WEIGHT = 1 / 16;

/** The window is this many times the usual short gap, within its bounds. */
const WINDOW_FACTOR = 3;
const WINDOW_MS_MIN = 0.01;

export class AdaptivePolling {
  #shortShare = 0;
  #shortGapMs = SHORT_GAP_MS / 2;
  readonly #windowMsMax: number;

  /** @param windowMsMax 0 turns polling off */
  constructor(windowMsMax: number = SHORT_GAP_MS) {
    this.#windowMsMax = windowMsMax;
  }

  /** Tells how long it took from running out of work to the next completion. */
  noteGap(gapMs: number): void {
    const isShort = gapMs <= SHORT_GAP_MS;
    this.#shortShare += ((isShort ? 1 : 0) - this.#shortShare) * WEIGHT;
    if (isShort) this.#shortGapMs += (gapMs - this.#shortGapMs) * WEIGHT;
  }

  /** How long to look now, in milliseconds; 0: sleep at once. */
  windowMs(): number {
    if (this.#shortShare < SHORT_SHARE_MIN) return 0;
    const wanted = Math.max(this.#shortGapMs * WINDOW_FACTOR, WINDOW_MS_MIN);
    return Math.min(wanted, this.#windowMsMax);
  }
}
