/**
 * Which answers of a pool and its volumes are right in a simulated world, and what has struck its
 * disks so far. Data is judged by the histories; this is about statuses and error codes.
 */

import type { PoolEventCode } from "../../pool/pool-environment.ts";
import type { ImportFindings } from "../../pool/pool-info.ts";
import { Status, statusName } from "../../block/status.ts";
import { toPenstockError } from "../../util/errors.ts";
import type { HistoryOp } from "../history.ts";
import type { Run } from "../run.ts";
import { HOST } from "./pool-host.ts";
import type { PoolVolume } from "./pool-volume.ts";

/** That, and nothing has been changed. */
const REFUSALS: ReadonlySet<string> = new Set(["no-space", "over-commit"]);
/** An import may end so where something is wrong with the disks. */
const DAMAGE: ReadonlySet<string> = new Set(["log-damaged", "label-damaged", "pool-damaged"]);

/** What came of a call to the pool. */
export type CallOutcome = "refused" | "unanswered";

export class PoolChecks {
  readonly #run: Run;
  /** Volumes together may want more than there is. */
  readonly #isTight: boolean;
  /** Virtual time since when changes must fail; NEVER: they need not. */
  #faultedMs = Number.POSITIVE_INFINITY;
  #isRotten = false;
  /** A sync may have lied since all was made; and power was lost after that. */
  #hasLied = false;
  #isLieFelt = false;
  /** Since the last import that came to its end. */
  #hasLostPower = false;
  /** Syncs of the pool's disks that had failed when it was opened. */
  #syncsBefore = 0;
  /** Virtual time since when it is known that one has failed since. */
  #syncFailedMs = Number.POSITIVE_INFINITY;

  constructor(run: Run, options: { readonly isTight: boolean }) {
    this.#run = run;
    this.#isTight = options.isTight;
  }

  /** Syncs that the disks have failed, whether or not somebody heard of it. */
  get syncsFailed(): number {
    return this.#syncsFailedOf(this.#run.world.diskPaths);
  }

  #syncsFailedOf(paths: readonly string[]): number {
    return this.#run.world.diskFaults.reduce((sum, { on, effect, fault, path }) => {
      return on === "sync" && effect === "error" && paths.includes(path) ? sum + fault.hits : sum;
    }, 0);
  }

  /** Some of what is on the disks may be wrong for good. */
  get mayBeDamaged(): boolean {
    return this.#isRotten || this.#isLieFelt || this.syncsFailed > 0;
  }

  /** Power was lost after syncs had lied: older states may be back, or nothing be there. */
  get mayBeAnything(): boolean {
    return this.#isLieFelt;
  }

  lied(): void {
    this.#hasLied = true;
  }

  /** The pool is another one. */
  renewed(): void {
    this.#hasLied = this.#run.world.fake.disk(HOST).lyingFlush;
    this.#isLieFelt = false;
  }

  /** A medium's error may have been met by anybody. */
  get hasFailed(): boolean {
    return this.errorHits > 0;
  }

  /** Errors of the medium so far. */
  get errorHits(): number {
    return this.#run.world.diskFaults.reduce((sum, { effect, fault }) => {
      return effect === "error" ? sum + fault.hits : sum;
    }, 0);
  }

  rotten(): void {
    this.#isRotten = true;
  }

  powerLost(): void {
    this.#isLieFelt ||= this.#hasLied;
    this.#hasLostPower = true;
  }

  /** The pool has been imported. @param paths of its disks */
  opened(paths: readonly string[]): void {
    this.#faultedMs = Number.POSITIVE_INFINITY;
    this.#hasLostPower = false;
    this.#syncsBefore = this.#syncsFailedOf(paths);
    this.#syncFailedMs = Number.POSITIVE_INFINITY;
  }

  /** A sync that has failed by now ends badly: flushes that begin later wait for it, and fail. */
  lookAtSyncs(paths: readonly string[]): void {
    if (this.#syncsFailedOf(paths) <= this.#syncsBefore) return;
    this.#syncFailedMs = Math.min(this.#syncFailedMs, this.#run.world.nowMs);
  }

  /** What an import says of what it found. */
  ofFindings({ framesReplayed, recordsDropped, logLost }: ImportFindings): void {
    const { world } = this.#run;
    const dropped = recordsDropped.length;
    world.trace(`imported: ${framesReplayed} frames replayed, ${dropped} ranges dropped`);
    if (dropped > 0 && !this.#hasLostPower && !this.mayBeDamaged) {
      this.#run.fail("pool", `the import dropped ${dropped} ranges, though no power was lost`);
    }
    if (logLost !== null && !this.mayBeDamaged) {
      this.#run.fail("pool", "the import has lost a part of the log");
    }
  }

  ofScrub(damaged: number): void {
    this.#run.world.trace(`the scrub has found ${damaged} damaged blocks`);
    if (damaged > 0 && !this.mayBeDamaged && !this.hasFailed) {
      this.#run.fail("pool", `a scrub finds ${damaged} damaged blocks, and nothing explains it`);
    }
  }

  ofEvent(code: PoolEventCode, message: string): void {
    this.#run.world.trace(`${code}: ${message}`);
    const isDamage = code === "pool-damage-found" || code === "pool-log-lost";
    if (isDamage && !this.mayBeDamaged && !this.hasFailed) {
      this.#run.fail("pool", `${code}, and nothing explains it: ${message}`);
    }
    const isFault = code === "pool-faulted" || code === "pool-flush-failed";
    if (isFault && !this.#mayFail) {
      this.#run.fail("pool", `${code}, and nothing explains it: ${message}`);
    }
  }

  /** @returns why a volume must not have answered so, or null */
  ofAnswer(op: HistoryOp, status: Status, volume: PoolVolume): string | null {
    if (status === Status.ok || status === Status.compareFailed) {
      const isChange = op.kind !== "read" && op.kind !== "compare";
      if (!isChange || status !== Status.ok) return null;
      const isDurable = op.kind === "flush" || op.fua;
      if (isDurable && op.startMs > this.#syncFailedMs) return "durable after a failed sync";
      return op.startMs > this.#faultedMs ? "the volume takes changes after a failed sync" : null;
    }
    if (status === Status.mediaError) {
      if (op.kind === "flush") this.#faultedMs = Math.min(this.#faultedMs, this.#run.world.nowMs);
      return this.hasFailed || this.mayBeDamaged ? null : "media-error, and no disk has failed";
    }
    if (status === Status.noSpace && this.#mayLackSpace(volume)) return null;
    const isBeyond = op.first + op.count > volume.smallestSectors;
    if (status === Status.outOfRange && isBeyond) return null;
    return `unexpected ${statusName(status)}`;
  }

  /** @returns what came of a call that has failed; one that nothing explains is a violation */
  ofCall(what: string, thrown: unknown): CallOutcome {
    const { code, message } = toPenstockError(thrown);
    this.#run.world.trace(`${what} fails: ${code}: ${message}`);
    if (REFUSALS.has(code)) {
      if (!this.#isTight && !this.#hasBeenFull) this.#fail(what, code, message);
      return "refused";
    }
    // A volume cannot be cut within a block that is damaged.
    const isDamage = code === "media-error" && this.mayBeDamaged;
    if (!this.#mayFail && !isDamage) this.#fail(what, code, message);
    return "unanswered";
  }

  /** @returns whether the import is to be tried again with force */
  ofImport(thrown: unknown): boolean {
    const { code, message } = toPenstockError(thrown);
    this.#run.world.trace(`import fails: ${code}: ${message}`);
    // A page that cannot be read now may be read when the disks are well again.
    const isForGood = code !== "pool-damaged" || this.#run.world.isHealed;
    if (DAMAGE.has(code) && this.mayBeDamaged && isForGood) return true;
    if (!this.#mayFail) this.#fail("import", code, message);
    return false;
  }

  get #mayFail(): boolean {
    return this.hasFailed || this.#hasBeenFull || this.#isLieFelt;
  }

  get #hasBeenFull(): boolean {
    return (this.#run.world.faultCounts.get("disk-full") ?? 0) > 0;
  }

  #mayLackSpace({ isThin }: PoolVolume): boolean {
    return this.#hasBeenFull || (isThin && this.#isTight);
  }

  #fail(what: string, code: string, message: string): void {
    this.#run.fail("call", `${what} failed, and nothing explains it: ${code}: ${message}`);
  }
}
