// Tests of PipeStore: what comes back after a crash at any point, and after any damage.

import { deepStrictEqual, match, rejects, strictEqual, throws } from "node:assert/strict";
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { PenstockError } from "../util/errors.ts";
import { missingTools } from "../testing/require-tool.ts";
import { runCommand } from "../testing/run-command.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { decodeRecord, encodeRecord, PipeStore, type StoredPipe } from "./pipe-store.ts";

const PIPE: StoredPipe = {
  name: "vol1",
  text: "file:///var/tmp/größe.img?size=1GiB | nbd://127.0.0.1:10809/vol1",
  createdMs: 1_795_273_633_957,
  generation: 3,
};

function pipeNamed(name: string, createdMs = 1): StoredPipe {
  return { ...PIPE, name, createdMs };
}

test("a store gives back what was put, oldest first, as it was last", async (t) => {
  const folder = join(makeTempDir(t), "pipes");
  const store = await PipeStore.open(folder);
  deepStrictEqual(await store.load(), { entries: [], ignored: [] });
  await store.put(pipeNamed("b", 1));
  await store.put(pipeNamed("a", 2));
  await store.put(pipeNamed("gone", 0));
  await store.put({ ...pipeNamed("b", 1), text: "null:///x?size=1MiB | nbd://h/b", generation: 4 });
  await store.delete("gone");
  await store.delete("gone");
  const { entries: loaded } = await (await PipeStore.open(folder)).load();
  deepStrictEqual(
    loaded.map(({ pipe }) => [pipe?.name, pipe?.generation]),
    [
      ["b", 4],
      ["a", 3],
    ],
  );
  strictEqual(statSync(folder).mode & 0o777, 0o700);
  strictEqual(statSync(join(folder, "a.pipe")).mode & 0o777, 0o600);
});

test("a pipe is replaced as a whole, never written over", async (t) => {
  const folder = makeTempDir(t);
  const store = await PipeStore.open(folder);
  await store.put(PIPE);
  const before = openSync(join(folder, "vol1.pipe"), "r");
  t.after(() => closeSync(before));
  await store.put({ ...PIPE, generation: 4 });
  deepStrictEqual(readFileSync(before), encodeRecord(PIPE));
  const after = readFileSync(join(folder, "vol1.pipe"));
  deepStrictEqual(after, encodeRecord({ ...PIPE, generation: 4 }));
});

const strace = { skip: missingTools("strace") };

test(
  "a pipe is on the disk before it has its name, and its name before the end",
  strace,
  async (t) => {
    const folder = makeTempDir(t);
    const code = `
    import { PipeStore } from ${JSON.stringify(join(import.meta.dirname, "pipe-store.ts"))};
    const store = await PipeStore.open(${JSON.stringify(folder)});
    await store.put(${JSON.stringify(PIPE)});
    await store.delete("vol1");`;
    const node = [process.execPath, "--disable-warning=ExperimentalWarning"];
    const script = ["--input-type=module", "--eval", code];
    const calls = "trace=rename,renameat,renameat2,fsync,unlink,unlinkat";
    const args = ["-f", "-y", "-e", calls, ...node, ...script];
    const { stderr } = await runCommand("strace", args);
    const steps = [...stderr.matchAll(/(fsync|rename|unlink)\w*\((.*)/g)]
      .filter(([, , what]) => what?.includes(folder))
      .map(
        ([, call, what]) => `${call} ${/\.vol1\.tmp|vol1\.pipe/.exec(what ?? "")?.[0] ?? "folder"}`,
      );
    deepStrictEqual(steps, [
      "fsync .vol1.tmp",
      "rename .vol1.tmp",
      "fsync folder",
      "unlink vol1.pipe",
      "fsync folder",
    ]);
  },
);

test("a replacement that a crash cut at any point leaves the old pipe", async (t) => {
  const folder = makeTempDir(t);
  const store = await PipeStore.open(folder);
  await store.put(PIPE);
  const next = encodeRecord({ ...PIPE, text: "null:///x?size=1MiB | nbd://h/x", generation: 4 });
  for (let length = 0; length <= next.length; length += 1) {
    writeFileSync(join(folder, ".vol1.tmp"), next.subarray(0, length));
    const [entry] = (await (await PipeStore.open(folder)).load()).entries;
    deepStrictEqual(entry?.pipe, PIPE, `cut at ${length}`);
    deepStrictEqual(readdirSync(folder), ["vol1.pipe"]);
  }
});

test("a pipe's file cut at any point is damaged, and no other pipe with it", async (t) => {
  const folder = makeTempDir(t);
  const store = await PipeStore.open(folder);
  await store.put(pipeNamed("whole"));
  const bytes = encodeRecord(PIPE);
  for (let length = 0; length < bytes.length; length += 1) {
    writeFileSync(join(folder, "vol1.pipe"), bytes.subarray(0, length));
    const [first, second] = (await store.load()).entries;
    strictEqual(first?.pipe?.name, "whole");
    strictEqual(second?.pipe, null, `cut at ${length}`);
    strictEqual(second.name, "vol1");
    strictEqual(second.problem?.code, "store-damaged");
    match(second.problem.message, /vol1\.pipe: found/);
  }
});

test("a record with any byte changed is refused", () => {
  const bytes = encodeRecord(PIPE);
  deepStrictEqual(decodeRecord(bytes, "vol1"), PIPE);
  for (let offset = 0; offset < bytes.length; offset += 1) {
    for (const bit of [1, 0x20, 0x80]) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(offset) ^ bit, offset);
      throws(
        () => decodeRecord(changed, "vol1"),
        (error) => error instanceof PenstockError && /^store-(?:damaged|newer)$/.test(error.code),
        `byte ${offset} with bit ${bit} changed`,
      );
    }
  }
  throws(() => decodeRecord(Buffer.concat([bytes, Buffer.from("x")]), "vol1"), {
    code: "store-damaged",
  });
  throws(() => decodeRecord(bytes, "vol2"), { code: "store-damaged", message: /"vol1"/ });
});

test("a record that is whole but holds something else is refused by its field", () => {
  const leg = {
    leg: "1.2",
    info: { sizeBytes: 4096, blockSizeBytes: 512, maxTransferBytes: 4096 },
    operations: {},
    fault: { kind: "timeout", reason: "r", time: "1ms", operation: "write", offset: 0 },
  };
  const decode = (changes: object): unknown =>
    decodeRecord(encodeRecord({ ...PIPE, ...changes } as StoredPipe), "vol1");
  decode({ outLegs: [leg], port: 1 });
  const cases: readonly (readonly [changes: object, field: string])[] = [
    [{ text: 5 }, "text"],
    [{ text: undefined }, "text"],
    [{ createdMs: "1" }, "createdMs"],
    [{ createdMs: 1e300 }, "createdMs"],
    [{ createdMs: -1 }, "createdMs"],
    [{ generation: undefined }, "generation"],
    [{ port: 65_536 }, "port"],
    [{ port: "1" }, "port"],
    [{ outLegs: 5 }, "outLegs"],
    [{ outLegs: [null] }, "outLegs"],
    [{ outLegs: [{ ...leg, leg: undefined }] }, "outLegs"],
    [{ outLegs: [{ ...leg, fault: { ...leg.fault, offset: "0" } }] }, "outLegs"],
    [{ outLegs: [{ ...leg, info: null }] }, "outLegs"],
  ];
  for (const [changes, field] of cases) {
    const message = new RegExp(`^found a record whose ${field} `);
    throws(() => decode(changes), { code: "store-damaged", message }, JSON.stringify(changes));
  }
  for (const body of ["null", "[]", "5", '"vol1"']) {
    const header = `penstock-pipe 1 ${body.length} ${crc32(body).toString(16).padStart(8, "0")}\n`;
    throws(() => decodeRecord(Buffer.from(header + body), "vol1"), { code: "store-damaged" }, body);
  }
});

test("a record of a newer format says so", () => {
  const bytes = Buffer.from(
    encodeRecord(PIPE).toString("utf8").replace("penstock-pipe 1", "penstock-pipe 2"),
  );
  throws(() => decodeRecord(bytes, "vol1"), { code: "store-newer", message: /found format 2/ });
});

test("a store that cannot write says where and why", async (t) => {
  const parent = makeTempDir(t);
  const folder = join(parent, "pipes");
  writeFileSync(folder, "a file in the way");
  await rejects(PipeStore.open(folder), {
    code: "store-failed",
    message: /pipes cannot be used/,
  });
  rmSync(folder);
  const store = await PipeStore.open(folder);
  await store.put(PIPE);
  // Root may write anywhere: a folder that is gone stops everybody.
  renameSync(folder, join(parent, "elsewhere"));
  await rejects(store.put(PIPE), { code: "store-failed", message: /ENOENT/ });
});
