/**
 * AdaptivePolling: decides what a reactor that has run out of work does. Pure: it is told how long
 * gaps took, and answers how to spend the next gap.
 *
 *   look   enter the kernel again and again: least latency, costs CPU for as long as nothing comes
 *   block  sleep inside the ring: cheap to leave, but the thread's event loop stands still
 *   sleep  in the event loop: costs nothing, and some microseconds on each side
 *
 * Looking pays when work comes soon: a sleep and the wake-up from it cost both sides more than a
 * short look, and hold up a peer that sends many commands at once and waits for their answers.
 * Commands that trickle in one by one are let gather by `RestControl`, which goes first.
 */

/** A gap up to this is worth waiting for awake. */
export const SHORT_GAP_MS = 0.06;

/** Look only while at least this share of recent gaps was short ... */
const SHORT_SHARE_MIN = 0.5;
/** ... and at most this share of the gaps is spent waiting for the rest of a large transfer. */
const BULK_SHARE_MAX = 0.05;

/** Weight of the newest observation in the averages. */
const WEIGHT = 1 / 16;

/** The window is this many times the usual short gap, within its bounds. */
const WINDOW_FACTOR = 3;
const WINDOW_MS_MIN = 0.01;

/** Block for at most this long, and only while gaps are usually shorter. */
const BLOCK_MS = 0.5;

export class AdaptivePolling {
  #shortShare = 0;
  #shortGapMs = SHORT_GAP_MS / 2;
  #gapMs = BLOCK_MS;
  #bulkShare = 0;
  readonly #windowMsMax: number;

  /** @param windowMsMax 0 turns looking off */
  constructor(windowMsMax: number = SHORT_GAP_MS) {
    this.#windowMsMax = windowMsMax;
  }

  /** Tells whether what comes next is the rest of a large transfer: nobody waits for an answer. */
  noteBulk(bulk: boolean): void {
    this.#bulkShare += ((bulk ? 1 : 0) - this.#bulkShare) * WEIGHT;
  }

  /** Tells how long it took from running out of work to the next completion. */
  noteGap(gapMs: number): void {
    const isShort = gapMs <= SHORT_GAP_MS;
    this.#shortShare += ((isShort ? 1 : 0) - this.#shortShare) * WEIGHT;
    if (isShort) this.#shortGapMs += (gapMs - this.#shortGapMs) * WEIGHT;
    this.#gapMs += (Math.min(gapMs, 2 * BLOCK_MS) - this.#gapMs) * WEIGHT;
  }

  /** How long to look now, in milliseconds; 0: do not. */
  windowMs(): number {
    if (this.#shortShare < SHORT_SHARE_MIN || this.#bulkShare > BULK_SHARE_MAX) return 0;
    const wanted = Math.max(this.#shortGapMs * WINDOW_FACTOR, WINDOW_MS_MIN);
    return Math.min(wanted, this.#windowMsMax);
  }

  /** How long to block now, in milliseconds; 0: sleep in the event loop. */
  blockMs(): number {
    return this.#gapMs < BLOCK_MS ? BLOCK_MS : 0;
  }
}
