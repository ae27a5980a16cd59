/**
 * PipeEntry: what the registry knows of one pipe. Owned and changed by the registry alone.
 *
 *   opening --> ready --delete--> closing --> (gone)
 *      |  ^
 *      v  | after a while
 *     failed --delete--> (gone)
 */

import type { OutLeg } from "../pipe/stage-plan.ts";
import type { Timer } from "../reactor/clock.ts";
import type { PenstockError } from "../util/errors.ts";
import { Lane } from "../util/lane.ts";
import type { StoredPipe } from "./pipe-store.ts";

export type EntryState = "opening" | "ready" | "failed" | "closing";

export class PipeEntry {
  readonly name: string;
  readonly createdMs: number;
  /** Canonical, as it is now; "" when what was stored cannot be read. */
  text: string;
  /** Legs that were taken out of their mirrors, in the order in which they were. */
  outLegs: readonly OutLeg[];
  /** UUID, for as long as there is the pipe. */
  readonly hostSeed: string;
  /** Version of what is stored; 0: nothing yet. */
  generation: number;
  state: EntryState = "opening";
  /** The host's id of it, since it was last opened. */
  hostId = 0;
  uri = "";
  /** The share's, once it has been found; 0: none yet, or no TCP. */
  port: number;
  /** Set exactly while `failed`. */
  failure: PenstockError | null = null;
  failures = 0;
  /** Milliseconds since 1970; set while a retry is planned. */
  retryAtMs: number | null = null;
  timer: Timer | null = null;
  /** What is open of it is being closed: that must not wait for the store. */
  isEnding = false;
  /** Settles when a pipe that is being created has been stored, or will not be. */
  readonly created: Promise<void>;
  readonly noteCreated: () => void;
  readonly #changes = new Lane();
  readonly #saves = new Lane();

  /** @param newSeed where none is stored */
  constructor(pipe: StoredPipe, newSeed: string) {
    this.name = pipe.name;
    this.text = pipe.text;
    this.createdMs = pipe.createdMs;
    this.generation = pipe.generation;
    this.outLegs = pipe.outLegs ?? [];
    this.hostSeed = pipe.hostSeed ?? newSeed;
    this.port = pipe.port ?? 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.created = promise;
    this.noteCreated = resolve;
    if (pipe.generation > 0) resolve();
  }

  /** Runs `save` after every save before it: beside the changes, which may wait for it. */
  saving<T>(save: () => Promise<T>): Promise<T> {
    return this.#saves.run(save);
  }

  /** Runs `step`, a change, after every change before it. */
  inTurn<T>(step: () => Promise<T>): Promise<T> {
    return this.#changes.run(step);
  }

  cancelTimer(): void {
    this.timer?.cancel();
    this.timer = null;
    this.retryAtMs = null;
  }
}
