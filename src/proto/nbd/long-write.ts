/**
 * LongWrite: a write over 1 MiB, over what memory allows, or off the block grid. Done in parts as
 * its payload arrives.
 *
 * Each part has a buffer that holds the part's aligned hull, with the client's bytes in place.
 * The reply follows when every part has ended; the first error is the one that is told.
 */

import { TRANSFER_BYTES_MAX } from "../../block/device.ts";
import { Status } from "../../block/status.ts";
import { BUFFER_BYTES_MIN, type PoolBuffer } from "../../reactor/buffer-pool.ts";
import type { NbdCommand, PartOwner } from "./command.ts";

/** What a long write needs of its transmission. */
export interface LongWriteHost {
  readonly blockSizeBytes: number;
  /** The most that a part may hold now, in bytes: a multiple of the page size, or 0. */
  allowance(): number;
  takePart(parent: NbdCommand, lengthBytes: number): NbdCommand | null;
  /** Receives `wantedBytes` into `buffer` from `offset` on, then calls `partReceived`. */
  receivePart(part: NbdCommand, buffer: PoolBuffer, offset: number, wantedBytes: number): void;
  /** Submits an aligned part; `partCompleted` follows. */
  submitPart(part: NbdCommand): void;
  /** Writes an unaligned part by read-modify-write; `partCompleted` follows. */
  submitUnaligned(part: NbdCommand): void;
  dropPart(part: NbdCommand): void;
  /** All is done: `parent.status` says how. */
  longWriteEnded(parent: NbdCommand): void;
}

export class LongWrite implements PartOwner {
  readonly #host: LongWriteHost;
  readonly #parent: NbdCommand;
  #next: number;
  #left: number;
  #outstanding = 0;

  constructor(host: LongWriteHost, parent: NbdCommand) {
    this.#host = host;
    this.#parent = parent;
    this.#next = parent.wireOffset;
    this.#left = parent.wireLength;
    parent.status = Status.ok;
  }

  get isReceived(): boolean {
    return this.#left === 0;
  }

  /** Begins to receive the next part. @returns false when there is no memory for it now */
  receiveNext(): boolean {
    const block = this.#host.blockSizeBytes;
    const head = this.#next % block;
    const allowed = Math.max(this.#host.allowance(), BUFFER_BYTES_MIN);
    const length = Math.min(this.#left, Math.min(TRANSFER_BYTES_MAX, allowed) - head);
    const hull = Math.ceil((head + length) / block) * block;
    const part = this.#host.takePart(this.#parent, hull);
    if (part === null) return false;
    part.owner = this;
    part.wireOffset = this.#next;
    part.wireLength = length;
    this.#next += length;
    this.#left -= length;
    this.#outstanding++;
    const buffer = part.buffer as PoolBuffer; // takePart gives one
    this.#host.receivePart(part, buffer, head, length);
    return true;
  }

  /** The part's bytes are all there. */
  partReceived(part: NbdCommand): void {
    const block = this.#host.blockSizeBytes;
    if (part.wireOffset % block !== 0 || part.wireLength % block !== 0) {
      this.#host.submitUnaligned(part);
      return;
    }
    part.offset = part.wireOffset;
    part.length = part.wireLength;
    this.#host.submitPart(part);
  }

  partCompleted(part: NbdCommand): void {
    if (this.#parent.status === Status.ok) this.#parent.status = part.status;
    this.#host.dropPart(part);
    this.#outstanding--;
    if (this.#left === 0 && this.#outstanding === 0) this.#host.longWriteEnded(this.#parent);
  }

  /** The connection ends before all of the payload has come: what is under way still ends. */
  abandon(part: NbdCommand | null): void {
    this.#left = 0;
    this.#parent.status = Status.aborted;
    if (part !== null) {
      this.#host.dropPart(part);
      this.#outstanding--;
    }
    if (this.#outstanding === 0) this.#host.longWriteEnded(this.#parent);
  }

  partWritten(): void {
    // Parts of a write have no reply of their own.
  }
}
