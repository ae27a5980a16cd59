// Tests of the groups of shares: an NQN's namespaces on one reactor, everything else anywhere.

import { strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { planPipe } from "./pipe-plan.ts";
import type { RemoteReactor } from "./reactor-pool.ts";
import { ShareGroups } from "./share-groups.ts";
import type { SharePlan } from "./share-plan.ts";

function reactorOf(id: number): RemoteReactor {
  return { id, call: (() => undefined) as unknown as RemoteReactor["call"] };
}

function share(text: string): SharePlan {
  return planPipe(`null:///x?size=1MiB | ${text}`).share;
}

test("enter keeps an NQN on one reactor until its last share has left", () => {
  const groups = new ShareGroups();
  const one = groups.enter(share("nvmf://h/nqn.2026-11.x:a"), reactorOf(0));
  const two = groups.enter(share("nvmf://h:1/nqn.2026-11.x:a?nsid=2"), reactorOf(1));
  const other = groups.enter(share("nvmf://h/nqn.2026-11.x:b"), reactorOf(1));
  strictEqual(one.reactor.id, 0);
  strictEqual(two.reactor, one.reactor);
  strictEqual(other.reactor.id, 1);
  one.leave();
  const three = groups.enter(share("nvmf://h/nqn.2026-11.x:a"), reactorOf(1));
  strictEqual(three.reactor.id, 0);
  two.leave();
  three.leave();
  strictEqual(groups.enter(share("nvmf://h/nqn.2026-11.x:a"), reactorOf(1)).reactor.id, 1);
});

test("enter leaves NBD exports where they are wanted", () => {
  const groups = new ShareGroups();
  for (const id of [0, 1]) {
    const place = groups.enter(share("nbd://h/a"), reactorOf(id));
    strictEqual(place.reactor.id, id);
    place.leave();
  }
});
