/**
 * LibraryEngine: the one reactor that all of a process's devices of one level live on, in the
 * thread of whoever opened them.
 *
 *   none --first device--> in use --last one closed--> parked --next device--> in use
 *
 * Parked it holds no buffers, does not keep the process alive and costs nothing; its ring stays,
 * because a ring's memory can never be given back safely (FFI rule 6). While devices are open a
 * timer keeps the process alive, at all levels alike.
 */

import { markAsUntransferable } from "node:worker_threads";
import { AlignedMemory } from "../block/aligned-memory.ts";
import type { Branch } from "../pipe/branch.ts";
import { tappedStage } from "../pipe/stage-address.ts";
import type { TappedStage } from "../pipe/stage-plan.ts";
import { REAL_LEVELS } from "../reactor/level-capabilities.ts";
import { openIo } from "../reactor/open-io.ts";
import { BUFFER_LIMIT_BYTES_DEFAULT, Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import { checkBufferLimit } from "./check-arguments.ts";
import { chooseLevel } from "./choose-level.ts";
import { LibraryShares } from "./library-shares.ts";
import type { AlignedBuffer, Level, OpenOptions } from "./public-types.ts";

const ALIGNED_LIMIT_BYTES = 2 ** 30;
/** The longest that Node's timers take; when it fires nothing happens. */
const KEEP_ALIVE_MS = 2 ** 31 - 1;

/** A device's branch, for those who look for labels; null while it has none. */
export interface EngineUser {
  readonly branch: Branch | null;
}

const engines = new Map<Level, Promise<LibraryEngine>>();

export class LibraryEngine {
  readonly level: Level;
  readonly reactor: Reactor;
  readonly memory: AlignedMemory;
  readonly shares: LibraryShares;
  readonly #users = new Set<EngineUser>();
  #keepAlive: NodeJS.Timeout | null = null;

  /**
   * Takes a place on the reactor of the level that `options` lead to, until `leave`.
   * @throws PenstockError `level-unavailable`, `invalid-argument`, `buffer-limit-conflict`
   */
  static async enter(
    user: EngineUser,
    options: OpenOptions,
  ): Promise<{ readonly engine: LibraryEngine; readonly levelReason: string }> {
    checkBufferLimit(options.bufferLimitBytes);
    const { level, reason } = await chooseLevel(options.level);
    const engine = await engineAt(level);
    engine.#enter(user, options.bufferLimitBytes);
    return { engine, levelReason: reason };
  }

  static async start(level: Level): Promise<LibraryEngine> {
    // Numbers of reactors are unique in the process.
    const id = REAL_LEVELS.indexOf(level);
    const io = await openIo({ level, sharesThread: true });
    return new LibraryEngine(level, new Reactor({ id, io }));
  }

  private constructor(level: Level, reactor: Reactor) {
    this.level = level;
    this.reactor = reactor;
    this.memory = new AlignedMemory(reactor.io.slabs, { limitBytes: ALIGNED_LIMIT_BYTES });
    this.shares = new LibraryShares(reactor);
  }

  /** Nothing of the user is in flight any more. */
  leave(user: EngineUser): void {
    assert(this.#users.delete(user), "a user leaves once");
    if (this.#users.size > 0) return;
    if (this.#keepAlive !== null) clearInterval(this.#keepAlive);
    this.#keepAlive = null;
    this.memory.freeAll();
    this.reactor.buffers.trim();
  }

  /** @throws PenstockError `length-too-large`, `out-of-memory` */
  allocate(length: number): AlignedBuffer {
    const bytes = this.memory.allocate(length);
    const { buffer } = bytes;
    // A port would take the memory away from under the reactor.
    markAsUntransferable(buffer);
    const free = (): void => this.memory.free(buffer);
    return Object.defineProperty(bytes, Symbol.dispose, { value: free }) as AlignedBuffer;
  }

  /** Runs a caller's function outside of the turn; what it throws is the process's to handle. */
  notify(callback: () => void): void {
    this.reactor.deliverLater(() => {
      try {
        callback();
      } catch (thrown) {
        setImmediate(() => {
          throw thrown;
        });
      }
    });
  }

  findStage(label: string): TappedStage | undefined {
    const branches = [...this.#users].map(({ branch }) => branch);
    return tappedStage(branches, label);
  }

  #enter(user: EngineUser, wanted: number | undefined): void {
    const { buffers } = this.reactor;
    if (this.#users.size === 0) {
      buffers.setLimit(wanted ?? BUFFER_LIMIT_BYTES_DEFAULT);
      this.#keepAlive = setInterval(() => undefined, KEEP_ALIVE_MS);
    } else if (wanted !== undefined && wanted !== buffers.limitBytes) {
      throw new PenstockError({
        code: "buffer-limit-conflict",
        message:
          `found a bufferLimitBytes of ${wanted}, expected ${buffers.limitBytes}, which this ` +
          "process's open devices share: close them first, or leave it out",
      });
    }
    this.#users.add(user);
  }
}

function engineAt(level: Level): Promise<LibraryEngine> {
  const known = engines.get(level);
  if (known !== undefined) return known;
  const starting = LibraryEngine.start(level);
  engines.set(level, starting);
  starting.catch(() => engines.delete(level));
  return starting;
}
