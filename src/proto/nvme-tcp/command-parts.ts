/**
 * CommandParts: memory for the data of a queue's commands, part by part: all of it at once in the
 * common case, less where memory is short or the device takes less at a time.
 *
 *   begin --memory--> read: device | from the host: asked for by R2T | to the host: copied, sent
 *     \--none--> waits in order, behind nothing that is received --resume--> ...
 *
 * Nothing that waits for memory stays unread: data of other commands may come behind it.
 */

import { BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, type PoolBuffer } from "../../reactor/buffer-pool.ts";
import { CommandKind, type NvmeCommand, ReplyKind } from "../nvme/io-command.ts";
import type { FusedPair } from "./fused-pair.ts";
import type { SlowCommands } from "./slow-commands.ts";
import type { TargetHost, TargetLink } from "./target-link.ts";
import type { TargetQueue } from "./target-queue.ts";
import { WaitingCommands } from "./waiting-commands.ts";

export interface CommandPartsOwner {
  readonly queue: TargetQueue;
  readonly link: TargetLink;
  readonly host: TargetHost;
  readonly fused: FusedPair;
  readonly slow: SlowCommands;
}

export class CommandParts {
  readonly waiting = new WaitingCommands();
  readonly #queue: TargetQueue;
  readonly #link: TargetLink;
  readonly #host: TargetHost;
  readonly #fused: FusedPair;
  readonly #slow: SlowCommands;

  constructor({ queue, link, host, fused, slow }: CommandPartsOwner) {
    this.#queue = queue;
    this.#link = link;
    this.#host = host;
    this.#fused = fused;
    this.#slow = slow;
  }

  /** Starts the command's next part, as soon as there is memory for it. Hot path. */
  begin(command: NvmeCommand): void {
    const isBehind = command.buffer === null && this.waiting.first !== null;
    if (!isBehind && this.#begin(command)) return;
    this.waiting.push(command);
    this.#link.awaitMemory();
  }

  /** Goes on with what waited for memory. */
  resume(): void {
    const { waiting } = this;
    for (let command = waiting.first; command !== null; command = waiting.first) {
      if (!this.#begin(command)) {
        this.#link.awaitMemory();
        return;
      }
      waiting.remove(command);
    }
  }

  /** Asks the host for the part of the command's data for which there is memory. */
  request(command: NvmeCommand): void {
    command.transferMs = this.#host.reactor.clock.nowMs();
    this.#queue.transfers.add(command);
    this.#queue.post(command, ReplyKind.request);
  }

  /** @returns false: no memory now. Hot path. */
  #begin(command: NvmeCommand): boolean {
    const queue = this.#queue;
    if (command.partner !== null) return this.#fused.begin(command);
    const left = command.totalBytes - command.doneBytes;
    const isIo = command.namespace !== null;
    const wanted = isIo ? Math.min(left, queue.partBytesMaxOf(command)) : left;
    const buffer = command.buffer ?? this.#acquire(wanted);
    if (buffer === null) return false;
    command.buffer = buffer;
    command.partBytes = Math.min(wanted, buffer.lengthBytes);
    command.segments.clear();
    command.segments.push(buffer.slab.id, buffer.offset, command.partBytes);
    switch (command.kind) {
      case CommandKind.read:
      case CommandKind.verify:
        queue.submitPart(command);
        break;
      case CommandKind.slowReply:
        this.#slow.copyPart(command, buffer);
        queue.post(command, ReplyKind.data);
        break;
      default:
        this.request(command);
    }
    return true;
  }

  /** Holding something: wait for that to come back. Holding nothing: a smaller part. */
  #acquire(wanted: number): PoolBuffer | null {
    const { memory } = this.#queue.commands;
    const buffer = memory.acquire(Math.min(wanted, BUFFER_BYTES_MAX));
    if (buffer !== null || memory.heldBytes > 0) return buffer;
    const allowed = Math.max(memory.allowance(), BUFFER_BYTES_MIN);
    return allowed < wanted ? memory.acquire(allowed) : null;
  }
}
