/**
 * LossLedger: which acknowledged changes no flush has covered yet, and whether they may be gone.
 *
 * Changes are numbered in the order of their acknowledgement; a flush covers those acknowledged
 * before it was submitted. Every flush that should have covered a lost change, and was submitted
 * before a report of that loss, is told of it: also the second of two at the same time, which may
 * be another client's. Later ones are not: safety rule 3.
 *
 *   changes   1 ....... settled ........ acknowledged
 *             |  flushed, or  |  not flushed: lost, after a loss
 *             |   reported    |
 */

export class LossLedger {
  /** Changes acknowledged so far: what a flush submitted now is to cover. */
  acknowledged = 0;
  /** All up to this number are on stable media, or their loss was reported. */
  #settled = 0;
  /** Those behind `#lostFrom` up to `#lostUpTo` may be gone. */
  #lostFrom = 0;
  #lostUpTo = 0;

  /** What need not be reported to a flush that is submitted now: its `base`. */
  get settled(): number {
    return this.#settled;
  }

  /** A flush that was to cover changes up to `cover` has succeeded. */
  flushed(cover: number): void {
    this.#settled = Math.max(this.#settled, cover);
  }

  /** What has not been flushed may be gone. */
  noteLoss(): void {
    if (this.acknowledged === this.#settled) return;
    // Flushes from before an earlier report may still be told of that loss.
    const isFirst = this.#lostUpTo === 0;
    this.#lostFrom = isFirst ? this.#settled : Math.min(this.#lostFrom, this.#settled);
    this.#lostUpTo = this.acknowledged;
  }

  /**
   * True when a flush of the changes behind `base` up to `cover` must report a loss; then it must
   * not be sent.
   */
  mustReport(base: number, cover: number): boolean {
    return Math.max(base, this.#lostFrom) < Math.min(cover, this.#lostUpTo);
  }

  /** The client of such a flush is told at this moment: flushes from now on need not report it. */
  reported(cover: number): void {
    this.#settled = Math.max(this.#settled, Math.min(cover, this.#lostUpTo));
  }
}
