/**
 * AdminCommand: a command whose answer somebody awaits: everything but reads and writes. Made for
 * one use; its memory is a buffer of the pool.
 */

import { SegmentList } from "../../block/segments.ts";
import type { Sqe } from "../../proto/nvme/sqe.ts";
import { Direction, HostCommand } from "../../proto/nvme-tcp/initiator-command.ts";
import type { InitiatorQueue } from "../../proto/nvme-tcp/initiator-queue.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { PenstockError } from "../../util/errors.ts";

export interface AdminAnswer {
  /** 15 bits, 0 is success. */
  readonly status: number;
  readonly dw0: number;
  readonly dw1: number;
  /** What was asked for; zeroes where the controller gave less. */
  readonly bytes: Uint8Array;
}

export interface AdminData {
  /** Sent with the command. */
  readonly data?: Uint8Array;
  /** Room for an answer. */
  readonly replyBytes?: number;
}

const NO_BYTES = new Uint8Array(0);

export class AdminCommand extends HostCommand {
  readonly #reactor: Reactor;
  readonly #memory = new SegmentList();
  #buffer: PoolBuffer | null = null;
  #replyBytes = 0;
  #settle: ((answer: AdminAnswer | PenstockError) => void) | null = null;

  constructor(reactor: Reactor) {
    super();
    this.#reactor = reactor;
  }

  /**
   * Sends it over `queue`, which is up.
   * @throws PenstockError `no-memory`, and that of `lost`
   */
  run(
    queue: InitiatorQueue,
    encode: (sqe: Sqe) => void,
    data: AdminData = {},
  ): Promise<AdminAnswer> {
    this.prepare(0, 0);
    encode(this.sqe);
    this.#replyBytes = data.replyBytes ?? 0;
    const length = data.data?.length ?? this.#replyBytes;
    if (length > 0) this.#takeMemory(length, data.data ?? null);
    return new Promise((resolve, reject) => {
      this.#settle = (answer) => {
        if (answer instanceof PenstockError) reject(answer);
        else resolve(answer);
      };
      queue.submit(this);
    });
  }

  /** It has its answer. In the turn. */
  finished(): void {
    const { status, dw0, dw1 } = this;
    const answer = { status, dw0, dw1, bytes: this.#takeReply() };
    this.#end(answer);
  }

  /** Its queue has ended without one. */
  lost(error: PenstockError): void {
    this.#takeReply();
    this.#end(error);
  }

  #end(answer: AdminAnswer | PenstockError): void {
    const settle = this.#settle;
    this.#settle = null;
    if (settle !== null) this.#reactor.deliverLater(() => settle(answer));
  }

  #takeMemory(length: number, data: Uint8Array | null): void {
    const buffer = this.#reactor.buffers.acquire(length);
    if (buffer === null) {
      throw new PenstockError({
        code: "no-memory",
        message: "there is no buffer for a command to the controller",
        retryable: true,
      });
    }
    this.#buffer = buffer;
    const { slab, offset } = buffer;
    if (data === null) slab.bytes.fill(0, offset, offset + length);
    else slab.bytes.set(data, offset);
    this.#memory.clear();
    this.#memory.push(slab.id, offset, length);
    this.setData(
      data === null ? Direction.toHost : Direction.toController,
      this.#memory,
      0,
      length,
    );
    this.mayBeShort = true;
  }

  #takeReply(): Uint8Array {
    const buffer = this.#buffer;
    this.#buffer = null;
    if (buffer === null) return NO_BYTES;
    const { slab, offset } = buffer;
    const bytes = slab.bytes.slice(offset, offset + this.#replyBytes);
    buffer.release();
    return bytes;
  }
}
