/**
 * Heal: puts good data in the place of a damaged block: a write of the same content to a new place,
 * through the same gate as all changes of the volume (its range table), so that it never undoes a
 * client's write.
 *
 *   heal --enters the range--> still the damaged one? --source has it, checksum matches--> written
 */

import { Status } from "../../block/status.ts";
import type { Slab } from "../../reactor/slab.ts";
import { SegmentList } from "../../block/segments.ts";
import { assert } from "../../util/assert.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import { BlockWrite, type BlockWriteOwner } from "../volumes/block-write.ts";
import type { DataWriter } from "../volumes/data-writer.ts";
import { RangedRequest } from "../volumes/ranged-request.ts";
import { MappingFlag, type VolumeState } from "../volumes/volume-state.ts";
import type { MappedBlock, ScrubVolume } from "./scrub-volume.ts";

/** Where a scrub gets good data for a block that is damaged: a mirror's other legs. */
export interface HealSource {
  /**
   * 4 KiB of the volume at `offset`, put into `into`; false: it has none. May be wrong or stale:
   * only what has the block's checksum is taken.
   */
  read(volumeUuid: string, offset: number, into: Uint8Array): Promise<boolean>;
}

export class Heal extends RangedRequest implements BlockWriteOwner {
  readonly #parts: PoolParts;
  readonly #source: HealSource;
  readonly #blocks: ScrubVolume;
  readonly #writer: DataWriter;
  readonly #write: BlockWrite;
  readonly #memory: Slab;
  readonly #content = new SegmentList();
  #entered: (() => void) | null = null;
  #written: ((status: Status) => void) | null = null;

  /** @param blocks looks entries up */
  constructor(parts: PoolParts, writer: DataWriter, source: HealSource, blocks: ScrubVolume) {
    super();
    this.#parts = parts;
    this.#source = source;
    this.#blocks = blocks;
    this.#writer = writer;
    this.#write = new BlockWrite(writer);
    this.#memory = parts.environment.reactor.io.slabs.allocate(BLOCK_BYTES);
    this.#content.push(this.#memory.id, 0, BLOCK_BYTES);
  }

  /** Nothing is being healed. */
  close(): void {
    this.#parts.environment.reactor.io.slabs.release(this.#memory);
  }

  /** One at a time. @returns true: the block is right again */
  async heal(volume: VolumeState, block: MappedBlock): Promise<boolean> {
    const bytes = new Uint8Array(BLOCK_BYTES);
    const offset = block.key * BLOCK_BYTES;
    if (!(await this.#source.read(volume.uuid, offset, bytes))) return false;
    const isKnown = (block.flags & MappingFlag.noChecksum) === 0;
    if (!isKnown || this.#parts.checksum.ofBytes(bytes, 0) !== block.checksum) return false;
    this.#memory.bytes.set(bytes);
    await this.#enter(volume, offset);
    try {
      // It may have been deleted while this waited; and what a snapshot has stays as it is.
      if (volume.tree.sharing.isFixed) return false;
      const now = await this.#blocks.lookUp(volume, block.key);
      const isSame = now?.address === block.address && now.checksum === block.checksum;
      // A client has written it meanwhile: that is right, too.
      if (!isSame) return true;
      return (await this.#writeBlock(volume, block.key)) === Status.ok;
    } finally {
      volume.ranges.leave(this);
    }
  }

  override rangeEntered(): void {
    const entered = this.#entered;
    assert(entered !== null, "a heal enters once");
    this.#entered = null;
    this.#parts.environment.reactor.deliverLater(entered);
  }

  blocksWritten({ status }: BlockWrite): void {
    const written = this.#written;
    assert(written !== null, "a heal writes once");
    this.#written = null;
    this.#parts.environment.reactor.deliverLater(() => written(status));
  }

  #enter(volume: VolumeState, offset: number): Promise<void> {
    this.offset = offset;
    this.length = BLOCK_BYTES;
    return new Promise((resolve) => {
      this.#entered = resolve;
      if (volume.ranges.enter(this)) this.rangeEntered();
    });
  }

  #writeBlock(volume: VolumeState, block: number): Promise<Status> {
    return new Promise((resolve) => {
      this.#written = resolve;
      this.#write.fill(this, volume, block, 1, this.#content, 0);
      this.#write.flags = 0;
      this.#write.stream = 0;
      this.#writer.submit(this.#write);
    });
  }
}
