/**
 * The answer to block-status: consecutive ranges with flags, from the request's offset on.
 */

/** Bits of an extent's flags. 0 means allocated data. */
export const ExtentFlag = {
  /** Not allocated on the medium. */
  hole: 1,
  /** Known to read as zeroes. */
  zero: 2,
} as const;

/** At most this many extents are returned; the rest of the range is left to a next request. */
export const EXTENT_COUNT_MAX = 4096;

export class ExtentList {
  readonly lengths: number[] = [];
  readonly flags: number[] = [];
  /** Sum of the lengths so far. */
  lengthBytes = 0;

  get count(): number {
    return this.lengths.length;
  }

  get isFull(): boolean {
    return this.lengths.length >= EXTENT_COUNT_MAX;
  }

  clear(): void {
    this.lengths.length = 0;
    this.flags.length = 0;
    this.lengthBytes = 0;
  }

  /** Makes this list the same as `other`. */
  copyFrom(other: ExtentList): void {
    this.clear();
    for (let index = 0; index < other.count; index++) {
      this.push(other.lengths[index] as number, other.flags[index] as number); // below `count`
    }
  }

  /** Appends a range; merged with the one before when the flags are the same. */
  push(lengthBytes: number, flags: number): void {
    const last = this.lengths.length - 1;
    this.lengthBytes += lengthBytes;
    if (last >= 0 && this.flags[last] === flags) {
      this.lengths[last] = (this.lengths[last] ?? 0) + lengthBytes;
      return;
    }
    this.lengths.push(lengthBytes);
    this.flags.push(flags);
  }
}
