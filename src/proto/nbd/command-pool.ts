/**
 * CommandPool: a connection's commands and what they hold: buffers against a fair share of the
 * reactor's memory, and references to the receive buffer.
 *
 * Fair share: a connection that holds memory may take more only while it holds no more than half
 * of what is free. So many greedy or stuck clients leave room for the next one, whatever they do,
 * and a single one may use most of the pool.
 */

import type { BufferReserve, BufferPool, PoolBuffer } from "../../reactor/buffer-pool.ts";
import { assert } from "../../util/assert.ts";
import { type CommandOwner, NbdCommand, ReplyKind } from "./command.ts";

/** Commands that one client may have in flight; the next is read when one has been answered. */
export const COMMANDS_IN_FLIGHT_MAX = 256;

const FREE_SHARE = 0.5;

export class CommandPool {
  /** Commands taken, parts of long ones included. */
  inFlight = 0;
  heldBytes = 0;
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
    if (command === null) return new NbdCommand(this.#owner);
    this.#free = command.nextReply;
    command.nextReply = null;
    return command;
  }

  /** Memory for one command, or null when there is none or this connection has its share. */
  acquire(lengthBytes: number): PoolBuffer | null {
    const pool = this.#pool;
    const held = this.heldBytes;
    if (held > 0 && held + lengthBytes > (pool.limitBytes - pool.heldBytes) * FREE_SHARE)
      return null;
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
