/**
 * TargetCommandPool: the commands of one queue, used again and again, and what they hold.
 */

import { MemoryShare } from "../stream/memory-share.ts";
import type { BufferPool, BufferReserve } from "../../reactor/buffer-pool.ts";
import { assert } from "../../util/assert.ts";
import { type CommandOwner, NvmeCommand } from "../nvme/io-command.ts";

export class TargetCommandPool {
  /** Commands taken and not given back. */
  inFlight = 0;
  /** `Request.stream` of this queue's commands. */
  readonly stream: number;
  readonly memory: MemoryShare;
  /** All that there are, in use or not. */
  readonly all: NvmeCommand[] = [];
  readonly #owner: CommandOwner;
  #free: NvmeCommand | null = null;

  constructor(owner: CommandOwner, pool: BufferPool, reserve: BufferReserve, stream: number) {
    this.#owner = owner;
    this.stream = stream;
    this.memory = new MemoryShare(pool, reserve);
  }

  // hot path
  take(): NvmeCommand {
    this.inFlight++;
    const command = this.#free;
    if (command === null) return this.#make();
    this.#free = command.nextReply;
    command.nextReply = null;
    return command;
  }

  /** Gives up the command's memory, before its answer is sent or with it. Hot path. */
  releaseMemory(command: NvmeCommand): void {
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
  give(command: NvmeCommand): void {
    assert(command.device === null, "a command ends after its device request");
    assert(command.transferTag < 0, "a command ends after its transfer");
    this.releaseMemory(command);
    command.reset();
    command.nextReply = this.#free;
    this.#free = command;
    this.inFlight--;
  }

  #make(): NvmeCommand {
    const command = new NvmeCommand(this.#owner);
    command.stream = this.stream;
    this.all.push(command);
    return command;
  }
}
