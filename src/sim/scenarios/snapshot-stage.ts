/**
 * SnapshotStage: a process of a simulated world that has a pool, and what happens to volumes,
 * snapshots and clones in it (`VersionActor`), while the process is killed and its host loses
 * power. After each import all versions are read, and the pool is walked; at the end the figures of
 * all are compared with a count of their blocks, all is deleted, and nothing may be left.
 */

import { walkPool } from "../../pool/check/pool-walk.ts";
import { Pool } from "../../pool/pool.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { Prng } from "../../util/prng.ts";
import { BLOCK_BYTES } from "../../pool/pool-layout.ts";
import type { Run, Stage } from "../run.ts";
import { type EventStep, settingOf } from "../schedule.ts";
import type { SimProcess } from "../sim-process.ts";
import { countVersions } from "../version-count.ts";
import { HOST, PoolHost } from "./pool-host.ts";
import { VersionActor, type VersionSession } from "./version-actor.ts";

/** Every version may be open. */
const BUFFER_BYTES = 64 * 1024 * 1024;
const KIB = 1024;
/** Virtual time for the last examination. */
const EXAMINE_MS_MAX = 600_000;

export class SnapshotStage implements Stage {
  readonly #run: Run;
  readonly #host: PoolHost;
  readonly #actor: VersionActor;
  readonly #process: SimProcess<VersionSession>;
  #session: VersionSession | null = null;
  /** The pool has been made, durably. */
  #isMade = false;
  #isReopening = false;

  constructor(run: Run) {
    this.#run = run;
    const { schedule, world } = run;
    this.#host = new PoolHost(run);
    this.#actor = new VersionActor({
      seed: schedule.seed,
      blocks: settingOf(schedule, "blocks"),
      requestBlocks: settingOf(schedule, "requestBlocks"),
      versionsMax: settingOf(schedule, "versions"),
      nowMs: () => world.nowMs,
      counts: run.others,
      trace: (line) => world.trace(line),
      fail: (message) => run.fail("snapshot", message),
    });
    this.#process = world.process<VersionSession>({
      name: "engine",
      host: HOST,
      bufferBytes: BUFFER_BYTES,
      boot: (reactor) => this.#boot(reactor),
      onUp: (session) => {
        this.#session = session;
      },
      onDown: () => this.#down(),
    });
    world.onPowerLoss = () => this.#actor.ended("power");
    this.#process.start();
  }

  event({ name, target, ms }: EventStep): boolean {
    const session = this.#session;
    if (session === null || !this.#process.isRunning) return false;
    if (name === "checkpoint") {
      session.pool.parts.checkpointer.request("the simulator asks");
      return true;
    }
    if (name === "export") return this.#reopen(session);
    return this.#actor.act(name, target, Math.floor(ms));
  }

  isReady(): boolean {
    if (this.#run.violations.length > 0) return true;
    return this.#session !== null && !this.#isReopening && this.#actor.isIdle;
  }

  async examine(): Promise<void> {
    if (this.#run.violations.length > 0 || this.#session === null) return;
    await this.#watched(this.#examineAll(this.#session));
  }

  async #examineAll(session: VersionSession): Promise<void> {
    await this.#actor.readAll();
    await this.#count(session);
    const random = new Prng(this.#run.schedule.seed);
    await this.#actor.deleteAll(random, () => this.#count(session));
    const { dataBlocks } = await this.#walk(session);
    if (dataBlocks > 0) this.#run.fail("snapshot", `${dataBlocks} blocks are left of nothing`);
  }

  /** Lets the world go on until `work` has settled. */
  async #watched(work: Promise<void>): Promise<void> {
    let isDone = false;
    work.then(
      () => {
        isDone = true;
      },
      (thrown: unknown) => {
        isDone = true;
        const message = thrown instanceof Error ? (thrown.stack ?? thrown.message) : `${thrown}`;
        this.#run.fail("snapshot", message);
      },
    );
    if (!(await this.#run.world.runUntil(() => isDone, EXAMINE_MS_MAX))) {
      this.#run.fail("stuck", "the last examination does not end");
    }
  }

  async #boot(reactor: Reactor): Promise<VersionSession> {
    const pool = await this.#open(reactor);
    const session = { pool, reactor };
    await this.#actor.came(session);
    await this.#walk(session);
    if (!this.#isMade) {
      await this.#actor.makeVolume(session, settingOf(this.#run.schedule, "thick") === 0);
    }
    this.#isMade = true;
    return session;
  }

  /** No fault strikes before it is up for the first time. */
  async #open(reactor: Reactor): Promise<Pool> {
    const { schedule, world } = this.#run;
    const devices = await this.#host.openDisks(reactor, settingOf(schedule, "disks"));
    const environment = this.#host.environment(reactor, ({ code, message }) => {
      world.trace(`${code}: ${message}`);
    });
    const cacheBytes = settingOf(schedule, "cacheKib") * KIB;
    if (this.#isMade) return await Pool.import(environment, devices, { cacheBytes });
    const chunkBytes = settingOf(schedule, "chunkKib") * KIB;
    return await Pool.create(environment, devices, {
      name: "pool",
      cacheBytes,
      chunkBytes,
      overCommitPercent: 0,
    });
  }

  #down(): void {
    this.#session = null;
    this.#isReopening = false;
    this.#actor.ended("kill");
  }

  /** Exports the pool and imports it again. */
  #reopen(session: VersionSession): boolean {
    if (!this.#actor.isIdle) return false;
    this.#run.world.trace("export of the pool");
    this.#session = null;
    this.#isReopening = true;
    this.#reopenOf(session).then(
      (opened) => {
        if (this.#process.reactor !== session.reactor) return;
        this.#session = opened;
        this.#isReopening = false;
      },
      (thrown: unknown) => {
        if (this.#process.reactor !== session.reactor) return;
        this.#run.fail("snapshot", `export: ${String(thrown)}`);
      },
    );
    return true;
  }

  async #reopenOf(session: VersionSession): Promise<VersionSession> {
    await this.#actor.closeAll();
    await session.pool.export();
    this.#actor.ended("none");
    return await this.#boot(session.reactor);
  }

  /** After deletions and a checkpoint: a walk wants a pool that is quiet. */
  async #walk({ pool }: VersionSession): Promise<{ dataBlocks: number }> {
    await pool.deleted();
    await pool.parts.checkpointer.run("in use");
    const walked = await walkPool(pool.parts);
    const [first] = walked.problems;
    if (first !== undefined) this.#run.fail("snapshot", `the walk: ${first}`, walked.problems);
    return walked;
  }

  /** What the pool says of each version against a count of all blocks. */
  async #count(session: VersionSession): Promise<void> {
    const { pool } = session;
    const { dataBlocks } = await this.#walk(session);
    const counted = await countVersions(pool);
    for (const info of [...pool.volumes(), ...pool.snapshots()]) {
      const { ownBytes, sharedBytes, wouldFreeBytes } = await pool.measure(info.name);
      const found = JSON.stringify({ ownBytes, sharedBytes, wouldFreeBytes });
      const expected = JSON.stringify(counted.get(info.uuid));
      if (found === expected) continue;
      const message = `${info.name}: ${found}, and a count gives ${expected}`;
      this.#run.fail("snapshot", message);
    }
    if (pool.info.usedBytes !== dataBlocks * BLOCK_BYTES) {
      this.#run.fail("snapshot", "the pool does not know what it uses");
    }
  }
}
