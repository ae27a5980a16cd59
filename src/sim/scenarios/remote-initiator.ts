/**
 * RemoteInitiator: a process of a simulated world that uses a remote device, with clients of its
 * own. It is killed and started again; its device is opened again when it has failed for good.
 *
 * It judges the device's answers, and closes in the history what was left under way: as soon as
 * the target has answered a newer association (safety rule 4), or nothing is on its way any more.
 */

import type { Device } from "../../block/device.ts";
import { Status, statusName } from "../../block/status.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { uuidOfName } from "../../util/uuid.ts";
import type { SimClient } from "../client.ts";
import type { History, HistoryOp } from "../history.ts";
import type { Run } from "../run.ts";
import type { SimProcess } from "../sim-process.ts";
import type { RemoteTarget } from "./remote-target.ts";

const REOPEN_MS = 3;
/** Outages that the schedule makes are shorter: an initiator that waits longer must not fail. */
const PATIENT_MS = 20_000;

/** A device whose data is on another host. */
export interface RemoteSimDevice extends Device {
  readonly condition: { readonly link: string; readonly fault: Status; readonly reason: string };
}

export interface RemoteInitiatorOptions {
  readonly host: string;
  readonly target: RemoteTarget;
  readonly history: History;
  readonly clients: number;
  /** Operations of each client under way at once. */
  readonly inFlight: number;
  readonly failFast: boolean;
  /** How long it rides out an outage. */
  readonly rideOutMs: number;
  /** A new opening waits until nothing of the one before is on its way. */
  readonly isOrderly: boolean;
  /** @param openingId a UUID that no opening before had */
  readonly open: (reactor: Reactor, openingId: string) => Promise<RemoteSimDevice>;
}

/** Statuses that leave it open whether the target does it later. */
const LATE: ReadonlySet<Status> = new Set([
  Status.pathLost,
  Status.timeout,
  Status.aborted,
  Status.notReady,
]);

export class RemoteInitiator {
  readonly process: SimProcess<RemoteSimDevice>;
  readonly clients: readonly SimClient[];
  readonly #run: Run;
  readonly #options: RemoteInitiatorOptions;
  /** Where clients send; null while it is opened again. */
  #device: RemoteSimDevice | null = null;
  #openings = 0;
  /** The target's losses when the device was opened. */
  #lossesAtOpening = 0;
  /** Operations that may still be done. */
  #late = new Set<HistoryOp>();
  #isReopening = false;
  /** The newest connection that was there when an operation ended last. */
  #newest: unknown = null;
  /** When an operation ended after which there were new connections. */
  #connectedAt = 0;

  constructor(run: Run, options: RemoteInitiatorOptions) {
    this.#run = run;
    this.#options = options;
    const { host, history } = options;
    this.clients = Array.from({ length: options.clients }, (_, index) =>
      run.client({
        name: `${host}.${index}`,
        history,
        inFlightMax: options.inFlight,
        isLate: (op, status) => this.#isLate(op, status),
        check: (op, status) => this.#check(op, status),
      }),
    );
    this.process = run.world.process({
      name: host,
      host,
      boot: (reactor) => this.#open(reactor),
      onUp: (device) => this.#opened(device),
      onDown: () => this.#down(),
    });
  }

  get isReady(): boolean {
    return this.process.isRunning && this.#device?.condition.link === "up" && !this.#isBroken;
  }

  /** Opens the device again if it can never go on. */
  mend(): void {
    if (this.#isBroken) this.reopen();
  }

  /** Closes the device and opens another. @returns false: there is none */
  reopen(): boolean {
    const device = this.#device;
    if (device === null || !this.process.isRunning || this.#isReopening) return false;
    const { reactor } = device;
    this.#device = null;
    this.#isReopening = true;
    for (const client of this.clients) client.detach();
    this.#run.world.trace(`the device of ${this.#options.host} is opened again`);
    this.#again(device, reactor);
    return true;
  }

  get #isBroken(): boolean {
    const condition = this.#device?.condition;
    if (condition === undefined) return false;
    return condition.fault !== Status.ok || (this.#options.failFast && condition.link === "lost");
  }

  /** When the process dies on the way nothing more happens. */
  #again(device: RemoteSimDevice, reactor: Reactor): void {
    const retry = (): void => {
      if (reactor !== this.process.reactor) return;
      this.#open(reactor).then(
        (opened) => {
          if (reactor === this.process.reactor) this.#opened(opened);
        },
        () => this.#run.world.after(10 * REOPEN_MS, retry),
      );
    };
    device.close().then(retry, (error: unknown) => {
      this.#run.fail("crash", `cannot be closed: ${String(error)}`);
    });
  }

  async #open(reactor: Reactor): Promise<RemoteSimDevice> {
    const { host, target, isOrderly, open } = this.#options;
    const late = this.#late;
    const settled = target.settled(host).then(() => this.#close(late));
    if (isOrderly) await settled;
    // The process may have died meanwhile: another opening's figures must stay as they are.
    if (reactor !== this.process.reactor) throw new Error(`${host} is gone`);
    this.#lossesAtOpening = target.losses;
    return open(reactor, uuidOfName(`${host} ${++this.#openings}`));
  }

  #opened(device: RemoteSimDevice): void {
    this.#isReopening = false;
    this.#device = device;
    for (const client of this.clients) client.attach(device, this.#session);
  }

  get #session(): number {
    return uuidNumber(this.#options.host) * 1000 + this.#openings;
  }

  #down(): void {
    this.#device = null;
    this.#isReopening = false;
    const { ops } = this.#options.history;
    const names = new Set(this.clients.map(({ name }) => name));
    for (const op of ops) {
      if (op.outcome === "pending" && names.has(op.client)) this.#late.add(op);
    }
    for (const client of this.clients) client.died(true);
  }

  #isLate(op: HistoryOp, status: Status): boolean {
    if (!LATE.has(status)) return false;
    this.#late.add(op);
    return true;
  }

  #close(late: Set<HistoryOp>): void {
    if (late.size === 0) return;
    this.#options.history.closeAll((op) => late.has(op));
    late.clear();
  }

  #check(op: HistoryOp, status: Status): string | null {
    this.#noteConnections(op);
    if (status === Status.ok) this.#answered(op);
    const { world } = this.#run;
    if (this.#isBroken) world.after(REOPEN_MS, () => this.mend());
    const { target } = this.#options;
    const isSync = op.kind === "flush" || op.fua;
    if (status === Status.mediaError && (isSync || target.hasFailed)) {
      if (isSync || target.syncsFailed > 0) target.suspect();
    }
    return this.#isAllowed(op, status) ? null : `unexpected ${statusName(status)}`;
  }

  /** Only what was under way while connections were new can have been sent again. */
  #noteConnections(op: HistoryOp): void {
    const newest = this.#options.target.connections(this.#options.host).at(-1) ?? null;
    if (newest !== this.#newest) this.#connectedAt = op.end;
    this.#newest = newest;
    if (op.start >= this.#connectedAt) op.repeats = false;
  }

  /** The newest association works: what was left under way in older ones has ended. */
  #answered(op: HistoryOp): void {
    if (this.#late.size === 0 || op.kind === "flush") return;
    const session = this.#session;
    const over = [...this.#late].filter((late) => late.session === session && late.end < op.start);
    this.#options.history.closeAll((each) => over.includes(each));
    for (const each of over) this.#late.delete(each);
  }

  #isAllowed(op: HistoryOp, status: Status): boolean {
    const { target, failFast, rideOutMs } = this.#options;
    const { faultCounts } = this.#run.world;
    switch (status) {
      case Status.ok:
      case Status.compareFailed:
        return true;
      case Status.dataLost:
        return target.losses > this.#lossesAtOpening;
      case Status.mediaError:
        return target.hasFailed || faultCounts.has("disk-full");
      case Status.noSpace:
        return faultCounts.has("disk-full");
      case Status.pathLost:
      case Status.timeout:
      case Status.aborted:
        // After a loss nobody can tell whether it was done, where it was overwritten.
        if (op.kind === "compare-and-write") return true;
        return failFast || rideOutMs < PATIENT_MS || this.#isReopening || this.#device === null;
      default:
        return false;
    }
  }
}

/** The digits at the end of a name. */
function uuidNumber(name: string): number {
  return Number(/\d+$/.exec(name)?.[0] ?? 0);
}
