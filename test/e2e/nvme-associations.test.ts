/**
 * What an NVMe/TCP target keeps apart and ends: a host that comes back waits until its older
 * association's last command has ended (rule 4 of the safety rules), silence ends an association
 * after its keep-alive time, access lists and ANA states hold for every host.
 *
 * spec: NVMe Base 2.0 3.6 (keep-alive), NVMe over Fabrics 1.1 3.3
 */

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../../src/testing/free-port.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import { capsule, RAW_HOST_NQN } from "../../src/testing/nvme-bytes.ts";
import { subsystemOf } from "../../src/testing/nvme-health.ts";
import { NvmeRawClient, transfer } from "../../src/testing/nvme-raw-client.ts";
import { startPenstock, withTimeout } from "../../src/testing/penstock-process.ts";
import { standStill } from "../../src/testing/stand-still.ts";

const NQN = "nqn.2026-11.io.penstock:test";
/** Long enough for others to come and be served meanwhile, on a busy machine too. */
const DELAY_MS = 3000;
const KEEP_ALIVE_MS = 3000;
const TALK_MS = 400;
const TALKS = 10;
const END_MS_MAX = 30_000;
const WRITTEN = Buffer.alloc(4096, 1);
const INVALID_HOST = 0x184;
const ANA_INACCESSIBLE = 0x302;

forEachLevel(
  "a host's next NVMe association waits for its last one's commands",
  {},
  async (t, level) => {
    const pipe = `malloc:///m?size=1MiB | delay?time=${DELAY_MS}ms | nvmf://127.0.0.1:0/${NQN}`;
    const server = await startPenstock(t, pipe, { level });
    const { uri } = server;
    const options = { subsystem: NQN, connect: { hostId: Buffer.alloc(16, 9) } };
    const old = await NvmeRawClient.openAdmin(uri, options);
    const oldIo = await NvmeRawClient.openIo(uri, old, options);
    const startMs = performance.now();
    await oldIo.raw.write(capsule({ ...transfer(1, 0, 8), cid: 1 }, undefined, WRITTEN));
    // Refused at once: what was sent before has arrived.
    assert.notEqual((await oldIo.command({ opcode: 0x7d, nsid: 1 })).status, 0);

    const other = await NvmeRawClient.openAdmin(uri, { subsystem: NQN });
    assert.ok(performance.now() - startMs < DELAY_MS, "another host need not wait");
    const back = await NvmeRawClient.openAdmin(uri, options);
    const waitedMs = performance.now() - startMs;
    assert.ok(
      waitedMs >= DELAY_MS - 50,
      `connected ${waitedMs} ms after a write of ${DELAY_MS} ms`,
    );
    await Promise.all([old.raw.closed, oldIo.raw.closed]);

    const io = await NvmeRawClient.openIo(uri, back, options);
    await io.write(0, Buffer.alloc(4096, 2), 512);
    assert.ok((await io.read(0, 8, 512)).equals(Buffer.alloc(4096, 2)));
    assert.equal(
      (await other.command({ opcode: 0x18 })).status,
      0,
      "the other host is still there",
    );
  },
);

forEachLevel("an NVMe association ends when its host is silent", {}, async (t, level) => {
  const pipe = `malloc:///m?size=1MiB | nvmf://127.0.0.1:0/${NQN}`;
  const { uri } = await startPenstock(t, pipe, { level });
  const open = async (katoMs: number) => {
    const admin = await NvmeRawClient.openAdmin(uri, { subsystem: NQN, connect: { katoMs } });
    return { admin, io: await NvmeRawClient.openIo(uri, admin, { subsystem: NQN }) };
  };
  const [silent, talking, without] = await Promise.all([
    open(KEEP_ALIVE_MS),
    open(KEEP_ALIVE_MS),
    open(0),
  ]);
  const isEnded = () => silent.admin.raw.isClosed && silent.io.raw.isClosed;
  // The test's own time limit ends it.
  for (let turn = 0; turn < TALKS || !isEnded(); turn += 1) {
    assert.equal((await talking.admin.command({ opcode: 0x18 })).status, 0);
    await sleep(TALK_MS);
  }
  await talking.io.write(0, WRITTEN, 512);
  await without.io.write(8, WRITTEN, 512);
});

forEachLevel("what waited while the engine stood still is not done late", {}, async (t, level) => {
  const pipe = `malloc:///m?size=1MiB | nvmf://127.0.0.1:0/${NQN}`;
  const { uri, pid } = await startPenstock(t, pipe, { level });
  const open = async (katoMs: number) => {
    const admin = await NvmeRawClient.openAdmin(uri, { subsystem: NQN, connect: { katoMs } });
    return { admin, io: await NvmeRawClient.openIo(uri, admin, { subsystem: NQN }) };
  };
  const [stale, patient] = [await open(1000), await open(60_000)];
  // What came before that would be done in time.
  await standStill(pid);
  // By now its host has gone elsewhere, and may have written something newer there.
  await stale.io.raw.write(capsule({ ...transfer(1, 0, 8), cid: 1 }, undefined, WRITTEN));
  const written = capsule({ ...transfer(1, 8, 8), cid: 1 }, undefined, WRITTEN);
  await patient.io.raw.write(written);
  await sleep(3000);
  process.kill(pid, "SIGCONT");
  await withTimeout(stale.io.raw.closed, END_MS_MAX, () => "the host is still connected");
  assert.equal((await patient.io.completion(1)).status, 0);
  assert.ok((await patient.io.read(0, 8, 512)).equals(Buffer.alloc(4096)), "done late");
  assert.ok((await patient.io.read(8, 8, 512)).equals(WRITTEN));
});

forEachLevel("access lists and ANA states hold for NVMe hosts", {}, async (t, level) => {
  const port = await freePort();
  const name = (text: string) => `nqn.2026-11.io.penstock:${text}`;
  const server = await startPenstock(
    t,
    [
      `malloc:///a?size=1MiB | nvmf://127.0.0.1:${port}/${name("ours")}?hosts=${RAW_HOST_NQN}`,
      `malloc:///b?size=1MiB | nvmf://127.0.0.1:${port}/${name("theirs")}?hosts=${name("nobody")}`,
      `malloc:///c?size=1MiB | nvmf://127.0.0.1:${port}/${name("far")}?ana=inaccessible`,
    ],
    { level },
  );
  const [ours = "", theirs = "", far = ""] = server.uris;
  const connect = async (uri: string) => {
    const options = { subsystem: subsystemOf(uri) };
    const admin = await NvmeRawClient.openAdmin(uri, options);
    return await NvmeRawClient.openIo(uri, admin, options);
  };
  await (await connect(ours)).write(0, WRITTEN, 512);
  const refused = new RegExp(`status 0x[0-9a-f]*${INVALID_HOST.toString(16)}$`);
  await assert.rejects(connect(theirs), refused);
  const { status } = await (await connect(far)).command({
    ...transfer(2, 0, 8),
    lengthBytes: 4096,
  });
  assert.equal(status & 0x7ff, ANA_INACCESSIBLE);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});
