/**
 * VolumeReaper: takes everything out of volumes that are being deleted, in the background, one
 * after the other, then the volumes themselves. What a crash interrupts the next import goes on
 * with.
 */

import { Status, statusName } from "../../block/status.ts";
import { VOLUME_BLOCKS_MAX } from "../pool-layout.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import type { VolumeState } from "./catalogue.ts";
import { RecordCall } from "./record-call.ts";
import { UnmapRun } from "./unmap-steps.ts";

export class VolumeReaper {
  readonly #parts: PoolParts;
  #run: UnmapRun | null = null;
  #working: Promise<void> = Promise.resolve();
  #isStopped = false;
  /** Those that a lost page keeps from ending. */
  readonly #failed = new Set<number>();

  constructor(parts: PoolParts) {
    this.#parts = parts;
  }

  /** There may be something to do. */
  wake(): void {
    this.#working = this.#working.then(() => this.#work());
  }

  /** Settles when nothing is left to do, or it has been stopped. */
  idle(): Promise<void> {
    return this.#working;
  }

  /** Ends after the step under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#run?.stop();
    await this.#working;
  }

  async #work(): Promise<void> {
    const { catalogue } = this.#parts;
    const deleting = [...catalogue.all()].filter(({ isDeleting }) => isDeleting);
    for (const volume of deleting) {
      const isGone = this.#failed.has(volume.id) || catalogue.byId(volume.id) === undefined;
      if (this.#isStopped || isGone) continue;
      const status = await this.#unmapAll(volume);
      if (status === Status.ok) await this.#forget(volume);
      else if (status !== Status.aborted) this.#report(volume, status);
    }
  }

  #unmapAll(volume: VolumeState): Promise<Status> {
    return new Promise((resolve) => {
      const { reactor } = this.#parts.environment;
      const ended = (run: UnmapRun): void => {
        this.#run = null;
        const { status } = run;
        reactor.deliverLater(() => resolve(status));
      };
      const run = new UnmapRun(this.#parts, { unmapped: ended });
      this.#run = run;
      run.start(volume, 0, VOLUME_BLOCKS_MAX, true);
    });
  }

  /** Nothing is mapped in it any more. */
  async #forget(volume: VolumeState): Promise<void> {
    const { id } = volume;
    const call = new RecordCall(
      this.#parts,
      {
        log: (log, entry) => log.objectGone(entry, id),
        apply: (sink) => sink.objectGone(id),
      },
      false,
    );
    await call.run();
  }

  #report(volume: VolumeState, status: Status): void {
    const { environment, checkpointer, disks } = this.#parts;
    if (disks.fault !== Status.ok) return;
    this.#failed.add(volume.id);
    environment.onEvent({
      level: "error",
      code: "pool-damage-found",
      message:
        `${volume.name} is deleted, but not all of its space can be found ` +
        `(${statusName(status)}): that space stays in use`,
      pool: checkpointer.label.name,
      volume: volume.name,
    });
  }
}
