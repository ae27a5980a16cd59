// Tests of ReplicaRegistry: replicas, their shares, and who keeps whom from going.

import { deepStrictEqual, match, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { planPipe } from "../pipe/pipe-plan.ts";
import { FakePoolHost } from "../testing/fake-pool-host.ts";
import { PenstockError } from "../util/errors.ts";
import type { ListedPipe } from "./pipe-registry.ts";
import { PoolRegistry } from "./pool-registry.ts";
import { ReplicaRegistry, shareName } from "./replica-registry.ts";

const MIB = 2 ** 20;

class Rig {
  readonly host = new FakePoolHost();
  readonly pipes: ListedPipe[] = [];
  readonly resized: string[] = [];
  readonly pools: PoolRegistry;
  readonly replicas: ReplicaRegistry;

  constructor() {
    const { host } = this;
    const events = { add: () => undefined };
    this.pools = new PoolRegistry({
      host,
      store: {
        load: async () => ({ entries: [], ignored: [] }),
        put: async () => undefined,
        delete: async () => undefined,
      },
      events,
      clock: { nowMs: () => 0, startTimer: () => ({ cancel: () => undefined }) },
      holder: "",
      engineUuid: "",
      onOpened: () => undefined,
      nowMs: () => 1,
      makeUuid: () => "11111111-2222-4333-8444-555555555555",
    });
    this.replicas = new ReplicaRegistry({
      pools: this.pools,
      host,
      events,
      pipes: {
        list: () => this.pipes,
        create: async (name, text) => this.addPipe(name, text),
        delete: async (name) => {
          this.pipes.splice(
            this.pipes.findIndex((pipe) => pipe.name === name),
            1,
          );
          if (this.host.state === "online") return;
          throw new PenstockError({ code: "flush-failed", message: "scripted" });
        },
        resize: async (name) => {
          this.resized.push(name);
          return { pipe: this.pipes[0] as ListedPipe, tree: null };
        },
      },
    });
  }

  addPipe(name: string, text: string, state: ListedPipe["state"] = "ready"): ListedPipe {
    const { text: canonical, shareText } = planPipe(text);
    if (this.pipes.some((pipe) => pipe.name === name)) {
      throw new PenstockError({ code: "pipe-exists", message: "scripted" });
    }
    const made = { name, text: canonical, state, uri: shareText, createdMs: 1 };
    const pipe = { ...made, failure: null, retryAtMs: null };
    this.pipes.push(pipe);
    return pipe;
  }
}

async function withReplicas(...names: readonly string[]): Promise<Rig> {
  const rig = new Rig();
  await rig.pools.create({ name: "p", disks: ["/dev/a"], force: false });
  for (const name of names) {
    await rig.replicas.create("p", { name, sizeBytes: MIB, isThin: true });
  }
  return rig;
}

test("replicas are made, listed, resized and destroyed", async () => {
  const rig = await withReplicas("a", "b");
  await rejects(rig.replicas.create("p", { name: "a", sizeBytes: MIB }), { code: "volume-exists" });
  await rejects(rig.replicas.create("q", { name: "a", sizeBytes: MIB }), {
    code: "pool-not-found",
  });
  const list = await rig.replicas.list(undefined);
  deepStrictEqual(
    list.map(({ pool, volume, shareUri, pipes }) => [pool, volume.name, shareUri, pipes]),
    [
      ["p", "a", "", []],
      ["p", "b", "", []],
    ],
  );
  const { uuid } = (await rig.replicas.get("p", "a")).volume;
  strictEqual((await rig.replicas.get("p", uuid)).volume.name, "a");
  strictEqual((await rig.replicas.resize("p", "a", 2 * MIB)).volume.sizeBytes, 2 * MIB);
  await rig.replicas.destroy("p", "a");
  await rejects(rig.replicas.get("p", "a"), { code: "volume-not-found" });
  strictEqual((await rig.replicas.list("p")).length, 1);
});

test("share serves a replica by a pipe of its own, once", async () => {
  const rig = await withReplicas("a", "b");
  const shared = await rig.replicas.share("p", "a", "nbd://127.0.0.1:10809/x");
  deepStrictEqual([shared.shareUri, shared.pipes], ["nbd://127.0.0.1:10809/x", ["replica.p.a"]]);
  strictEqual(rig.pipes[0]?.text, "lvol:///p/a | nbd://127.0.0.1:10809/x");
  await rejects(rig.replicas.resize("p", "a", 512), {
    code: "volume-in-use",
    message: /to make it smaller, unshare it first$/,
  });
  await rejects(rig.replicas.share("p", "a", "nbd"), { code: "replica-shared" });
  await rejects(rig.replicas.share("p", "b", "bnd://h/x"), { code: "unknown-scheme" });
  await rejects(rig.replicas.unshare("p", "b"), { code: "replica-not-shared" });
  deepStrictEqual((await rig.replicas.unshare("p", "a")).pipes, []);
  const nvme = await rig.replicas.share("p", "b", "nvmf");
  match(nvme.shareUri, /^nvmf:\/\/127\.0\.0\.1:4420\/nqn\.2026-11\.io\.penstock:p\.b\?uuid=/);
  await rig.replicas.share("p", "a", "nbd");
  await rig.replicas.destroy("p", "a");
  deepStrictEqual(
    rig.pipes.map(({ name }) => name),
    ["replica.p.b"],
  );
});

test("what a pipe uses is neither destroyed nor shrunk beneath it", async () => {
  const rig = await withReplicas("a", "b", "c");
  rig.addPipe("own", "lvol:///p/a | limit?iops=5 | nbd://127.0.0.1:1/a");
  rig.addPipe("leg", "mirror(lvol:///p/b, /x/y) | nbd://127.0.0.1:1/b");
  rig.addPipe("broken", "lvol:///p/c | nbd://127.0.0.1:1/c", "failed");
  for (const name of ["a", "b"]) {
    await rejects(rig.replicas.destroy("p", name), { code: "volume-in-use", message: /own|leg/ });
  }
  await rig.replicas.destroy("p", "c");
  await rig.replicas.resize("p", "a", 3 * MIB);
  deepStrictEqual(rig.resized, ["own"]);
  await rejects(rig.replicas.resize("p", "a", 512), {
    code: "volume-in-use",
    message: /found a new size of 512, .*; to make it smaller, delete the pipe own first$/,
  });
  await rejects(rig.replicas.resize("p", "b", 3 * MIB), { code: "volume-in-use", message: /leg/ });
  await rejects(rig.replicas.exportPool("p"), { code: "volume-in-use" });
  await rejects(rig.replicas.destroyPool("p", true), { code: "volume-in-use" });
});

test("a pool is destroyed when it is empty, or by force with its shares", async () => {
  const rig = await withReplicas("a");
  await rig.replicas.share("p", "a", "nbd");
  await rejects(rig.replicas.destroyPool("p", false), {
    code: "pool-not-empty",
    message: /1 replica:/,
  });
  strictEqual(rig.pipes.length, 1);
  // Snapshots outlive their replica.
  await rig.replicas.destroy("p", "a");
  const held = rig.host.open.get("p");
  if (held !== undefined) held.snapshots = 2;
  await rejects(rig.replicas.destroyPool("p", false), {
    code: "pool-not-empty",
    message: /0 replicas and 2 snapshots:/,
  });
  await rig.replicas.destroyPool("p", true);
  deepStrictEqual([rig.pipes, await rig.pools.list(), rig.host.media.size], [[], [], 0]);
  await rejects(rig.replicas.destroyPool("p", true), { code: "pool-not-found" });
  const other = await withReplicas("a");
  await other.replicas.share("p", "a", "nbd");
  await other.replicas.exportPool("p");
  deepStrictEqual([other.pipes.length, other.host.media.size], [0, 1]);
});

test("shareName is a pipe's name, whatever the replica's is", () => {
  const uuid = "01234567-89ab-4def-8123-456789abcdef";
  const sizes = { sizeBytes: MIB, isThin: true, usedBytes: 0, createdMs: 1 };
  const volume = { uuid, ...sizes, origin: "", snapshots: 0 };
  const named = (name: string) => shareName("p", { ...volume, name, state: "ready" });
  strictEqual(named("vol1"), "replica.p.vol1");
  strictEqual(named("x".repeat(60)), `replica.${uuid}`);
  strictEqual(named("Größe"), `replica.${uuid}`);
});

test("a faulted pool is exported with its shares, whose last flushes fail", async () => {
  const rig = await withReplicas("a", "b");
  await rig.replicas.share("p", "a", "nbd");
  await rig.replicas.share("p", "b", "nbd");
  rig.host.state = "faulted";
  await rejects(rig.replicas.destroyPool("p", true), { code: "flush-failed" });
  await rig.replicas.share("p", "a", "nbd");
  await rig.replicas.exportPool("p");
  deepStrictEqual([rig.pipes.length, await rig.pools.list()], [0, []]);
});
