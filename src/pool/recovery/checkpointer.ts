/**
 * Checkpointer: makes what is in memory the state of the pool on its disks.
 *
 *   wanted --> fold (log held) --freeze--> pages written --> flushed --> labels written -->
 *   flushed --> old pages and frames are free; next one, if wanted
 *
 * One at a time; I/O goes on all the while, but for the moment between fold and freeze. It owns
 * the label of the session. After a fault there is no checkpoint any more; one label that says so
 * is written when a sync was what failed.
 *
 * spec: docs/internals/pool-format.md, The order of things, C and F
 */

import { Status, statusName } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import { PenstockError, toPenstockError } from "../../util/errors.ts";
import { Incompat, LabelState, type PoolLabel } from "../disks/label-format.ts";
import type { PoolDisks, PoolFault } from "../disks/pool-disks.ts";
import type { PoolLog } from "../log/pool-log.ts";
import type { FrozenPages, PageCache } from "../pages/page-cache.ts";
import type { RootPointer } from "../pages/root-pointer.ts";
import type { PoolEnvironment } from "../pool-environment.ts";
import type { SpaceMap } from "../space/space-map.ts";
import type { Catalogue } from "../volumes/catalogue.ts";
import type { RecordApplier } from "../volumes/record-applier.ts";
import { awaitCall, awaitFlush } from "./await-call.ts";
import { writeLabel } from "./label-writer.ts";

export type CheckpointState = "in use" | "exported" | "destroyed";

export interface CheckpointerOptions {
  readonly environment: PoolEnvironment;
  readonly disks: PoolDisks;
  readonly cache: PageCache;
  readonly space: SpaceMap;
  readonly log: PoolLog;
  readonly applier: RecordApplier;
  readonly catalogue: Catalogue;
  /** As found on the disks. */
  readonly label: PoolLabel;
}

/** Parts of a label that a session, or an administrator, changes: not a checkpoint. */
export type LabelChanges = Partial<
  Pick<
    PoolLabel,
    | "session"
    | "holder"
    | "engineUuid"
    | "losses"
    | "disks"
    | "overCommitPercent"
    | "warnPercent"
    | "criticalPercent"
  >
>;

const STATES: Readonly<Record<CheckpointState, LabelState>> = {
  "in use": LabelState.inUse,
  exported: LabelState.exported,
  destroyed: LabelState.destroyed,
};

/** Pages that found no space below are tried again this often, and so many times. */
const RETRY_MS = 1000;
const RETRIES_MAX = 60;

export class Checkpointer {
  /**
   * Pages that find no space below are tried again for a while, as discards may bring some: while
   * the pool is open, not when it is imported or closed, which is to end soon.
   */
  isPatient = false;
  readonly #parts: CheckpointerOptions;
  /** The last one that is durable. */
  #label: PoolLabel;
  /** For the labels from now on. */
  #changes: LabelChanges = {};
  /** The one that is being written, or was, and is not known to be durable. */
  #pending: PoolLabel | null = null;
  /** The last one of all that were asked for. */
  #last: Promise<void> = Promise.resolve();
  #isAsked = false;
  #isHolding = false;
  #isFaultNoted = false;
  #completed = 0;

  constructor(options: CheckpointerOptions) {
    this.#parts = options;
    this.#label = options.label;
  }

  /** Of the last label that is durable. */
  get generation(): number {
    return this.#label.generation;
  }

  /** The last one that is durable. */
  get label(): PoolLabel {
    return this.#label;
  }

  /** Of this session. */
  get completed(): number {
    return this.#completed;
  }

  /** The next labels are to have these. */
  change(changes: LabelChanges): void {
    this.#changes = { ...this.#changes, ...changes };
  }

  /** One begins soon, when anything has changed. Idempotent while one is asked for. */
  request(_reason: string): void {
    if (this.#isAsked || this.#parts.disks.fault !== Status.ok) return;
    this.#isAsked = true;
    this.#parts.environment.reactor.deliverLater(() => {
      // Who asked hears of a failure by the pool's fault.
      this.run("in use").catch(() => undefined);
    });
  }

  /**
   * One that begins now, or after those under way.
   * @param change what its label is the first to tell: other disks. Nothing is logged from before
   *   it is called until the label is durable, so that no record names what no label knows
   * @throws PenstockError `pool-faulted`
   */
  run(state: CheckpointState, change?: () => void): Promise<void> {
    const next = this.#last.then(() => this.#once(state, change));
    this.#last = next.catch(() => undefined);
    return next;
  }

  /** A sync has failed: the next import must not believe that all is there. Best effort, once. */
  faulted({ isSync }: PoolFault): void {
    if (!isSync || this.#isFaultNoted) return;
    this.#isFaultNoted = true;
    const { reactor } = this.#parts.environment;
    reactor.deliverLater(() => {
      // After the checkpoint under way, which ends soon: it finds the fault.
      this.#last = this.#last.then(() => this.#noteFault()).catch(() => undefined);
    });
  }

  /** Nothing is under way any more. */
  idle(): Promise<void> {
    return this.#last;
  }

  async #once(state: CheckpointState, change?: () => void): Promise<void> {
    this.#isAsked = false;
    this.#checkFault();
    const { log } = this.#parts;
    try {
      const { label, frozen } = await this.#freeze(state, change);
      if (change === undefined) this.#resume();
      await this.#writePages(frozen);
      await awaitFlush(this.#parts.environment.reactor, log);
      this.#checkFault();
      await this.#writeLabel(label);
      log.releaseThrough(label.logSequence - 1, label.generation);
      frozen.committed();
      this.#completed++;
    } catch (error) {
      throw this.#broken(error);
    } finally {
      this.#resume();
    }
  }

  /** Whatever has ended a checkpoint in its middle, there cannot be another one. */
  #broken(error: unknown): unknown {
    const { disks } = this.#parts;
    if (disks.fault === Status.ok) {
      const reason = `a checkpoint has failed: ${toPenstockError(error).message}`;
      disks.raise({ status: Status.internal, reason, isSync: false });
    }
    return error;
  }

  /** Step 1: what is on its way is applied, all is in the trees. The log is held afterwards. */
  async #freeze(
    state: CheckpointState,
    change?: () => void,
  ): Promise<{ label: PoolLabel; frozen: FrozenPages }> {
    const { environment, log, applier, catalogue, space, cache } = this.#parts;
    const { reactor } = environment;
    await this.#prepare();
    this.#isHolding = true;
    await awaitCall<void>(reactor, (held) => log.hold(held));
    await awaitCall<void>(reactor, (drained) => applier.whenDrained(drained));
    this.#checkFault();
    if (change !== undefined) {
      change();
      await this.#prepare();
      this.#checkFault();
    }
    // The log stays held, or it might never settle. The catalogue first: its puts take pages.
    while (!(catalogue.fold() && space.fold())) {
      await this.#prepare();
      this.#checkFault();
    }
    // From here to the end nothing waits.
    const label = this.#makeLabel(state);
    const frozen = cache.freeze();
    assert(frozen.generation === label.generation, "a label is of its pages' generation");
    return { label, frozen };
  }

  #resume(): void {
    if (!this.#isHolding) return;
    this.#isHolding = false;
    this.#parts.log.resume();
  }

  /** Steps 4 and 5. */
  async #writeLabel(label: PoolLabel): Promise<void> {
    const { environment, disks } = this.#parts;
    const { reactor } = environment;
    const { generation, disks: known } = this.#label;
    this.#pending = label;
    // New disks first: no other one may name a disk that does not know that it belongs here.
    const added = [...label.disks.keys()].slice(known.length);
    if (added.length > 0) {
      const status = await writeLabel(reactor, disks, label, generation, added);
      if (status !== Status.ok) this.#raise("labels", status);
      await awaitFlush(reactor, disks);
      this.#checkFault();
    }
    const status = await writeLabel(reactor, disks, label, generation);
    if (status !== Status.ok) this.#raise("labels", status);
    await awaitFlush(reactor, disks);
    this.#checkFault();
    this.#pending = null;
    this.#label = label;
  }

  async #prepare(): Promise<void> {
    const { environment, catalogue, space } = this.#parts;
    const { reactor } = environment;
    // The space map first: it looks for the blocks of both's pages.
    for (const part of [space, catalogue]) {
      const status = await awaitCall<Status>(reactor, (done) => part.prepareFold(done));
      if (status !== Status.ok) this.#raise("pages of the space map or of volumes", status);
    }
  }

  #makeLabel(state: CheckpointState): PoolLabel {
    const { environment, disks, log, catalogue, space, cache } = this.#parts;
    const base = { ...this.#label, ...this.#changes };
    const start = log.startOfReplay();
    return {
      ...base,
      state: STATES[state],
      generation: cache.generation,
      logSequence: start.sequence,
      logPosition: start.position,
      prevCrc: start.prevCrc,
      nextObjectId: catalogue.nextObjectId,
      epoch: cache.epoch,
      incompat: base.incompat | (cache.epoch > 1 ? Incompat.snapshots : 0),
      writtenMs: environment.nowMs(),
      objectsRoot: copyOf(catalogue.objectsRoot),
      propertiesRoot: copyOf(catalogue.propertiesRoot),
      dataBlocks: space.dataBlocks,
      pageBlocks: space.pageBlocks,
      heldBlocks: space.heldBlocks,
      disks: base.disks.map((disk, index) => ({
        ...disk,
        blocks: disks.at(index).blocks,
        spaceRoot: copyOf(space.rootOf(index)),
        freeBlocks: space.freeOf(index),
      })),
    };
  }

  async #writePages(frozen: FrozenPages): Promise<void> {
    const { reactor } = this.#parts.environment;
    for (let retries = 0; ; retries++) {
      const status = await awaitCall<Status>(reactor, (done) => frozen.write(done));
      this.#checkFault();
      if (status === Status.ok) return;
      const isHopeful = status === Status.noSpace && this.isPatient && retries < RETRIES_MAX;
      if (!isHopeful) this.#raise("pages", status);
      if (retries === 0) this.#tellFull();
      await awaitCall<void>(reactor, (done) => {
        reactor.clock.startTimer(RETRY_MS, done);
      });
    }
  }

  #tellFull(): void {
    const { name } = this.#label;
    this.#parts.environment.onEvent({
      level: "error",
      code: "pool-medium-full",
      message:
        `what is below pool ${name} has no space left for the pool's own pages: it fails in ` +
        `${(RETRIES_MAX * RETRY_MS) / 1000} seconds unless there is some`,
      pool: name,
    });
  }

  /** Of equal generations this state counts, so the last durable label stays where it is. */
  async #noteFault(): Promise<void> {
    const { environment, disks } = this.#parts;
    const label: PoolLabel = {
      ...(this.#pending ?? this.#label),
      generation: this.#pending?.generation ?? this.#label.generation + 1,
      state: LabelState.syncFailed,
    };
    await writeLabel(environment.reactor, disks, label, this.#label.generation);
  }

  #checkFault(): void {
    const { fault, faultReason } = this.#parts.disks;
    if (fault !== Status.ok) throw faultError(this.#label.name, faultReason);
  }

  #raise(what: string, status: Status): never {
    const { disks } = this.#parts;
    const reason = `${what} could not be written or read: ${statusName(status)}`;
    disks.raise({ status: Status.mediaError, reason, isSync: false });
    throw faultError(this.#label.name, disks.faultReason);
  }
}

export function faultError(pool: string, reason: string): PenstockError {
  return new PenstockError({
    code: "pool-faulted",
    message: `pool ${pool} has failed, and is to be imported again: ${reason}`,
    details: { pool, reason },
  });
}

function copyOf(pointer: Readonly<RootPointer>): RootPointer {
  return { ...pointer };
}
