/**
 * Link: an NBD device's way to its server: opened, lost, looked for again.
 *
 *   opening --> up --lost--> down --opened again--> up
 *                             +--ride-out over--> lost --opened again (unless fail-fast)--> up
 *   close() from anywhere --> closed
 *
 * Owned by the device, which keeps the requests. While it is not up nothing is in flight, and no
 * memory of a request is in use.
 */

import { NbdError } from "../../proto/nbd/constants.ts";
import type { InitiatorCommand } from "../../proto/nbd/initiator-command.ts";
import type { ConnectionEnd } from "../../proto/stream/initiator-stream.ts";
import type { InitiatorSession } from "../../proto/nbd/initiator-session.ts";
import type { RequestBank } from "../../proto/nbd/request-bank.ts";
import type { SocketAddress } from "../../reactor/io.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { toPenstockError } from "../../util/errors.ts";
import { OutageClock, type OutageOwner } from "../remote/outage-clock.ts";
import type { OutageTerms } from "../remote/outage-terms.ts";
import { retryUntilDone } from "../remote/retry.ts";
import { Association, type AssociationOwner } from "./association.ts";

export interface LinkParts extends OutageTerms {
  readonly reactor: Reactor;
  readonly address: SocketAddress;
  readonly exportName: string;
  /** UUID that no opening before had. */
  readonly hostId: string;
  readonly connections: number | null;
}

/** The device's side. Must not throw. */
export interface LinkOwner {
  /** Requests that wait for an answer. */
  readonly activeCount: number;
  /** A command has its answer. In the turn. Hot path. */
  ended(command: InitiatorCommand): void;
  /** Nothing is in flight any more: what has no answer is to be sent again, later. In the turn. */
  linkDown(): void;
  /** The server is there again. Outside of a turn. */
  linkUp(session: InitiatorSession): void;
  /** It has been away for too long: requests fail. */
  linkLost(isTimeout: boolean): void;
}

export type LinkState = "opening" | "up" | "down" | "lost" | "closed";

export class Link implements AssociationOwner, OutageOwner {
  state: LinkState = "opening";
  /** Why it is not up, for people; "" while it is. */
  reason = "";
  owner: LinkOwner | null = null;
  readonly #parts: LinkParts;
  readonly #reactor: Reactor;
  readonly #abort = new AbortController();
  readonly #banks: RequestBank[] = [];
  #associationNumber = 0;
  #association: Association | null = null;
  readonly #outage: OutageClock;
  #isTimeout = false;
  /** Requests have failed, and it is not to come back. */
  #isOver = false;
  #reconnecting: Promise<void> | null = null;

  constructor(parts: LinkParts) {
    this.#parts = parts;
    this.#reactor = parts.reactor;
    this.#outage = new OutageClock({ ...parts, clock: parts.reactor.clock }, this);
  }

  get isUp(): boolean {
    return this.#association?.isUp === true;
  }

  get isGone(): boolean {
    return this.#association === null;
  }

  get connectionCount(): number {
    return this.#association?.connectionCount ?? 0;
  }

  /** @throws PenstockError of `Association.open` */
  async open(): Promise<InitiatorSession> {
    const { exportName, hostId, ...parts } = this.#parts;
    const association = new Association({
      ...parts,
      banks: this.#banks,
      request: { exportName, association: { host: hostId, number: ++this.#associationNumber } },
    });
    const session = await association.open(this.#abort.signal);
    association.owner = this;
    this.#association = association;
    this.state = "up";
    return session;
  }

  // hot path
  submit(command: InitiatorCommand): void {
    this.#association?.submit(command);
  }

  /** Ends the connections; `linkDown` follows. */
  fail(message: string, isTimeout = false): void {
    this.#association?.fail(message, isTimeout ? "timeout" : "connection-lost");
  }

  // hot path
  ended(command: InitiatorCommand): void {
    // A server that only ever says that it goes is not back.
    const isBack = command.error !== NbdError.eshutdown;
    if (this.#outage.isRunning && isBack) this.#outage.end();
    this.owner?.ended(command);
  }

  lost(_association: Association, end: ConnectionEnd): void {
    this.#association = null;
    this.reason = end.message;
    this.#isTimeout = end.code === "timeout";
    this.owner?.linkDown();
    if (this.#abort.signal.aborted) return;
    const { rideOutMs, recovers } = this.#parts;
    this.state = "down";
    this.#outage.begin();
    if (rideOutMs > 0 || recovers) this.#reconnecting = this.#reconnect();
  }

  /** The last commands have ended. Idempotent. */
  async close(): Promise<void> {
    this.stopLooking();
    await this.#association?.disconnect();
    await this.#reconnecting;
    this.state = "closed";
    for (const bank of this.#banks.splice(0)) bank.release();
  }

  /** No new connection is made any more. */
  stopLooking(): void {
    this.#abort.abort();
    this.#outage.cancel();
  }

  disconnect(): void {
    this.fail("it answers nothing", true);
  }

  giveUp(): void {
    this.state = "lost";
    this.#isOver = !this.#parts.recovers;
    this.owner?.linkLost(this.#isTimeout);
  }

  #reconnect(): Promise<void> {
    return retryUntilDone(this.#reactor.clock, this.#abort.signal, async () => {
      if (this.#isOver) return true;
      try {
        const session = await this.open();
        if (this.#isOver) {
          this.state = "lost";
          return true;
        }
        this.reason = "";
        if (this.owner?.activeCount === 0) this.#outage.end();
        this.owner?.linkUp(session);
        return true;
      } catch (thrown) {
        this.reason = toPenstockError(thrown).message;
        return false;
      }
    });
  }
}
