// Filters in a process of their own: what they do to a client, their lines on standard error, and
// that nothing they hold back keeps the process from ending.

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { forEachLevel } from "../../src/testing/levels.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { type PenstockProcess, startPenstock } from "../../src/testing/penstock-process.ts";

const MIB = 2 ** 20;
const BLOCK = Buffer.alloc(4096, 0xa5);
const SOURCE = "malloc:///m?size=16MiB";
const SHARE = "nbd://127.0.0.1:0/vol";

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(10);
}

/** Reads what hangs, tells the process to end, and says what became of the read. */
async function stopWithHungRead(server: PenstockProcess): Promise<Buffer> {
  const client = await NbdRawClient.open(server.uri);
  await client.write(0, BLOCK);
  const hung = client.read(0, BLOCK.length);
  // Answered: what was sent before has arrived.
  await client.write(BLOCK.length, BLOCK);
  const isHung = await Promise.race([hung.then(() => false), sleep(200).then(() => true)]);
  ok(isHung);
  deepStrictEqual(await server.stop("SIGTERM"), { code: 0, signal: null }, server.stderr);
  return await hung;
}

forEachLevel("every filter does its part between source and share", {}, async (t, level) => {
  const filters = [
    "slice?offset=1MiB&length=8MiB",
    "fault?read=error&range=1MiB-2MiB&count=1",
    "delay?time=1ms&jitter=1ms",
    "limit?iops=100000&bandwidth=1GiB",
    "log",
  ].join(" | ");
  const server = await startPenstock(t, `${SOURCE} | ${filters} | ${SHARE}`, { level });
  const client = await NbdRawClient.open(server.uri);
  await client.write(MIB, BLOCK);
  await rejects(client.read(MIB, BLOCK.length), /EIO|error 5/);
  ok(BLOCK.equals(await client.read(MIB, BLOCK.length)));
  await rejects(client.read(8 * MIB, BLOCK.length));
  await client.flush();
  await client.disconnect();
  deepStrictEqual(await server.stop(), { code: 0, signal: null });
  const lines = server.stderr.trim().split("\n");
  const [write, failed, read, flush, atTheEnd] = lines;
  match(write ?? "", /^penstock: info: log: log: op=write offset=1048576 length=4096 .*status=ok/);
  match(
    failed ?? "",
    /^penstock: warning: log: log: op=read .*status=media-error error-offset=1048576/,
  );
  match(read ?? "", /^penstock: info: log: log: op=read .*status=ok us=/);
  match(flush ?? "", /op=flush .*status=ok/);
  match(atTheEnd ?? "", /op=flush .*status=ok/);
  strictEqual(lines.length, 5, server.stderr);
});

for (const placement of ["together", "apart"]) {
  test(`a request that hangs by order ends when the process is to end, ${placement}`, async (t) => {
    const args = placement === "apart" ? ["--reactors", "2", "--placement", "apart"] : [];
    const pipe = `${SOURCE} | fault?read=hang | limit?iops=1000 | ${SHARE}`;
    const server = await startPenstock(t, pipe, { args });
    ok(BLOCK.equals(await stopWithHungRead(server)));
  });
}

test("a process goes on serving when nobody reads its lines any more", async (t: TestContext) => {
  const server = await startPenstock(t, `${SOURCE} | log | ${SHARE}`);
  const client = await NbdRawClient.open(server.uri);
  await client.write(0, BLOCK);
  await until(() => server.stderr.includes("op=write"));
  server.closeStderr();
  for (let round = 0; round < 20; round++) {
    ok(BLOCK.equals(await client.read(0, BLOCK.length)));
    await sleep(10);
  }
  await client.disconnect();
  const again = await NbdRawClient.open(server.uri);
  ok(BLOCK.equals(await again.read(0, BLOCK.length)));
  await again.disconnect();
  deepStrictEqual(await server.stop(), { code: 0, signal: null });
});
