// Tests of PoolRegistry: what an engine keeps of its pools, and what comes of failures on the way.

import { deepStrictEqual, match, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { FakePoolHost } from "../testing/fake-pool-host.ts";
import { PenstockError } from "../util/errors.ts";
import { PoolRegistry } from "./pool-registry.ts";
import type { StoredPool } from "./pool-store.ts";

class Rig {
  readonly host: FakePoolHost;
  readonly registry: PoolRegistry;
  readonly stored: Map<string, StoredPool>;
  readonly events: string[] = [];
  readonly opened: string[] = [];
  readonly timers: (() => void)[] = [];
  isFull = false;

  /** @param before disks and what is stored of them come from there: an engine started again */
  constructor(before?: Rig) {
    this.host = new FakePoolHost(before?.host.media);
    this.stored = new Map(before?.stored);
    let uuids = 0;
    this.registry = new PoolRegistry({
      host: this.host,
      store: {
        load: async () => ({
          entries: [...this.stored.values()].map((record) => ({
            ...{ name: record.name, record, problem: null },
          })),
          ignored: [],
        }),
        put: async (pool) => {
          if (this.isFull) throw new PenstockError({ code: "store-failed", message: "ENOSPC" });
          this.stored.set(pool.name, pool);
        },
        delete: async (name) => void this.stored.delete(name),
      },
      events: {
        add: ({ code, pool = "", message }) => this.events.push(`${code} ${pool} ${message}`),
      },
      clock: {
        nowMs: () => 0,
        startTimer: (_delayMs, callback) => {
          this.timers.push(callback);
          return { cancel: () => void this.timers.splice(this.timers.indexOf(callback), 1) };
        },
      },
      holder: "penstock engine at here",
      engineUuid: "00000000-0000-4000-8000-000000000000",
      onOpened: (name) => this.opened.push(name),
      nowMs: () => 1000,
      makeUuid: () => {
        uuids += 1;
        return `11111111-2222-4333-8444-${String(uuids).padStart(12, "0")}`;
      },
    });
  }

  async states(): Promise<string[]> {
    const pools = await this.registry.list();
    return pools.map(({ entry, listing }) => `${entry.name} ${entry.state} ${listing !== null}`);
  }
}

const NEW = { name: "fast", disks: ["/dev/b", "/dev/a"], force: false };
const NOTHING = async (): Promise<void> => undefined;

test("a pool is made, stored, found again, exported and imported", async () => {
  const rig = new Rig();
  const made = await rig.registry.create(NEW);
  strictEqual(made.listing?.info.name, "fast");
  deepStrictEqual(await rig.states(), ["fast open true"]);
  const stored = rig.stored.get("fast");
  deepStrictEqual([stored?.disks, stored?.generation], [["file:///dev/b", "file:///dev/a"], 1]);
  strictEqual(stored?.uuid, made.listing?.info.uuid);

  const next = new Rig(rig);
  await next.registry.load();
  deepStrictEqual(await next.states(), ["fast opening false"]);
  await next.registry.openLoaded();
  deepStrictEqual(await next.states(), ["fast open true"]);
  await next.registry.export("fast", NOTHING);
  deepStrictEqual([await next.states(), next.stored.size], [[], 0]);
  const imported = await next.registry.import(["/dev/a", "/dev/b"], false);
  strictEqual(imported.entry.name, "fast");
  await next.registry.destroy("fast", NOTHING);
  strictEqual(next.host.media.size, 0);
  deepStrictEqual(
    next.events.map((event) => event.split(" ")[0]),
    ["pool-ready", "pool-exported", "pool-imported", "pool-destroyed"],
  );
});

test("create leaves nothing behind when it fails, at the disks or at the store", async () => {
  const rig = new Rig();
  await rejects(rig.registry.create({ ...NEW, disks: ["mirror(/a/b)"] }), { code: "not-a-disk" });
  rig.host.failures.set("create", new PenstockError({ code: "claimed", message: "scripted" }));
  await rejects(rig.registry.create(NEW), { code: "claimed" });
  deepStrictEqual([await rig.states(), rig.stored.size], [[], 0]);
  rig.isFull = true;
  await rejects(rig.registry.create(NEW), { code: "store-failed" });
  deepStrictEqual([await rig.states(), rig.host.open.size, rig.host.media.size], [[], 0, 0]);
  rig.isFull = false;
  await rig.registry.create(NEW);
  await rejects(rig.registry.create(NEW), { code: "pool-exists" });
  await rejects(rig.registry.create({ ...NEW, name: "b" }), { code: "disk-not-empty" });
  deepStrictEqual(await rig.states(), ["fast open true"]);
});

test("an import that cannot be stored leaves the pool exported, and no other name", async () => {
  const rig = new Rig();
  await rig.registry.create(NEW);
  await rig.registry.export("fast", NOTHING);
  await rejects(rig.registry.import(["/dev/a", "/dev/c"], false), {
    code: "not-a-pool",
    message: /\/dev\/c: nothing/,
  });
  rig.isFull = true;
  await rejects(rig.registry.import(NEW.disks, false), { code: "store-failed" });
  deepStrictEqual(rig.host.calls.slice(-1), ["end fast export"]);
  rig.isFull = false;
  await rig.registry.import(NEW.disks, false);
  await rejects(rig.registry.import(NEW.disks, false), { code: "pool-exists" });
});

test("a pool that cannot be opened is tried again, and can be forgotten", async () => {
  const first = new Rig();
  await first.registry.create(NEW);
  const rig = new Rig(first);
  rig.host.failures.set("import", new PenstockError({ code: "claimed", message: "by others" }));
  await rig.registry.load();
  await rig.registry.openLoaded();
  const [listed] = await rig.registry.list();
  deepStrictEqual([listed?.entry.state, listed?.entry.retryAtMs], ["failed", 1100]);
  match(rig.events[0] ?? "", /^pool-failed fast claimed: by others/);
  await rejects(rig.registry.listing("fast"), { code: "pool-not-ready", message: /by others/ });
  await rejects(rig.registry.destroy("fast", NOTHING), { code: "pool-not-ready" });
  deepStrictEqual(rig.opened, []);
  rig.timers[0]?.();
  await rig.registry.inTurn("fast", NOTHING);
  deepStrictEqual([await rig.states(), rig.opened], [["fast open true"], ["fast"]]);

  // Another pool is on its disks by now.
  const other = new Rig();
  await other.registry.create(NEW);
  const last = new Rig(other);
  last.stored.set("fast", { ...(first.stored.get("fast") as StoredPool), uuid: "another" });
  await last.registry.load();
  await last.registry.openLoaded();
  match(last.events[0] ?? "", /pool-changed/);
  await last.registry.export("fast", NOTHING);
  deepStrictEqual([await last.states(), last.stored.size, last.timers.length], [[], 0, 0]);
});

test("a pool whose end fails is listed with the reason, and opened again", async () => {
  const rig = new Rig();
  await rig.registry.create(NEW);
  await rejects(
    rig.registry.export("fast", async () => {
      throw new PenstockError({ code: "volume-in-use", message: "scripted" });
    }),
    { code: "volume-in-use" },
  );
  deepStrictEqual(await rig.states(), ["fast open true"]);
  rig.host.failures.set("end", new PenstockError({ code: "system-eio", message: "scripted" }));
  await rejects(rig.registry.export("fast", NOTHING), { code: "system-eio" });
  deepStrictEqual([await rig.states(), rig.stored.size], [["fast failed false"], 1]);
  rig.timers[0]?.();
  await rig.registry.inTurn("fast", NOTHING);
  deepStrictEqual(await rig.states(), ["fast open true"]);
  // As with a faulted pool, which stays open: it can only be closed as it is.
  const faulted = new PenstockError({ code: "pool-faulted", message: "scripted" });
  rig.host.failures.set("end", faulted);
  rig.host.staysOpen = true;
  await rejects(rig.registry.destroy("fast", NOTHING), { code: "pool-faulted" });
  deepStrictEqual(await rig.states(), ["fast open true"]);
  rig.host.failures.set("end", faulted);
  await rig.registry.export("fast", NOTHING);
  deepStrictEqual(rig.host.calls.slice(-2), ["end fast export", "end fast close"]);
  deepStrictEqual([await rig.states(), rig.stored.size, rig.host.open.size], [[], 0, 0]);
  await rig.registry.import(NEW.disks, false);
  await rig.registry.close();
  await rejects(rig.registry.create({ ...NEW, name: "late" }), { code: "aborted" });
});

test("a disk is named before it is the pool's, and found out about after a crash", async () => {
  const rig = new Rig();
  await rig.registry.create(NEW);
  rig.host.failures.set("addDisk", new PenstockError({ code: "claimed", message: "scripted" }));
  await rejects(rig.registry.addDisk("fast", "/dev/c", false), { code: "claimed" });
  strictEqual(rig.stored.get("fast")?.adding, undefined);
  await rejects(rig.registry.addDisk("fast", "lvol:///p/v", false), { code: "not-a-disk" });
  const three = ["file:///dev/b", "file:///dev/a", "file:///dev/c"];
  const { entry } = await rig.registry.addDisk("fast", "/dev/c", false);
  deepStrictEqual([entry.disks, rig.stored.get("fast")?.disks], [three, three]);

  for (const [wasAdded, disks] of [[true, three] as const, [false, three.slice(0, 2)] as const]) {
    const before = new Rig();
    await before.registry.create(NEW);
    const stored = before.stored.get("fast") as StoredPool;
    if (wasAdded) await before.registry.addDisk("fast", "/dev/c", false);
    before.stored.set("fast", { ...stored, adding: "file:///dev/c" });
    const next = new Rig(before);
    await next.registry.load();
    await next.registry.openLoaded();
    deepStrictEqual((await next.registry.get("fast")).entry.disks, disks);
    const { disks: kept, adding } = next.stored.get("fast") as StoredPool;
    deepStrictEqual([kept, adding], [disks, undefined]);
  }
});

test("poolOn and contentOf tell of a disk without opening what is ours", async () => {
  const rig = new Rig();
  await rig.registry.create({ ...NEW, disks: ["/dev/b?direct=1", "nbd://h/x"] });
  strictEqual(rig.registry.poolOn("/dev/b"), "fast");
  strictEqual(rig.registry.poolOn("/dev/c"), undefined);
  strictEqual(await rig.registry.contentOf("/dev/c"), "");
});

test("files are made with a pool, and must be there from then on, in any size", async () => {
  const rig = new Rig();
  const disk = "/x/y.img?size=1GiB&direct=1";
  const { entry } = await rig.registry.create({ ...NEW, disks: [disk] });
  deepStrictEqual(entry.disks, ["file:///x/y.img?direct=1"]);
  strictEqual(rig.host.media.has("file:///x/y.img?size=1GiB&direct=1"), true);
  // What an older version has stored.
  const next = new Rig(rig);
  const stored = rig.stored.get("fast") as StoredPool;
  next.stored.set("fast", { ...stored, disks: ["file:///x/y.img?size=1GiB", "?"] });
  await next.registry.load();
  const [listed] = await next.registry.list();
  deepStrictEqual(listed?.entry.disks, ["file:///x/y.img", "?"]);
});

test("grow says which disks are larger", async () => {
  const rig = new Rig();
  await rig.registry.create(NEW);
  deepStrictEqual((await rig.registry.grow("fast", null)).grown, []);
  const { grown } = await rig.registry.grow("fast", "/dev/a");
  deepStrictEqual(grown, [{ name: "/dev/a", beforeBytes: 96 * 2 ** 20, sizeBytes: 192 * 2 ** 20 }]);
  deepStrictEqual(rig.host.calls.slice(-2), ["grow fast all", "grow fast /dev/a"]);
  strictEqual(rig.events.at(-1), "pool-disk-grown fast /dev/a has grown from 96MiB to 192MiB");
  await rejects(rig.registry.grow("slow", null), { code: "pool-not-found" });
});

test("a pool that does not answer is listed as it was, and keeps none waiting", async () => {
  const rig = new Rig();
  await rig.registry.create(NEW);
  rig.host.hangs = true;
  const listing = rig.registry.list();
  strictEqual(rig.timers.length, 1);
  rig.timers[0]?.();
  const [listed] = await listing;
  strictEqual(listed?.isStalled, true);
  strictEqual(listed.listing?.info.name, "fast");
  rig.host.hangs = false;
  rig.host.open.clear();
  await rejects(rig.registry.listing("fast"), { message: 'pool "fast" is closing' });
  const [again] = await rig.registry.list();
  deepStrictEqual([again?.isStalled, rig.timers.length], [undefined, 0]);
});
