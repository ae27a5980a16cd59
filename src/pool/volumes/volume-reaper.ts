/**
 * VolumeReaper: takes versions that are being deleted out of their families, in the background,
 * one after the other over the whole pool: first the one whose cut has begun.
 *
 *   next one with at most one child --plan, cut record, applied--> ... cursor at the end
 *     --object gone--> the child is in its place
 *
 * One with two or more children waits until one is left. What a crash interrupts the next import
 * goes on with: the cursor is in the object's record. A cut changes no page, so it works in a pool
 * that is full.
 */

import { Status } from "../../block/status.ts";
import { loadPath } from "../check/load-path.ts";
import { MISSING } from "../pages/page-tree.ts";
import { yieldTurn } from "../recovery/await-call.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import { KEYS_END } from "./edge-step.ts";
import { RecordCall, type RecordContent } from "./record-call.ts";
import { CUT_BLOCKS_MAX, CUT_LEAVES, VersionCut } from "./version-cut.ts";
import type { VolumeState } from "./volume-state.ts";

export class VolumeReaper {
  readonly #parts: PoolParts;
  readonly #cut: VersionCut;
  #working: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(parts: PoolParts) {
    this.#parts = parts;
    this.#cut = new VersionCut(parts);
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
    await this.#working;
  }

  get #isOver(): boolean {
    return this.#isStopped || this.#parts.disks.fault !== Status.ok;
  }

  async #work(): Promise<void> {
    for (let x = this.#next(); x !== null && !this.#isOver; x = this.#next()) {
      const { lost } = this.#cut;
      while (x.cursor < KEYS_END) {
        if (!(await this.#step(x))) return;
      }
      if (this.#cut.lost > lost) this.#report(x);
      if (!(await this.#forget(x))) return;
    }
  }

  /** The one that is half gone, else the first that may go. */
  #next(): VolumeState | null {
    let found: VolumeState | null = null;
    for (const x of this.#parts.catalogue.all()) {
      if (!x.isDeleting || x.isWaiting) continue;
      if (x.cursor > 0) return x;
      if (found === null || x.id < found.id) found = x;
    }
    return found;
  }

  /** One record. @returns false: it is over */
  async #step(x: VolumeState): Promise<boolean> {
    const planned = await this.#plan(x);
    if (planned === null) return false;
    const { id } = x;
    let end = planned;
    const status = await this.#call({
      blocks: CUT_BLOCKS_MAX,
      log: (log, entry) => {
        // Room may have been long in coming, and the child may be another one by now.
        const now = this.#cut.plan(x, childOf(x), CUT_LEAVES);
        if (now !== MISSING) end = now;
        return log.cut(entry, id, end);
      },
      apply: (sink, sequence) => sink.cut(id, end, sequence),
    });
    return status === Status.ok;
  }

  /** Where the next record ends, with all pages for it in memory; null: it is over. */
  async #plan(x: VolumeState): Promise<number | null> {
    const { reactor } = this.#parts.environment;
    for (;;) {
      if (this.#isOver) return null;
      const end = this.#cut.plan(x, childOf(x), CUT_LEAVES);
      if (end !== MISSING) return end;
      const { stuckTree, stuckKey } = this.#cut;
      if (stuckTree !== null) await loadPath(reactor, stuckTree, stuckKey);
      else await yieldTurn(reactor);
    }
  }

  /** All of it is gone, or its child's. */
  async #forget({ id }: VolumeState): Promise<boolean> {
    const status = await this.#call({
      log: (log, entry) => log.objectGone(entry, id),
      apply: (sink) => sink.objectGone(id),
    });
    return status === Status.ok;
  }

  #call(content: RecordContent): Promise<Status> {
    return new RecordCall(this.#parts, content, false).run();
  }

  #report({ name }: VolumeState): void {
    const { environment, checkpointer } = this.#parts;
    environment.onEvent({
      level: "error",
      code: "pool-damage-found",
      message:
        `${name} is deleted, but not all of its space can be found, ` +
        "as pages are lost: that space stays in use",
      pool: checkpointer.label.name,
      volume: name,
    });
  }
}

/** One that is not waiting has one at most. */
function childOf(x: VolumeState): VolumeState | null {
  for (const child of x.children) return child;
  return null;
}
