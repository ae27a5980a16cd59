/**
 * ext4 and XFS over the Linux kernel's NVMe/TCP host: files verified after a remount and a new
 * connection, fio inside the file system, fstrim gives the backing file's blocks back.
 */

import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { freePort } from "../../src/testing/free-port.ts";
import { guestSkipReason } from "../../src/testing/guest/guest-kernel.ts";
import { type NvmeHost, startNvmeHost } from "../../src/testing/guest/nvme-host.ts";
import { type NvmeShare, SHARE_NQN, startNvmeShare } from "../../src/testing/guest/nvme-share.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { PENSTOCK, startEngine } from "../../src/testing/penstock-process.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const SKIP = guestSkipReason("nvme", "fio", "mkfs.ext4", "mkfs.xfs", "xfs_repair");
const DROPPED_MIB = forLongRun(2, 64);
const FIO_SIZE = forLongRun("1m", "64m");

const FILE_SYSTEMS = [
  {
    type: "ext4",
    make: "mkfs.ext4 -q -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 /dev/nvme0n1 64M",
    check: "fsck.ext4 -fn /dev/nvme0n1",
  },
  { type: "xfs", make: "mkfs.xfs -q -f -K /dev/nvme0n1", check: "xfs_repair -n /dev/nvme0n1" },
] as const;

test("ext4 and XFS over the kernel's NVMe/TCP host", {
  skip: SKIP,
  timeout: forLongRun(180_000, 900_000),
}, async (t) => {
  const path = `${makeTempDir(t)}/disk.img`;
  const share = await startNvmeShare(t, { source: `file://${path}?size=320MiB` });
  const host = await startNvmeHost(t, {
    modules: ["xfs"],
    programs: ["mkfs.ext4", "fsck.ext4", "mkfs.xfs", "xfs_repair"],
  });
  await host.connect(share, { queues: 2 });
  for (const fileSystem of FILE_SYSTEMS) {
    await t.test(fileSystem.type, () => exercise(host, share, { ...fileSystem, path }));
  }
  await host.disconnect(share);
  assert.deepEqual(await share.server.stop(), { code: 0, signal: null });
  await t.test("a namespace grows while the host is connected", (t) => grow(t, host));
});

/** The host hears of it (asynchronous event, changed namespace list) and writes to the new end. */
async function grow(t: TestContext, host: NvmeHost): Promise<void> {
  const folder = makeTempDir(t);
  const engine = await startEngine(t, folder);
  const target = { port: await freePort(), nqn: SHARE_NQN };
  const run = (...args: readonly string[]) =>
    runCommand(PENSTOCK, args, { environment: { PENSTOCK_ENGINE: engine.uri } });
  const share = `nvmf://127.0.0.1:${target.port}/${target.nqn}`;
  await run("pipe", "create", "vol1", `file://${folder}/disk.img?size=64MiB | ${share}`);
  await host.connect(target, { queues: 2 });
  const size = () => host.run("blockdev --getsize64 /dev/nvme0n1");
  assert.equal(await size(), String(64 * 2 ** 20));
  await run("pipe", "resize", "vol1", "96MiB");
  await host.run(`n=0
until [ $(blockdev --getsize64 /dev/nvme0n1) = ${96 * 2 ** 20} ]; do
  n=$((n + 1)); [ $n -lt 600 ]; sleep 0.1
done`);
  await host.fio("--filename=/dev/nvme0n1 --rw=randwrite --bs=64k --offset=63m --size=2m");
  await host.disconnect(target);
}

interface Case {
  readonly type: string;
  readonly make: string;
  readonly check: string;
  /** The backing file. */
  readonly path: string;
}

async function exercise(host: NvmeHost, share: NvmeShare, { type, make, check, path }: Case) {
  const verified = "(cd /mnt && sha256sum -cs /root/sums)";
  await host.run(`${make}
mount -t ${type} /dev/nvme0n1 /mnt
mkdir /mnt/keep /mnt/drop
for i in 1 2 3 4 5 6; do
  dd if=/dev/urandom of=/mnt/keep/$i bs=64k count=$i 2>/dev/null
  dd if=/dev/urandom of=/mnt/keep/odd$i bs=777 count=$i 2>/dev/null
done
dd if=/dev/urandom of=/mnt/drop/1 bs=1M count=${DROPPED_MIB} 2>/dev/null
(cd /mnt && find keep -type f | sort | xargs sha256sum) >/root/sums
sync`);
  await host.fio(
    `--filename=/mnt/fio --rw=randrw --bsrange=4k-64k --size=${FIO_SIZE} --iodepth=8 --fsync=32`,
    forLongRun(60_000, 600_000),
  );
  const before = statSync(path).blocks * 512;
  await host.run("rm -r /mnt/drop /mnt/fio\nsync\nfstrim -v /mnt");
  const givenBack = before - statSync(path).blocks * 512;
  assert.ok(givenBack > (DROPPED_MIB * 2 ** 20) / 2, `fstrim gave back ${givenBack} bytes`);
  await host.run(`${verified}\numount /mnt\n${check}`);
  await host.disconnect(share);
  await host.connect(share, { queues: 4, headerDigest: true, dataDigest: true });
  await host.run(`mount -t ${type} /dev/nvme0n1 /mnt\n${verified}\numount /mnt\n${check}`);
}
