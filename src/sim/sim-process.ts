/**
 * SimProcess: a program of a simulated world that is started from a function, and started again
 * after it was killed or its host lost power.
 *
 *   down --start()--> booting --boot() resolves--> up      booting | up --kill, power--> down
 *
 * A start that fails (a medium's error, a file still claimed) is tried again after a while.
 */

import type { FakeProcess, FakeWorld } from "../reactor/fake/fake-world.ts";
import { Reactor } from "../reactor/reactor.ts";

const BOOT_RETRY_MS = 20;
/** Enough for most scenarios; the memory of many small worlds adds up. */
const BUFFER_BYTES_DEFAULT = 4 * 1024 * 1024;

export interface SimProcessOptions<T> {
  readonly name: string;
  readonly host: string;
  /** Of its reactor; default 4 MiB. */
  readonly bufferBytes?: number;
  /** Starts the program. It ends with its process, without notice. */
  readonly boot: (reactor: Reactor) => Promise<T>;
  /** Called when it is up. */
  readonly onUp?: (program: T) => void;
  /** Called when it is gone, also when it was still booting. */
  readonly onDown?: () => void;
}

/** What a process needs of its world. */
export interface SimProcessHost {
  readonly fake: FakeWorld;
  isPowered(host: string): boolean;
  trace(line: string): void;
  after(delayMs: number, callback: () => void): void;
}

export class SimProcess<T = unknown> {
  readonly name: string;
  readonly host: string;
  /** What `boot` gave; null while it is not up. */
  program: T | null = null;
  reactor: Reactor | null = null;
  isPaused = false;
  readonly #world: SimProcessHost;
  readonly #options: SimProcessOptions<T>;
  #fake: FakeProcess | null = null;
  #starts = 0;

  constructor(world: SimProcessHost, options: SimProcessOptions<T>) {
    this.#world = world;
    this.#options = options;
    this.name = options.name;
    this.host = options.host;
  }

  /** Booting or up. */
  get isAlive(): boolean {
    return this.#fake !== null;
  }

  get isUp(): boolean {
    return this.program !== null;
  }

  /** Runs and can be given work. */
  get isRunning(): boolean {
    return this.isUp && !this.isPaused;
  }

  /** Starts it, unless it is alive or its host has no power. */
  start(): void {
    if (this.isAlive || !this.#world.isPowered(this.host)) return;
    const number = ++this.#starts;
    const fake = this.#world.fake.process({ host: this.host, name: `${this.name}.${number}` });
    this.#fake = fake;
    const bufferLimitBytes = this.#options.bufferBytes ?? BUFFER_BYTES_DEFAULT;
    const reactor = new Reactor({ id: 0, io: fake.io, bufferLimitBytes });
    this.reactor = reactor;
    this.#options.boot(reactor).then(
      (program) => {
        if (this.#fake !== fake) return;
        this.program = program;
        this.#world.trace(`${this.name} is up`);
        this.#options.onUp?.(program);
      },
      (error: unknown) => {
        if (this.#fake !== fake) return;
        this.#world.trace(`${this.name} fails to start: ${messageOf(error)}`);
        this.kill();
        this.#world.after(BOOT_RETRY_MS, () => this.start());
      },
    );
  }

  /** kill -9. @returns false: it was not alive */
  kill(): boolean {
    const fake = this.#fake;
    if (fake === null) return false;
    fake.kill();
    this.gone();
    return true;
  }

  /** Its process has ended: by kill, or with its host's power (the world says so). */
  gone(): void {
    if (this.#fake === null) return;
    this.#fake = null;
    this.program = null;
    this.reactor = null;
    this.isPaused = false;
    this.#options.onDown?.();
  }

  /** @returns false: there is nothing to pause */
  pause(): boolean {
    if (this.#fake === null || this.isPaused) return false;
    this.isPaused = true;
    this.#fake.pause();
    return true;
  }

  resume(): void {
    if (this.#fake === null || !this.isPaused) return;
    this.isPaused = false;
    this.#fake.resume();
  }

  /** Its clock goes on so much later. */
  jumpClock(byMs: number): boolean {
    if (this.#fake === null) return false;
    this.#fake.io.clock.offsetMs += byMs;
    return true;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
