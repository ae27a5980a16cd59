// Tests of the NBD service where memory is short: whatever a client asks for is answered, and
// nobody waits for memory that only its own answer would free.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FileDevice } from "../devices/file.ts";
import { Command, CommandFlag, NbdError } from "../proto/nbd/constants.ts";
import type { PoolBuffer } from "../reactor/buffer-pool.ts";
import { type TestReactor, withReactor } from "../reactor/test-reactor.ts";
import { NbdRawClient } from "../testing/nbd-raw-client.ts";
import { openMalloc, serveExport, SOCKET_LEVELS, stopExport } from "../testing/served-export.ts";
import { makeTempDir } from "../testing/temp-dir.ts";

const SIZE_BYTES = 8 * 1024 * 1024;
const SMALLEST = { bufferLimitBytes: 2 * 1024 * 1024 };
const KIB = 1024;
const TIMEOUT = { timeout: 110_000 };
const skip = SOCKET_LEVELS.includes("uring") ? false : "this machine has no io_uring";

function openFile({ reactor }: TestReactor): Promise<FileDevice> {
  const path = `${makeTempDir({ after: () => undefined })}/vol.img`;
  return FileDevice.open(reactor, { path, sizeBytes: SIZE_BYTES });
}

for (const level of SOCKET_LEVELS) {
  test(`a long simple read ends though later reads hold memory, at ${level}`, TIMEOUT, () =>
    withReactor(
      level,
      async (place) => {
        const served = await serveExport(place, await openFile(place));
        const client = await NbdRawClient.open(served.uri, { replies: "simple" });
        const content = Buffer.alloc(3 * 1024 * KIB, 7);
        await client.write(0, content);
        const long = client.read(0, content.length);
        const small = Array.from({ length: 32 }, () => client.read(0, 32 * KIB));
        assert.equal(Buffer.compare(await long, content), 0);
        for (const read of small) assert.equal((await read).length, 32 * KIB);
        await client.disconnect();
        await stopExport(served);
      },
      SMALLEST,
    ),
  );

  test(`a whole read that does not fit in memory is refused, at ${level}`, TIMEOUT, () =>
    withReactor(
      level,
      async (place) => {
        const served = await serveExport(place, await openFile(place));
        const client = await NbdRawClient.open(served.uri);
        for (const offset of [0, 1]) {
          for (const length of [64 * KIB, 256 * KIB, 512 * KIB]) {
            const flags = CommandFlag.df;
            const answer = await client.command({ command: Command.read, offset, length, flags });
            const allowed = length > 64 * KIB ? [NbdError.none, NbdError.eoverflow] : [0];
            assert.ok(allowed.includes(answer.error as never), `${length}: ${answer.error}`);
          }
        }
        await client.disconnect();
        await stopExport(served);
      },
      SMALLEST,
    ),
  );

  test(`block status needs no more memory than there is, at ${level}`, TIMEOUT, () =>
    withReactor(
      level,
      async (place) => {
        const served = await serveExport(place, await openMalloc(place));
        const form = { metaContexts: ["base:allocation"] };
        const client = await NbdRawClient.open(served.uri, form);
        const idle: NbdRawClient[] = [];
        while (idle.length < 255) idle.push(await NbdRawClient.open(served.uri));
        const range = { offset: 0, length: SIZE_BYTES };
        const { error, extents } = await client.command({ command: Command.blockStatus, ...range });
        assert.equal(error, 0);
        assert.ok(extents.length > 0);
        for (const one of [client, ...idle]) await one.disconnect();
        await stopExport(served);
      },
      SMALLEST,
    ),
  );
}

test("unaligned memory is written directly though the pool is empty", { ...TIMEOUT, skip }, (t) =>
  withReactor(
    "uring",
    async (place) => {
      const path = `${makeTempDir(t)}/vol.img`;
      const options = { path, sizeBytes: SIZE_BYTES, direct: true };
      const served = await serveExport(place, await FileDevice.open(place.reactor, options));
      const client = await NbdRawClient.open(served.uri);
      const idle: NbdRawClient[] = [];
      while (idle.length < 250) idle.push(await NbdRawClient.open(served.uri));
      const taken: PoolBuffer[] = [];
      for (let one = place.reactor.buffers.acquire(4096); one !== null; ) {
        taken.push(one);
        one = place.reactor.buffers.acquire(4096);
      }
      await Promise.all(
        [0, 1, 2, 3].map((index) => client.write(index * 1024, Buffer.alloc(512, index + 1))),
      );
      for (let index = 0; index < 4; index++) {
        assert.equal((await client.read(index * 1024, 512)).at(-1), index + 1);
      }
      for (const one of taken) one.release();
      for (const one of [client, ...idle]) await one.disconnect();
      await stopExport(served);
    },
    SMALLEST,
  ),
);
