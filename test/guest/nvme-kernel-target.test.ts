/**
 * The harness of the NVMe tests, with the kernel on both sides: target and host in one guest. What
 * fails here is no fault of ours.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { guestSkipReason } from "../../src/testing/guest/guest-kernel.ts";
import { GUEST_NVMET_PORT, startNvmetTarget } from "../../src/testing/guest/nvmet-target.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { PENSTOCK } from "../../src/testing/penstock-process.ts";
import { runCommand } from "../../src/testing/run-command.ts";

const SKIP = guestSkipReason("nvme", "fio");
const ADDRESS = `-t tcp -a 127.0.0.1 -s ${GUEST_NVMET_PORT}`;

test("the kernel's NVMe/TCP target serves the kernel's host and a port of this machine", {
  skip: SKIP,
  timeout: 120_000,
}, async (t) => {
  const { guest, nqn, port, takeAway, putBack } = await startNvmetTarget(t, { programs: ["fio"] });
  assert.match(await guest.run(`nvme discover ${ADDRESS}`), new RegExp(nqn));
  await guest.run(`nvme connect ${ADDRESS} -n ${nqn} -i 2 -g -G && sleep 0.2`);
  const verify = "--bs=4k --size=1m --direct=1 --ioengine=libaio --iodepth=8 --verify=crc32c";
  await guest.run(`fio --name=a --filename=/dev/nvme0n1 --rw=randwrite ${verify}`);
  await guest.run("nvme disconnect-all");
  for (const change of [async () => undefined, takeAway]) {
    await change();
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    // ICReq of NVMe/TCP; the kernel answers, or there is nobody left to answer.
    const request = Buffer.alloc(128);
    request.set([0, 0, 128, 0, 128]);
    socket.write(request);
    const answer = await Promise.race([
      once(socket, "data").then(([data]) => (data as Buffer)[0]),
      once(socket, "close").then(() => "closed"),
    ]).catch(() => "closed");
    assert.equal(answer, change === takeAway ? "closed" : 1);
    socket.destroy();
  }
  await putBack();
  await benchThrough(`nvmf://127.0.0.1:${port}/${nqn}?queues=4&hdgst&ddgst`);
});

/** Our initiator writes and reads back with verification; outages are in nvmf-conformance. */
async function benchThrough(uri: string): Promise<void> {
  const size = `--size=${forLongRun("2MiB", "64MiB")}`;
  const args = ["bench", uri, "--rw=write", "--verify", "--yes", "--depth=16", size];
  await runCommand(PENSTOCK, args, { timeoutMs: 60_000 });
}
