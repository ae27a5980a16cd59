/**
 * WaitingCommands: the commands of a queue that wait for memory, in their order.
 *
 * A list through `nextWaiting`; as long as the queue's depth at most, since a host has no more.
 */

import type { NvmeCommand } from "../nvme/io-command.ts";

export class WaitingCommands {
  first: NvmeCommand | null = null;
  #last: NvmeCommand | null = null;

  push(command: NvmeCommand): void {
    command.nextWaiting = null;
    if (this.#last === null) this.first = command;
    else this.#last.nextWaiting = command;
    this.#last = command;
  }

  /** @returns false: it does not wait */
  remove(wanted: NvmeCommand): boolean {
    let before: NvmeCommand | null = null;
    for (let command = this.first; command !== null; command = command.nextWaiting) {
      if (command === wanted) {
        if (before === null) this.first = command.nextWaiting;
        else before.nextWaiting = command.nextWaiting;
        if (this.#last === command) this.#last = before;
        command.nextWaiting = null;
        return true;
      }
      before = command;
    }
    return false;
  }

  /** An I/O command of which nothing has been done, by its id. */
  findWhole(cid: number): NvmeCommand | null {
    for (let command = this.first; command !== null; command = command.nextWaiting) {
      const isWhole = command.doneBytes === 0 && command.partner === null;
      if (command.cid === cid && isWhole && command.namespace !== null) return command;
    }
    return null;
  }
}
