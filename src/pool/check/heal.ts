/** Where a scrub gets good data for a block that is damaged: a mirror's other legs. */

export interface HealSource {
  /**
   * 4 KiB of the volume at `offset`, put into `into`; false: it has none. May be wrong or stale:
   * only what has the block's checksum is taken.
   */
  read(volumeUuid: string, offset: number, into: Uint8Array): Promise<boolean>;
}
