// Tests of a host's associations: what is ended, what waits, what comes too late.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { HostAssociations, type HostConnection } from "./host-associations.ts";

class FakeConnection implements HostConnection {
  readonly events: string[] = [];

  fail(): void {
    this.events.push("fail");
  }

  admitted(): void {
    this.events.push("admitted");
  }
}

test("HostAssociations ends the older connections of a host and waits for the last", () => {
  const table = new HostAssociations();
  const [a, b, c, d] = Array.from({ length: 4 }, () => new FakeConnection());
  const old = { host: "h", number: 1 };
  const next = { host: "h", number: 2 };
  strictEqual(table.admit(a as FakeConnection, old), true);
  strictEqual(table.admit(b as FakeConnection, old), true);
  strictEqual(table.admit(c as FakeConnection, next), false);
  strictEqual(table.admit(d as FakeConnection, next), false);
  table.leave(a as FakeConnection, old);
  deepStrictEqual(c?.events, []);
  table.leave(b as FakeConnection, old);
  for (const one of [a, b]) deepStrictEqual(one?.events, ["fail"]);
  for (const one of [c, d]) deepStrictEqual(one?.events, ["admitted"]);
});

test("HostAssociations refuses what is older than the newest, also when that has gone", () => {
  const table = new HostAssociations();
  const [a, b, other] = Array.from({ length: 3 }, () => new FakeConnection());
  strictEqual(table.admit(a as FakeConnection, { host: "h", number: 5 }), true);
  strictEqual(table.admit(b as FakeConnection, { host: "h", number: 4 }), null);
  strictEqual(table.admit(other as FakeConnection, { host: "i", number: 1 }), true);
  table.leave(a as FakeConnection, { host: "h", number: 5 });
  strictEqual(table.admit(b as FakeConnection, { host: "h", number: 4 }), null);
  strictEqual(table.admit(b as FakeConnection, { host: "h", number: 5 }), true);
  deepStrictEqual(other?.events, []);
});

test("HostAssociations ends those that wait, too, when a still newer one comes", () => {
  const table = new HostAssociations();
  const [a, b, c] = Array.from({ length: 3 }, () => new FakeConnection());
  table.admit(a as FakeConnection, { host: "h", number: 1 });
  strictEqual(table.admit(b as FakeConnection, { host: "h", number: 2 }), false);
  strictEqual(table.admit(c as FakeConnection, { host: "h", number: 3 }), false);
  deepStrictEqual(b?.events, ["fail"]);
  table.leave(a as FakeConnection, { host: "h", number: 1 });
  deepStrictEqual(c?.events, []);
  table.leave(b as FakeConnection, { host: "h", number: 2 });
  deepStrictEqual(c?.events, ["admitted"]);
  deepStrictEqual(b?.events, ["fail"]);
});

test("HostAssociations remembers a bounded number of hosts that have gone", () => {
  const table = new HostAssociations();
  const connection = new FakeConnection();
  for (let index = 0; index < 3000; index++) {
    const association = { host: `h${index}`, number: 9 };
    strictEqual(table.admit(connection, association), true);
    table.leave(connection, association);
  }
  strictEqual(table.admit(connection, { host: "h2999", number: 1 }), null);
  strictEqual(table.admit(connection, { host: "h0", number: 1 }), true);
});
