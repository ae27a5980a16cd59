/**
 * TransferTable: the parts of commands' data that the host was asked for by R2T, by their tags.
 *
 * One part of a command at a time, so that every MAXR2T is honoured. A tag is an index; its place
 * is taken again after the part has come.
 */

import type { NvmeCommand } from "../nvme/io-command.ts";

export class TransferTable {
  /** Parts that are awaited. */
  count = 0;
  readonly #commands: (NvmeCommand | null)[] = [];
  readonly #freeTags: number[] = [];

  /** Gives the command a tag. */
  add(command: NvmeCommand): void {
    const tag = this.#freeTags.pop() ?? this.#commands.length;
    this.#commands[tag] = command;
    command.transferTag = tag;
    command.receivedBytes = 0;
    this.count++;
  }

  /** The command with that tag, or null. Hot path. */
  find(tag: number): NvmeCommand | null {
    return this.#commands[tag] ?? null;
  }

  /** The part has come, or never will. */
  remove(command: NvmeCommand): void {
    const tag = command.transferTag;
    command.transferTag = -1;
    this.#commands[tag] = null;
    this.#freeTags.push(tag);
    this.count--;
  }

  /** All of them, into an array of its own. */
  list(): NvmeCommand[] {
    return this.#commands.filter((command) => command !== null);
  }

  /** When the one that has waited longest last moved; infinite without any. */
  oldestMs(): number {
    let oldest = Number.POSITIVE_INFINITY;
    if (this.count === 0) return oldest;
    for (const command of this.#commands) {
      if (command !== null) oldest = Math.min(oldest, command.transferMs);
    }
    return oldest;
  }
}
