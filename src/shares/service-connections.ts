/**
 * ServiceConnections: the open connections of one service of one reactor, whatever they speak, and
 * what they have in common: pools of banks and vectors, and a reserve of memory.
 *
 * Looks after them once a second: a peer that neither reads nor sends what is due is ended, soon
 * where others wait for the memory that it holds.
 */

import { ReceiveVectors } from "../proto/stream/receive-vectors.ts";
import { ReceiveWindow } from "../proto/stream/receive-window.ts";
import { type Replied, SendBankPool } from "../proto/stream/send-bank.ts";
import { BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, BufferReserve } from "../reactor/buffer-pool.ts";
import { PlainStream } from "../reactor/byte-stream.ts";
import type { Timer } from "../reactor/clock.ts";
import type { SocketHandle } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { PenstockError } from "../util/errors.ts";
import type { ConnectionCounts } from "./listening-port.ts";

/** A connection, as its service sees it. */
export interface ServedConnection {
  /** For how long the peer has owed us something, in milliseconds; 0 while nothing is due. */
  stuckMs(nowMs: number): number;
  /** Ends it now. Idempotent. */
  fail(reason: string): void;
  /** Finishes what is in flight, answers, ends it. Idempotent. */
  drain(): Promise<void>;
}

/** How errors name the protocol and its peers: "NBD", "client". */
export interface ServiceWords {
  readonly protocol: string;
  readonly peer: string;
}

/** Buffers of a reactor for one service: its reserve, and as much for all else. */
export const SERVICE_BUFFER_BYTES_MIN = 2 * BUFFER_BYTES_MAX;

/** Well below the 2 s in which a stopping engine must be gone. */
const DRAIN_MS_MAX = 1500;
/** A peer that reads nothing of an answer, or sends nothing of its data, for this long is gone. */
const STUCK_MS_MAX = 60_000;
/** ... and for this long while others wait for the memory that it holds. */
const STUCK_MS_MAX_SHORT = 5000;
/** Memory is short above this part of the pool. */
const SHORT_SHARE = 3 / 4;
const SWEEP_MS = 1000;

export class ServiceConnections<
  Connection extends ServedConnection,
  Command extends Replied<Command>,
> {
  readonly counts: ConnectionCounts = { accepted: 0, refused: 0, adopted: 0 };
  readonly open = new Set<Connection>();
  readonly reactor: Reactor;
  readonly #words: ServiceWords;
  readonly #banks: SendBankPool<Command>;
  readonly #vectors: ReceiveVectors;
  readonly #reserve: BufferReserve;
  #sweep: Timer | null = null;

  /** @throws PenstockError `no-memory` when the reactor's buffers cannot spare the reserve */
  constructor(reactor: Reactor, words: ServiceWords) {
    this.reactor = reactor;
    this.#words = words;
    this.#banks = new SendBankPool(reactor.io);
    this.#vectors = new ReceiveVectors(reactor.io);
    this.#reserve = makeReserve(reactor, words);
    this.#scheduleSweep();
  }

  /** What every connection's host is made of. */
  get hostParts() {
    const drainMsMax = DRAIN_MS_MAX;
    const { reactor } = this;
    return {
      reactor,
      banks: this.#banks,
      vectors: this.#vectors,
      reserve: this.#reserve,
      drainMsMax,
    };
  }

  /**
   * A socket that another reactor has accepted, and what it has received and not read: the
   * caller's. @returns null: there is no memory for it, or it `isUnwanted`; it is closed
   */
  adopt(
    socket: SocketHandle,
    unread: Uint8Array,
    isUnwanted: boolean,
  ): { readonly stream: PlainStream; readonly window: ReceiveWindow } | null {
    const { buffers, io } = this.reactor;
    const stream = new PlainStream(io, socket);
    const buffer = isUnwanted ? null : buffers.acquire(unread.length + BUFFER_BYTES_MIN);
    if (buffer === null) {
      stream.shutdown();
      stream.close();
      return null;
    }
    const window = new ReceiveWindow(buffers, buffer);
    buffer.slab.bytes.set(unread, buffer.offset);
    window.end = unread.length;
    this.counts.adopted++;
    return { stream, window };
  }

  /** Drains all that is open, and gives the memory back. Once; nothing is added any more. */
  async close(): Promise<void> {
    this.#sweep?.cancel();
    this.#sweep = null;
    await Promise.all([...this.open].map((connection) => connection.drain()));
    this.#reserve.close();
    this.#banks.close();
  }

  #scheduleSweep(): void {
    const { buffers, clock } = this.reactor;
    this.#sweep = clock.startTimer(SWEEP_MS, () => {
      const nowMs = clock.nowMs();
      const isShort = buffers.hasWaiters || buffers.heldBytes > buffers.limitBytes * SHORT_SHARE;
      const limitMs = isShort ? STUCK_MS_MAX_SHORT : STUCK_MS_MAX;
      const reason = `the ${this.#words.peer} has neither read nor sent what is due for`;
      for (const connection of this.open) {
        if (connection.stuckMs(nowMs) > limitMs) connection.fail(`${reason} ${limitMs} ms`);
      }
      this.#scheduleSweep();
    });
  }
}

function makeReserve({ buffers }: Reactor, { protocol }: ServiceWords): BufferReserve {
  const isEnough = buffers.limitBytes >= SERVICE_BUFFER_BYTES_MIN;
  const reserve = isEnough ? BufferReserve.create(buffers, BUFFER_BYTES_MAX) : null;
  if (reserve !== null) return reserve;
  throw new PenstockError({
    code: "no-memory",
    message:
      `a buffer limit of ${buffers.limitBytes} bytes: ${protocol} shares need at least ` +
      `${SERVICE_BUFFER_BYTES_MIN}, of which ${BUFFER_BYTES_MAX} are their reserve`,
  });
}
