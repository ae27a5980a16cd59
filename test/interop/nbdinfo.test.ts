/** What nbdinfo, the standard tool to look at an export, says of ours. */

import assert from "node:assert/strict";

import { forEachExport, type ServedExport } from "../../src/testing/export-matrix.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { runCommand } from "../../src/testing/run-command.ts";

const SKIP = missingTools("nbdinfo", "qemu-io");

/** The part of `nbdinfo --json` that matters here. */
interface ExportInfo {
  readonly "export-name": string;
  readonly "export-size": number;
  readonly uri: string;
  readonly contexts: readonly string[];
  readonly is_read_only: boolean;
  readonly is_rotational: boolean;
  readonly block_size_minimum: number;
  readonly block_size_preferred: number;
  readonly block_size_maximum: number;
  readonly [flag: `can_${string}`]: boolean;
}

interface ServerInfo {
  readonly protocol: string;
  readonly TLS: boolean;
  readonly structured: boolean;
  readonly exports: readonly ExportInfo[];
}

interface MapEntry {
  readonly offset: number;
  readonly length: number;
  readonly type: number;
}

const CAN = ["cache", "df", "flush", "fua", "multi-conn", "trim", "zero"];

forEachExport("nbdinfo", { skip: SKIP }, async (t, served) => {
  await t.test("--json", async () => checkInfo(served, await serverInfo(served, [])));
  await t.test("--list --json", async () => {
    // Of the whole server: the export's name is not part of the question.
    const info = await serverInfo(served, ["--list"]);
    assert.deepEqual(
      info.exports.map((exported) => exported["export-name"]),
      ["vol"],
    );
  });
  await t.test("--size, --is, --can", () => checkQuestions(served));
  await t.test("--map", () => checkMap(served));
  await t.test("an unknown export is refused", async () => {
    const uri = served.uri.replace("vol", "nobody");
    const { stderr } = await runCommand("nbdinfo", [uri], { exitCode: 1 });
    assert.match(stderr, /nobody|No such file|ENOENT|no export/i);
  });
});

async function serverInfo(served: ServedExport, args: readonly string[]): Promise<ServerInfo> {
  const { stdout } = await runCommand("nbdinfo", ["--json", ...args, served.uri]);
  return JSON.parse(stdout) as ServerInfo;
}

function checkInfo(served: ServedExport, info: ServerInfo): void {
  assert.equal(info.protocol, "newstyle-fixed");
  assert.equal(info.TLS, false);
  assert.equal(info.structured, true);
  const [exported] = info.exports;
  assert.ok(exported !== undefined);
  assert.equal(exported["export-name"], "vol");
  assert.equal(exported["export-size"], served.sizeBytes);
  assert.deepEqual(exported.contexts, ["base:allocation"]);
  assert.equal(exported.is_read_only, false);
  assert.equal(exported.is_rotational, false);
  for (const name of CAN) {
    assert.equal(exported[`can_${name.replace("-", "_")}`], true, `can ${name}`);
  }
  assert.ok([1, 512, 4096].includes(exported.block_size_minimum));
  assert.ok(exported.block_size_preferred >= 512);
  assert.ok(exported.block_size_maximum >= 2 ** 20);
}

async function checkQuestions({ uri, sizeBytes }: ServedExport): Promise<void> {
  const { stdout } = await runCommand("nbdinfo", ["--size", uri]);
  assert.equal(Number(stdout), sizeBytes);
  for (const name of CAN) {
    await runCommand("nbdinfo", ["--can", name, uri]);
  }
  await runCommand("nbdinfo", ["--can", "structured-reply", uri]);
  // Exit code 2 is nbdinfo's way to say no.
  await runCommand("nbdinfo", ["--is", "read-only", uri], { exitCode: 2 });
  await runCommand("nbdinfo", ["--is", "rotational", uri], { exitCode: 2 });
  await runCommand("nbdinfo", ["--is", "tls", uri], { exitCode: 2 });
}

async function checkMap(served: ServedExport): Promise<void> {
  const { uri, sizeBytes, backing, level } = served;
  const written = { offset: 2 ** 20, length: 256 * 1024 };
  const write = `write -P 0x5a ${written.offset} ${written.length}`;
  await runCommand("qemu-io", ["-f", "raw", "-c", write, "-c", "flush", uri]);
  const { stdout } = await runCommand("nbdinfo", ["--map", "--json", uri]);
  const map = JSON.parse(stdout) as MapEntry[];
  let end = 0;
  for (const { offset, length } of map) {
    assert.equal(offset, end, "extents follow each other");
    end += length;
  }
  assert.equal(end, sizeBytes, "extents cover the device");
  const writtenEnd = written.offset + written.length;
  const touching = map.filter(
    ({ offset, length }) => offset < writtenEnd && offset + length > written.offset,
  );
  assert.deepEqual([...new Set(touching.map(({ type }) => type))], [0], "written data is data");
  // Pure Node cannot ask where the holes are, and a block device does not know.
  if (level.io !== "portable" && (backing === "buffered" || backing === "direct")) {
    assert.deepEqual(map, [
      { offset: 0, length: written.offset, type: 3, description: "hole,zero" },
      { ...written, type: 0, description: "data" },
      { offset: writtenEnd, length: sizeBytes - writtenEnd, type: 3, description: "hole,zero" },
    ]);
  }
  const totals = await runCommand("nbdinfo", ["--map", "--totals", uri]);
  assert.match(totals.stdout, /%/);
}
