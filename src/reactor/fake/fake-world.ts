/**
 * FakeWorld: hosts, processes, disks, a network and one virtual time, all from one seed.
 *
 * `step` fires the next event. `runUntil` is for tests that await: it fires events until the
 * promise has settled and lets microtasks run exactly after those events that settle promises, so
 * that the same seed gives the same run. `traceHash` tells two runs apart. Several processes
 * share a host's disk; a kill or a power loss ends them as the real things do.
 */

import { PenstockError } from "../../util/errors.ts";
import { Prng } from "../../util/prng.ts";
import { HeapSlabSpace } from "../slab-space-heap.ts";
import { EventQueue } from "./event-queue.ts";
import { FakeDisk, type FakeDiskOptions } from "./fake-disk.ts";
import { FakeIo } from "./fake-io.ts";
import { FakeNetwork } from "./fake-network.ts";
import { ProcessGate } from "./process-gate.ts";

/** The event loop gets its turn at least this often, so that a test's own time-out works. */
const EVENTS_PER_YIELD = 16_384;
/** Yields without any event before a promise that does not settle counts as stuck. */
const IDLE_YIELDS_MAX = 20;
const HOST_DEFAULT = "local";

export interface FakeWorldOptions {
  readonly seed: number | string;
  /** Gets a line per event: for looking at one run. */
  readonly trace?: (line: string) => void;
  /** Of every host's disk. */
  readonly disk?: FakeDiskOptions;
}

export interface FakeProcessOptions {
  /** Default "local". */
  readonly host?: string;
  readonly name?: string;
  /** Memory of another process: both then stand for threads of one, which can die alone. */
  readonly slabs?: HeapSlabSpace;
}

export interface RunLimits {
  /** Virtual time at which to stop, milliseconds since the world began. */
  readonly untilMs?: number;
  readonly eventCountMax?: number;
}

export class FakeWorld {
  readonly queue = new EventQueue();
  readonly network: FakeNetwork;
  /** For the test's own choices. */
  readonly prng: Prng;
  /** Events fired so far. */
  eventCount = 0;
  /** A hash over the times and kinds of all events so far. */
  traceHash = 0;
  readonly #ioPrng: Prng;
  readonly #trace: ((line: string) => void) | null;
  readonly #diskOptions: FakeDiskOptions;
  readonly #disks = new Map<string, FakeDisk>();
  readonly #processes: FakeProcess[] = [];
  /** Some promise may have settled since microtasks ran. */
  #hasDelivery = false;

  constructor(options: FakeWorldOptions) {
    const prng = new Prng(options.seed);
    this.network = new FakeNetwork(this.queue, prng.fork("network"));
    this.#ioPrng = prng.fork("io");
    this.prng = prng.fork("test");
    this.#trace = options.trace ?? null;
    this.#diskOptions = options.disk ?? {};
  }

  get nowMs(): number {
    return this.queue.nowMs;
  }

  /** The disk of a host, made on first use. */
  disk(host: string = HOST_DEFAULT): FakeDisk {
    let disk = this.#disks.get(host);
    if (disk === undefined) {
      disk = new FakeDisk(this.queue, this.#ioPrng.fork(`disk ${host}`), this.#diskOptions);
      this.#disks.set(host, disk);
    }
    return disk;
  }

  /** Starts a process. */
  process(options: FakeProcessOptions = {}): FakeProcess {
    const host = options.host ?? HOST_DEFAULT;
    const name = options.name ?? `${host}/${this.#processes.length + 1}`;
    const gate = new ProcessGate(name, this.queue, () => {
      this.#hasDelivery = true;
    });
    const prng = this.#ioPrng.fork(name);
    const slabs = options.slabs ?? new HeapSlabSpace();
    const disk = this.disk(host);
    const io = new FakeIo({ gate, host, disk, network: this.network, prng, slabs });
    const process = new FakeProcess(host, gate, io);
    this.#processes.push(process);
    return process;
  }

  /** Power loss of a host: its processes are gone without a word, its disk keeps what it must. */
  powerLoss(host: string = HOST_DEFAULT, keep?: number): void {
    for (const process of this.#processes) {
      if (process.host === host && process.isAlive) process.end({ vanish: true });
    }
    this.disk(host).powerLoss(keep);
  }

  /** Fires the next event; false when there is none. No microtask runs. */
  step(): boolean {
    const event = this.queue.pop();
    if (event === null) return false;
    this.eventCount++;
    const time = (event.timeMs * 1e6) | 0;
    this.traceHash = Math.imul(this.traceHash ^ time ^ event.sequence, 0x0100_0193);
    if (this.#trace !== null) this.#trace(`${event.timeMs.toFixed(6)} ${event.describe()}`);
    event.fire();
    return true;
  }

  /** Fires events until none is left or a limit is reached; microtasks run where they must. */
  async run(limits: RunLimits = {}): Promise<void> {
    const untilMs = limits.untilMs ?? Number.POSITIVE_INFINITY;
    const lastEvent = this.eventCount + (limits.eventCountMax ?? Number.POSITIVE_INFINITY);
    await yieldToLoop();
    while (this.eventCount < lastEvent && this.queue.nextMs <= untilMs && this.step()) {
      if (this.#mustYield()) await yieldToLoop();
    }
    if (untilMs !== Number.POSITIVE_INFINITY && this.eventCount < lastEvent) {
      this.queue.nowMs = Math.max(this.queue.nowMs, untilMs);
    }
  }

  /**
   * Fires events until the promise has settled, and gives its outcome.
   * @throws PenstockError `world-stuck` when nothing happens any more, or a limit is reached
   */
  async runUntil<T>(promise: Promise<T>, limits: RunLimits = {}): Promise<T> {
    const untilMs = limits.untilMs ?? Number.POSITIVE_INFINITY;
    const lastEvent = this.eventCount + (limits.eventCountMax ?? Number.POSITIVE_INFINITY);
    let isSettled = false;
    const note = () => {
      isSettled = true;
    };
    promise.then(note, note);
    for (let idleYields = 0; idleYields < IDLE_YIELDS_MAX; ) {
      await yieldToLoop();
      if (isSettled) return promise;
      if (this.queue.count === 0) {
        idleYields++;
        continue;
      }
      idleYields = 0;
      if (this.queue.nextMs > untilMs || this.eventCount >= lastEvent) break;
      this.#runToDelivery(untilMs, lastEvent);
    }
    throw new PenstockError({
      code: "world-stuck",
      message: `a promise is pending at ${this.nowMs} ms, after ${this.eventCount} events`,
    });
  }

  #runToDelivery(untilMs: number, lastEvent: number): void {
    do {
      if (this.queue.nextMs > untilMs || this.eventCount >= lastEvent) return;
    } while (this.step() && !this.#mustYield());
  }

  #mustYield(): boolean {
    const must = this.#hasDelivery || this.eventCount % EVENTS_PER_YIELD === 0;
    this.#hasDelivery = false;
    return must;
  }
}

/** One process: its Io, and the ways it can stop. */
export class FakeProcess {
  readonly host: string;
  readonly io: FakeIo;
  readonly #gate: ProcessGate;

  constructor(host: string, gate: ProcessGate, io: FakeIo) {
    this.host = host;
    this.#gate = gate;
    this.io = io;
  }

  get isAlive(): boolean {
    return this.#gate.isAlive;
  }

  /** kill -9: what it wrote stays in the host's page cache, its sockets end. */
  kill(): void {
    this.end({ vanish: false });
  }

  /** SIGSTOP and SIGCONT. The kernel's side of its sockets goes on. */
  pause(): void {
    this.#gate.pause();
  }

  resume(): void {
    this.#gate.resume();
  }

  /** Ends it; `vanish`: together with its host's power. */
  end(options: { readonly vanish: boolean }): void {
    if (!this.#gate.isAlive) return;
    this.#gate.kill();
    this.io.abandon(options);
  }
}

/** All microtasks run, and what others have put on the event loop. */
function yieldToLoop(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
