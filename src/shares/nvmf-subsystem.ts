/**
 * ServedSubsystem: a subsystem of this reactor, the listeners that offer it, and its limits.
 *
 * Its namespaces come and go; it goes with the last one. The model decides who may connect, this
 * only how many.
 */

import { NvmeStatus } from "../proto/nvme/status.ts";
import type { NvmeSubsystem } from "../proto/nvme/subsystem.ts";
import type { QueueLink, SlowCommand, SubsystemTarget } from "../proto/nvme/transport.ts";

export class ServedSubsystem implements SubsystemTarget {
  readonly model: NvmeSubsystem;
  /** Connections at a time; more are answered "controller busy". */
  readonly maxConnections: number;
  /** Namespaces by the key of the listener that offers them. */
  readonly listeners = new Map<string, number>();
  readonly #links = new Set<QueueLink>();

  constructor(model: NvmeSubsystem, maxConnections: number) {
    this.model = model;
    this.maxConnections = maxConnections;
  }

  get nqn(): string {
    return this.model.nqn;
  }

  /** Connections that have been let in and are not gone. */
  get connections(): number {
    return this.#links.size;
  }

  connect(command: SlowCommand): void {
    const { queue } = command;
    if (!this.#links.has(queue) && this.#links.size >= this.maxConnections) {
      command.complete(NvmeStatus.connectControllerBusy);
      return;
    }
    this.#links.add(queue);
    this.model.connect(command);
  }

  queueEnded(link: QueueLink): void {
    if (this.#links.delete(link)) this.model.queueEnded(link);
  }
}
