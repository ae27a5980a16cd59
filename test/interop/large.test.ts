/**
 * Offsets beyond 32 bits on a sparse disk of 4 TiB, and lengths beyond 32 bits by extended headers,
 * which no client of today's distributions speaks: hence our own raw client.
 */

import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";

import { Command, CommandFlag, NbdError } from "../../src/proto/nbd/constants.ts";
import { ALL_LEVELS, forEachLevel } from "../../src/testing/levels.ts";
import { forLongRun, LONG_RUN } from "../../src/testing/long-run.ts";
import { type CommandFields, NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const TIB = 2 ** 40;
const GIB = 2 ** 30;
const SIZE_BYTES = 4 * TIB;
/** Around 2^31, 2^32, 2^41 and at the end. */
const OFFSETS = [2 ** 31 - 4096, 2 ** 32 - 512, 2 ** 41 + 512, SIZE_BYTES - 8192];
const LENGTH = 8192;

const LEVELS = forLongRun(["uring", "portable"], ALL_LEVELS);

forEachLevel("offsets and lengths beyond 32 bits", { levels: LEVELS }, async (t, level) => {
  const path = join(makeTempDir(t), "disk.img");
  const pipe = `file://${path}?size=4TiB | nbd://127.0.0.1:0/vol`;
  const { uri } = await startPenstock(t, pipe, { level });
  for (const replies of ["simple", "structured", "extended"] as const) {
    await t.test(`data, ${replies} replies`, async () => {
      const client = await NbdRawClient.open(uri, { replies });
      assert.equal(client.sizeBytes, SIZE_BYTES);
      for (const [index, offset] of OFFSETS.entries()) {
        await client.write(offset, Buffer.alloc(LENGTH, index + 1), CommandFlag.fua);
      }
      for (const [index, offset] of OFFSETS.entries()) {
        const read = await client.read(offset, LENGTH);
        assert.ok(read.equals(Buffer.alloc(LENGTH, index + 1)), `at ${offset}`);
      }
      await client.disconnect();
    });
  }

  // Pure Node writes its zeroes, and would write them for hours.
  const isFast = level.io !== "portable";
  await t.test("extended headers", async () => {
    const extended = { replies: "extended", metaContexts: ["base:allocation"] } as const;
    const client = await NbdRawClient.open(uri, extended);
    const ok = async (fields: CommandFields): Promise<void> => {
      assert.equal((await client.command(fields)).error, 0, JSON.stringify(fields));
    };
    if (isFast) {
      await checkExtents(client);
      await ok({ command: Command.writeZeroes, offset: 2 ** 32 - 512, length: 5 * GIB });
      await assertZero(client, 2 ** 32 - 512);
      await ok({ command: Command.trim, offset: 2 ** 41, length: 2 * GIB, flags: CommandFlag.fua });
      await assertZero(client, 2 ** 41 + 512);
    }
    // The kernel keeps all of it in memory, zeroes too.
    if (LONG_RUN) await ok({ command: Command.cache, offset: 0, length: 4 * GIB + 4096 });
    const answer = await client.command({
      command: Command.writeZeroes,
      offset: 4096,
      length: SIZE_BYTES,
    });
    assert.equal(answer.error, NbdError.enospc);
    const kept = await client.read(2 ** 31 - 4096, LENGTH);
    assert.ok(kept.equals(Buffer.alloc(LENGTH, 1)), "what was outside of all ranges");
    await client.flush();
    await client.disconnect();
  });
  assert.equal(statSync(path).size, SIZE_BYTES);
});

/** One block status over 4 TiB, or as many as the server likes to have. */
async function checkExtents(client: NbdRawClient): Promise<void> {
  const data: number[] = [];
  let offset = 0;
  while (offset < SIZE_BYTES) {
    const length = SIZE_BYTES - offset;
    const answer = await client.command({ command: Command.blockStatus, offset, length });
    assert.equal(answer.error, 0);
    assert.ok(answer.extents.length > 0);
    for (const [extentBytes, state] of answer.extents) {
      if (state === 0) {
        data.push(offset);
      }
      offset += extentBytes;
    }
  }
  assert.equal(offset, SIZE_BYTES);
  // File systems allocate whole blocks, so the starts may be a little lower than what was written.
  assert.equal(data.length, OFFSETS.length, data.join(", "));
  for (const [index, start] of data.entries()) {
    const written = OFFSETS[index] ?? 0;
    assert.ok(start <= written && start > written - 65_536, `${start} for ${written}`);
  }
}

async function assertZero(client: NbdRawClient, offset: number): Promise<void> {
  assert.ok((await client.read(offset, LENGTH)).equals(Buffer.alloc(LENGTH)), `at ${offset}`);
}
