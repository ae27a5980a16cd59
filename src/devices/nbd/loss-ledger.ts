/**
 * LossLedger: which acknowledged changes no flush has covered yet, and whether they may be gone.
 *
 * Changes are numbered in the order of their acknowledgement; a flush covers those acknowledged
 * before it was submitted. After a loss every flush that should have covered one of the lost
 * changes, for the first time, is told of it, and no later one: safety rule 3.
 */

export class LossLedger {
  /** Changes acknowledged so far: what a flush submitted now is to cover. */
  acknowledged = 0;
  /** All up to this number are on stable media, or their loss was reported. */
  #settled = 0;
  /** All unsettled ones up to this number may be gone. */
  #lostUpTo = 0;

  get hasUnflushed(): boolean {
    return this.acknowledged > this.#settled;
  }

  /** A flush that was to cover changes up to `cover` has succeeded. */
  flushed(cover: number): void {
    this.#settled = Math.max(this.#settled, cover);
  }

  /** What has not been flushed may be gone. */
  noteLoss(): void {
    this.#lostUpTo = this.acknowledged;
  }

  /**
   * True when a flush that is to cover changes up to `cover` must report a loss; then it has been
   * reported, and the flush must not be sent.
   */
  takeLoss(cover: number): boolean {
    const isLost = this.#lostUpTo > this.#settled && cover > this.#settled;
    if (isLost) this.#settled = Math.min(cover, this.#lostUpTo);
    return isLost;
  }
}
