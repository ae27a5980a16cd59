/**
 * LogRing: where the next frame goes, and whether there is room. Pure arithmetic over units.
 */

import type { Address } from "../pool-layout.ts";

/** Where the ring lies. */
export interface RingPlace {
  /** Of its first block, on the first disk. */
  readonly address: Address;
  readonly blocks: number;
  /** Unit of frames: 512 or 4096 bytes. */
  readonly unitBytes: number;
}
