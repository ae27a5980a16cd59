/**
 * ReceiveRest: puts a target's next receive off for a moment where its peer has many commands on
 * their way: one receive and one send for several of them cost little more than for one.
 *
 * When and for how long is `RestControl`'s. At most one rest at a time; its connection closes only
 * when that has ended.
 */

import type { Reactor, Rester } from "../../reactor/reactor.ts";
import type { ConnectionReceiver } from "./connection-receiver.ts";
import { RestControl } from "./rest-control.ts";

export interface RestOwner {
  /** In a turn: the receive that was put off may begin. */
  rested(): void;
}

export class ReceiveRest implements Rester {
  /** The next receive is put off. */
  isActive = false;
  readonly #owner: RestOwner;
  readonly #reactor: Reactor;
  readonly #receiver: ConnectionReceiver<unknown>;
  readonly #control = new RestControl();

  constructor(owner: RestOwner, reactor: Reactor, receiver: ConnectionReceiver<unknown>) {
    this.#owner = owner;
    this.#reactor = reactor;
    this.#receiver = receiver;
  }

  /** A receive has brought `commands`. @returns the next one is put off. Hot path. */
  begins(commands: number): boolean {
    const reactor = this.#reactor;
    if (reactor.io.canRest !== true || this.isActive) return this.isActive;
    const restMs = this.#control.received(commands);
    const { socketHasMore, payload } = this.#receiver;
    if (restMs === 0 || socketHasMore || payload.isUnderWay) return false;
    this.isActive = true;
    reactor.rest(this, restMs);
    return true;
  }

  // hot path
  restEnded(): void {
    this.isActive = false;
    this.#owner.rested();
  }
}
