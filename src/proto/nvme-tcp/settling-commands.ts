/**
 * SettlingCommands: the commands of a namespace that goes away, or whose host was preempted: what
 * the device has is waited for, nothing further of them gets there.
 */

import { CommandKind, type NvmeCommand, ReplyKind, type Settling } from "../nvme/io-command.ts";
import { NvmeStatus } from "../nvme/status.ts";
import type { TargetQueue } from "./target-queue.ts";

/** @param done called once, when the device has nothing of them: at once, or in the turn */
export function settleCommands(queue: TargetQueue, nsid: number, done: () => void): void {
  const settling = new SettlingCommands(done);
  for (const command of queue.commands.all) {
    if (command.namespace?.nsid !== nsid) continue;
    if (command.device !== null) {
      // Of a command in parts, or of several ranges, no further one is begun.
      const goesOn = !command.isLastPart || command.kind === CommandKind.deallocate;
      if (goesOn) command.answer = NvmeStatus.abortedPreempt;
      settling.add(command);
    } else if (command.transferTag >= 0 || isBetweenParts(command)) {
      // Its data may still come, or is on its way to the host; it does not reach the device.
      command.answer = NvmeStatus.abortedPreempt;
    } else if (queue.parts.waiting.remove(command)) {
      queue.preempted(command);
    }
  }
  settling.begin();
}

/** A read of which a part is on its way to the host. */
function isBetweenParts({ kind, reply, isLastPart }: NvmeCommand): boolean {
  return kind === CommandKind.read && reply === ReplyKind.data && !isLastPart;
}

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
