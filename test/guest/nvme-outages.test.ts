/**
 * The Linux kernel's NVMe/TCP host while our side comes and goes: an engine killed under I/O, and
 * two engines that serve one file as one subsystem (native multipath), one of them killed.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { guestSkipReason } from "../../src/testing/guest/guest-kernel.ts";
import { type NvmeHost, startNvmeHost } from "../../src/testing/guest/nvme-host.ts";
import { type NvmeShare, startNvmeShare } from "../../src/testing/guest/nvme-share.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const SKIP = guestSkipReason("nvme", "fio");
const PATIENT = { more: "--reconnect-delay=1 --ctrl-loss-tmo=60 --keep-alive-tmo=5" };
const KILL_COUNT = forLongRun(1, 10);
/** The guest's CPU is emulated: some 10 MiB a second. Rate limited, so that it lasts. */
const LOAD = "--filename=/dev/nvme0n1 --bs=4k --iodepth=16 --rw=randwrite --rate_iops=500";
const LOAD_SIZE = forLongRun("8m", "48m");
const LOAD_MS_MAX = forLongRun(60_000, 300_000);

test("the kernel's NVMe/TCP host through kills of engines", {
  skip: SKIP,
  timeout: forLongRun(240_000, 900_000),
}, async (t) => {
  const folder = makeTempDir(t);
  const host = await startNvmeHost(t);

  await t.test("an engine killed and started again under I/O fails none of it", async () => {
    const source = `file://${folder}/alone.img?size=64MiB`;
    let share: NvmeShare = await startNvmeShare(t, { source });
    await host.connect(share, { queues: 2, ...PATIENT });
    await host.fioBeside(`${LOAD} --size=${LOAD_SIZE}`);
    for (let turn = 0; turn < KILL_COUNT; turn += 1) {
      await sleep(2000);
      await share.server.stop("SIGKILL");
      await sleep(500);
      share = await share.restart();
      await isLive(host, 1);
    }
    const { exitCode, output } = await host.finished(LOAD_MS_MAX);
    assert.equal(exitCode, 0, output);
    await host.disconnect(share);
    assert.deepEqual(await share.server.stop(), { code: 0, signal: null });
  });

  await t.test("two engines serve one file; one is killed and comes back", async () => {
    const source = `file://${folder}/both.img?size=64MiB&shared=1`;
    const first = await startNvmeShare(t, { source, query: "?cntlid=1-999" });
    const second = await startNvmeShare(t, { source, query: "?cntlid=1000-1999" });
    await host.connect(first, { queues: 2, ...PATIENT });
    await host.connect(second, { queues: 2, ...PATIENT });
    await isLive(host, 2);
    const list = await host.run("ls /dev/nvme*n* && nvme list-subsys");
    assert.equal(list.match(/\/dev\/nvme\d+n\d+/g)?.length, 1, list);
    for (const victim of forLongRun([first], [first, second])) {
      await host.fioBeside(`${LOAD} --size=${LOAD_SIZE}`);
      await sleep(2000);
      await victim.server.stop("SIGKILL");
      const { exitCode, output } = await host.finished(LOAD_MS_MAX);
      assert.equal(exitCode, 0, output);
      await victim.restart();
      await isLive(host, 2);
    }
    await host.disconnect(first);
  });
});

/** Waits until so many controllers are connected. */
async function isLive(host: NvmeHost, count: number): Promise<void> {
  await host.run(
    `n=0
until [ "$(cat /sys/class/nvme/nvme*/state | grep -c live)" = ${count} ]; do
  n=$((n + 1)); [ $n -lt 600 ]; sleep 0.1
done`,
    90_000,
  );
}
