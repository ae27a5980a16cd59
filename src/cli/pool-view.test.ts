// Tests of what pools and replicas look like on the command line: the tables of mayastor-client.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  PoolSchema,
  PoolState,
  ReplicaSchema,
  ReplicaState,
} from "../api/penstock/engine/v1/pool_pb.ts";
import { CHECKSUM_KINDS } from "../pool/volumes/block-checksum.ts";
import { CHECKSUM_CHOICES } from "./pool-commands.ts";
import { poolTable, poolView, replicaTable, replicaView, shownSize } from "./pool-view.ts";

const MIB = 2n ** 20n;

test("poolTable and replicaTable have the columns that mayastor's users know", () => {
  const pool = create(PoolSchema, {
    name: "tpool",
    state: PoolState.ONLINE,
    uuid: "u",
    disks: [{ device: "file:///dev/loop8" }],
    capacityBytes: 96n * MIB,
  });
  strictEqual(
    poolTable([poolView(pool)]),
    "NAME                 STATE        CAPACITY         USED   DISKS\n" +
      "tpool                online       96.0 MiB          0 B   /dev/loop8\n",
  );
  const replica = { pool: "tpool", state: ReplicaState.READY };
  const replicas = [
    create(ReplicaSchema, { ...replica, name: "replica1", sizeBytes: 10n * MIB }),
    create(ReplicaSchema, { ...replica, name: "replica2", sizeBytes: 1000n * MIB, thin: true }),
  ];
  strictEqual(
    replicaTable(replicas.map(replicaView)),
    "POOL                 NAME                 THIN            SIZE\n" +
      "tpool                replica1             false       10.0 MiB\n" +
      "tpool                replica2             true         1.0 GiB\n",
  );
  strictEqual(replicaTable([]), "No replicas have been created\n");
  strictEqual(poolTable([]), "No pools have been created\n");
});

test("a pool that is not open has no figures, and says why", () => {
  const failure = { code: "claimed", message: "in use\nby another" };
  const disks = [{ device: "nvmf://h:4420/nqn.2026-11.x:y" }];
  const view = poolView(create(PoolSchema, { name: "p", state: PoolState.FAILED, disks, failure }));
  deepStrictEqual(
    [view.capacityBytes, view.usedBytes, view.uuid, view.disks[0]?.sizeBytes, view.createdAt],
    [null, null, null, null, null],
  );
  strictEqual(
    poolTable([view]).split("\n")[1],
    "p                    failed              -            -   " +
      "nvmf://h:4420/nqn.2026-11.x:y (claimed: in use by another)",
  );
});

test("shownSize has one decimal and at most three digits before it", () => {
  const cases: readonly (readonly [sizeBytes: number, text: string])[] = [
    [0, "0 B"],
    [512, "512 B"],
    [999, "999 B"],
    [1000, "1.0 KiB"],
    [4096, "4.0 KiB"],
    [96 * 2 ** 20, "96.0 MiB"],
    [999 * 2 ** 20, "999.0 MiB"],
    [1000 * 2 ** 20, "1.0 GiB"],
    [16 * 2 ** 40, "16.0 TiB"],
    [Number.MAX_SAFE_INTEGER, "8.0 PiB"],
  ];
  for (const [sizeBytes, text] of cases) strictEqual(shownSize(sizeBytes), text);
});

test("the command line offers the checksums that pools have", () => {
  deepStrictEqual(
    [...CHECKSUM_CHOICES].sort(),
    CHECKSUM_KINDS.filter((kind) => kind !== "none").sort(),
  );
});
