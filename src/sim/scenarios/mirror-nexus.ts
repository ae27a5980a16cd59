/**
 * MirrorNexus: a process of a simulated world that has a mirror, and who runs it: they record which
 * legs are out, and make the mirror anew after it has stopped, however that was.
 *
 *   boot: open legs -> copy one that was in sync over all others, flush -> mirror -> clients
 *
 * A source is chosen among those in sync by the record, that have not lost power if there are any;
 * else the volume has lost power, as far as its users can tell. Whenever the mirror is closed in
 * good order its legs in sync are compared.
 */

import { AwaitedRequest } from "../../block/awaited-request.ts";
import type { Device } from "../../block/device.ts";
import { Joint } from "../../block/joint.ts";
import { Operation } from "../../block/operation.ts";
import { Status, statusName } from "../../block/status.ts";
import { FileDevice } from "../../devices/file.ts";
import type { Child } from "../../nexus/child.ts";
import { Mirror } from "../../nexus/mirror.ts";
import type { MirrorEvent } from "../../nexus/mirror-options.ts";
import type { ReadPolicy } from "../../nexus/read-policy.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import type { Slab } from "../../reactor/slab.ts";
import { uuidOfName } from "../../util/uuid.ts";
import type { SimClient } from "../client.ts";
import type { History, HistoryOp } from "../history.ts";
import type { Run, Stage } from "../run.ts";
import { SECTOR_BYTES } from "../sector-pattern.ts";
import type { SimProcess } from "../sim-process.ts";
import { DISK_PATH, type RemoteTarget } from "./remote-target.ts";

/** From the failure of the last child to a new start. */
const REMAKE_MS = 5;
/** A leg on which something is still under way after this long is left out. */
const SETTLE_MS_MAX = 400;

export interface MirrorNexusOptions {
  readonly host: string;
  readonly targets: readonly RemoteTarget[];
  /** A file on its own host is the last leg. */
  readonly hasLocal: boolean;
  readonly sectorCount: number;
  readonly clients: number;
  readonly inFlight: number;
  readonly readPolicy: ReadPolicy;
  readonly childTimeoutMs: number;
  /** How long it takes until a leg's removal is recorded. */
  readonly decisionMs: number;
  readonly open: (reactor: Reactor, target: RemoteTarget, openingId: string) => Promise<Device>;
}

/** What one leg is, whatever process uses it. */
interface Leg {
  readonly number: number;
  /** Null: the local file. */
  readonly target: RemoteTarget | null;
  /** By the record. */
  isInSync: boolean;
  /** Its losses of power, and failed syncs, when it joined. */
  losses: number;
  failedSyncs: number;
}

interface Session {
  readonly mirror: Mirror;
  readonly slab: Slab;
}

const ALLOWED: ReadonlySet<Status> = new Set([
  Status.pathLost,
  Status.timeout,
  Status.mediaError,
  Status.aborted,
]);

export class MirrorNexus {
  readonly process: SimProcess<Session>;
  readonly #run: Run;
  readonly #options: MirrorNexusOptions;
  readonly #history: History;
  readonly #clients: readonly SimClient[];
  readonly #legs: readonly Leg[];
  #openings = 0;
  #sessions = 0;
  /** Power losses of its own host. */
  #ownLosses = 0;
  #isRemaking = false;
  /** The last child has failed: nothing works any more. */
  #isBroken = false;
  #legsMayDiffer = false;

  constructor(run: Run, options: MirrorNexusOptions) {
    this.#run = run;
    this.#options = options;
    const { host, sectorCount, clients, inFlight, targets, hasLocal } = options;
    this.#history = run.history({ sectorCount });
    this.#clients = Array.from({ length: clients }, (_, index) =>
      run.client({
        name: `c${index}`,
        history: this.#history,
        inFlightMax: inFlight,
        isLate: (_op, status) => ALLOWED.has(status),
        check: (op, status) => this.#check(op, status),
      }),
    );
    const places = [...targets, ...(hasLocal ? [null] : [])];
    this.#legs = places.map((target, number) => {
      return { number, target, isInSync: true, losses: 0, failedSyncs: 0 };
    });
    this.process = run.world.process<Session>({
      name: host,
      host,
      boot: (reactor) => this.#boot(reactor),
      onUp: (session) => this.#up(session),
      onDown: () => this.#down(),
    });
  }

  get isReady(): boolean {
    const { mirror } = this.process.program ?? {};
    if (mirror === undefined || !this.process.isRunning || this.#isRemaking) return false;
    const isWhole = mirror.children.length === this.#legs.length;
    return (
      isWhole && !this.#isBroken && mirror.children.every(isInSync) && this.#isConnected(mirror)
    );
  }

  powerLost(host: string): void {
    if (host === this.#options.host) this.#ownLosses++;
  }

  mend(): void {
    if (this.process.isRunning && !this.isReady) this.remake();
  }

  /** Closes the mirror in good order, compares its legs, and starts its process again. */
  remake(): boolean {
    const session = this.process.program;
    if (session === null || !this.process.isRunning || this.#isRemaking) return false;
    this.#isRemaking = true;
    this.#run.world.trace("the mirror is made anew");
    for (const client of this.#clients) client.detach();
    this.#close(session).catch((error: unknown) => {
      this.#run.fail("crash", `the mirror cannot be closed: ${String(error)}`);
    });
    return true;
  }

  /** Whatever leg is the source, all hold the same. */
  async examine(stage: Stage): Promise<void> {
    const [client] = this.#clients;
    if (client === undefined) return;
    client.submit({ kind: "flush", first: 0, count: 0 });
    if (!(await this.#run.quiet())) return;
    this.remake();
    if (!(await this.#run.ready(stage))) return;
    await this.#run.readBack(client, stage);
  }

  async #close({ mirror, slab }: Session): Promise<void> {
    const { reactor } = this.process;
    await mirror.close();
    await this.#compare(mirror.children.filter(isInSync), slab);
    if (reactor !== this.process.reactor) return;
    this.process.kill();
    this.process.start();
  }

  /** All legs in sync hold the same, those that can be read. */
  async #compare(children: readonly Child[], slab: Slab): Promise<void> {
    if (this.#isBroken || this.#legsMayDiffer) return;
    let first: { readonly name: string; readonly bytes: Uint8Array } | null = null;
    for (const { joint, name } of children) {
      if ((await this.#transfer(joint, slab, Operation.read)) !== Status.ok) continue;
      const bytes = slab.bytes.slice(0, this.#sizeBytes);
      first ??= { name, bytes };
      const at = first.bytes.findIndex((byte, index) => byte !== bytes[index]);
      if (at === -1) continue;
      const sector = Math.floor(at / SECTOR_BYTES);
      this.#run.fail(
        "legs-differ",
        `${first.name} and ${name}, in sync, differ in sector ${sector}`,
      );
    }
  }

  get #sizeBytes(): number {
    return this.#options.sectorCount * SECTOR_BYTES;
  }

  /** Not one of them has lost its way to the leg, as far as it knows. */
  #isConnected(mirror: Mirror): boolean {
    return mirror.children.every(({ joint }) => {
      const { condition } = joint.below as { readonly condition?: { readonly link: string } };
      return condition === undefined || condition.link === "up";
    });
  }

  #up({ mirror }: Session): void {
    this.#history.closeAll();
    this.#isRemaking = false;
    this.#sessions++;
    for (const client of this.#clients) client.attach(mirror, this.#sessions);
  }

  #down(): void {
    this.#isRemaking = false;
    for (const client of this.#clients) client.died(true);
  }

  #check(_op: HistoryOp, status: Status): string | null {
    if (status === Status.ok || status === Status.compareFailed) return null;
    const isDisturbed = this.#run.world.faultCounts.size > 0;
    return isDisturbed && ALLOWED.has(status) ? null : `unexpected ${statusName(status)}`;
  }

  /** @throws Error when it cannot begin yet: the process is started again, later */
  async #boot(reactor: Reactor): Promise<Session> {
    this.#isBroken = false;
    this.#legsMayDiffer = false;
    const slab = reactor.io.slabs.allocate(Math.max(4096, this.#sizeBytes));
    const losses = this.#legs.map((leg) => this.#lossesOf(leg));
    const failedSyncs = this.#legs.map((leg) => this.#failedSyncsOf(leg));
    const devices = await Promise.all(this.#legs.map((leg) => this.#openLeg(reactor, leg)));
    if (reactor !== this.process.reactor) throw new Error("it has ended");
    const source = this.#chooseSource(devices);
    const joined = await this.#copy(source, devices, slab);
    if (reactor !== this.process.reactor) throw new Error("it has ended");
    for (const leg of this.#legs) {
      leg.isInSync = joined.includes(leg);
      if (!leg.isInSync) continue;
      leg.losses = losses[leg.number] as number;
      leg.failedSyncs = failedSyncs[leg.number] as number;
    }
    const names = joined.map(({ number }) => number + 1).join(", ");
    this.#run.world.trace(`the mirror begins with legs ${names}`);
    return { mirror: await this.#openMirror(reactor, joined, devices), slab };
  }

  #openMirror(
    reactor: Reactor,
    joined: readonly Leg[],
    devices: readonly (Device | null)[],
  ): Promise<Mirror> {
    const { readPolicy, childTimeoutMs, decisionMs } = this.#options;
    const { world } = this.#run;
    return Mirror.open(reactor, {
      name: "mirror()",
      legs: joined.map(({ number, target }) => ({
        joint: new Joint(devices[number] as Device), // it has joined
        number,
        isLocal: target === null,
        name: target?.host ?? "local",
      })),
      readPolicy,
      childTimeoutMs,
      onEvent: (event) => this.#heard(event, reactor),
      membership: {
        decideOut: (child, decided) => {
          world.after(decisionMs, () => {
            if (reactor !== this.process.reactor) return;
            world.trace(`${child.name} is recorded as out`);
            (this.#legs[child.number] as Leg).isInSync = false;
            reactor.deliverLater(() => decided(true));
          });
        },
      },
    });
  }

  #heard({ code, message }: MirrorEvent, reactor: Reactor): void {
    const { world } = this.#run;
    if (code === "mirror-without-metadata") return;
    world.trace(`${code}: ${message}`);
    if (code === "legs-differ") this.#legsMayDiffer = true;
    if (code !== "last-child-failed") return;
    this.#isBroken = true;
    world.after(REMAKE_MS, () => {
      if (reactor === this.process.reactor) this.remake();
    });
  }

  /** Null: it cannot be used now. */
  async #openLeg(reactor: Reactor, { target, number }: Leg): Promise<Device | null> {
    const { host, open } = this.#options;
    try {
      if (target === null) {
        return await FileDevice.open(reactor, { path: DISK_PATH, sizeBytes: this.#sizeBytes });
      }
      if (!target.process.isUp || !(await this.#isSettled(target))) return null;
      return await open(reactor, target, uuidOfName(`${host} ${number} ${++this.#openings}`));
    } catch {
      return null;
    }
  }

  #isSettled(target: RemoteTarget): Promise<boolean> {
    const late = new Promise<boolean>((resolve) => {
      this.#run.world.after(SETTLE_MS_MAX, () => resolve(false));
    });
    return Promise.race([target.settled(this.#options.host).then(() => true), late]);
  }

  /** Tells the history what is lost with it. @throws Error when there is none now */
  #chooseSource(devices: readonly (Device | null)[]): Leg {
    const inSync = this.#legs.filter((leg) => leg.isInSync);
    const intact = inSync.filter((leg) => leg.losses === this.#lossesOf(leg));
    const wanted = intact.length > 0 ? intact : inSync;
    const possible = wanted.filter(({ number }) => devices[number] !== null);
    if (possible.length === 0) throw new Error("no leg in sync can be used");
    const source = this.#run.world.fake.prng.pick(possible);
    this.#run.world.trace(`leg ${source.number + 1} is the source`);
    if (intact.length === 0) this.#history.powerLoss(false);
    if (source.failedSyncs !== this.#failedSyncsOf(source)) this.#history.doom();
    return source;
  }

  /** @returns the legs that hold the same, durably. @throws Error when the source does not */
  async #copy(source: Leg, devices: readonly (Device | null)[], slab: Slab): Promise<Leg[]> {
    const from = devices[source.number] as Device; // it was chosen among those that are there
    await this.#demand(source, from, slab, Operation.read);
    await this.#demand(source, from, slab, Operation.write);
    await this.#demand(source, from, slab, Operation.flush);
    const others = this.#legs.filter((leg) => leg !== source);
    const joined = [source];
    for (const leg of others) {
      const device = devices[leg.number];
      if (device === null || device === undefined) continue;
      try {
        await this.#demand(leg, device, slab, Operation.write);
        await this.#demand(leg, device, slab, Operation.flush);
        joined.push(leg);
      } catch {
        // It stays out until the next time.
      }
    }
    return joined.sort((one, other) => one.number - other.number);
  }

  async #demand(leg: Leg, device: Device, slab: Slab, operation: Operation): Promise<void> {
    const status = await this.#transfer(device, slab, operation);
    if (status === Status.ok) return;
    if (status === Status.mediaError) leg.target?.renew();
    throw new Error(`leg ${leg.number + 1}: ${statusName(status)}`);
  }

  #transfer(device: Device, slab: Slab, operation: Operation): Promise<Status> {
    const request = new AwaitedRequest();
    if (operation === Operation.flush) return request.run(device, { operation });
    request.segments.push(slab.id, 0, this.#sizeBytes);
    return request.run(device, { operation, length: this.#sizeBytes });
  }

  #lossesOf({ target }: Leg): number {
    return target === null ? this.#ownLosses : target.losses;
  }

  #failedSyncsOf({ target }: Leg): number {
    const { host } = this.#options;
    const { diskFaults } = this.#run.world;
    const place = target?.host ?? host;
    return diskFaults.reduce((sum, each) => {
      const isSync = each.host === place && each.on === "sync" && each.effect === "error";
      return isSync ? sum + each.fault.hits : sum;
    }, 0);
  }
}

function isInSync({ state }: Child): boolean {
  return state.name === "in-sync";
}
