/**
 * PoolRegistry: the pools of an engine: opened on the host, and which disks make which one, stored.
 *
 * What a pool holds is on its disks alone. A pool is answered for after it is durable there and the
 * engine will find it again. One that cannot be opened is kept as failed and tried again. Owns its
 * entries; changes of one come in turn.
 */

import { percentEncode } from "../pipe/characters.ts";
import { planDisk } from "../pipe/disk-plan.ts";
import type { PoolHost } from "../pipe/pool-host.ts";
import type {
  NewPoolOptions,
  PoolEnd,
  PoolListing,
  PoolOpening,
  ProbedDisk,
} from "../pipe/pool-protocol.ts";
import type { GrownDisk } from "../pool/pool-info.ts";
import type { Clock } from "../reactor/clock.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";
import { formatSize } from "../util/size.ts";
import { stoppedError } from "./stopped-error.ts";
import type { EngineEvents } from "./engine-event.ts";
import { PoolEntry } from "./pool-entry.ts";
import type { StoredPool } from "./pool-store.ts";
import type { RecordStore } from "./record-store.ts";
import { isPipeName } from "./request-fields.ts";
import { retryDelayMs } from "./retry-delay.ts";

export interface PoolRegistryOptions {
  readonly host: Pick<
    PoolHost,
    "create" | "import" | "addDisk" | "grow" | "probe" | "describe" | "end"
  >;
  readonly store: Pick<RecordStore<StoredPool>, "load" | "put" | "delete">;
  readonly events: Pick<EngineEvents, "add">;
  readonly clock: Clock;
  /** Of the engine, for people who find its disks in use. */
  readonly holder: string;
  /** Of the engine's data directory. */
  readonly engineUuid: string;
  nowMs(): number;
  makeUuid(): string;
  /** A pool is open that was not before. */
  onOpened(name: string): void;
}

/** A pool as others see it. */
export interface ListedPool {
  readonly entry: Readonly<
    Pick<PoolEntry, "name" | "createdMs" | "disks" | "state" | "failure" | "retryAtMs">
  >;
  /** Null unless it is open. */
  readonly listing: PoolListing | null;
  /** It has not answered in time: `listing` is what it said last. */
  readonly isStalled?: boolean;
}

/** What `grow` has come to. */
export interface ListedGrowth {
  readonly pool: ListedPool;
  readonly grown: readonly GrownDisk[];
}

export interface NewPool extends NewPoolOptions {
  readonly name: string;
  readonly disks: readonly string[];
  readonly force: boolean;
}

const POOLS_MAX = 256;
/** So long a listing waits for a pool; a reactor that lives answers within a turn. */
const DESCRIBE_MS_MAX = 2000;

export class PoolRegistry {
  readonly #options: PoolRegistryOptions;
  readonly #entries = new Map<string, PoolEntry>();
  #closed = false;

  constructor(options: PoolRegistryOptions) {
    this.#options = options;
  }

  /** Lists what is stored, as opening. @throws PenstockError `store-failed` */
  async load(): Promise<void> {
    const { entries, ignored } = await this.#options.store.load();
    for (const file of ignored) {
      const message = `${file} among the stored pools is none: it is left alone`;
      this.#options.events.add({ level: "warning", code: "store-file-ignored", pipe: "", message });
    }
    for (const { name, record, problem } of entries) {
      const known = record ?? { name, disks: [], uuid: "", createdMs: 0, generation: 0 };
      const disks = known.disks.map(keptTextOf);
      const entry = new PoolEntry({ ...known, disks }, this.#options.makeUuid());
      this.#entries.set(name, entry);
      if (problem !== null) this.#failed(entry, problem);
    }
  }

  /** Opens what was loaded; settles when each has been tried once. */
  async openLoaded(): Promise<void> {
    const entries = [...this.#entries.values()].filter(({ state }) => state === "opening");
    await Promise.all(entries.map((entry) => this.#tryToOpen(entry)));
  }

  /** In the order in which they became known. */
  async list(): Promise<readonly ListedPool[]> {
    const entries = [...this.#entries.values()];
    const listed = await Promise.all(entries.map((entry) => this.#list(entry)));
    // One that went meanwhile is left out.
    return listed.filter(({ entry }) => this.#entries.has(entry.name));
  }

  /** @throws PenstockError `pool-not-found` */
  async get(name: string): Promise<ListedPool> {
    return await this.#list(this.#entry(name));
  }

  /** Of a pool that is open. @throws PenstockError `pool-not-found`, `pool-not-ready` */
  async listing(name: string): Promise<PoolListing> {
    const entry = this.#entry(name);
    if (entry.state !== "open") throw notReady(entry);
    const { listing } = await this.#list(entry);
    if (listing === null) throw notReady(entry);
    return listing;
  }

  /** Names of those that are open. */
  get openNames(): readonly string[] {
    return [...this.#entries.values()].filter(({ state }) => state === "open").map(nameOf);
  }

  /**
   * Makes a pool and stores where it is.
   * @throws GrammarError; PenstockError `pool-exists`, `too-many-pools`, `store-failed`, or why it
   *   cannot be made. Then there is no such pool.
   */
  async create({ name, disks, force, ...options }: NewPool): Promise<ListedPool> {
    const entry = this.#add(name, disks);
    const done = `of ${entry.disks.join(", ")}`;
    // Files may be made now, and must be there from then on.
    const texts = disks.map((disk) => planDisk(disk).text);
    return await this.#take(entry, { code: "pool-created", done, undo: "destroy" }, () =>
      this.#options.host.create({ ...this.#opening(entry, force), disks: texts }, options),
    );
  }

  /**
   * Opens the pool that is on disks and stores where it is.
   * @throws GrammarError; PenstockError `not-a-pool`, `pool-exists`, `too-many-pools`,
   *   `store-failed`, or why it cannot be opened. Then the engine knows of no such pool.
   */
  async import(disks: readonly string[], force: boolean): Promise<ListedPool> {
    const name = await this.#nameOn(disks);
    const entry = this.#add(name, disks);
    const done = `from ${entry.disks.join(", ")}`;
    return await this.#take(entry, { code: "pool-imported", done, undo: "export" }, () =>
      this.#options.host.import(this.#opening(entry, force), ""),
    );
  }

  /**
   * Makes a pool larger by one disk. What is stored names the disk before it is the pool's, so that
   * it is found again after a crash at any point.
   * @throws GrammarError; PenstockError `pool-not-ready`, `store-failed`, and as `Pool.addDisk`
   */
  async addDisk(name: string, disk: string, force: boolean): Promise<ListedPool> {
    const { text, keptText } = planDisk(disk);
    const entry = this.#entry(name);
    return await this.inTurn(name, async () => {
      entry.adding = keptText;
      await this.#save(entry);
      try {
        const opening = { ...this.#opening(entry, force), disks: [text] };
        const listing = await this.#options.host.addDisk(opening);
        this.#settleAdding(entry, listing);
        await this.#save(entry);
        this.#say(entry, "info", "pool-disk-added", keptText);
        return { entry, listing };
      } catch (thrown) {
        await this.#noteNotAdded(entry);
        throw thrown;
      }
    });
  }

  /**
   * Takes the sizes that a pool's disks have by now.
   * @param disk only this one, as listings name it; null: all
   * @throws GrammarError; PenstockError `pool-not-found`, `pool-not-ready`, and as `Pools.grow`
   */
  async grow(name: string, disk: string | null): Promise<ListedGrowth> {
    return await this.inTurn(name, async () => {
      const entry = this.#entry(name);
      const { listing, grown } = await this.#options.host.grow(name, disk);
      for (const { name: device, beforeBytes, sizeBytes } of grown) {
        const sizes = `${formatSize(beforeBytes)} to ${formatSize(sizeBytes)}`;
        this.#say(entry, "info", "pool-disk-grown", `${device} has grown from ${sizes}`);
      }
      return { pool: { entry, listing }, grown };
    });
  }

  /**
   * Closes a pool that nothing uses and forgets it; one that could not be opened is forgotten.
   * @param release runs first, in the pool's turn: ends what uses it
   * @throws PenstockError `pool-not-found`, or why it could not be closed well
   */
  async export(name: string, release: () => Promise<void>): Promise<void> {
    await this.#end(name, { how: "export", code: "pool-exported", release });
  }

  /** Ends a pool for good. @throws as `export`; PenstockError `pool-not-ready` */
  async destroy(name: string, release: () => Promise<void>): Promise<void> {
    await this.#end(name, { how: "destroy", code: "pool-destroyed", release });
  }

  /** Runs a change of what is in a pool, after every change before it. */
  async inTurn<T>(name: string, step: () => Promise<T>): Promise<T> {
    const entry = this.#entry(name);
    return await entry.inTurn(async () => {
      this.#checkStillThere(entry);
      if (entry.state !== "open") throw notReady(entry);
      return await step();
    });
  }

  /** Which pool a disk of this machine is of, whatever the pool's state is. */
  poolOn(device: string): string | undefined {
    const entries = [...this.#entries.values()];
    return entries.find(({ disks }) => disks.some((text) => pathOf(text) === device))?.name;
  }

  /** What is on a disk of this machine, in a few words, by reading only. @throws PenstockError */
  async contentOf(device: string): Promise<string> {
    const [found] = await this.#probe([percentEncode(device)]);
    return found?.text ?? "";
  }

  /** No retries any more; the host closes what is open. Settles when no change is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    const entries = [...this.#entries.values()];
    for (const entry of entries) entry.cancelTimer();
    await Promise.all(entries.map((entry) => entry.inTurn(async () => entry.cancelTimer())));
  }

  async #list(entry: PoolEntry): Promise<ListedPool> {
    if (entry.state !== "open") return { entry, listing: null };
    const late = Promise.withResolvers<"late">();
    const timer = this.#options.clock.startTimer(DESCRIBE_MS_MAX, () => late.resolve("late"));
    // It may be closed at this very moment.
    const described = this.#options.host.describe(entry.name).catch(() => null);
    const listing = await Promise.race([described, late.promise]);
    timer.cancel();
    if (listing === "late") return { entry, listing: entry.lastListing, isStalled: true };
    entry.lastListing = listing ?? entry.lastListing;
    return { entry, listing };
  }

  #add(name: string, disks: readonly string[]): PoolEntry {
    const canonical = disks.map((disk) => planDisk(disk).keptText);
    this.#checkRoom(name);
    const { nowMs, makeUuid } = this.#options;
    const made = { name, disks: canonical, uuid: "", createdMs: nowMs(), generation: 0 };
    const entry = new PoolEntry(made, makeUuid());
    this.#entries.set(name, entry);
    return entry;
  }

  /** Opens a new entry and stores it, or leaves nothing behind. */
  async #take(
    entry: PoolEntry,
    what: { readonly code: string; readonly done: string; readonly undo: PoolEnd },
    open: () => Promise<PoolListing>,
  ): Promise<ListedPool> {
    const { name } = entry;
    return await entry.inTurn(async () => {
      let isOpen = false;
      try {
        const listing = await open();
        isOpen = true;
        entry.uuid = listing.info.uuid;
        await this.#save(entry);
        entry.state = "open";
        entry.lastListing = listing;
        this.#say(entry, "info", what.code, what.done);
        this.#options.onOpened(name);
        return { entry, listing };
      } catch (thrown) {
        if (isOpen) {
          const failure = await this.#attempt(() => this.#options.host.end(name, what.undo));
          if (failure !== null) this.#say(entry, "error", failure.code, failure.message);
        }
        // A store that failed late may hold it all the same.
        await this.#attempt(() => this.#options.store.delete(name));
        this.#entries.delete(name);
        throw thrown;
      }
    });
  }

  async #end(
    name: string,
    what: { readonly how: PoolEnd; readonly code: string; readonly release: () => Promise<void> },
  ): Promise<void> {
    const entry = this.#entry(name);
    await entry.inTurn(async () => {
      this.#checkStillThere(entry);
      const isOpen = entry.state === "open";
      if (!isOpen && what.how === "destroy") throw notReady(entry);
      entry.cancelTimer();
      await what.release();
      if (isOpen) await this.#endOpen(entry, what.how);
      await this.#options.store.delete(name);
      this.#entries.delete(name);
      this.#say(entry, "info", what.code, entry.disks.join(", "));
    });
  }

  async #endOpen(entry: PoolEntry, how: PoolEnd): Promise<void> {
    const { host } = this.#options;
    const { name } = entry;
    entry.state = "closing";
    try {
      await host.end(name, how);
    } catch (thrown) {
      const failure = toPenstockError(thrown);
      const isStuck = failure.code === "pool-faulted" && how === "export";
      // To import a faulted pool again is the way on: then its log tells what there is.
      if (isStuck && (await this.#attempt(() => host.end(name, "close"))) === null) return;
      const isOpen = await host.describe(name).then(
        () => true,
        () => false,
      );
      if (isOpen) entry.state = "open";
      // What became of it is found out when it is opened again.
      else this.#failed(entry, failure);
      throw thrown;
    }
  }

  /** Never throws: what goes wrong is listed and tried again. */
  async #tryToOpen(entry: PoolEntry): Promise<void> {
    await entry.inTurn(async () => {
      if (this.#closed || this.#entries.get(entry.name) !== entry) return;
      entry.cancelTimer();
      entry.failure = null;
      entry.state = "opening";
      try {
        const opening = this.#opening(entry, false);
        const listing = await this.#options.host.import(opening, entry.uuid);
        entry.uuid = listing.info.uuid;
        const wasAdding = entry.adding !== undefined;
        this.#settleAdding(entry, listing);
        // Else the next start finds it out again.
        if (wasAdding) await this.#attempt(() => this.#save(entry));
        entry.failures = 0;
        entry.lastListing = listing;
        entry.state = "open";
        this.#say(entry, "info", "pool-ready", entry.disks.join(", "));
        this.#options.onOpened(entry.name);
      } catch (thrown) {
        this.#failed(entry, toPenstockError(thrown));
      }
    });
  }

  #failed(entry: PoolEntry, failure: PenstockError): void {
    entry.state = "failed";
    entry.failure = failure;
    entry.failures += 1;
    this.#say(entry, "error", "pool-failed", `${failure.code}: ${failure.message}`);
    if (this.#closed || entry.disks.length === 0) return;
    const delayMs = retryDelayMs(entry.failures);
    entry.retryAtMs = this.#options.nowMs() + delayMs;
    entry.timer = this.#options.clock.startTimer(delayMs, () => void this.#tryToOpen(entry));
  }

  /** What the pool on the disks is called. @throws PenstockError `not-a-pool` */
  async #nameOn(disks: readonly string[]): Promise<string> {
    const found = await this.#probe(disks.map((disk) => planDisk(disk).text));
    const pools = new Map(found.flatMap(({ pool }) => (pool === null ? [] : [[pool.uuid, pool]])));
    const [pool] = pools.values();
    const other = found.find(({ kind }) => kind !== "pool");
    if (pool === undefined || pools.size > 1 || other !== undefined) {
      const each = found.map(({ name, text }) => `${name}: ${text === "" ? "nothing" : text}`);
      const message = `expected the disks of one pool, found ${each.join("; ")}`;
      throw new PenstockError({ code: "not-a-pool", message });
    }
    if (isPipeName(pool.name)) return pool.name;
    const message = `found a pool "${pool.name}", which is no name that an engine takes`;
    throw new PenstockError({ code: "name-invalid", message });
  }

  async #probe(disks: readonly string[]): Promise<readonly ProbedDisk[]> {
    const { host, makeUuid, holder, engineUuid } = this.#options;
    const who = { instanceSeed: makeUuid(), hostSeed: makeUuid(), holder, engineUuid };
    return await host.probe({ name: "being looked at", disks, force: false, ...who });
  }

  /** The pool is open, with the disk that was being added or without. */
  #settleAdding(entry: PoolEntry, { info }: PoolListing): void {
    const { adding } = entry;
    if (adding === undefined) return;
    if (info.disks.length > entry.disks.length) entry.disks = [...entry.disks, adding];
    entry.adding = undefined;
  }

  /** A pool that has faulted has the disk or not: the next import tells. */
  async #noteNotAdded(entry: PoolEntry): Promise<void> {
    const listing = await this.#options.host.describe(entry.name).catch(() => null);
    if (listing === null || listing.info.state === "faulted") return;
    this.#settleAdding(entry, listing);
    const failure = await this.#attempt(() => this.#save(entry));
    if (failure !== null) this.#say(entry, "error", failure.code, failure.message);
  }

  #opening({ name, disks, adding, hostSeed }: PoolEntry, force: boolean): PoolOpening {
    const { makeUuid, holder, engineUuid } = this.#options;
    const opening = { name, disks, force, instanceSeed: makeUuid(), hostSeed, holder, engineUuid };
    return adding === undefined ? opening : { ...opening, adding };
  }

  async #save(entry: PoolEntry): Promise<void> {
    const { name, disks, adding, uuid, createdMs, hostSeed } = entry;
    const generation = entry.generation + 1;
    const stored = { name, disks, uuid, createdMs, generation, hostSeed };
    await this.#options.store.put(adding === undefined ? stored : { ...stored, adding });
    entry.generation = generation;
  }

  async #attempt(step: () => Promise<void>): Promise<PenstockError | null> {
    return await step().then(() => null, toPenstockError);
  }

  #checkRoom(name: string): void {
    if (this.#closed) throw stoppedError();
    if (this.#entries.has(name)) {
      const message = `there is a pool "${name}" already`;
      throw new PenstockError({ code: "pool-exists", message, details: { name } });
    }
    if (this.#entries.size >= POOLS_MAX) {
      const message = `found ${POOLS_MAX} pools already, expected at most that many`;
      throw new PenstockError({ code: "too-many-pools", message });
    }
  }

  #entry(name: string): PoolEntry {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw notFound(name);
    return entry;
  }

  /** It may have gone while a call waited for its turn. */
  #checkStillThere(entry: PoolEntry): void {
    if (this.#entries.get(entry.name) !== entry) throw notFound(entry.name);
    if (this.#closed) throw stoppedError();
  }

  #say(entry: PoolEntry, level: "info" | "error", code: string, message: string): void {
    this.#options.events.add({ level, code, pipe: "", pool: entry.name, message });
  }
}

/** Of a stored disk: a text that this version does not understand is reported when it is opened. */
function keptTextOf(text: string): string {
  try {
    return planDisk(text).keptText;
  } catch {
    return text;
  }
}

/** Of a file or block device; else undefined. */
function pathOf(text: string): string | undefined {
  const stage = planDisk(text).stage;
  return stage.scheme === "file" ? stage.path : undefined;
}

function nameOf({ name }: PoolEntry): string {
  return name;
}

function notFound(name: string): PenstockError {
  const message = `there is no pool "${name}"`;
  return new PenstockError({ code: "pool-not-found", message, details: { name } });
}

function notReady({ name, state, failure }: PoolEntry): PenstockError {
  const why = failure === null ? "" : ` (${failure.code}: ${failure.message})`;
  return new PenstockError({
    code: "pool-not-ready",
    // One that was open when it was asked is being closed at this very moment.
    message: `pool "${name}" is ${state === "open" ? "closing" : state}${why}`,
    retryable: true,
    details: { name, state },
  });
}
