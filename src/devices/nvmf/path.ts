/**
 * Path: one of the ways to a namespace, a controller at an address: opened, lost, looked for again.
 *
 *   opening --> up --lost--> down --opened again--> up ...       close() from anywhere --> closed
 *
 * Owned by the `PathSet`. While it is not up nothing of it is in flight.
 */

import { AnaState } from "../../proto/nvme/constants.ts";
import type { HostCommand } from "../../proto/nvme-tcp/initiator-command.ts";
import type { ConnectionEnd } from "../../proto/stream/initiator-stream.ts";
import { formatSocketAddress } from "../../reactor/io-errors.ts";
import { toPenstockError } from "../../util/errors.ts";
import { retryUntilDone } from "../remote/retry.ts";
import type { ControllerSession } from "./controller-session.ts";
import { type ControllerOwner, type ControllerParts, HostController } from "./host-controller.ts";

/** The set's side. Must not throw. */
export interface PathOwner {
  /** A command has its answer. In the turn. Hot path. */
  ended(path: Path, command: HostCommand): void;
  /** It is there (again). Outside of the turn. */
  pathUp(path: Path): void;
  /** Nothing of it is in flight any more. In the turn. */
  pathLost(path: Path, end: ConnectionEnd): void;
  /** Nothing of what was sent over its lost association can be done any more. */
  pathOver(path: Path): void;
  /** It was reached again, and another host has claimed the namespace meanwhile. */
  pathClaimed(message: string): void;
  /** Its controller has told of a change. */
  pathChanged(path: Path): void;
}

export class Path implements ControllerOwner {
  readonly name: string;
  /** Why it is not up, for people; "" while it is. */
  reason = "";
  /** What its controller said when it was last opened. */
  session: ControllerSession | null = null;
  /** How the last association ended: at the other side. */
  endedByPeer = false;
  /** It was reached after it was lost, and is not done with what it had: it lives. */
  isBusy = false;
  readonly #parts: ControllerParts;
  readonly #owner: PathOwner;
  readonly #abort = new AbortController();
  #controller: HostController | null = null;
  #reconnecting: Promise<void> | null = null;

  constructor(parts: ControllerParts, owner: PathOwner) {
    this.#parts = parts;
    this.#owner = owner;
    this.name = formatSocketAddress(parts.address);
  }

  get isUp(): boolean {
    return this.#controller?.isUp === true;
  }

  /** Nothing of it is in flight. */
  get isGone(): boolean {
    return this.#controller === null;
  }

  get queueCount(): number {
    return this.#controller?.queueCount ?? 0;
  }

  get controller(): HostController | null {
    return this.#controller;
  }

  /** `AnaState` while it is up, else inaccessible. */
  get anaState(): number {
    return this.isUp ? (this.#controller?.anaState ?? 0) : AnaState.inaccessible;
  }

  /** @throws PenstockError of `HostController.open` */
  async open(): Promise<ControllerSession> {
    const controller = new HostController(this.#parts);
    let session: ControllerSession;
    try {
      session = await controller.open(this.#abort.signal);
    } catch (thrown) {
      // Somebody took the connection and did not answer; whoever refuses us has nothing of ours.
      this.isBusy = controller.wasReached && toPenstockError(thrown).code === "connection-timeout";
      throw thrown;
    }
    controller.owner = this;
    this.#controller = controller;
    this.session = session;
    this.isBusy = false;
    this.reason = "";
    return session;
  }

  // hot path
  submit(command: HostCommand): void {
    this.#controller?.submit(command);
  }

  fail(message: string, isTimeout = false): void {
    this.#controller?.fail(message, isTimeout ? "timeout" : "connection-lost");
  }

  /** Goes on looking for it until it is there. */
  look(): void {
    this.#reconnecting ??= this.#reconnect();
  }

  // hot path
  ended(_controller: HostController, command: HostCommand): void {
    this.#owner.ended(this, command);
  }

  changed(): void {
    this.#owner.pathChanged(this);
  }

  failing(): void {
    // Nothing is submitted: `isUp` says so.
  }

  lost(controller: HostController, end: ConnectionEnd): void {
    this.#controller = null;
    this.reason = end.message;
    this.endedByPeer = controller.endedByPeer;
    this.#owner.pathLost(this, end);
  }

  /** No new connection is made any more. */
  stopLooking(): void {
    this.#abort.abort();
  }

  /** The last commands have ended. */
  async close(): Promise<void> {
    this.stopLooking();
    await this.#controller?.disconnect();
    await this.#reconnecting;
  }

  async #reconnect(): Promise<void> {
    await retryUntilDone(this.#parts.reactor.clock, this.#abort.signal, async () => {
      try {
        await this.open();
        return true;
      } catch (thrown) {
        const { code, message } = toPenstockError(thrown);
        this.reason = message;
        // Nobody listens: the process is gone, and with it what it had.
        if (code === "connection-refused") this.#owner.pathOver(this);
        if (code !== "claimed") return false;
        this.#owner.pathClaimed(message);
        return true;
      }
    });
    this.#reconnecting = null;
    if (!this.isUp) return;
    // Our own targets let a host in when they are done with what it had sent before. Those of
    // others are believed if they had ended the association themselves.
    const isOwn = this.session !== null && this.session.instanceId !== null;
    if (isOwn || this.endedByPeer) this.#owner.pathOver(this);
    this.#owner.pathUp(this);
  }
}
