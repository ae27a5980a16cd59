/**
 * VersionActor: what clients and operators do to volumes, snapshots and clones of a simulated
 * pool, and what they know of them. Each act is one call that may end without an answer, when the
 * pool's process or its host's power goes: then either outcome is right.
 *
 * No two requests change the same block at once, so that each block has few possible contents.
 */

import { PromiseDevice } from "../../block/promise-device.ts";
import type { Pool } from "../../pool/pool.ts";
import { BLOCK_BYTES } from "../../pool/pool-layout.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import { PenstockError } from "../../util/errors.ts";
import { Prng } from "../../util/prng.ts";
import { uuidOfName } from "../../util/uuid.ts";
import { type Cell, VersionHistory } from "../version-history.ts";
import { stampedBlocks, stampOf } from "../version-stamp.ts";

/** A pool while it is open. */
export interface VersionSession {
  readonly pool: Pool;
  readonly reactor: Reactor;
}

/** How a session has ended. */
export type SessionEnd = "none" | "kill" | "power";

export interface VersionActorOptions {
  readonly seed: number;
  /** Of a new volume. */
  readonly blocks: number;
  /** Of a request, at most. */
  readonly requestBlocks: number;
  readonly versionsMax: number;
  readonly nowMs: () => number;
  /** What is begun, and answered, is counted here. */
  readonly counts: { begun: number; answered: number; slowestMs: number };
  readonly trace: (line: string) => void;
  /** A rule was broken. */
  readonly fail: (message: string) => void;
}

interface Version {
  readonly uuid: string;
  readonly isSnapshot: boolean;
  history: VersionHistory;
  device: Promise<PromiseDevice> | null;
  /** Calls under way that need it as it is. */
  users: number;
  /** A change of the whole is under way: nobody else comes. */
  isHeld: boolean;
  /** Unanswered. */
  unsure: Unsure | null;
  /** Its making was not answered: it may not be there. */
  isDoubtful: boolean;
}

/** A change of a whole version, as it is if it has happened; `blocks` 0: the version is gone. */
interface Unsure {
  readonly blocks: number;
  readonly cells: readonly Cell[];
}

const GONE: Unsure = { blocks: 0, cells: [] };

/** Of a version that is not there yet. */
interface Making {
  readonly uuid: string;
  readonly isSnapshot: boolean;
  readonly work: () => Promise<unknown>;
  /** What it holds, once it is there. */
  readonly ifDone: () => VersionHistory;
  /** What it holds if it is there although nobody has said so. */
  readonly ifUnsure: () => VersionHistory;
}

/** Of snapshots. */
const SNAPSHOT_ACTS: ReadonlySet<string> = new Set(["clone", "rollback", "diff"]);
const EITHER_ACTS: ReadonlySet<string> = new Set(["read", "delete", "measure"]);

/** What may be refused, and nothing has been changed. */
const REFUSALS: ReadonlySet<string> = new Set([
  "no-space",
  "over-commit",
  "not-a-clone",
  "snapshot-exists",
]);

export class VersionActor {
  readonly #options: VersionActorOptions;
  readonly #versions = new Map<string, Version>();
  /** Not answered yet. */
  readonly #makings = new Set<Making>();
  #session: VersionSession | null = null;
  #names = 0;
  #value = 0;
  /** Calls that have not ended. */
  #calls = 0;

  constructor(options: VersionActorOptions) {
    this.#options = options;
  }

  get isIdle(): boolean {
    return this.#calls === 0;
  }

  /** The pool is open: looks at all of it. */
  async came(session: VersionSession): Promise<void> {
    const sizes = new Map(allOf(session.pool).map(({ uuid, sizeBytes }) => [uuid, sizeBytes]));
    for (const version of this.#versions.values()) {
      const sizeBytes = sizes.get(version.uuid);
      sizes.delete(version.uuid);
      if (sizeBytes === undefined) this.#missing(version);
      else this.#settle(version, sizeBytes / BLOCK_BYTES);
    }
    for (const uuid of sizes.keys()) this.#options.fail(`nobody has made version ${uuid}`);
    this.#session = session;
    await this.readAll();
  }

  /** The pool's process is gone, or it was closed in good order. */
  ended(how: SessionEnd): void {
    this.#session = null;
    this.#calls = 0;
    for (const making of this.#makings) this.#add(making, making.ifUnsure()).isDoubtful = true;
    this.#makings.clear();
    for (const version of this.#versions.values()) {
      version.device = null;
      version.users = 0;
      version.isHeld = false;
      version.history.lost(how);
    }
  }

  #missing({ uuid, isDoubtful, unsure }: Version): void {
    this.#versions.delete(uuid);
    if (!isDoubtful && unsure !== GONE) this.#options.fail(`version ${uuid} is lost`);
  }

  /** A version that is there, and has so many blocks, is what it may be. */
  #settle(version: Version, blocks: number): void {
    const { unsure, history } = version;
    version.unsure = null;
    version.isDoubtful = false;
    if (unsure !== null && unsure !== GONE) {
      if (blocks === history.blocks) history.mayBe(unsure.cells);
      else if (blocks === unsure.blocks) version.history = new VersionHistory(unsure.cells);
    }
    version.history.settled();
  }

  async makeVolume(session: VersionSession, isThin: boolean): Promise<void> {
    const { pool } = session;
    const { blocks, versionsMax } = this.#options;
    if (this.#versions.size >= versionsMax) return;
    const { name, uuid } = this.#newName("v");
    const history = VersionHistory.empty(blocks);
    const sizeBytes = blocks * BLOCK_BYTES;
    await this.#make(session, {
      uuid,
      isSnapshot: false,
      work: () => pool.createVolume({ name, uuid, sizeBytes, isThin }),
      ifDone: () => history,
      ifUnsure: () => history,
    });
  }

  /** @returns false: it makes no sense now */
  act(name: string, target: number, draw: number): boolean {
    const session = this.#session;
    if (session === null) return false;
    const random = new Prng(`${name} ${target} ${draw}`);
    const wantsSnapshot = SNAPSHOT_ACTS.has(name);
    const versions = [...this.#versions.values()].filter(({ isHeld, isSnapshot }) => {
      return !isHeld && (isSnapshot === wantsSnapshot || EITHER_ACTS.has(name));
    });
    const version = versions[target % Math.max(versions.length, 1)];
    if (version === undefined) return false;
    this.#calls++;
    const number = ++this.#options.counts.begun;
    this.#options.trace(`${number}: ${name} of ${version.uuid}`);
    const startMs = this.#options.nowMs();
    this.#work(session, version, name, random).then(
      () => this.#workEnded(session, startMs, `${number}: ok`),
      (thrown: unknown) => {
        if (session !== this.#session) return;
        const { code, message } = thrown as { code?: string; message?: string };
        this.#workEnded(session, startMs, `${number}: ${message ?? String(thrown)}`);
        const isRefusal = thrown instanceof PenstockError && REFUSALS.has(code ?? "");
        if (!isRefusal) this.#options.fail(`${name}: ${message ?? String(thrown)}`);
      },
    );
    return true;
  }

  /** Nobody uses it any more. */
  async closeAll(): Promise<void> {
    for (const version of this.#versions.values()) {
      await this.#closeDevice(version);
    }
  }

  async readAll(): Promise<void> {
    const session = this.#live;
    for (const version of this.#versions.values()) {
      const device = await this.#deviceOf(session, version);
      const { history, uuid } = version;
      const { sizeBytes } = device.device.info;
      if (sizeBytes !== history.blocks * BLOCK_BYTES) {
        this.#options.fail(`version ${uuid} has ${sizeBytes} bytes`);
        return;
      }
      const bytes = await device.readAt(0, sizeBytes);
      for (let block = 0; block < history.blocks; block++) {
        history.settle(block, stampOf(bytes, block), uuid);
      }
    }
  }

  /** One after the other, in an order that follows from `random`. */
  async deleteAll(random: Prng, between: () => Promise<void>): Promise<void> {
    const { pool } = this.#live;
    await this.closeAll();
    const left = [...this.#versions.keys()];
    while (left.length > 0) {
      const [uuid] = left.splice(random.below(left.length), 1);
      assert(uuid !== undefined, "one of those that are left");
      await pool.deleteVolume(nameOf(pool, uuid));
      this.#versions.delete(uuid);
      if (random.chance(0.2)) await between();
    }
  }

  get #live(): VersionSession {
    assert(this.#session !== null, "the pool is open");
    return this.#session;
  }

  #workEnded(session: VersionSession, startMs: number, what: string): void {
    if (session !== this.#session) return;
    this.#options.trace(what);
    const { counts, nowMs } = this.#options;
    this.#calls--;
    counts.answered++;
    counts.slowestMs = Math.max(counts.slowestMs, nowMs() - startMs);
  }

  #work(session: VersionSession, version: Version, name: string, random: Prng): Promise<unknown> {
    switch (name) {
      case "write":
        return this.#change(session, version, random, false);
      case "discard":
        return this.#change(session, version, random, true);
      case "read":
        return this.#read(session, version, random);
      case "flush":
        return this.#flush(session, version);
      case "snapshot":
        return this.#snapshot(session, version);
      case "clone":
        return this.#clone(session, version);
      case "rollback":
        return this.#rollback(session, version);
      case "promote":
        return this.#promote(session, version);
      case "flatten":
        return this.#using(session, version, () =>
          session.pool.flatten(nameOf(session.pool, version.uuid)),
        );
      case "resize":
        return this.#resize(session, version, random);
      case "delete":
        return this.#delete(session, version);
      case "diff":
        return this.#diff(session, version, random);
      case "volume":
        return this.makeVolume(session, random.chance(0.8));
      case "measure":
        return this.#using(session, version, () =>
          session.pool.measure(nameOf(session.pool, version.uuid)),
        );
      default:
        throw new Error(`no event ${name}`);
    }
  }

  async #change(
    session: VersionSession,
    version: Version,
    random: Prng,
    isDiscard: boolean,
  ): Promise<void> {
    const { history } = version;
    const first = random.below(history.blocks);
    const most = Math.min(this.#options.requestBlocks, history.blocks - first);
    const count = 1 + random.below(most);
    const fua = random.chance(0.1);
    if (history.isBusy(first, count)) return;
    const value = isDiscard ? 0 : ++this.#value;
    history.begin(first, count, value);
    try {
      await this.#using(session, version, async (device) => {
        const [at, length] = [first * BLOCK_BYTES, count * BLOCK_BYTES];
        if (isDiscard) await device.writeZeroes(at, length, { fua });
        else await device.writeAt(at, stampedBlocks(value, count), { fua });
      });
      if (session === this.#session) history.end(first, count, fua);
    } catch (thrown) {
      if (session === this.#session) history.fail(first, count);
      throw thrown;
    }
  }

  async #read(session: VersionSession, version: Version, random: Prng): Promise<void> {
    const { history } = version;
    const first = random.below(history.blocks);
    const count = 1 + random.below(Math.min(8, history.blocks - first));
    if (history.isBusy(first, count)) return;
    const { changes } = history;
    const bytes = await this.#using(session, version, (device) =>
      device.readAt(first * BLOCK_BYTES, count * BLOCK_BYTES),
    );
    if (session !== this.#session || history.changes !== changes) return;
    if (history.isBusy(first, count)) return;
    for (let index = 0; index < count; index++) {
      history.settle(first + index, stampOf(bytes, index), version.uuid);
    }
  }

  /** All of a pool is flushed, whoever asks. */
  async #flush(session: VersionSession, version: Version): Promise<void> {
    const marks = [...this.#versions.values()].map(({ history }) => {
      return { history, changes: history.changes };
    });
    await this.#using(session, version, (device) => device.flush());
    if (session !== this.#session) return;
    for (const { history, changes } of marks) history.flushed(changes);
  }

  async #snapshot(session: VersionSession, version: Version): Promise<void> {
    if (this.#versions.size >= this.#options.versionsMax) return;
    const { history } = version;
    const { name, uuid } = this.#newName("s");
    const taking = history.take();
    const volume = nameOf(session.pool, version.uuid);
    this.#options.trace(`snapshot ${volume}@${name}`);
    await this.#make(session, {
      uuid,
      isSnapshot: true,
      work: () =>
        this.#using(session, version, () => session.pool.createSnapshot(volume, name, { uuid })),
      ifDone: () => history.taken(taking),
      ifUnsure: () => history.unsure(taking),
    });
  }

  async #clone(session: VersionSession, snapshot: Version): Promise<void> {
    if (this.#versions.size >= this.#options.versionsMax) return;
    const { name, uuid } = this.#newName("c");
    const { cells } = snapshot.history;
    const origin = nameOf(session.pool, snapshot.uuid);
    this.#options.trace(`clone ${name} of ${origin}`);
    await this.#make(session, {
      uuid,
      isSnapshot: false,
      work: () =>
        this.#using(session, snapshot, () => session.pool.cloneSnapshot(origin, { name, uuid })),
      ifDone: () => new VersionHistory(cells),
      ifUnsure: () => new VersionHistory(cells),
    });
  }

  async #rollback(session: VersionSession, snapshot: Version): Promise<void> {
    const { pool } = session;
    const info = pool.snapshots().find(({ uuid }) => uuid === snapshot.uuid);
    const volume = pool.volumes().find(({ name }) => name === info?.volume);
    const version = this.#versions.get(volume?.uuid ?? "");
    if (version === undefined || info === undefined) return;
    const { cells } = snapshot.history;
    await this.#using(session, snapshot, async () => {
      const unsure = { blocks: cells.length, cells };
      const isDone = await this.#alone(session, version, unsure, () => {
        this.#options.trace(`rollback to ${info.name}`);
        return pool.rollback(info.name);
      });
      if (isDone) version.history = new VersionHistory(cells);
    });
  }

  /** Names of snapshots change: nobody opens one by its name meanwhile. */
  async #promote(session: VersionSession, version: Version): Promise<void> {
    const { pool } = session;
    const info = pool.volumes().find(({ uuid }) => uuid === version.uuid);
    if (info === undefined || info.origin === "") return;
    const others = [...this.#versions.values()].filter(({ isSnapshot }) => isSnapshot);
    if (others.some(({ isHeld, users }) => isHeld || users > 0)) return;
    for (const other of others) other.isHeld = true;
    this.#options.trace(`promote ${info.name}`);
    try {
      await this.#using(session, version, () => pool.promote(info.name));
    } finally {
      if (session === this.#session) for (const other of others) other.isHeld = false;
    }
  }

  async #resize(session: VersionSession, version: Version, random: Prng): Promise<void> {
    const { pool } = session;
    const blocks = 1 + random.below(2 * this.#options.blocks);
    const name = nameOf(pool, version.uuid);
    const unsure = { blocks, cells: resized(version.history.cells, blocks) };
    const isDone = await this.#alone(session, version, unsure, () => {
      this.#options.trace(`resize ${name} to ${blocks} blocks`);
      return pool.resizeVolume(name, blocks * BLOCK_BYTES);
    });
    // Refused or not, its other contents are still possible after a loss of power.
    if (isDone) version.history.resize(blocks);
  }

  async #delete(session: VersionSession, version: Version): Promise<void> {
    const { pool } = session;
    if (this.#versions.size < 3) return;
    const name = nameOf(pool, version.uuid);
    const isDone = await this.#alone(session, version, GONE, () => {
      this.#options.trace(`delete ${name}`);
      return pool.deleteVolume(name);
    });
    if (isDone) this.#versions.delete(version.uuid);
  }

  /** What differs from another snapshot, against what is known of both. */
  async #diff(session: VersionSession, b: Version, random: Prng): Promise<void> {
    const { pool } = session;
    const others = [...this.#versions.values()].filter(({ isSnapshot, isHeld, uuid }) => {
      return isSnapshot && !isHeld && uuid !== b.uuid;
    });
    const a = others.length > 0 && random.chance(0.8) ? random.pick(others) : null;
    const changed = new Set<number>();
    const sink = {
      extent: (first: number, count: number) => {
        for (let block = first; block < first + count; block++) changed.add(block);
      },
    };
    const names = [a === null ? null : nameOf(pool, a.uuid), nameOf(pool, b.uuid)] as const;
    if (a !== null) a.users++;
    try {
      await this.#using(session, b, () => pool.diff(names[0], names[1], 0, sink));
    } catch (thrown) {
      if (thrown instanceof PenstockError && thrown.code === "family-differs") return;
      throw thrown;
    } finally {
      if (a !== null && session === this.#session) a.users--;
    }
    for (let block = 0; block < b.history.blocks && session === this.#session; block++) {
      const before = a?.history.cells[block]?.values ?? [0];
      const after = b.history.cells[block]?.values ?? [0];
      const maySame = before.some((value) => after.includes(value));
      if (!maySame && !changed.has(block)) {
        this.#options.fail(`block ${block} of ${names.join(" and ")}: diff does not name it`);
      }
    }
  }

  /** A version that is there afterwards, or, without an answer, perhaps. */
  async #make(session: VersionSession, making: Making): Promise<void> {
    this.#makings.add(making);
    try {
      await making.work();
    } finally {
      this.#makings.delete(making);
    }
    if (session === this.#session) this.#add(making, making.ifDone());
  }

  #add({ uuid, isSnapshot }: Making, history: VersionHistory): Version {
    const more = { device: null, users: 0, isHeld: false, unsure: null, isDoubtful: false };
    const version: Version = { uuid, isSnapshot, history, ...more };
    this.#versions.set(uuid, version);
    return version;
  }

  /** A call that needs the version as it is, and its device. */
  async #using<T>(
    session: VersionSession,
    version: Version,
    work: (device: PromiseDevice) => Promise<T>,
  ): Promise<T> {
    version.users++;
    try {
      return await work(await this.#deviceOf(session, version));
    } finally {
      if (session === this.#session) version.users--;
    }
  }

  /**
   * A change of a version that nobody uses, closed.
   * @returns false: somebody uses it, or the session is over
   */
  async #alone(
    session: VersionSession,
    version: Version,
    unsure: Unsure,
    change: () => Promise<unknown>,
  ): Promise<boolean> {
    const isThere = this.#versions.get(version.uuid) === version;
    if (!isThere || version.users > 0 || version.isHeld) return false;
    version.isHeld = true;
    try {
      await this.#closeDevice(version);
      version.unsure = unsure;
      await change();
      return session === this.#session;
    } finally {
      if (session === this.#session) {
        version.unsure = null;
        version.isHeld = false;
      }
    }
  }

  /** Opened once, by whoever comes first. */
  #deviceOf({ pool }: VersionSession, version: Version): Promise<PromiseDevice> {
    const name = nameOf(pool, version.uuid);
    version.device ??= pool
      .openVolume(name, { stageName: `lvol:///pool/${name}` })
      .then((device) => new PromiseDevice(device));
    return version.device;
  }

  async #closeDevice(version: Version): Promise<void> {
    const { device } = version;
    version.device = null;
    await (await device)?.close();
  }

  #newName(letter: string): { name: string; uuid: string } {
    const name = `${letter}${this.#names++}`;
    return { name, uuid: uuidOfName(`${this.#options.seed} ${name}`) };
  }
}

/** After a change of size: what was cut off reads as zeroes should it grow again. */
function resized(cells: readonly Cell[], blocks: number): Cell[] {
  const history = new VersionHistory(cells);
  history.resize(blocks);
  return history.cells;
}

interface Listed {
  readonly uuid: string;
  readonly name: string;
  readonly sizeBytes: number;
}

function allOf(pool: Pool): Listed[] {
  return [...pool.volumes(), ...pool.snapshots()];
}

function nameOf(pool: Pool, uuid: string): string {
  const found = allOf(pool).find((info) => info.uuid === uuid);
  if (found === undefined) throw new Error(`the pool has no version ${uuid}`);
  return found.name;
}
