/**
 * SettlingCommands: waits until the device requests of some commands have ended.
 */

import type { NvmeCommand, Settling } from "../nvme/io-command.ts";

export class SettlingCommands implements Settling {
  #left = 1;
  readonly #done: () => void;

  /** @param done called once, in the turn, or by `begin` */
  constructor(done: () => void) {
    this.#done = done;
  }

  /** The command's device request has ended. */
  static ended(command: NvmeCommand): void {
    const { settling } = command;
    command.settling = null;
    settling?.requestEnded();
  }

  /** One that the device has. Two that wait for the same command are told one after the other. */
  add(command: NvmeCommand): void {
    const before = command.settling;
    this.#left++;
    if (before === null) {
      command.settling = this;
      return;
    }
    command.settling = {
      requestEnded: () => {
        before.requestEnded();
        this.requestEnded();
      },
    };
  }

  /** All of them have been added. */
  begin(): void {
    this.requestEnded();
  }

  requestEnded(): void {
    if (--this.#left === 0) this.#done();
  }
}
