/** nbdcopy in both directions, with holes, with many requests on many connections, and without. */

import assert from "node:assert/strict";
import {
  closeSync,
  openSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";

import { forEachExport, type ServedExport, shareStage } from "../../src/testing/export-matrix.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import { forLongRun, LONG_RUN } from "../../src/testing/long-run.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { Prng } from "../../src/util/prng.ts";

const SKIP = missingTools("nbdcopy");
const SIZE_BYTES = forLongRun(6, 12) * 2 ** 20;
const DATA_BYTES = 2 ** 20;

const WAYS: readonly (readonly string[])[] = [
  [],
  ["--synchronous"],
  ["--connections=4", "--threads=2", "--requests=32", "--request-size=262144", "--flush"],
  ["--no-extents", "--allocated"],
  ["--sparse=0", "--request-size=4096", "--requests=64"],
  ["--request-size=1048576"],
];

forEachExport("nbdcopy", { skip: SKIP, sizeBytes: SIZE_BYTES }, async (t, served) => {
  const folder = makeTempDir(t);
  const image = makeSparseImage(join(folder, "image"), new Prng(testSeed(t)));
  const noise = join(folder, "noise");
  writeFileSync(noise, Buffer.alloc(SIZE_BYTES, 0xe7));
  // Everyday runs share the ways between the transports, which share backings and levels.
  const parity = served.transport === "tcp" ? 0 : 1;
  const ways = WAYS.filter((_, index) => LONG_RUN || index % 2 === parity);
  for (const [index, way] of ways.entries()) {
    await t.test(`to the export ${way.join(" ")}`, async () => {
      // Bytes of the last round must not stay where the image has none.
      await runCommand("nbdcopy", [noise, served.uri]);
      await runCommand("nbdcopy", [...way, image.path, served.uri]);
      const back = join(folder, `back${index}`);
      await runCommand("nbdcopy", [...way, served.uri, back]);
      assert.ok(readFileSync(back).equals(image.content), "what comes back is what went there");
      checkBelow(served, image.content);
    });
  }
  await t.test("from a pipe, whose pieces have odd sizes", async () => {
    const pieces = 'dd if="$1" ibs=7777 obs=4097 status=none | nbdcopy - "$2"';
    await runCommand("sh", ["-c", pieces, "sh", image.path, served.uri]);
    const { stdout } = await runCommand("sh", [
      "-c",
      'nbdcopy "$1" - | cmp - "$2"',
      "sh",
      served.uri,
      image.path,
    ]);
    assert.equal(stdout, "");
  });
  await t.test("holes stay holes", () => checkHoles(served, image, folder));
});

forEachLevel("nbdcopy from export to export", { skip: SKIP }, async (t, level) => {
  const image = makeSparseImage(join(makeTempDir(t), "image"), new Prng(testSeed(t)));
  const path = join(makeTempDir(t), "disk.img");
  const pipes = [
    `file://${path}?size=${SIZE_BYTES}B | ${shareStage(t, "unix")}`,
    `malloc:///to?size=${SIZE_BYTES}B | ${shareStage(t, "tcp")}`,
  ];
  const server = await startPenstock(t, pipes, { level });
  const [from = "", to = ""] = server.uris;
  await runCommand("nbdcopy", [image.path, from]);
  await runCommand("nbdcopy", ["--connections=2", from, to]);
  const { stdout } = await runCommand("sh", ["-c", 'nbdcopy "$1" - | sha256sum', "sh", to]);
  const expected = await runCommand("sha256sum", [image.path]);
  assert.equal(stdout.split(" ")[0], expected.stdout.split(" ")[0]);
});

interface Image {
  readonly path: string;
  readonly content: Buffer;
}

/** Pieces of data at odd places in a file that is otherwise holes. */
function makeSparseImage(path: string, prng: Prng): Image {
  const file = openSync(path, "wx");
  truncateSync(path, SIZE_BYTES);
  const pieceBytes = 96 * 1024;
  const piece = Buffer.alloc(pieceBytes);
  for (let written = 0; written < DATA_BYTES; written += pieceBytes) {
    prng.fill(piece);
    writeSync(file, piece, 0, pieceBytes, prng.below(SIZE_BYTES - pieceBytes));
  }
  // The first and the last bytes are where mistakes by one show.
  writeSync(file, piece, 0, 512, 0);
  writeSync(file, piece, 0, 777, SIZE_BYTES - 777);
  closeSync(file);
  return { path, content: readFileSync(path) };
}

/** Nothing is copied by itself: the bytes are in the file below as soon as they are flushed. */
function checkBelow({ source, backing }: ServedExport, content: Buffer): void {
  if (source.path !== undefined && backing !== "loop") {
    assert.ok(readFileSync(source.path).equals(content), "the file below has the same bytes");
  }
}

async function checkHoles(served: ServedExport, image: Image, folder: string): Promise<void> {
  const back = join(folder, "sparse");
  await runCommand("nbdcopy", [image.path, served.uri]);
  await runCommand("nbdcopy", [served.uri, back]);
  assert.ok(readFileSync(back).equals(image.content));
  const { sparseFilePath } = served.source;
  if (served.level.io === "portable" || sparseFilePath === undefined) {
    return;
  }
  const allocated = (path: string): number => statSync(path).blocks * 512;
  const limitBytes = allocated(image.path) + 2 ** 20;
  assert.ok(allocated(back) < limitBytes, `read back: ${allocated(back)} bytes allocated`);
  assert.ok(allocated(sparseFilePath) < limitBytes, `below: ${allocated(sparseFilePath)}`);
}
