/**
 * ReservationNotices: the reservation notification log of one controller: what its host has not
 * read, and which kinds it does not want to know of, by namespace.
 *
 * spec: NVMe Base 2.0 5.16.1.24 (log page), 5.27.1.27 (mask)
 */

import type { ReservationNotification } from "./reservation-data.ts";
import type { NoticeType } from "./reservation-rules.ts";

/** More than these are forgotten, oldest first. */
const NOTICES_MAX = 255;
/** Bits 1 to 3, by `NoticeType`. */
const MASK_BITS = 0b1110;

interface Notice {
  readonly count: number;
  readonly type: NoticeType;
  readonly nsid: number;
}

export class ReservationNotices {
  readonly #queue: Notice[] = [];
  readonly #masks = new Map<number, number>();
  /** Counts notices from 1; 0 is skipped. */
  #count = 0;

  /** Feature 0x82 of a namespace: bit n set: type n is not told. */
  maskOf(nsid: number): number {
    return this.#masks.get(nsid) ?? 0;
  }

  setMask(nsid: number, mask: number): void {
    this.#masks.set(nsid, mask & MASK_BITS);
  }

  /** @returns false: the host does not want to know */
  add(nsid: number, type: NoticeType): boolean {
    if ((this.maskOf(nsid) & (1 << type)) !== 0) return false;
    this.#count++;
    this.#queue.push({ count: this.#count, type, nsid });
    if (this.#queue.length > NOTICES_MAX) this.#queue.shift();
    return true;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  /** The oldest one, as the log page has it. */
  first(): ReservationNotification {
    const notice = this.#queue[0];
    if (notice === undefined) return { count: 0, type: 0, available: 0, nsid: 0 };
    return { ...notice, available: this.#queue.length - 1 };
  }

  /** The oldest one has been read. */
  drop(): void {
    this.#queue.shift();
  }

  reset(): void {
    this.#queue.length = 0;
    this.#masks.clear();
  }
}
