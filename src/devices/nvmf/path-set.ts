/**
 * PathSet: an NVMe-oF device's ways to its namespace, and which of them is used.
 *
 *   opening --first path up--> up --no path is usable--> down --one is again--> up
 *                                                         +--ride-out over--> lost
 *
 * The path in use is the first optimized one, else the first that works at all (ANA). Paths that
 * are down are looked for as long as the device is there. Owned by the device, which keeps the
 * requests.
 *
 * spec: NVMe Base 2.0 8.1 "Asymmetric namespace access"
 */

import { AnaState } from "../../proto/nvme/constants.ts";
import type { HostCommand } from "../../proto/nvme-tcp/initiator-command.ts";
import type { CapsuleBank } from "../../proto/nvme-tcp/initiator-bank.ts";
import type { ConnectionEnd } from "../../proto/stream/initiator-stream.ts";
import type { SocketAddress } from "../../reactor/io.ts";
import { type PenstockError, toPenstockError } from "../../util/errors.ts";
import { OutageClock, type OutageOwner } from "../remote/outage-clock.ts";
import type { OutageTerms } from "../remote/outage-terms.ts";
import type { ControllerSession } from "./controller-session.ts";
import type { ControllerParts } from "./host-controller.ts";
import { Path, type PathOwner } from "./path.ts";

export interface PathSetParts extends Omit<ControllerParts, "address" | "banks">, OutageTerms {
  /** One controller each; at least one. */
  readonly addresses: readonly SocketAddress[];
}

/** The device's side. Must not throw. */
export interface PathSetOwner {
  /** Requests that wait for an answer. */
  readonly activeCount: number;
  /** A command has its answer. In the turn. Hot path. */
  ended(path: Path, command: HostCommand): void;
  /** Nothing of the path is in flight any more: what it had is to be sent again. In the turn. */
  pathLost(path: Path): void;
  /** Nothing of what the path had when it was lost can be done any more. Outside of a turn. */
  pathOver(path: Path): void;
  /** Another host has claimed the namespace while a path was lost. Outside of a turn. */
  pathClaimed(message: string): void;
  /** What there is to say of the namespace may have changed. */
  pathChanged(path: Path): void;
  /**
   * Another path is in use from now on, or one again. Outside of a turn, or in it.
   * @param isContinuous there was another one until now
   */
  linkUp(session: ControllerSession, isContinuous: boolean): void;
  /** No path has worked for too long: requests fail. */
  linkLost(isTimeout: boolean): void;
}

export type LinkState = "opening" | "up" | "down" | "lost" | "closed";

export class PathSet implements PathOwner, OutageOwner {
  state: LinkState = "opening";
  owner: PathSetOwner | null = null;
  readonly paths: readonly Path[];
  /** The one that commands go to. */
  current: Path | null = null;
  readonly #parts: PathSetParts;
  readonly #banks: CapsuleBank[] = [];
  readonly #outage: OutageClock;
  #isTimeout = false;
  #isClosing = false;

  constructor(parts: PathSetParts) {
    this.#parts = parts;
    const { addresses, reactor } = parts;
    this.paths = addresses.map(
      (address) => new Path({ ...parts, address, banks: this.#banks }, this),
    );
    this.#outage = new OutageClock({ ...parts, clock: reactor.clock }, this);
  }

  get isUp(): boolean {
    return this.current?.isUp === true;
  }

  get isGone(): boolean {
    return this.paths.every(({ isGone }) => isGone);
  }

  get queueCount(): number {
    return this.paths.reduce((sum, path) => sum + path.queueCount, 0);
  }

  /** Why there is no path, for people. */
  get reason(): string {
    return this.isUp ? "" : (this.paths.find(({ reason }) => reason !== "")?.reason ?? "");
  }

  /**
   * Opens all paths; those that cannot be opened are looked for later.
   * @throws PenstockError of the first path, when none could be opened; `claimed` of any: whoever
   *   has it by that way writes what is behind the others, too
   */
  async open(): Promise<ControllerSession> {
    const failures: PenstockError[] = [];
    const openings = this.paths.map(async (path) => {
      try {
        await path.open();
      } catch (thrown) {
        const error = toPenstockError(thrown);
        path.reason = error.message;
        failures.push(error);
      }
    });
    await Promise.all(openings);
    const claimed = failures.find(({ code }) => code === "claimed");
    if (claimed !== undefined) throw claimed;
    this.current = this.#best();
    const used = this.current ?? this.paths.find(({ isUp }) => isUp) ?? null;
    if (used === null || used.session === null) throw failures[0];
    this.current = used;
    this.state = "up";
    for (const path of this.paths) if (!path.isUp) path.look();
    return used.session;
  }

  /** Ends all connections; `pathLost` follows. */
  fail(message: string, isTimeout = false): void {
    for (const path of this.paths) path.fail(message, isTimeout);
  }

  disconnect(): void {
    const isSilent = this.current !== null;
    this.fail(isSilent ? "it answers nothing" : "no path may be used", isSilent);
  }

  /** The path's namespace cannot be used now, said its controller. @returns another can */
  avoid(path: Path): boolean {
    const { controller } = path;
    if (controller !== null) {
      controller.anaState = AnaState.inaccessible;
      controller.readChanges();
    }
    this.#select();
    return this.current !== null;
  }

  /** Any usable path but this one, or null. */
  otherThan(path: Path): Path | null {
    return this.paths.find((each) => each !== path && rankOf(each) > 0) ?? null;
  }

  // hot path
  ended(path: Path, command: HostCommand): void {
    if (this.#outage.isRunning) this.#outage.end();
    this.owner?.ended(path, command);
  }

  pathUp(path: Path): void {
    if (this.#isClosing || (this.state === "lost" && !this.#parts.recovers)) {
      path.fail("it is not wanted any more");
      return;
    }
    this.#select();
  }

  pathLost(path: Path, end: ConnectionEnd): void {
    this.#isTimeout = end.code === "timeout";
    this.owner?.pathLost(path);
    if (this.#isClosing) {
      this.current = this.#best();
      return;
    }
    const { rideOutMs, recovers } = this.#parts;
    this.#select();
    const isWanted = rideOutMs > 0 || recovers || this.current !== null;
    if (isWanted) path.look();
  }

  pathOver(path: Path): void {
    this.owner?.pathOver(path);
  }

  pathClaimed(message: string): void {
    this.owner?.pathClaimed(message);
  }

  pathChanged(path: Path): void {
    this.owner?.pathChanged(path);
    this.#select();
  }

  giveUp(): void {
    this.state = "lost";
    if (!this.#parts.recovers) this.stopLooking();
    this.owner?.linkLost(this.#isTimeout);
  }

  stopLooking(): void {
    for (const path of this.paths) path.stopLooking();
    this.#outage.cancel();
  }

  /** The last commands have ended. Idempotent. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.stopLooking();
    await Promise.all(this.paths.map((path) => path.close()));
    this.state = "closed";
    this.current = null;
    for (const bank of this.#banks.splice(0)) bank.release();
  }

  #best(): Path | null {
    let best: Path | null = null;
    for (const path of this.paths) {
      if (rankOf(path) > (best === null ? 0 : rankOf(best))) best = path;
    }
    // The one in use is as good as any other of its rank.
    const { current } = this;
    return current !== null && best !== null && rankOf(current) === rankOf(best) ? current : best;
  }

  #select(): void {
    const before = this.current;
    const next = this.#best();
    this.current = next;
    if (next === null) {
      if (this.state === "up") this.state = "down";
      if (this.state === "down" || this.isGone) this.#outage.begin();
      return;
    }
    const wasUp = before !== null;
    if (next === before && this.state === "up") return;
    this.state = "up";
    if (this.owner?.activeCount === 0) this.#outage.end();
    if (next.session !== null) this.owner?.linkUp(next.session, wasUp);
  }
}

/** 0: it cannot be used. */
function rankOf(path: Path): number {
  switch (path.anaState) {
    case AnaState.optimized:
      return 2;
    case AnaState.nonOptimized:
      return 1;
    default:
      return 0;
  }
}
