/**
 * ReactorPool: the threads that reactors run on, as the main thread sees them.
 *
 * Starts them, calls them, passes connections from one to another, and stops them by asking: a
 * reactor's thread leaves by itself (FFI rule 3). A thread that ends unasked is fatal.
 */

import { Worker } from "node:worker_threads";
import { IoLevel } from "../reactor/io.ts";
import { levelCan, type RealLevel } from "../reactor/level-capabilities.ts";
import { REACTOR_COUNT_MAX } from "../reactor/reactor-count.ts";
import type { PoolEvent } from "../pool/pool-environment.ts";
import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import { moduleBeside } from "../util/module-url.ts";
import { ControlChannel } from "./control-channel.ts";
import type {
  MainMethods,
  MainNote,
  ReactorMethods,
  ReactorNote,
  ReactorSettings,
} from "./reactor-protocol.ts";
import type { OutLeg, PipeEvent } from "./stage-plan.ts";

const NODE_FLAGS = ["--disable-warning=ExperimentalWarning"];
/** Asked of the process, meant for all its threads. */
const PROFILING = /^--(?:cpu|heap)-prof\b/;

export interface ReactorPoolOptions {
  readonly level: RealLevel;
  /** 1 to REACTOR_COUNT_MAX; 1 at the portable level. */
  readonly reactors: number;
  /** Buffer memory of each reactor; default 64 MiB. */
  readonly bufferLimitBytes?: number;
  /** Longest look for work before sleeping; 0 never looks. */
  readonly spinMsMax?: number;
  /** For the pages of each pool; default 64 MiB. */
  readonly poolCacheBytes?: number;
  /** A reactor has failed for good: the process must end, with this on standard error. */
  onFatal(stack: string): void;
  /** Something happened to a pipe. */
  onEvent?(pipeId: number, event: PipeEvent): void;
  /** Something happened to a pool. */
  onPoolEvent?(event: PoolEvent): void;
  /**
   * A leg is taken out of its mirror: settles when that is durable; the mirror acknowledges nothing
   * before. Must not reject. Asked only for pipes that were opened with a record.
   */
  onLegOut?(pipeId: number, leg: OutLeg): Promise<void>;
}

/** A reactor's calls, as seen from the main thread. */
export type RemoteReactor = Pick<ReactorThread, "id" | "call">;

export class ReactorPool {
  readonly #threads: ReactorThread[];

  /** @throws PenstockError `reactors-unsupported`, or why a reactor could not open its Io */
  static async start(options: ReactorPoolOptions): Promise<ReactorPool> {
    checkCount(options);
    const pool = new ReactorPool(options, await makeSlabTable(options.level));
    const starts = pool.#threads.map((thread) => thread.call("start", null));
    const results = await Promise.allSettled(starts);
    const failed = results.find((result) => result.status === "rejected");
    if (failed === undefined) return pool;
    await pool.stop();
    throw failed.reason;
  }

  private constructor(options: ReactorPoolOptions, slabTable: ReactorSettings["slabTable"]) {
    const { level, bufferLimitBytes, spinMsMax, poolCacheBytes } = options;
    this.#threads = Array.from({ length: options.reactors }, (_, id) => {
      const settings = { id, level, bufferLimitBytes, spinMsMax, poolCacheBytes, slabTable };
      return new ReactorThread(settings, options, (note) => this.#noted(note, options));
    });
  }

  get count(): number {
    return this.#threads.length;
  }

  get reactors(): readonly RemoteReactor[] {
    return this.#threads;
  }

  reactor(id: number): RemoteReactor {
    const thread = this.#threads[id];
    assert(thread !== undefined, "a reactor's id is below their count");
    return thread;
  }

  /** Ends all reactors; their pipes must be closed. Settles when the threads are gone. */
  async stop(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.stop()));
  }

  #noted(note: ReactorNote, { onEvent, onPoolEvent, onFatal }: ReactorPoolOptions): void {
    switch (note.kind) {
      case "hand-off":
        this.#threads[note.toReactor]?.note({ kind: "adopt", message: note.message });
        return;
      case "event":
        onEvent?.(note.pipeId, note.event);
        return;
      case "pool-event":
        onPoolEvent?.(note.event);
        return;
      case "fatal":
        onFatal(note.stack);
    }
  }
}

class ReactorThread {
  readonly id: number;
  readonly #channel: ControlChannel<ReactorMethods, MainMethods, ReactorNote, MainNote>;
  readonly #exited: Promise<void>;
  #stopping = false;

  constructor(
    settings: ReactorSettings,
    { onLegOut }: ReactorPoolOptions,
    onNote: (note: ReactorNote) => void,
  ) {
    const onFatal = (stack: string): void => onNote({ kind: "fatal", stack });
    this.id = settings.id;
    const worker = new Worker(moduleBeside(import.meta.url, "./reactor-worker"), {
      name: `reactor-${settings.id}`,
      workerData: settings,
      // Not inherited: some flags are about the main program's own source, or refused here.
      execArgv: [...NODE_FLAGS, ...process.execArgv.filter((flag) => PROFILING.test(flag))],
    });
    this.#channel = new ControlChannel(worker, {
      methods: { recordOut: async ({ pipeId, leg }) => onLegOut?.(pipeId, leg) },
      onNote: (note) => {
        if (note.kind === "fatal") onFatal(`reactor ${settings.id}: ${note.stack}`);
        else onNote(note);
      },
    });
    worker.on("error", (error) => {
      onFatal(`reactor ${settings.id}: ${error instanceof Error ? error.stack : String(error)}`);
    });
    this.#exited = new Promise((resolve) => {
      worker.on("exit", (code) => {
        // A call that comes late is no bug, a thread that ends by itself is.
        this.#channel.end(this.#stopping ? stoppedError() : goneError(settings.id));
        if (!this.#stopping || code !== 0) {
          onFatal(`reactor ${settings.id} ended with code ${code}`);
        }
        resolve();
      });
    });
  }

  get call(): ControlChannel<ReactorMethods, MainMethods, ReactorNote, MainNote>["call"] {
    return this.#channel.call.bind(this.#channel);
  }

  note(note: MainNote): void {
    this.#channel.note(note);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#channel.call("stop", null);
    await this.#exited;
  }
}

function checkCount(options: ReactorPoolOptions): void {
  const { level, reactors } = options;
  assert(Number.isSafeInteger(reactors) && reactors > 0, "a pool has reactors");
  if (reactors > 1 && !levelCan(level, "several-reactors")) {
    throw new PenstockError({
      code: "reactors-unsupported",
      message: `level ${level} has one reactor, but ${reactors} are asked for`,
      details: { level, reactors },
    });
  }
  if (reactors > REACTOR_COUNT_MAX) {
    throw new PenstockError({
      code: "reactors-unsupported",
      message: `${reactors} reactors are asked for, at most ${REACTOR_COUNT_MAX} are possible`,
      details: { reactors },
    });
  }
}

async function makeSlabTable(level: RealLevel): Promise<ReactorSettings["slabTable"]> {
  if (level === IoLevel.portable) return undefined;
  const { createSharedSlabTable } = await import("../reactor/slab-space-shared.ts");
  return createSharedSlabTable();
}

function stoppedError(): PenstockError {
  const message = "the process is being stopped";
  return new PenstockError({ code: "aborted", message, retryable: true });
}

function goneError(id: number): PenstockError {
  return new PenstockError({ code: "internal", message: `reactor ${id} is gone` });
}
