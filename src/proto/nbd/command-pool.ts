/**
 * CommandPool: a connection's commands and what they hold: buffers against a fair share of the
 * reactor's memory, and references to the receive buffer.
 *
 * Fair share, as in network switches: what a connection holds may be at most a part of what is
 * free, beyond a floor that is kept for new connections. As memory gets short everybody's share
 * shrinks, down to one page, and long reads and writes go on in smaller parts: many greedy or stuck
 * clients leave room for the next one, whatever they do.
 */

import {
  BUFFER_BYTES_MAX,
  BUFFER_BYTES_MIN,
  type BufferPool,
  type BufferReserve,
  type PoolBuffer,
} from "../../reactor/buffer-pool.ts";
import { assert } from "../../util/assert.ts";
import { type CommandOwner, NbdCommand, ReplyKind } from "./command.ts";

/** Commands that one client may have in flight; the next is read when one has been answered. */
export const COMMANDS_IN_FLIGHT_MAX = 256;

const FREE_SHARE = 1 / 4;
/** This part of the pool is for receive windows and single pages. */
const FLOOR_SHARE = 1 / 8;
/** A connection that holds nothing may have this much for what cannot be done in parts. */
const WHOLE_BYTES = 128 * 1024;

export class CommandPool {
  /** Commands taken, parts of long ones included. */
  inFlight = 0;
  heldBytes = 0;
  /** `Request.stream` of this connection's commands. */
  stream = 0;
  readonly #owner: CommandOwner;
  readonly #pool: BufferPool;
  readonly #reserve: BufferReserve;
  #free: NbdCommand | null = null;

  constructor(owner: CommandOwner, pool: BufferPool, reserve: BufferReserve) {
    this.#owner = owner;
    this.#pool = pool;
    this.#reserve = reserve;
  }

  /** Hot path. */
  take(): NbdCommand {
    this.inFlight++;
    const command = this.#free;
    if (command === null) return this.#make();
    this.#free = command.nextReply;
    command.nextReply = null;
    return command;
  }

  #make(): NbdCommand {
    const command = new NbdCommand(this.#owner);
    command.stream = this.stream;
    return command;
  }

  /**
   * The most that `acquire` may give now, in bytes: a multiple of the page size, one page at least
   * for a connection that holds nothing, at most the largest buffer. Hot path.
   */
  allowance(): number {
    const { limitBytes, heldBytes } = this.#pool;
    const free = limitBytes - heldBytes - limitBytes * FLOOR_SHARE;
    const share = Math.min(free * FREE_SHARE - this.heldBytes, BUFFER_BYTES_MAX);
    if (share >= BUFFER_BYTES_MIN) return share - (share % BUFFER_BYTES_MIN);
    return this.heldBytes === 0 ? BUFFER_BYTES_MIN : 0;
  }

  /** Memory for one command, or null when there is none or this connection has its share. */
  acquire(lengthBytes: number): PoolBuffer | null {
    if (lengthBytes > this.allowance()) return null;
    const buffer = this.#reserve.acquire(lengthBytes);
    if (buffer !== null) this.heldBytes += buffer.lengthBytes;
    return buffer;
  }

  /** As `acquire`, for what cannot be done in parts: a little of it never waits for others. */
  acquireWhole(lengthBytes: number): PoolBuffer | null {
    const isLittle = this.heldBytes === 0 && lengthBytes <= WHOLE_BYTES;
    if (!isLittle) return this.acquire(lengthBytes);
    const buffer = this.#reserve.acquire(lengthBytes);
    if (buffer !== null) this.heldBytes += buffer.lengthBytes;
    return buffer;
  }

  /** Gives up the command's memory, before its reply is sent or with it. Hot path. */
  releaseMemory(command: NbdCommand): void {
    const { buffer, payloadIn } = command;
    if (buffer !== null) {
      this.heldBytes -= buffer.lengthBytes;
      command.buffer = null;
      buffer.release();
    }
    if (payloadIn !== null) {
      command.payloadIn = null;
      payloadIn.release();
    }
  }

  /** Ends the command's life. Hot path. */
  give(command: NbdCommand): void {
    assert(command.device === null, "a command ends after its device request");
    this.releaseMemory(command);
    command.segments.clear();
    command.owner = null;
    command.isFirst = true;
    command.isLast = true;
    command.reply = ReplyKind.done;
    command.flags = 0;
    command.nextReply = this.#free;
    this.#free = command;
    this.inFlight--;
  }
}
