/**
 * WriteIntent: the seam where a region is marked before the first write to it is sent (safety
 * rule 8), so that a returning child is resynced where it may differ, and there only.
 */

/** Gets the change back for which `beforeWrite` said that it must wait. */
export interface IntentWaiter {
  /** The region is marked, durably. In the reactor's turn. */
  regionMarked(): void;
}

export interface WriteIntent {
  /**
   * Called before a change of [offset, offset + length) is sent to any child.
   * @returns true: the region is marked, send it. False: `waiter.regionMarked` comes later
   */
  beforeWrite(offset: number, length: number, waiter: IntentWaiter): boolean;
}

/** `meta=none`: nothing is marked; after an unclean stop all of the mirror is to be resynced. */
export const NO_WRITE_INTENT: WriteIntent = {
  beforeWrite: () => true,
};
