/**
 * PoolStage: a process of a simulated world that has a pool on several disks, clients on its
 * volumes, and who runs it: makes, resizes and deletes volumes, exports and imports the pool.
 *
 *   boot: open disks -> create or import -> look (PoolModel, walk) -> open volumes -> clients
 *
 * Each volume has its own history and its own stamps, so that content of another one is noticed
 * (safety rule 16). What lists must say is in `PoolModel`: what was acknowledged, for good.
 */

import { Status } from "../../block/status.ts";
import type { PoolEvent } from "../../pool/pool-environment.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import { toPenstockError } from "../../util/errors.ts";
import type { HistoryOp } from "../history.ts";
import type { ModelChange } from "../pool-model.ts";
import type { Run, Stage } from "../run.ts";
import { type EventStep, settingOf } from "../schedule.ts";
import { SECTOR_BYTES } from "../sector-pattern.ts";
import type { SimProcess } from "../sim-process.ts";
import { PoolChecks } from "./pool-checks.ts";
import type { PoolDoor, StagedPool } from "./pool-door.ts";
import { DISK_BYTES, HOST, PoolHost } from "./pool-host.ts";
import { POOL, PoolOpening } from "./pool-opening.ts";
import { changed, propertiesOf } from "./pool-properties.ts";
import { PoolSlots } from "./pool-slots.ts";
import type { PoolSlot, PoolVolume } from "./pool-volume.ts";

/** From a fault of the pool to its next import. */
const REOPEN_MS = 3;
const BUFFER_BYTES = 16 * 1024 * 1024;
const BLOCK_SECTORS = 8;
const LIE_MS_MAX = 80;
interface Session {
  readonly reactor: Reactor;
  readonly pool: StagedPool;
}

/** One call to the pool. */
interface Call {
  readonly what: string;
  readonly slot: PoolSlot | null;
  readonly change: ModelChange | null;
  readonly work: (pool: StagedPool) => Promise<unknown>;
  readonly done?: (pool: StagedPool) => void;
  /** It was not done; otherwise such an answer makes the pool suspect. */
  readonly refused?: () => void;
}

export class PoolStage implements Stage {
  readonly #run: Run;
  readonly #door: PoolDoor;
  readonly #host: PoolHost;
  readonly #checks: PoolChecks;
  readonly #slots: PoolSlots;
  readonly #process: SimProcess<Session>;
  readonly #opening: PoolOpening;
  readonly #changes = new Set<ModelChange>();
  #session: Session | null = null;
  #isReopening = false;
  /** It must be imported again before it can be used. */
  #isSuspect = false;
  /** A scrub of this one is under way. */
  #scrubbed: Session | null = null;
  /** Calls to the pool that have not ended. */
  #calls = 0;
  #failedSyncs = 0;
  /** ... when the pool was opened. */
  #failedBefore = 0;
  /** Where reads fail for good. */
  #damaged: { readonly slot: PoolSlot; readonly first: number }[] = [];
  /** Some of that is being written anew. */
  #isMending = false;

  constructor(run: Run, door: PoolDoor) {
    this.#run = run;
    this.#door = door;
    const { schedule, world } = run;
    this.#checks = new PoolChecks(run, { isTight: settingOf(schedule, "tight") === 1 });
    this.#slots = new PoolSlots(run, (slot, op, status, errorOffset) =>
      this.#answered(slot, op, status, errorOffset),
    );
    this.#host = new PoolHost(run);
    this.#opening = new PoolOpening({
      run,
      door,
      host: this.#host,
      checks: this.#checks,
      slots: this.#slots,
      heard: (event, reactor) => this.#heard(event, reactor),
    });
    this.#process = world.process<Session>({
      name: "engine",
      host: HOST,
      bufferBytes: BUFFER_BYTES,
      boot: (reactor) => this.#boot(reactor),
      onUp: (session) => this.#opened(session),
      onDown: () => this.#down(),
    });
    world.onPowerLoss = () => {
      this.#checks.powerLost();
      this.#slots.eachHistory((history) => history.powerLoss(true));
    };
    world.onCacheDrop = () => {
      this.#doomAgain();
      this.#slots.eachHistory((history) => history.dropCache());
    };
    world.onRot = () => this.#checks.rotten();
    this.#process.start();
  }

  event(step: EventStep): boolean {
    this.#noteFailedSyncs();
    const slot = this.#slots.at(step.target);
    // `ms` is what the step is about: a size, whether thin.
    const number = Math.floor(step.ms);
    switch (step.name) {
      case "create":
        return this.#create(slot, this.#slots.sizeOf(number), number % 3 !== 0);
      case "delete":
        return this.#delete(slot, false);
      case "replace":
        return this.#delete(slot, true);
      case "resize":
        return this.#resize(slot, this.#slots.sizeOf(number));
      case "properties":
        return this.#setProperties(slot, number);
      case "pool-properties":
        return this.#setPoolProperties(number);
      case "add-disk":
        return this.#addDisk();
      case "grow":
        return this.#grow(number);
      case "checkpoint":
        return this.#checkpoint();
      case "scrub":
        return this.#scrub();
      case "export":
        return this.#reopen("export");
      case "close":
        return this.#reopen("close");
      case "lie":
        return this.#lie(number);
      default:
        throw new Error(`no event ${step.name}`);
    }
  }

  /** Makes every volume, in full size, and writes anew what cannot be read. */
  mend(): void {
    this.#run.world.fake.disk(HOST).lyingFlush = false;
    this.#noteFailedSyncs();
    if (this.#session === null || !this.#process.isRunning) return;
    if (this.#isSuspect || this.#session.pool.info.state === "faulted") {
      this.#reopen("close");
      return;
    }
    for (const slot of this.#slots.all) {
      if (slot.isBusy) continue;
      if (slot.volume === null) this.#create(slot, this.#slots.sectors, true);
      else if (slot.volume.sizeSectors < this.#slots.sectors) {
        // What it would reserve may not be there any more.
        if (slot.volume.isThin) this.#resize(slot, this.#slots.sectors);
        else this.#delete(slot, true);
      }
    }
    for (const { slot, first } of this.#damaged.splice(0)) {
      const count = Math.min(BLOCK_SECTORS, this.#slots.sectors - first);
      slot.clients[0]?.submit({ kind: "write", first, count });
      this.#isMending = true;
    }
  }

  isReady(): boolean {
    // After that it may never be as it should: nobody needs to wait for it.
    if (this.#run.violations.length > 0) return true;
    if (this.#session === null || this.#isReopening || this.#isSuspect || this.#calls > 0) {
      return false;
    }
    if (this.#damaged.length > 0 || (this.#isMending && !this.#isQuiet)) return false;
    this.#isMending = false;
    return this.#slots.all.every((slot) => this.#slots.isWhole(slot));
  }

  get #isQuiet(): boolean {
    return this.#run.clients.every(({ inFlight }) => inFlight === 0);
  }

  /** What is flushed outlives a loss of power, and an export what is not. */
  async examine(): Promise<void> {
    if (!this.#checks.mayBeDamaged) {
      for (const { clients } of this.#slots.all) {
        clients[0]?.submit({ kind: "flush", first: 0, count: 0 });
      }
      if (!(await this.#run.quiet())) return;
      this.#run.world.losePower(HOST, 0, 1);
      if (!(await this.#readBack())) return;
    }
    this.#reopen("export");
    await this.#readBack();
  }

  async #readBack(): Promise<boolean> {
    for (const { clients } of this.#slots.all) {
      const [client] = clients;
      if (client !== undefined && !(await this.#run.readBack(client, this))) return false;
    }
    return true;
  }

  async #boot(reactor: Reactor): Promise<Session> {
    const { errorHits } = this.#checks;
    for (const change of this.#changes) change.unanswered();
    this.#changes.clear();
    const pool = await this.#opening.open(reactor);
    this.#noteFailedSyncs();
    this.#report("the lists are wrong", this.#opening.see(pool));
    const problems = await this.#door.walk(pool);
    // Pages that could not be read are looked at again with the next import.
    const isMet = problems.length > 0 && this.#checks.errorHits > errorHits;
    if (isMet) throw new Error(`errors were met: ${problems[0]}`);
    if (!this.#checks.mayBeAnything) {
      this.#report("the pool is not what its trees say", problems);
    }
    for (const slot of this.#slots.all) {
      if (slot.volume === null) continue;
      slot.device = await pool.openVolume(slot.name, { stageName: `lvol:///pool/${slot.name}` });
    }
    return { reactor, pool };
  }

  #heard({ code, message }: PoolEvent, reactor: Reactor): void {
    this.#checks.ofEvent(code, message);
    const isFaulted = code === "pool-faulted" || code === "pool-flush-failed";
    if (isFaulted && reactor === this.#process.reactor) this.#suspect();
  }

  #report(what: string, problems: readonly string[]): void {
    const [first] = problems;
    if (first !== undefined) this.#run.fail("pool", `${what}: ${first}`, problems);
  }

  #opened(session: Session): void {
    this.#session = session;
    this.#isReopening = false;
    this.#isSuspect = false;
    this.#checks.opened(this.#run.world.diskPaths.slice(0, session.pool.info.disks.length));
    this.#slots.eachHistory((history) => history.closeAll());
    this.#doomAgain();
    this.#failedBefore = this.#failedSyncs;
    for (const slot of this.#slots.all) this.#slots.attach(slot);
  }

  #down(): void {
    this.#session = null;
    this.#isReopening = false;
    this.#calls = 0;
    this.#slots.died();
    // A sync that failed as its process died: the kernel has told nobody.
    this.#noteFailedSyncs();
  }

  #noteFailedSyncs(): void {
    const failed = this.#checks.syncsFailed;
    if (failed > this.#failedSyncs) this.#slots.eachHistory((history) => history.doom());
    this.#failedSyncs = failed;
    const disks = this.#session?.pool.info.disks.length ?? 0;
    if (disks > 0) this.#checks.lookAtSyncs(this.#run.world.diskPaths.slice(0, disks));
  }

  /** What came after a failed sync has not been flushed, and the log leads to it through a gap. */
  #doomAgain(): void {
    if (this.#failedSyncs === this.#failedBefore) return;
    this.#slots.eachHistory((history) => history.doom());
  }

  /** For a while syncs say yes and do nothing. */
  #lie(number: number): boolean {
    const { world } = this.#run;
    const disk = world.fake.disk(HOST);
    if (disk.lyingFlush) return false;
    world.trace("syncs lie");
    disk.lyingFlush = true;
    this.#checks.lied();
    world.after(1 + (number % LIE_MS_MAX), () => {
      world.trace("syncs are honest again");
      disk.lyingFlush = false;
    });
    return true;
  }

  /** Closes the pool, in good order when it still can, and imports it again. */
  #reopen(how: "export" | "close"): boolean {
    const session = this.#session;
    if (session === null || !this.#process.isRunning || this.#calls > 0) return false;
    this.#run.world.trace(`${how} of the pool`);
    this.#session = null;
    this.#isReopening = true;
    this.#isSuspect = false;
    this.#reopenOf(session, how).then(
      (opened) => this.#opened(opened),
      (thrown: unknown) => {
        // What explains a failed import has been looked at; its process is started again.
        this.#run.world.trace(`cannot be opened again: ${toPenstockError(thrown).message}`);
        this.#process.kill();
        this.#process.start();
      },
    );
    return true;
  }

  async #reopenOf({ pool, reactor }: Session, how: "export" | "close"): Promise<Session> {
    await Promise.all(this.#slots.all.map((slot) => this.#slots.detach(slot)));
    try {
      await pool[how]();
    } catch (thrown) {
      this.#checks.ofCall(how, thrown);
      // Whoever could not export it closes it.
      if (how === "export") await pool.close().catch(() => undefined);
    }
    return await this.#boot(reactor);
  }

  #suspect(): void {
    if (this.#isSuspect || this.#session === null) return;
    this.#isSuspect = true;
    if (this.#checks.mayBeAnything) this.#opening.failed();
    const session = this.#session;
    const again = (): void => {
      if (session !== this.#session || !this.#isSuspect) return;
      if (!this.#reopen("close")) this.#run.world.after(REOPEN_MS, again);
    };
    this.#run.world.after(REOPEN_MS, again);
  }

  #create(slot: PoolSlot, sizeSectors: number, isThin: boolean): boolean {
    if (!this.#isFree(slot) || slot.volume !== null) return false;
    const volume = this.#slots.make(slot, sizeSectors, isThin);
    slot.next = volume;
    this.#call({
      what: `creation of ${slot.name}`,
      slot,
      change: this.#slots.beginCreation(slot, volume),
      work: (pool) => pool.createVolume(this.#slots.creationOf(slot, volume)),
      done: () => this.#openVolume(slot, volume),
      refused: () => {
        slot.next = null;
      },
    });
    return true;
  }

  #openVolume(slot: PoolSlot, volume: PoolVolume): void {
    slot.volume = volume;
    slot.next = null;
    this.#call({
      what: `opening of ${slot.name}`,
      slot,
      change: null,
      work: async (pool) => {
        const stageName = `lvol:///pool/${slot.name}`;
        slot.device = await pool.openVolume(slot.name, { stageName });
      },
      done: () => this.#slots.attach(slot),
    });
  }

  /** @param isReplaced one of the same name is made at once */
  #delete(slot: PoolSlot, isReplaced: boolean): boolean {
    if (!this.#isFree(slot) || slot.volume === null) return false;
    const { name } = slot;
    const change = this.#slots.model.begin(name, () => null);
    this.#call({
      what: `deletion of ${name}`,
      slot,
      change,
      work: async (pool) => {
        await this.#slots.detach(slot);
        await pool.deleteVolume(name);
      },
      done: () => {
        slot.volume = null;
        if (isReplaced) this.#create(slot, this.#slots.sectors, true);
      },
    });
    return true;
  }

  #resize(slot: PoolSlot, sizeSectors: number): boolean {
    const { volume, name } = slot;
    if (!this.#isFree(slot) || volume === null || slot.device === null) return false;
    if (volume.sizeSectors === sizeSectors) return false;
    const sizeBytes = sizeSectors * SECTOR_BYTES;
    const isSmaller = sizeSectors < volume.sizeSectors;
    this.#slots.beginResize(slot, volume, sizeSectors);
    this.#call({
      what: `resize of ${name} to ${sizeSectors}`,
      slot,
      change: this.#slots.model.begin(name, (state) => state && { ...state, sizeBytes }),
      work: async (pool) => {
        // It grows under its users, but is cut only when it has none.
        if (isSmaller) await this.#slots.detach(slot);
        await pool.resizeVolume(name, sizeBytes);
      },
      done: () => {
        this.#slots.endResize(slot, sizeSectors, "ok");
        if (isSmaller) this.#openVolume(slot, volume);
        else if (slot.device?.info.sizeBytes !== sizeBytes) {
          this.#run.fail("pool", `${name} has another size than was acknowledged`);
        }
      },
      refused: () => this.#slots.endResize(slot, volume.sizeSectors, "refused"),
    });
    return true;
  }

  #setProperties(slot: PoolSlot, number: number): boolean {
    if (!this.#isFree(slot) || slot.volume === null) return false;
    const { name } = slot;
    const changes = propertiesOf(number, settingOf(this.#run.schedule, "propertyBytes"));
    this.#call({
      what: `properties of ${name}`,
      slot,
      change: this.#slots.model.begin(name, (state) => {
        return state && { ...state, properties: changed(state.properties, changes) };
      }),
      work: (pool) => pool.setProperties(name, this.#slots.bytesOf(changes)),
    });
    return true;
  }

  #setPoolProperties(number: number): boolean {
    if (this.#session === null || this.#isSuspect || this.#changes.size > 0) return false;
    const changes = propertiesOf(number, settingOf(this.#run.schedule, "propertyBytes"));
    this.#call({
      what: "properties of the pool",
      slot: null,
      change: this.#opening.self.begin(POOL, (state) => {
        return state && { ...state, properties: changed(state.properties, changes) };
      }),
      work: (pool) => pool.setProperties(null, this.#slots.bytesOf(changes)),
    });
    return true;
  }

  #checkpoint(): boolean {
    if (this.#session === null || this.#isSuspect) return false;
    this.#door.checkpoint(this.#session.pool);
    return true;
  }

  #addDisk(): boolean {
    const session = this.#session;
    if (session === null || this.#isSuspect || this.#changes.size > 0) return false;
    if (!this.#host.hasSpare) return false;
    this.#call({
      what: "another disk",
      slot: null,
      change: this.#opening.self.begin(POOL, (state) => {
        return state && { ...state, sizes: [...state.sizes, DISK_BYTES] };
      }),
      work: async (pool) => {
        const device = await this.#host.openSpare(session.reactor);
        // An attempt that a crash has ended may have left a label there.
        await pool.addDisk(device, { force: true });
      },
    });
    return true;
  }

  /** One of the disks is larger now. */
  #grow(number: number): boolean {
    const { disks } = this.#host;
    const disk = number % Math.max(1, disks.length);
    const device = disks[disk];
    const sizeBytes = this.#host.largerSize(disk, 1 + (number % 5));
    if (this.#session === null || this.#isSuspect || this.#changes.size > 0) return false;
    if (device === undefined || sizeBytes === null) return false;
    // Of all: an attempt that a crash has ended may have left another one larger.
    const sizes = disks.map(({ info }) => info.sizeBytes).with(disk, sizeBytes);
    this.#call({
      what: `growth of disk ${disk}`,
      slot: null,
      change: this.#opening.self.begin(POOL, (state) => {
        return state && { ...state, sizes };
      }),
      work: async (pool) => {
        await device.grow(sizeBytes);
        await pool.grow();
      },
    });
    return true;
  }

  #scrub(): boolean {
    if (this.#session === null || this.#isSuspect) return false;
    // One at a time.
    if (this.#scrubbed === this.#session) return false;
    this.#scrubbed = this.#session;
    this.#call({
      what: "scrub",
      slot: null,
      change: null,
      work: async (pool) => {
        this.#checks.ofScrub(await this.#door.scrub(pool));
        this.#scrubbed = null;
      },
    });
    return true;
  }

  #isFree(slot: PoolSlot): boolean {
    return this.#session !== null && !this.#isSuspect && !slot.isBusy;
  }

  #call({ what, slot, change, work, done, refused }: Call): void {
    const session = this.#session;
    assert(session !== null, "calls go to a pool");
    const { world } = this.#run;
    world.trace(`${what} begins`);
    this.#calls++;
    if (slot !== null) slot.isBusy = true;
    if (change !== null) this.#changes.add(change);
    const end = (outcome: keyof ModelChange): boolean => {
      if (session !== this.#session) return false;
      world.trace(`${what}: ${outcome}`);
      this.#calls--;
      if (slot !== null) slot.isBusy = false;
      if (change !== null && this.#changes.delete(change)) change[outcome]();
      return true;
    };
    work(session.pool).then(
      () => {
        if (end("acknowledged")) done?.(session.pool);
      },
      (thrown: unknown) => {
        if (session !== this.#session) return;
        const outcome = this.#checks.ofCall(what, thrown);
        if (!end(outcome)) return;
        if (outcome === "refused" && refused !== undefined) refused();
        else this.#suspect();
      },
    );
  }

  #answered(slot: PoolSlot, op: HistoryOp, status: Status, errorOffset: number): string | null {
    this.#noteFailedSyncs();
    const { volume } = slot;
    assert(volume !== null, "answers come of a volume");
    if (status === Status.mediaError) {
      if (this.#session?.pool.info.state === "faulted") this.#suspect();
      else if (this.#checks.mayBeAnything && this.#run.world.isHealed && op.kind === "write") {
        // A leaf of the volume is lost: it was told, and stays so.
        this.#opening.abandon();
        this.#suspect();
      }
      if (op.kind === "read" && this.#run.world.isHealed && errorOffset >= 0) {
        const block = Math.floor(errorOffset / SECTOR_BYTES / BLOCK_SECTORS);
        this.#damaged.push({ slot, first: block * BLOCK_SECTORS });
      }
    }
    return this.#checks.ofAnswer(op, status, volume);
  }
}
