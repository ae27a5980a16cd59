/** Calls of the data path that answer by a callback, as promises. Stateless. */

import type { Status } from "../../block/status.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import type { FlushWaiter } from "../pool-layout.ts";

/** Settles, outside of the turn, with what `begin`'s callback was called with. */
export function awaitCall<T>(reactor: Reactor, begin: (done: (value: T) => void) => void) {
  return new Promise<T>((resolve) => {
    begin((value) => reactor.deliverLater(() => resolve(value)));
  });
}

/** Of whoever takes a FlushWaiter: PoolLog or PoolDisks. */
export function awaitFlush(
  reactor: Reactor,
  flushed: { flush(waiter: FlushWaiter): void },
): Promise<Status> {
  return awaitCall(reactor, (done) => flushed.flush({ nextFlush: null, flushEnded: done }));
}

/** The next step of long work runs after everything that waits for its turn. */
export function yieldTurn(reactor: Reactor): Promise<void> {
  return awaitCall(reactor, (done: (value: undefined) => void) => done(undefined));
}
