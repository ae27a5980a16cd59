/**
 * PipeRegistry: the named pipes of an engine: opened on the host, stored, brought back at start.
 *
 * What is stored is what a caller was told: a pipe is answered for after it is durable, and a
 * changed one is stored as it is after the change. A pipe that cannot be opened is kept as failed
 * and tried again; it holds nothing else up. Owns its entries; changes of one come in turn.
 */

import { GrammarError } from "../pipe/grammar-error.ts";
import type { PipeHost, ServedPipeTree } from "../pipe/pipe-host.ts";
import { planOneFilter, planPipe } from "../pipe/pipe-plan.ts";
import type { Change, Insertion, Removal } from "../pipe/replumb.ts";
import { type OutLeg, type VolumeName, volumesOf } from "../pipe/stage-plan.ts";
import type { Clock } from "../reactor/clock.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";
import { stoppedError } from "./stopped-error.ts";
import type { EngineEvents } from "./engine-event.ts";
import { PipeEntry } from "./pipe-entry.ts";
import type { PipeStore } from "./pipe-store.ts";
import { retryDelayMs } from "./retry-delay.ts";

/** What it needs of a PipeHost. */
export type PipeOpener = Pick<
  PipeHost,
  "open" | "closePipe" | "insertStage" | "removeStage" | "changeStage" | "resize" | "describe"
>;

export interface PipeRegistryOptions {
  readonly host: PipeOpener;
  readonly store: Pick<PipeStore, "load" | "put" | "delete" | "reservationsPath">;
  readonly events: Pick<EngineEvents, "add">;
  readonly clock: Clock;
  nowMs(): number;
  makeUuid(): string;
}

/** A pipe as others see it. */
export type ListedPipe = Readonly<
  Pick<PipeEntry, "name" | "createdMs" | "text" | "state" | "uri" | "failure" | "retryAtMs">
>;

export interface PipeWithStages {
  readonly pipe: ListedPipe;
  /** Null unless it is ready. */
  readonly tree: ServedPipeTree | null;
}

const PIPES_MAX = 4096;
/** Sources that take long to open (a peer that does not answer) hold few others up. */
const OPENINGS_MAX = 32;
const PORT_TRIES = 5;
/** Writes, and a stop, wait for it. */
const LEG_OUT_RETRY_MS_MAX = 1000;

export class PipeRegistry {
  readonly #options: PipeRegistryOptions;
  readonly #entries = new Map<string, PipeEntry>();
  /** By the host's id, for events. */
  readonly #nameById = new Map<number, string>();
  #closed = false;

  constructor(options: PipeRegistryOptions) {
    this.#options = options;
  }

  /** Lists what is stored, as opening. @throws PenstockError `store-failed` */
  async load(): Promise<void> {
    const { entries, ignored } = await this.#options.store.load();
    for (const file of ignored) {
      const message = `${file} among the stored pipes is none: it is left alone`;
      this.#options.events.add({ level: "warning", code: "store-file-ignored", pipe: "", message });
    }
    for (const { name, pipe, problem } of entries) {
      const known = pipe ?? { name, text: "", createdMs: 0, generation: 0 };
      const entry = new PipeEntry(known, this.#options.makeUuid());
      this.#entries.set(name, entry);
      if (problem !== null) this.#failed(entry, problem);
    }
  }

  /**
   * Opens what was loaded; settles when each has been tried once.
   * @param pools settles when each pool has been tried: what stands on them waits for it
   */
  async openLoaded(pools: Promise<void> = Promise.resolve()): Promise<void> {
    const entries = [...this.#entries.values()].filter(({ state }) => state === "opening");
    const taps = new Set(entries.filter(({ text }) => standsOn(text) === "pipe"));
    const onPools = new Set(entries.filter(({ text }) => standsOn(text) === "pool"));
    const others = entries.filter((entry) => !taps.has(entry) && !onPools.has(entry));
    await Promise.all([this.#openAll(others), pools.then(() => this.#openAll([...onPools]))]);
    // What is tapped before the taps.
    await this.#openAll([...taps]);
  }

  /** A pool has opened: what stands on it and failed is tried again at once. */
  poolOpened(pool: string): void {
    for (const entry of this.#entries.values()) {
      if (entry.state !== "failed" || entry.timer === null) continue;
      if (volumesIn(entry.text).some((volume) => volume.pool === pool)) {
        void this.#tryToOpen(entry);
      }
    }
  }

  /** In the order in which they were made. */
  list(): readonly ListedPipe[] {
    return [...this.#entries.values()];
  }

  /** The host's. @throws PenstockError `pipe-not-found` */
  idOf(name: string): number {
    return this.#entry(name).hostId;
  }

  nameOf(hostId: number): string {
    return this.#nameById.get(hostId) ?? "";
  }

  /** @throws PenstockError `pipe-not-found` */
  async get(name: string): Promise<PipeWithStages> {
    const entry = this.#entry(name);
    if (entry.state !== "ready") return { pipe: entry, tree: null };
    const tree = await this.#options.host.describe(entry.hostId);
    return { pipe: entry, tree };
  }

  /**
   * Opens and stores a pipe.
   * @throws GrammarError; PenstockError `pipe-exists`, `too-many-pipes`, `store-failed`, or why it
   *   cannot be opened. Then there is no such pipe.
   */
  async create(name: string, text: string): Promise<ListedPipe> {
    const canonical = planPipe(text).text;
    this.#checkRoom(name);
    const createdMs = this.#options.nowMs();
    const made = { name, text: canonical, createdMs, generation: 0 };
    const entry = new PipeEntry(made, this.#options.makeUuid());
    this.#entries.set(name, entry);
    return await entry.inTurn(async () => {
      try {
        await this.#open(entry);
        await this.#save(entry);
      } catch (thrown) {
        // Before it is closed: a mirror that has taken a leg out meanwhile waits to be told.
        entry.noteCreated();
        await this.#undo(entry);
        throw thrown;
      }
      entry.noteCreated();
      this.#say(entry, "info", "pipe-created", `${entry.text} at ${entry.uri}`);
      return entry;
    });
  }

  /**
   * Closes a pipe and forgets it.
   * @throws PenstockError `stage-tapped` (then nothing has changed), or what its devices reported
   *   on the way; then it is closed and forgotten all the same
   */
  async delete(name: string): Promise<void> {
    const entry = this.#entry(name);
    await entry.inTurn(async () => {
      this.#checkStillThere(entry);
      entry.cancelTimer();
      const failure = entry.state === "ready" ? await this.#close(entry) : null;
      if (failure !== null) this.#say(entry, "error", failure.code, failure.message);
      await this.#forget(entry);
      this.#say(entry, "info", "pipe-deleted", failure?.message ?? "closed and forgotten");
      if (failure !== null) throw failure;
    });
  }

  /** @throws as `insertStage` of replumb.ts; GrammarError; PenstockError `pipe-not-ready` */
  async insertStage(name: string, insertion: Insertion): Promise<PipeWithStages> {
    // Here too, for the error that points at the character: it does not survive another thread.
    planOneFilter(insertion.text);
    const done = `${insertion.text} put on ${insertion.above ?? "top"}`;
    return await this.#change(name, { code: "stage-inserted", done }, (hostId) =>
      this.#options.host.insertStage(hostId, insertion),
    );
  }

  /** @throws as `removeStage` of replumb.ts; PenstockError `pipe-not-ready` */
  async removeStage(name: string, removal: Removal): Promise<PipeWithStages> {
    const done = `${removal.stage} taken out`;
    return await this.#change(name, { code: "stage-removed", done }, (hostId) =>
      this.#options.host.removeStage(hostId, removal),
    );
  }

  /** @throws as `changeStage` of replumb.ts; GrammarError; PenstockError `pipe-not-ready` */
  async changeStage(name: string, change: Change): Promise<PipeWithStages> {
    planOneFilter(change.text);
    const done = `${change.stage} is now ${change.text}`;
    return await this.#change(name, { code: "stage-changed", done }, (hostId) =>
      this.#options.host.changeStage(hostId, change),
    );
  }

  /** @throws as `resize` of the host; PenstockError `pipe-not-ready` */
  async resize(name: string, sizeBytes: number): Promise<PipeWithStages> {
    const done = `the source has ${sizeBytes} bytes`;
    return await this.#change(name, { code: "pipe-resized", done }, (hostId) =>
      this.#options.host.resize(hostId, sizeBytes),
    );
  }

  /** No retries any more; the host closes what is open. Settles when no change is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    const entries = [...this.#entries.values()];
    for (const entry of entries) entry.cancelTimer();
    await Promise.all(entries.map((entry) => entry.inTurn(async () => entry.cancelTimer())));
  }

  async #change(
    name: string,
    event: { readonly code: string; readonly done: string },
    step: (hostId: number) => Promise<ServedPipeTree>,
  ): Promise<PipeWithStages> {
    const entry = this.#entry(name);
    return await entry.inTurn(async () => {
      this.#checkStillThere(entry);
      if (entry.state !== "ready") throw notReady(entry);
      let tree: ServedPipeTree;
      try {
        tree = await step(entry.hostId);
      } catch (thrown) {
        // A stage that was taken out and could not be closed is out all the same.
        await this.#follow(entry);
        throw thrown;
      }
      entry.text = tree.text;
      await this.#save(entry);
      this.#say(entry, "info", event.code, event.done);
      return { pipe: entry, tree };
    });
  }

  async #follow(entry: PipeEntry): Promise<void> {
    try {
      const { text } = await this.#options.host.describe(entry.hostId);
      if (text === entry.text) return;
      entry.text = text;
      await this.#save(entry);
    } catch (thrown) {
      this.#say(entry, "error", "pipe-not-saved", toPenstockError(thrown).message);
    }
  }

  async #openAll(entries: readonly PipeEntry[]): Promise<void> {
    const waiting = [...entries];
    const worker = async (): Promise<void> => {
      for (let entry = waiting.shift(); entry !== undefined; entry = waiting.shift()) {
        await this.#tryToOpen(entry);
      }
    };
    await Promise.all(Array.from({ length: OPENINGS_MAX }, worker));
  }

  /** Never throws: what goes wrong is listed and tried again. */
  async #tryToOpen(entry: PipeEntry): Promise<void> {
    await entry.inTurn(async () => {
      if (this.#closed || this.#entries.get(entry.name) !== entry) return;
      entry.cancelTimer();
      entry.failure = null;
      entry.state = "opening";
      try {
        await this.#open(entry);
        entry.failures = 0;
        this.#say(entry, "info", "pipe-ready", `${entry.text} at ${entry.uri}`);
      } catch (thrown) {
        this.#failed(entry, toPenstockError(thrown));
      }
    });
  }

  async #open(entry: PipeEntry): Promise<void> {
    const { host } = this.#options;
    entry.isEnding = false;
    const onId = (id: number): void => {
      this.#nameById.set(id, entry.name);
      entry.hostId = id;
    };
    const onFailing = (): void => {
      entry.isEnding = true;
      entry.noteCreated();
    };
    try {
      // Clients know the port that was found free. Only when others keep it, another will do.
      const isKept = entry.port !== 0 && entry.failures < PORT_TRIES;
      const { outLegs, hostSeed } = entry;
      const record = { outLegs, hostSeed, reopened: entry.generation > 0 };
      const reservationsPath = this.#options.store.reservationsPath(entry.name);
      const told = { onId, onFailing, record, reservationsPath };
      const options = isKept ? { ...told, port: entry.port } : told;
      const { id, uri } = await host.open(entry.text, options);
      entry.hostId = id;
      entry.uri = uri;
      entry.port = Number(new URL(uri).port);
      entry.state = "ready";
    } catch (thrown) {
      this.#nameById.delete(entry.hostId);
      throw thrown;
    }
  }

  /** @returns what went wrong on the way. @throws PenstockError `stage-tapped`: it is still open */
  async #close(entry: PipeEntry): Promise<PenstockError | null> {
    entry.state = "closing";
    entry.isEnding = true;
    let failure: PenstockError | null = null;
    try {
      await this.#options.host.closePipe(entry.hostId);
    } catch (thrown) {
      failure = toPenstockError(thrown);
      if (failure.code === "stage-tapped") {
        entry.state = "ready";
        entry.isEnding = false;
        throw failure;
      }
    }
    this.#nameById.delete(entry.hostId);
    entry.uri = "";
    return failure;
  }

  /** Closes and forgets a pipe that could not be created; never throws. */
  async #undo(entry: PipeEntry): Promise<void> {
    const attempt = async (step: () => Promise<PenstockError | null>): Promise<void> => {
      const failure = await step().catch(toPenstockError);
      if (failure !== null) this.#say(entry, "error", failure.code, failure.message);
    };
    if (entry.state === "ready") {
      await attempt(() => this.#close(entry));
      // A store that failed late may hold it all the same.
      await attempt(() => this.#forget(entry));
    }
    this.#entries.delete(entry.name);
  }

  /** Out of the store, behind every save; then out of the list. @throws PenstockError */
  #forget(entry: PipeEntry): Promise<null> {
    return entry.saving(async () => {
      await this.#options.store.delete(entry.name);
      this.#entries.delete(entry.name);
      return null;
    });
  }

  #failed(entry: PipeEntry, failure: PenstockError): void {
    entry.state = "failed";
    entry.failure = failure;
    entry.failures += 1;
    entry.uri = "";
    this.#say(entry, "error", "pipe-failed", `${failure.code}: ${failure.message}`);
    // A text that is wrong, or cannot be read, stays so.
    if (this.#closed || failure instanceof GrammarError || entry.text === "") return;
    const delayMs = retryDelayMs(entry.failures);
    entry.retryAtMs = this.#options.nowMs() + delayMs;
    entry.timer = this.#options.clock.startTimer(delayMs, () => void this.#tryToOpen(entry));
  }

  async #save(entry: PipeEntry): Promise<void> {
    const { text } = entry;
    try {
      await entry.saving(() => this.#put(entry));
    } catch (thrown) {
      const { code, message, retryable } = toPenstockError(thrown);
      if (entry.generation === 0) throw thrown;
      throw new PenstockError({
        code,
        message: `the pipe runs as "${text}", but a restart may undo that: ${message}`,
        retryable,
        cause: thrown,
      });
    }
  }

  async #put(entry: PipeEntry): Promise<void> {
    const { name, text, createdMs, port, outLegs, hostSeed } = entry;
    const generation = entry.generation + 1;
    const stored = { name, text, createdMs, generation, hostSeed };
    await this.#options.store.put({
      ...stored,
      ...(port === 0 ? {} : { port }),
      ...(outLegs.length === 0 ? {} : { outLegs }),
    });
    entry.generation = generation;
  }

  /**
   * A mirror of a pipe has taken a leg out. Settles when that is durable: the mirror acknowledges
   * no write before. Tried until it is, or until the pipe is to end.
   * @throws PenstockError `store-failed`, `pipe-not-found`: the pipe ends, and nobody will know
   */
  async legOut(hostId: number, leg: OutLeg): Promise<void> {
    const name = this.nameOf(hostId);
    const entry = this.#entry(name);
    entry.outLegs = [...entry.outLegs, leg];
    // A pipe that is being created is stored at its end, and not at all when it fails.
    await entry.created;
    if (entry.generation === 0) throw notFound(name);
    for (let tries = 1; ; tries++) {
      try {
        await entry.saving(async () => {
          if (this.#entries.get(entry.name) === entry) await this.#put(entry);
        });
        return;
      } catch (thrown) {
        const { message } = toPenstockError(thrown);
        const text = `writes wait until it is stored that leg ${leg.leg} is out: ${message}`;
        this.#say(entry, "error", "leg-out-not-stored", text);
        // A stop or a deletion does not wait for a disk that is full.
        if (this.#closed || entry.isEnding) throw thrown;
      }
      await new Promise<void>((resolve) => {
        const delayMs = Math.min(retryDelayMs(tries), LEG_OUT_RETRY_MS_MAX);
        this.#options.clock.startTimer(delayMs, resolve);
      });
    }
  }

  #checkRoom(name: string): void {
    if (this.#closed) throw stoppedError();
    if (this.#entries.has(name)) {
      const message = `there is a pipe "${name}" already`;
      throw new PenstockError({ code: "pipe-exists", message, details: { name } });
    }
    if (this.#entries.size >= PIPES_MAX) {
      const message = `found ${PIPES_MAX} pipes already, expected at most that many`;
      throw new PenstockError({ code: "too-many-pipes", message });
    }
  }

  #entry(name: string): PipeEntry {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw notFound(name);
    return entry;
  }

  /** It may have been deleted while a call waited for its turn. */
  #checkStillThere(entry: PipeEntry): void {
    if (this.#entries.get(entry.name) !== entry) throw notFound(entry.name);
    if (this.#closed) throw stoppedError();
  }

  #say(entry: PipeEntry, level: "info" | "error", code: string, message: string): void {
    this.#options.events.add({ level, code, pipe: entry.name, message });
  }
}

/** Also for texts that this version does not understand: those fail when they are opened. */
function standsOn(text: string): "pipe" | "pool" | "nothing" {
  try {
    const { branch } = planPipe(text);
    if (branch.source.taps !== undefined) return "pipe";
    return volumesOf(branch).length > 0 ? "pool" : "nothing";
  } catch {
    return "nothing";
  }
}

function volumesIn(text: string): readonly VolumeName[] {
  try {
    return volumesOf(planPipe(text).branch);
  } catch {
    return [];
  }
}

function notFound(name: string): PenstockError {
  const message = `there is no pipe "${name}"`;
  return new PenstockError({ code: "pipe-not-found", message, details: { name } });
}

function notReady(entry: PipeEntry): PenstockError {
  const why = entry.failure === null ? "" : ` (${entry.failure.code}: ${entry.failure.message})`;
  return new PenstockError({
    code: "pipe-not-ready",
    message: `pipe "${entry.name}" is ${entry.state}${why}`,
    retryable: true,
    details: { name: entry.name, state: entry.state },
  });
}
