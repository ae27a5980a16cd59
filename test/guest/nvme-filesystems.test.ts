/**
 * ext4 and XFS over the Linux kernel's NVMe/TCP host: files verified after a remount and a new
 * connection, fio inside the file system, fstrim gives the backing file's blocks back. The same on
 * replicas of a pool, whose engine is killed under load and comes back.
 */

import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parseEngineAddress } from "../../src/api/engine-address.ts";
import { askEngine, type EngineClient } from "../../src/api/engine-client.ts";
import { freePort } from "../../src/testing/free-port.ts";
import { guestSkipReason } from "../../src/testing/guest/guest-kernel.ts";
import { type NvmeHost, startNvmeHost } from "../../src/testing/guest/nvme-host.ts";
import { type NvmeShare, SHARE_NQN, startNvmeShare } from "../../src/testing/guest/nvme-share.ts";
import { forLongRun, NOT_EVERY_DAY } from "../../src/testing/long-run.ts";
import { PENSTOCK, type PenstockProcess, startEngine } from "../../src/testing/penstock-process.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const SKIP = guestSkipReason("nvme", "fio", "mkfs.ext4", "mkfs.xfs", "xfs_repair");
const MIB = 2 ** 20;
const ONE_PROCESS = { args: ["--no-supervisor"] };
/** Files that the load writes before the engine is killed, and after. */
const LOAD_ROUNDS = forLongRun(2, 50);
/** In file systems that are small enough to be checked in no time. */
const POOL_DROPPED_MIB = forLongRun(2, 16);
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
  timeout: forLongRun(280_000, 900_000),
}, async (t) => {
  const path = `${makeTempDir(t)}/disk.img`;
  const share = await startNvmeShare(t, { source: `file://${path}?size=320MiB` });
  const host = await startNvmeHost(t, {
    modules: ["xfs"],
    programs: ["mkfs.ext4", "fsck.ext4", "mkfs.xfs", "xfs_repair"],
  });
  await host.connect(share, { queues: 2 });
  // On a pool, below, both are tried.
  for (const fileSystem of FILE_SYSTEMS.slice(forLongRun(1, 0))) {
    await t.test(fileSystem.type, () => exercise(host, share, { ...fileSystem, path }));
  }
  await host.disconnect(share);
  assert.deepEqual(await share.server.stop(), { code: 0, signal: null });
  await t.test("a namespace grows while the host is connected", (t) => grow(t, host));
  const often = { skip: NOT_EVERY_DAY };
  await t.test("on a pool, whose engine is killed under load", often, (t) => onPool(t, host));
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

interface PoolCase {
  readonly type: "ext4" | "xfs";
  readonly device: string;
  readonly make: string;
  readonly check: string;
}

/** In the order in which they are connected. */
const POOL_CASES: readonly PoolCase[] = [
  {
    type: "ext4",
    device: "/dev/nvme0n1",
    make: "mkfs.ext4 -q -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 /dev/nvme0n1 48M",
    check: "fsck.ext4 -fn /dev/nvme0n1",
  },
  {
    type: "xfs",
    device: "/dev/nvme1n1",
    make: "mkfs.xfs -q -f -K /dev/nvme1n1",
    check: "xfs_repair -n /dev/nvme1n1",
  },
];

/** Space of what was removed comes back to the pool and the files below; a kill harms nothing. */
async function onPool(t: TestContext, host: NvmeHost): Promise<void> {
  const folder = makeTempDir(t);
  const data = `${folder}/data`;
  const first = await startEngine(t, data, ONE_PROCESS);
  const ask = <T>(call: (client: EngineClient) => Promise<T>): Promise<T> =>
    askEngine(parseEngineAddress(first.uri), call);
  const disks = ["disk0", "disk1"].map((name) => `${folder}/${name}`);
  const texts = disks.map((disk) => `file://${disk}?size=256MiB`);
  await ask(({ pools }) => pools.createPool({ name: "p", disks: texts }));
  const port = await freePort();
  const targets = POOL_CASES.map(({ type }) => ({ port, nqn: `${SHARE_NQN}-${type}` }));
  for (const [index, { type: name }] of POOL_CASES.entries()) {
    const share = `nvmf://127.0.0.1:${port}/${targets[index]?.nqn}`;
    const replica = { pool: "p", name, sizeBytes: BigInt(320 * MIB), thin: true };
    await ask(({ replicas }) => replicas.createReplica(replica));
    await ask(({ replicas }) => replicas.shareReplica({ pool: "p", name, share }));
  }
  const used = async (): Promise<number> => {
    const { pool } = await ask(({ pools }) => pools.getPool({ name: "p" }));
    return Number(pool?.usedBytes);
  };
  const allocated = (): number => disks.reduce((sum, disk) => sum + statSync(disk).blocks * 512, 0);

  for (const target of targets) {
    const more = "--reconnect-delay=1 --keep-alive-tmo=5";
    await host.connect(target, { queues: 2, more });
  }
  await fillEach(host);
  const before = { used: await used(), allocated: allocated() };
  await forEachCase(host, ({ type }) => `rm /pool/${type}/drop; sync; fstrim /pool/${type}`);
  const dropped = POOL_CASES.length * POOL_DROPPED_MIB * MIB;
  const usedAfter = await used();
  assert.ok(before.used - usedAfter >= dropped / 2, `${before.used} to ${usedAfter} bytes used`);
  // Blocks are punched once it is durable that nobody refers to them.
  await host.run("sync -f /pool/ext4; sync -f /pool/xfs");
  const until = performance.now() + 20_000;
  while (before.allocated - allocated() < dropped / 2) {
    assert.ok(performance.now() < until, `${before.allocated} to ${allocated()} bytes allocated`);
    await sleep(50);
  }

  const killed = await killUnderLoad(host, first);
  const second = await startEngine(t, data, ONE_PROCESS);
  await progress(host, killed);
  await host.run(`touch /root/stop
until [ -e /root/end-ext4 -a -e /root/end-xfs ]; do sleep 0.1; done`);
  await forEachCase(
    host,
    ({ type, check }) => `sync; echo 3 >/proc/sys/vm/drop_caches
(cd /pool/${type} && sha256sum -cs /root/sums-${type})
umount /pool/${type}
${check}`,
  );
  for (const target of targets) await host.disconnect(target);
  await runCommand(PENSTOCK, ["pool", "scrub", "p"], {
    environment: { PENSTOCK_ENGINE: second.uri },
  });
  assert.equal((await second.stop()).code, 0);
}

/** Makes and mounts file systems, with files that are kept and one to be dropped. */
async function fillEach(host: NvmeHost): Promise<void> {
  await forEachCase(
    host,
    ({ type, device, make }) => `n=0
until [ -b ${device} ]; do n=$((n + 1)); [ $n -lt 1000 ]; sleep 0.05; done
${make}
mkdir -p /pool/${type}
mount -t ${type} ${device} /pool/${type}
cd /pool/${type}
mkdir keep
for i in 1 2 3 4; do dd if=/dev/urandom of=keep/$i bs=50k count=$i 2>/dev/null; done
sha256sum keep/* >/root/sums-${type}
dd if=/dev/urandom of=drop bs=1M count=${POOL_DROPPED_MIB} 2>/dev/null`,
  );
  await host.run("sync");
}

/** @returns how far the load has come in each, which goes on */
async function killUnderLoad(host: NvmeHost, engine: PenstockProcess): Promise<readonly number[]> {
  await forEachCase(
    host,
    ({ type }) => `(set +ex; cd /pool/${type}; n=0
while [ ! -e /root/stop ]; do
  n=$((n + 1)); mkdir -p load/$n; rm -rf load/$((n - 3))
  dd if=/dev/urandom of=load/$n/x bs=64k count=8 conv=fsync || exit
  echo $n >/root/done-${type}
done; echo ended >/root/end-${type}) >/dev/null 2>&1 &`,
  );
  await progress(host, [0, 0]);
  assert.deepEqual(await engine.stop("SIGKILL"), { code: null, signal: "SIGKILL" });
  return await loadCounts(host);
}

/** Waits until the load has come on in each. */
async function progress(host: NvmeHost, before: readonly number[]): Promise<void> {
  const until = performance.now() + 120_000;
  for (;;) {
    const counts = await loadCounts(host);
    if (counts.every((count, index) => count >= (before[index] ?? 0) + LOAD_ROUNDS)) return;
    assert.ok(performance.now() < until, `the load has come from ${before} to ${counts} only`);
    await sleep(200);
  }
}

async function loadCounts(host: NvmeHost): Promise<readonly number[]> {
  const files = POOL_CASES.map(({ type }) => `/root/done-${type}`).join(" ");
  const output = await host.run(`touch ${files}; for f in ${files}; do echo "n$(cat $f)"; done`);
  return output.split("\n").map((line) => Number(line.slice(1)));
}

async function forEachCase(host: NvmeHost, script: (each: PoolCase) => string): Promise<void> {
  for (const each of POOL_CASES) await host.run(script(each));
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
