/**
 * What happens to an engine and its pipes, kept for a while and told to whoever watches.
 *
 *   add --> the last EVENTS_KEPT_MAX --> new watchers
 *      \--> each watcher's queue (bounded: the oldest go first, a gap in the numbers tells)
 */

import { PenstockError } from "../util/errors.ts";

export interface EngineEvent {
  /** From 1, in this run of the engine. */
  readonly sequence: number;
  readonly timeMs: number;
  readonly level: "info" | "warning" | "error";
  /** Stable, in kebab-case. */
  readonly code: string;
  /** Name of the pipe, or "": the engine itself. */
  readonly pipe: string;
  /** Canonical text of the stage, or "". */
  readonly stage: string;
  /** Name of the pool, or "". */
  readonly pool: string;
  readonly message: string;
}

/** One that is told: what is left out is "". */
export type NewEngineEvent = Pick<EngineEvent, "level" | "code" | "pipe" | "message"> &
  Partial<Pick<EngineEvent, "stage" | "pool">>;

export const EVENTS_KEPT_MAX = 1000;
const WATCHERS_MAX = 64;
/** A pipe's text may have 64 KiB; a thousand of them are kept. */
const MESSAGE_LENGTH_MAX = 1000;

export class EngineEvents {
  readonly #nowMs: () => number;
  readonly #kept: EngineEvent[] = [];
  readonly #watchers = new Set<Watcher>();
  #sequence = 0;
  #closed = false;

  /** @param nowMs milliseconds since 1970 */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  add(event: NewEngineEvent): void {
    this.#sequence += 1;
    const { level, code, pipe, pool = "" } = event;
    const stage = shorten(event.stage ?? "");
    const message = shorten(event.message);
    const sequence = this.#sequence;
    const full = { sequence, timeMs: this.#nowMs(), level, code, pipe, stage, pool, message };
    this.#kept.push(full);
    if (this.#kept.length > EVENTS_KEPT_MAX) this.#kept.shift();
    for (const watcher of this.#watchers) watcher.push(full);
  }

  /** Oldest first. */
  get kept(): readonly EngineEvent[] {
    return this.#kept;
  }

  /**
   * What is kept and then what happens, until `signal` aborts or the engine closes.
   * @throws PenstockError `too-many-watchers`
   */
  async *watch(signal: AbortSignal): AsyncGenerator<EngineEvent> {
    if (this.#watchers.size >= WATCHERS_MAX) {
      throw new PenstockError({
        code: "too-many-watchers",
        message: `${WATCHERS_MAX} clients watch events already, expected at most that many`,
        retryable: true,
      });
    }
    const watcher = new Watcher(this.#kept);
    if (this.#closed) watcher.end();
    const end = (): void => watcher.end();
    signal.addEventListener("abort", end, { once: true });
    this.#watchers.add(watcher);
    try {
      yield* watcher.events();
    } finally {
      this.#watchers.delete(watcher);
      signal.removeEventListener("abort", end);
    }
  }

  /** Ends all watchers, after what they have not read yet. */
  close(): void {
    this.#closed = true;
    for (const watcher of this.#watchers) watcher.end();
  }
}

function shorten(text: string): string {
  return text.length <= MESSAGE_LENGTH_MAX ? text : `${text.slice(0, MESSAGE_LENGTH_MAX)}...`;
}

class Watcher {
  readonly #queue: EngineEvent[];
  #wake: (() => void) | null = null;
  #ended = false;

  constructor(kept: readonly EngineEvent[]) {
    this.#queue = [...kept];
  }

  push(event: EngineEvent): void {
    this.#queue.push(event);
    if (this.#queue.length > EVENTS_KEPT_MAX) this.#queue.shift();
    this.#wakeUp();
  }

  end(): void {
    this.#ended = true;
    this.#wakeUp();
  }

  async *events(): AsyncGenerator<EngineEvent> {
    for (;;) {
      const event = this.#queue.shift();
      if (event !== undefined) {
        yield event;
        continue;
      }
      if (this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = null;
  }
}
