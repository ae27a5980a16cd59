/**
 * Bench: one job on one pipe, on a reactor of its own in the caller's thread.
 *
 *   opening --> warm-up --> run --time over, end of range, stop()--> finish (requests end)
 *     --wrote with verify--> read back --> closing --> closed
 *
 * Owns its Io, the pipe and the requests. Progress is told from timers, never per request.
 */

import { NbdDevice } from "../devices/nbd.ts";
import { NvmfDevice } from "../devices/nvmf.ts";
import { ComposedPipe } from "../pipe/composer.ts";
import type { PipeEvent } from "../pipe/stage-plan.ts";
import type { Clock } from "../reactor/clock.ts";
import type { Io } from "../reactor/io.ts";
import type { RealLevel } from "../reactor/level-capabilities.ts";
import { openIo } from "../reactor/open-io.ts";
import { Reactor } from "../reactor/reactor.ts";
import { type PenstockError, toPenstockError } from "../util/errors.ts";
import type { Histogram } from "../util/histogram.ts";
import { Prng } from "../util/prng.ts";
import { BlockMap } from "./block-map.ts";
import { Findings } from "./findings.ts";
import { isRandom, type Job, type JobOptions, planJob, writes } from "./job.ts";
import { Load, LoadMemory, type LoadParts, type LoadSequences, type Verification } from "./load.ts";
import { SectorStamp } from "./sector-stamp.ts";
import { AtRandom, InOrder, KnownOnes } from "./sequence.ts";
import type { Target } from "./target.ts";
import { type BenchPhase, type BenchProgress, Ticker } from "./ticker.ts";

/** CPU time of the process so far, in microseconds. */
export interface CpuTime {
  readonly user: number;
  readonly system: number;
}

export interface BenchOptions {
  readonly target: Target;
  readonly job: JobOptions;
  readonly level: RealLevel;
  /** Longest look for work before sleeping, in ms; 0: none. */
  readonly spinMsMax?: number;
  readonly makeUuid: () => string;
  readonly cpuTime: () => CpuTime;
  readonly onProgress?: (progress: BenchProgress) => void;
  readonly onEvent?: (event: PipeEvent) => void;
}

/** Why a job ended before its time. */
export type EarlyEnd = "stopped" | "too many errors";

interface Measured {
  readonly elapsedMs: number;
  /** Latencies in nanoseconds. */
  readonly read: Histogram;
  readonly write: Histogram;
  /** Of the whole process meanwhile, in microseconds. */
  readonly cpu: CpuTime;
  readonly endedEarly: EarlyEnd | null;
}

export interface BenchResult extends Measured {
  readonly job: Job;
  /** In use; null: not a source that has connections. */
  readonly connections: number | null;
  readonly findings: Findings;
  /** After a run that wrote and verified; null: there was no such phase. */
  readonly blocksReadBack: number | null;
  /** `flush-failed`, of a job that writes: what it wrote may not be there. */
  readonly lastFlush: PenstockError | null;
}

type JobResult = Omit<BenchResult, "lastFlush">;

/** Requests that have not ended so long after the last was submitted are hurried. */
const FINISH_MS = 5000;

export class Bench {
  readonly #options: BenchOptions;
  #load: Load | null = null;
  #isStopped = false;

  constructor(options: BenchOptions) {
    this.#options = options;
  }

  /**
   * Runs the job; everything is closed afterwards. Called once.
   * @throws PenstockError of `planJob`, of opening the pipe
   */
  async run(): Promise<BenchResult> {
    const { level, spinMsMax } = this.#options;
    const io = await openIo({ level, ...(spinMsMax === undefined ? {} : { spinMsMax }) });
    try {
      return await this.#runOn(io);
    } finally {
      await io.close();
    }
  }

  /** Ends it soon: what was measured so far is the result. Idempotent. */
  stop(): void {
    this.#isStopped = true;
    this.#load?.stop();
  }

  async #runOn(io: Io): Promise<BenchResult> {
    const { target, makeUuid, onEvent } = this.#options;
    const reactor = new Reactor({ id: 0, io });
    const pipe = new ComposedPipe<Target>(target, {
      reactor,
      holder: `penstock bench, pid ${process.pid}`,
      instanceSeed: makeUuid(),
      ...(onEvent === undefined ? {} : { report: onEvent }),
    });
    let result: JobResult;
    try {
      await pipe.openDevices();
      pipe.markReady();
      result = await this.#runJob(reactor, pipe);
    } catch (thrown) {
      // What went wrong first is what is told.
      await pipe.close().catch(() => undefined);
      throw thrown;
    }
    const failure = await pipe.close().then(() => null, toPenstockError);
    return { ...result, lastFlush: writes(result.job.rw) ? failure : null };
  }

  async #runJob(reactor: Reactor, pipe: ComposedPipe<Target>): Promise<JobResult> {
    const { device } = pipe;
    const job = planJob(this.#options.job, device);
    const prng = new Prng(job.seed);
    const memory = new LoadMemory(reactor, job, prng.fork("memory"));
    const findings = new Findings();
    const verification = job.verify ? verificationOf(job, findings) : null;
    const mix = prng.fork("mix");
    const parts = { reactor, device, job, prng: mix, findings, verification, memory };
    try {
      const measured = await this.#measure(pipe, parts, sequencesOf(job, prng));
      const isRead = verification !== null && writes(job.rw) && !this.#isStopped;
      const blocksReadBack = isRead ? await this.#readBack(pipe, parts, verification) : null;
      const source = pipe.branch?.stages[0]?.device;
      const isRemote = source instanceof NbdDevice || source instanceof NvmfDevice;
      const connections = isRemote ? source.condition.connections : null;
      return { ...measured, job, connections, findings, blocksReadBack };
    } finally {
      memory.release();
    }
  }

  async #measure(
    pipe: ComposedPipe<Target>,
    parts: LoadParts,
    sequences: LoadSequences,
  ): Promise<Measured> {
    const { clock } = parts.reactor;
    const { durationMs, warmUpMs } = parts.job;
    const { cpuTime } = this.#options;
    const load = this.#start(new Load(parts, sequences));
    if (warmUpMs > 0) await this.#phase("warm-up", parts, load, warmUpMs);
    const [startMs, before] = [clock.nowMs(), cpuTime()];
    load.load.measure();
    await this.#phase("run", parts, load, durationMs);
    load.load.endMeasuring();
    const [elapsedMs, after] = [clock.nowMs() - startMs, cpuTime()];
    await this.#finish(pipe, parts, load);
    const { read, write, gaveUp } = load.load;
    const cpu = { user: after.user - before.user, system: after.system - before.system };
    const endedEarly = gaveUp ? "too many errors" : this.#isStopped ? "stopped" : null;
    return { elapsedMs, read, write, cpu, endedEarly };
  }

  /** All blocks whose content is known, once. @returns how many that were */
  async #readBack(
    pipe: ComposedPipe<Target>,
    parts: LoadParts,
    { map }: Verification,
  ): Promise<number> {
    const known = map.countKnown();
    const reads = new KnownOnes(parts.job.blockCount, map);
    const job: Job = { ...parts.job, rw: "read", durationMs: null };
    const load = this.#start(new Load({ ...parts, job }, { reads, writes: reads }));
    await this.#phase("read back", { ...parts, job }, load, null, known);
    await this.#finish(pipe, parts, load);
    return load.load.done;
  }

  #start(load: Load): RunningLoad {
    this.#load = load;
    const idle = load.run();
    if (this.#isStopped) load.stop();
    return { load, idle };
  }

  /** Until the time is over or the load has ended. @param durationMs null: no limit */
  async #phase(
    phase: BenchPhase,
    parts: LoadParts,
    { load, idle }: RunningLoad,
    durationMs: number | null,
    blocks: number = parts.job.blockCount,
  ): Promise<void> {
    const { clock } = parts.reactor;
    const startMs = clock.nowMs();
    const progress = (nowMs: number): number =>
      durationMs === null ? load.done / blocks : (nowMs - startMs) / durationMs;
    const { blockBytes } = parts.job;
    const ticked = { phase, progress, operations: () => load.done, blockBytes };
    const ticker = new Ticker(clock, ticked, this.#options.onProgress ?? ignore);
    ticker.start();
    await within(clock, durationMs, idle);
    ticker.stop();
  }

  /** Submits nothing any more and waits for what is under way. */
  async #finish(
    pipe: ComposedPipe<Target>,
    parts: LoadParts,
    { load, idle }: RunningLoad,
  ): Promise<void> {
    load.stop();
    const { clock } = parts.reactor;
    if (await within(clock, FINISH_MS, idle)) return;
    // A stage holds them (limit, delay, fault), or a server is away.
    const { blockBytes, depth } = parts.job;
    const progress = (): number => 1 - load.underWay / depth;
    const ticked = { phase: "finish" as const, progress, operations: () => load.done, blockBytes };
    const ticker = new Ticker(clock, ticked, this.#options.onProgress ?? ignore);
    ticker.start();
    pipe.hurry();
    await idle;
    ticker.stop();
  }
}

interface RunningLoad {
  readonly load: Load;
  /** Settles when nothing is under way any more. */
  readonly idle: Promise<void>;
}

function ignore(): void {
  // Nobody wants to hear of it.
}

/** True when `idle` came first. @param limitMs null: it always does */
async function within(clock: Clock, limitMs: number | null, idle: Promise<void>): Promise<boolean> {
  if (limitMs === null) {
    await idle;
    return true;
  }
  return await new Promise((resolve) => {
    const timer = clock.startTimer(limitMs, () => resolve(false));
    void idle.then(() => {
      timer.cancel();
      resolve(true);
    });
  });
}

function verificationOf(job: Job, findings: Findings): Verification {
  return {
    stamp: new SectorStamp(job.seed),
    map: new BlockMap(job.blockCount),
    findings,
    // Who writes knows what is there; who only reads has been told that all of it is stamped.
    skipsUnknown: writes(job.rw),
  };
}

function sequencesOf(job: Job, prng: Prng): LoadSequences {
  const { blockCount, durationMs, rw } = job;
  if (isRandom(rw)) {
    return {
      reads: new AtRandom(blockCount, prng.fork("reads")),
      writes: new AtRandom(blockCount, prng.fork("writes")),
    };
  }
  const wraps = durationMs !== null;
  return { reads: new InOrder(blockCount, wraps), writes: new InOrder(blockCount, wraps) };
}
