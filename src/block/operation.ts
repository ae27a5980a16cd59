/**
 * What can be asked of a device: a closed union, so that a filter that forgets one does not
 * compile, and the flags that go with it.
 */

export const Operation = {
  read: 0,
  write: 1,
  /** Everything acknowledged before it was submitted is on stable media afterwards. */
  flush: 2,
  /** The range's content is not needed any more; it reads as zeroes afterwards. */
  discard: 3,
  writeZeroes: 4,
  /** Segments hold `length` bytes; `compareFailed` when the device holds others. */
  compare: 5,
  /**
   * Segments hold 2 x `length` bytes: first what is expected, then what to write. Atomic
   * against every other request on the device.
   */
  compareAndWrite: 6,
  /** Fills `Request.extents` for [offset, offset + length). */
  blockStatus: 7,
} as const;
export type Operation = (typeof Operation)[keyof typeof Operation];

export const OPERATION_COUNT = 8;

/** Indexed by operation. */
export const OPERATION_NAMES: readonly string[] = [
  "read",
  "write",
  "flush",
  "discard",
  "write-zeroes",
  "compare",
  "compare-and-write",
  "block-status",
];

/** Bits of `Request.flags`. */
export const RequestFlag = {
  /** Force unit access: the data is on stable media before the request completes. */
  fua: 1,
  /** write-zeroes must keep (or make) the allocation. */
  noUnmap: 2,
  /** write-zeroes only if that is faster than writing zeroes, else `unsupported`. */
  fastZero: 4,
  /** read: the device may put its own memory into `segments` (see `Request.lent`). */
  mayLend: 8,
  /** Work of our own (rebuild, scrub), not of a client: may yield to others. */
  background: 16,
  /** block-status: one extent is enough. */
  oneExtent: 32,
} as const;

/**
 * How a device does an operation. There is no default pass-through: each device declares all.
 * Sources say `native` or `emulated`; filters say `pass`, `translate` or `refuse`.
 */
export const Support = {
  native: "native",
  emulated: "emulated",
  pass: "pass",
  translate: "translate",
  refuse: "refuse",
} as const;
export type Support = (typeof Support)[keyof typeof Support];

/** The one table that ends every device's file. */
export interface OperationTable {
  readonly read: Support;
  readonly write: Support;
  readonly flush: Support;
  readonly discard: Support;
  readonly writeZeroes: Support;
  readonly compare: Support;
  readonly compareAndWrite: Support;
  readonly blockStatus: Support;
}
