/**
 * PoolOpening: how the pool of a simulated world is made, once, and imported ever after; and what
 * is known of the pool itself: its disks, its properties. Owned by `PoolStage`.
 */

import type { PoolEvent } from "../../pool/pool-environment.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import { toPenstockError } from "../../util/errors.ts";
import { PoolModel } from "../pool-model.ts";
import type { Run } from "../run.ts";
import { settingOf } from "../schedule.ts";
import type { PoolChecks } from "./pool-checks.ts";
import type { PoolDoor, StagedPool } from "./pool-door.ts";
import { fillVolume } from "./pool-filler.ts";
import type { PoolHost } from "./pool-host.ts";
import { FILLER, type PoolSlots } from "./pool-slots.ts";

/** The pool's own entry in its model. */
export const POOL = "pool";
const KIB = 1024;
/** So often it is tried to open, or to use, what lies have left of a pool. */
const ATTEMPTS_MAX = 8;

/** Of the pool itself; plain JSON. */
export interface PoolText extends Readonly<Record<string, unknown>> {
  /** Of its disks. */
  readonly sizes: readonly number[];
  readonly properties: Readonly<Record<string, string>>;
}

export interface PoolOpeningOptions {
  readonly run: Run;
  readonly door: PoolDoor;
  readonly host: PoolHost;
  readonly checks: PoolChecks;
  readonly slots: PoolSlots;
  readonly heard: (event: PoolEvent, reactor: Reactor) => void;
}

export class PoolOpening {
  readonly self = new PoolModel<PoolText>();
  readonly #options: PoolOpeningOptions;
  /** The pool has been made once, durably. */
  #isMade = false;
  /** The next import goes on without what is lost. */
  #mustForce = false;
  /** How often it has failed since it was made, where syncs have lied. */
  #failures = 0;

  constructor(options: PoolOpeningOptions) {
    this.#options = options;
  }

  /** It has a fault that lies explain. */
  failed(): void {
    this.#failures++;
  }

  /** It can be opened, but not be mended. */
  abandon(): void {
    this.#failures = ATTEMPTS_MAX + 1;
  }

  async open(reactor: Reactor): Promise<StagedPool> {
    if (this.#failures > ATTEMPTS_MAX) this.#giveUp();
    const counts = this.self.possible(POOL).map((state) => state?.sizes.length ?? 0);
    const [least, most] = [Math.min(...counts), Math.max(...counts)];
    try {
      return await (this.#isMade ? this.#import(reactor, least) : this.#make(reactor));
    } catch (thrown) {
      // Nobody knows whether the last one belongs to it.
      const isLacking = toPenstockError(thrown).code === "pool-incomplete" && most > least;
      if (isLacking) return await this.#import(reactor, most);
      if (this.#options.checks.ofImport(thrown)) this.#mustForce = true;
      if (this.#options.checks.mayBeAnything) this.failed();
      throw thrown;
    }
  }

  /** Somebody who has lost a pool, and was told so, makes a new one. */
  #giveUp(): void {
    const { run, slots, checks } = this.#options;
    run.world.trace("the pool is lost: it is made anew");
    this.#failures = 0;
    this.#isMade = false;
    this.#mustForce = false;
    this.self.forget();
    slots.renew();
    checks.renewed();
  }

  /** What is there after an import stays. @returns how it differs from what was acknowledged */
  see(pool: StagedPool): string[] {
    const { slots } = this.#options;
    const self: PoolText = {
      sizes: sizesOf(pool),
      properties: slots.textsOf(pool.properties(null)),
    };
    const problems = [...this.self.seen(new Map([[POOL, self]])), ...slots.see(pool)];
    // A log that is lost in part takes with it whatever was in there.
    const isExplained = this.#mustForce || this.#options.checks.mayBeAnything;
    this.#mustForce = false;
    return isExplained ? [] : problems;
  }

  async #import(reactor: Reactor, disks: number): Promise<StagedPool> {
    const { door, host, checks, slots } = this.#options;
    const devices = await host.openDisks(reactor, disks);
    const options = { cacheBytes: this.#cacheBytes, force: this.#mustForce };
    const pool = await door.import(this.#environment(reactor), devices, options);
    checks.ofFindings(pool.findings);
    if (this.#mustForce) {
      // What was flushed before a sync failed unheard may be gone with the log.
      slots.eachHistory((history) => history.powerLoss(true));
    }
    return pool;
  }

  /** No fault strikes before it is up for the first time. */
  async #make(reactor: Reactor): Promise<StagedPool> {
    const { door, host, slots } = this.#options;
    const devices = await host.openDisks(reactor, this.#setting("disks"));
    const pool = await door.create(this.#environment(reactor), devices, {
      name: POOL,
      // There may be the remains of one that was lost.
      force: true,
      cacheBytes: this.#cacheBytes,
      chunkBytes: this.#setting("chunkKib") * KIB,
      checksum: "crc32c",
      overCommitPercent: 0,
    });
    this.self.begin(POOL, () => ({ sizes: sizesOf(pool), properties: {} })).acknowledged();
    for (const slot of slots.all) {
      const { volume } = slot;
      assert(volume !== null, "a slot begins with a volume");
      await pool.createVolume(slots.creationOf(slot, volume));
      slots.beginCreation(slot, volume).acknowledged();
    }
    if (this.#setting("tight") === 1) await this.#makeTight(pool, reactor);
    this.#isMade = true;
    return pool;
  }

  /** Little is left: by a reservation, or by blocks in use, so that all others go round. */
  async #makeTight(pool: StagedPool, reactor: Reactor): Promise<void> {
    const { slots } = this.#options;
    const sizeBytes = pool.info.capacityBytes - this.#setting("leftKib") * KIB;
    await pool.createVolume(slots.makeFiller(sizeBytes));
    if (this.#setting("filled") === 1) await fillVolume(pool, FILLER, reactor, sizeBytes);
  }

  get #cacheBytes(): number {
    return this.#setting("cacheKib") * KIB;
  }

  #environment(reactor: Reactor): ReturnType<PoolHost["environment"]> {
    const { host, heard } = this.#options;
    return host.environment(reactor, (event) => heard(event, reactor));
  }

  #setting(name: string): number {
    return settingOf(this.#options.run.schedule, name);
  }
}

function sizesOf(pool: StagedPool): number[] {
  return pool.info.disks.map(({ sizeBytes }) => sizeBytes);
}
