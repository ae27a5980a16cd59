/**
 * CommandPool: a connection's commands and what they hold: buffers against a fair share of the
 * reactor's memory, and references to the receive buffer.
 */

import type { BufferPool, BufferReserve } from "../../reactor/buffer-pool.ts";
import { assert } from "../../util/assert.ts";
import { MemoryShare } from "../stream/memory-share.ts";
import { type CommandOwner, NbdCommand, ReplyKind } from "./command.ts";

/** Commands that one client may have in flight; the next is read when one has been answered. */
export const COMMANDS_IN_FLIGHT_MAX = 256;

export class CommandPool {
  /** Commands taken, parts of long ones included. */
  inFlight = 0;
  /** `Request.stream` of this connection's commands. */
  stream = 0;
  readonly memory: MemoryShare;
  readonly #owner: CommandOwner;
  #free: NbdCommand | null = null;

  constructor(owner: CommandOwner, pool: BufferPool, reserve: BufferReserve) {
    this.#owner = owner;
    this.memory = new MemoryShare(pool, reserve);
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

  /** Gives up the command's memory, before its reply is sent or with it. Hot path. */
  releaseMemory(command: NbdCommand): void {
    const { buffer, payloadIn } = command;
    if (buffer !== null) {
      command.buffer = null;
      this.memory.release(buffer);
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
