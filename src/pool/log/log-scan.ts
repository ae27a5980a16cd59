/**
 * LogScan: finds the frames of a session in the bytes of a ring. Pure, but for `readRing`.
 *
 *   place --first copy right--> frame --next place--> ...
 *     +--not right--> second copy, among the units that follow
 *     +--neither--> the same at the ring's start (the frame did not fit before the ring's end)
 *     +--nothing there either--> the log ends; what other headers say is for `judgeLogEnd`
 *
 * spec: docs/internals/pool-format.md, The log; The log's end, rot, and what was lost
 */

import { AwaitedRequest } from "../../block/awaited-request.ts";
import { Operation } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import type { Slab } from "../../reactor/slab.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import { BLOCK_BYTES, blockOf, diskOf, FRAME_BYTES_MAX } from "../pool-layout.ts";
import {
  emptyHeader,
  type FrameHeader,
  type FrameOwner,
  isFrameWhole,
  readFrameHeader,
} from "./log-frame.ts";
import type { RingPlace } from "./log-ring.ts";
import type { ReplayStart } from "./pool-log.ts";

export interface RingBytes {
  readonly bytes: Uint8Array;
  readonly unitBytes: number;
  /** Part of it could not be read, and is zeroes here. */
  readonly hasUnreadable: boolean;
}

/** A frame, by its copy that is right. */
export interface FoundFrame {
  readonly header: Readonly<FrameHeader>;
  /** Byte of the ring at which the copy begins. */
  readonly at: number;
}

export interface LogScan {
  readonly frames: readonly FoundFrame[];
  /** Where the next frame would be. */
  readonly end: ReplayStart;
  /** Highest `durable` in a right header of the session. */
  readonly mark: number;
  /** Highest label generation in a right header of the pool. */
  readonly generation: number;
  /**
   * Frames of the session behind the one that is looked for in vain: that one may be the last of
   * all and torn, but behind it there is none, as one is written at a time.
   */
  readonly later: { readonly first: number; readonly last: number } | null;
  /** Frames whose first copy is not right. */
  readonly secondCopies: number;
}

/** @param start as the label says */
export function scanLog(ring: RingBytes, owner: FrameOwner, start: ReplayStart): LogScan {
  const reader = new RingReader(ring, owner);
  const frames: FoundFrame[] = [];
  let secondCopies = 0;
  let { sequence, position, prevCrc } = start;
  for (;;) {
    const found = reader.find(position, sequence, prevCrc);
    if (found === null) break;
    frames.push(found);
    if (found.at !== found.start * ring.unitBytes) secondCopies++;
    position = (found.start + 2 * (found.header.lengthBytes / ring.unitBytes)) % reader.units;
    prevCrc = found.header.crc;
    sequence++;
  }
  const end = { sequence, position, prevCrc };
  return { frames, end, secondCopies, ...reader.survey(sequence + 1) };
}

interface PlacedFrame extends FoundFrame {
  /** Unit at which its first copy begins. */
  readonly start: number;
}

class RingReader {
  readonly units: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #unitBytes: number;
  readonly #owner: FrameOwner;
  readonly #header = emptyHeader();

  constructor({ bytes, unitBytes }: RingBytes, owner: FrameOwner) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#unitBytes = unitBytes;
    this.#owner = owner;
    this.units = Math.floor(bytes.length / unitBytes);
  }

  find(position: number, sequence: number, prevCrc: number): PlacedFrame | null {
    const found = this.#findAt(position, sequence, prevCrc);
    return found ?? (position === 0 ? null : this.#findAt(0, sequence, prevCrc));
  }

  /** What right headers say; `later` are those with a sequence of at least `from`. */
  survey(from: number): Pick<LogScan, "mark" | "generation" | "later"> {
    const header = this.#header;
    let [mark, generation, first, last] = [0, 0, Number.POSITIVE_INFINITY, 0];
    for (let unit = 0; unit < this.units; unit++) {
      if (!this.#readHeader(unit)) continue;
      generation = Math.max(generation, header.generation);
      if (!header.isOfSession) continue;
      mark = Math.max(mark, header.durable);
      if (header.sequence < from) continue;
      first = Math.min(first, header.sequence);
      last = Math.max(last, header.sequence);
    }
    return { mark, generation, later: last === 0 ? null : { first, last } };
  }

  /** By either copy of a frame that begins at unit `start`. */
  #findAt(start: number, sequence: number, prevCrc: number): PlacedFrame | null {
    const wanted = { sequence, prevCrc };
    if (this.#isRight(start, wanted)) return this.#placed(start, start);
    const unitsMax = FRAME_BYTES_MAX / this.#unitBytes;
    for (let units = 1; units <= unitsMax; units++) {
      const second = start + units;
      if (!this.#isRight(second, wanted)) continue;
      // Its own length says where it began: only then it is this place's second copy.
      if (this.#header.lengthBytes === units * this.#unitBytes) return this.#placed(start, second);
    }
    return null;
  }

  #placed(start: number, unit: number): PlacedFrame {
    return { start, at: unit * this.#unitBytes, header: { ...this.#header } };
  }

  #isRight(unit: number, wanted: { sequence: number; prevCrc: number }): boolean {
    if (!this.#readHeader(unit)) return false;
    const header = this.#header;
    if (!header.isOfSession || header.sequence !== wanted.sequence) return false;
    if (header.prevCrc !== wanted.prevCrc) return false;
    return isFrameWhole(this.#bytes, unit * this.#unitBytes, header);
  }

  #readHeader(unit: number): boolean {
    const at = unit * this.#unitBytes;
    return readFrameHeader(this.#bytes, this.#view, at, this.#owner, this.#unitBytes, this.#header);
  }
}

/** Reads of the ring that run at once. */
const LANES = 8;

/** The whole ring, in a slab that the caller releases. */
export async function readRing(
  disks: PoolDisks,
  place: RingPlace,
): Promise<{ readonly slab: Slab; readonly ring: RingBytes }> {
  const { device } = disks.at(diskOf(place.address));
  const length = place.blocks * BLOCK_BYTES;
  const slab = device.reactor.io.slabs.allocate(length);
  const start = blockOf(place.address) * BLOCK_BYTES;
  let hasUnreadable = false;
  const read = async (at: number, lengthBytes: number): Promise<boolean> => {
    const request = new AwaitedRequest();
    request.segments.push(slab.id, at, lengthBytes);
    const what = { operation: Operation.read, offset: start + at, length: lengthBytes };
    return (await request.run(device, what)) === Status.ok;
  };
  const { maxTransferBytes } = device.info;
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < length) {
      const at = next;
      const piece = Math.min(maxTransferBytes, length - at);
      next += piece;
      if (await read(at, piece)) continue;
      for (let block = at; block < at + piece; block += BLOCK_BYTES) {
        if (await read(block, BLOCK_BYTES)) continue;
        hasUnreadable = true;
        slab.bytes.fill(0, block, block + BLOCK_BYTES);
      }
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const bytes = slab.bytes.subarray(0, length);
  return { slab, ring: { bytes, unitBytes: place.unitBytes, hasUnreadable } };
}
