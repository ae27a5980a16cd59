/**
 * The Linux kernel's own NVMe/TCP host and nvme-cli against our target: discovery, every number of
 * queues with and without each digest, the commands that administrators type, many connections.
 */

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { guestSkipReason } from "../../src/testing/guest/guest-kernel.ts";
import {
  type NvmeHost,
  startNvmeHost,
  transportArguments,
} from "../../src/testing/guest/nvme-host.ts";
import { type NvmeShare, startNvmeShare } from "../../src/testing/guest/nvme-share.ts";
import { forLongRun, LONG_RUN } from "../../src/testing/long-run.ts";
import { openFileCount, residentBytes } from "../../src/testing/process-usage.ts";
import { settles } from "../../src/testing/settles.ts";

const SKIP = guestSkipReason("nvme", "fio");
const SIZE_BYTES = 64 * 2 ** 20;
const CYCLE_COUNT = forLongRun(4, 40);
const GROWTH_BYTES_MAX = 24 * 2 ** 20;

test("the Linux kernel's NVMe/TCP host and nvme-cli", {
  skip: SKIP,
  timeout: 240_000,
}, async (t) => {
  const share = await startNvmeShare(t, { source: "malloc:///?size=64MiB" });
  const host = await startNvmeHost(t);
  await t.test("discover shows the subsystem", () => discover(host, share));
  await queuesAndDigests(t, host, share);
  await host.connect(share, { queues: 2 });
  await t.test("identify and lists", () => identify(host, share));
  await t.test("log pages", () => logPages(host));
  await t.test("features", () => features(host));
  await t.test("commands of a namespace", () => namespaceCommands(host));
  await t.test("reservations", () => reservations(host));
  await t.test("what is not there is refused", () => refusals(host));
  await host.disconnect(share);
  await t.test("cycles leak nothing", () => cycles(host, share));
  assert.deepEqual(await share.server.stop(), { code: 0, signal: null });
});

async function discover(host: NvmeHost, share: NvmeShare): Promise<void> {
  const text = await host.run(`nvme discover ${transportArguments(share)} -o json`);
  const { records } = JSON.parse(text) as { records: Record<string, string>[] };
  const mine = records.filter(({ subnqn }) => subnqn === share.nqn);
  assert.equal(mine.length, 1, text);
  assert.equal(mine[0]?.trsvcid, String(share.port));
  assert.equal(mine[0]?.trtype, "tcp");
}

async function queuesAndDigests(t: TestContext, host: NvmeHost, share: NvmeShare): Promise<void> {
  for (const queues of [1, 2, 4]) {
    for (const [headerDigest, dataDigest] of [
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ] as const) {
      // Every day: one queue without digests, two with that of data, four with both.
      const digests = Number(headerDigest) + Number(dataDigest);
      const isUsual = queues === [1, 2, 4][digests] && (dataDigest || !headerDigest);
      if (!LONG_RUN && !isUsual) continue;
      const title = `${queues} queues, header digest ${headerDigest}, data digest ${dataDigest}`;
      await t.test(title, async () => {
        await host.connect(share, { queues, headerDigest, dataDigest });
        assert.equal(await host.run("cat /sys/class/nvme/nvme0/queue_count"), String(queues + 1));
        // Written to the cache in odd pieces, flushed by fsync, read past the cache.
        await host.run(`dd if=/dev/urandom of=/tmp/data bs=4k count=100 2>/dev/null
dd if=/tmp/data of=/dev/nvme0n1 bs=9000 conv=fsync 2>/dev/null
dd if=/dev/nvme0n1 iflag=direct bs=4k count=100 2>/dev/null | cmp - /tmp/data`);
        if (LONG_RUN || queues === 4) {
          const size = forLongRun("512k", "8m");
          const verify = `--filename=/dev/nvme0n1 --bsrange=512-128k --size=${size}`;
          await host.fio(`${verify} --rw=randwrite --iodepth=16`);
        }
        await host.disconnect(share);
      });
    }
  }
}

async function identify(host: NvmeHost, share: NvmeShare): Promise<void> {
  const controller = JSON.parse(await host.run("nvme id-ctrl /dev/nvme0 -o json"));
  assert.equal(controller.subnqn, share.nqn);
  assert.ok(controller.cntlid > 0 && controller.cntlid < 0xfff0, `cntlid ${controller.cntlid}`);
  assert.equal(controller.ver, 0x20000, "version 2.0");
  assert.equal(controller.vwc & 1, 1, "a volatile write cache");
  assert.equal(controller.sgls & 1, 1, "SGLs");
  const namespace = JSON.parse(await host.run("nvme id-ns /dev/nvme0n1 -o json"));
  const { nsze, ncap, flbas, lbafs } = namespace;
  const blockBytes = 2 ** lbafs[flbas & 15].ds;
  assert.equal(nsze * blockBytes, SIZE_BYTES);
  assert.equal(ncap, nsze);
  assert.equal(await host.run("blockdev --getsize64 /dev/nvme0n1"), String(SIZE_BYTES));
  const descriptors = await host.run("nvme ns-descs /dev/nvme0 -n 1");
  assert.match(descriptors, /uuid\s*:\s*[0-9a-f]{8}-/);
  assert.match(await host.run("nvme list-ns /dev/nvme0"), /\[\s*0\]:0x1\b/);
  assert.match(await host.run("nvme list-subsys"), new RegExp(share.nqn));
  assert.match(await host.run("nvme list"), /\/dev\/nvme0n1/);
  // Not `show-regs`: nvme-cli 2.3 prints uninitialized memory there, with the kernel's target too.
  assert.match(await host.run("nvme get-property /dev/nvme0 --offset=0x1c"), /value: 1$/m);
  await host.run("nvme list-ctrl /dev/nvme0");
  await host.run("nvme nvm-id-ctrl /dev/nvme0");
}

async function logPages(host: NvmeHost): Promise<void> {
  assert.match(await host.run("nvme ana-log /dev/nvme0"), /state\s*:\s*optimized/);
  const smart = JSON.parse(await host.run("nvme smart-log /dev/nvme0 -o json"));
  assert.equal(smart.critical_warning, 0);
  assert.ok(smart.host_write_commands > 0, JSON.stringify(smart));
  await host.run("nvme error-log /dev/nvme0 -e 4");
  // Without --csi nvme-cli 2.3 prints nothing: it looks at a CAP that it has not read.
  const effects = await host.run("nvme effects-log /dev/nvme0 --csi=0");
  assert.match(effects, /Write/);
  await host.run("nvme changed-ns-list-log /dev/nvme0");
  await host.run("nvme fw-log /dev/nvme0");
  await host.run("nvme supported-log-pages /dev/nvme0");
}

async function features(host: NvmeHost): Promise<void> {
  // Volatile write cache, number of queues, asynchronous events, keep-alive, host identifier.
  for (const [id, expected] of [
    [6, /[Vv]alue:\s*0x?0*1\b/],
    [7, /[Vv]alue:/],
    [0xb, /[Vv]alue:/],
    [0xf, /[Vv]alue:/],
  ] as const) {
    assert.match(await host.run(`nvme get-feature /dev/nvme0 -f ${id}`), expected, `feature ${id}`);
  }
  await host.run("nvme get-feature /dev/nvme0 -f 0x81 -c 1 -l 16");
}

/** Compare, write zeroes and deallocation, each looked at through plain reads. */
async function namespaceCommands(host: NvmeHost): Promise<void> {
  const block = "dd if=/dev/nvme0n1 iflag=direct bs=4k count=1 2>/dev/null";
  await host.run(`cd /tmp
dd if=/dev/urandom of=one bs=4k count=1 2>/dev/null
dd if=/dev/urandom of=two bs=4k count=1 2>/dev/null
dd if=/dev/zero of=zero bs=4k count=1 2>/dev/null
bs=$(blockdev --getss /dev/nvme0n1)
n=$((4096 / bs - 1))
nvme write /dev/nvme0n1 -s 0 -c $n -z 4096 -d one
nvme read /dev/nvme0n1 -s 0 -c $n -z 4096 -d back
cmp one back
nvme compare /dev/nvme0n1 -s 0 -c $n -z 4096 -d one
! nvme compare /dev/nvme0n1 -s 0 -c $n -z 4096 -d two 2>&1 | tee wrong
grep -qi compar wrong
nvme flush /dev/nvme0n1 -n 1
nvme verify /dev/nvme0n1 -s 0 -c $n
nvme write-zeroes /dev/nvme0n1 -s 0 -c $n
${block} | cmp - zero
nvme write /dev/nvme0n1 -s 0 -c $n -z 4096 -d one -f
${block} | cmp - one
nvme write-zeroes /dev/nvme0n1 -s 0 -c $n --deac
${block} | cmp - zero
nvme write /dev/nvme0n1 -s 0 -c $n -z 4096 -d two
nvme dsm /dev/nvme0n1 -n 1 --slbs=0 --blocks=$((n + 1)) --ad
${block} | cmp - zero
nvme write /dev/nvme0n1 -s 0 -c $n -z 4096 -d two
blkdiscard /dev/nvme0n1
${block} | cmp - zero`);
}

async function reservations(host: NvmeHost): Promise<void> {
  const output = await host.run(`cd /tmp
nvme resv-register /dev/nvme0n1 -n 1 --nrkey=0x1111 --rrega=0
nvme resv-report /dev/nvme0n1 -n 1 -e
nvme resv-acquire /dev/nvme0n1 -n 1 --crkey=0x1111 --rtype=1 --racqa=0
nvme resv-report /dev/nvme0n1 -n 1 -e
dd if=/dev/nvme0n1 iflag=direct of=/dev/null bs=4k count=1 2>/dev/null
dd if=/dev/zero of=/dev/nvme0n1 oflag=direct bs=4k count=1 2>/dev/null
! nvme resv-acquire /dev/nvme0n1 -n 1 --crkey=0x2222 --rtype=1 --racqa=0
nvme resv-release /dev/nvme0n1 -n 1 --crkey=0x1111 --rtype=1 --rrela=0
nvme resv-register /dev/nvme0n1 -n 1 --crkey=0x1111 --rrega=1
echo last
nvme resv-report /dev/nvme0n1 -n 1 -e`);
  const [before = "", after = ""] = output.split("\nlast\n");
  assert.match(before, /rtype\s*:\s*1/);
  assert.match(before, /rkey\s*:\s*(0x)?1111/);
  assert.match(after, /regctl\s*:\s*0/);
}

async function refusals(host: NvmeHost): Promise<void> {
  for (const [command, status] of [
    ["nvme admin-passthru /dev/nvme0 --opcode=0x3e", /INVALID_OPCODE|Invalid Command Opcode/i],
    ["nvme io-passthru /dev/nvme0n1 --opcode=0x7d -n 1", /INVALID_OPCODE|Invalid Command Opcode/i],
    ["nvme get-log /dev/nvme0 --log-id=0x7f --log-len=512", /INVALID_LOG|Log Page/i],
    ["nvme id-ns /dev/nvme0 -n 77 --force", /./],
    ["nvme read /dev/nvme0n1 -s 999999999 -c 0 -z 4096 -d /tmp/x", /LBA_RANGE|LBA Out of Range/i],
    ["nvme get-feature /dev/nvme0 -f 0x7f", /INVALID_FIELD|Invalid Field/i],
  ] as const) {
    const { exitCode, output } = await host.guest.try(`${command} 2>&1`);
    assert.notEqual(exitCode, 0, `${command}: ${output}`);
    assert.match(output, status, command);
  }
}

async function cycles(host: NvmeHost, share: NvmeShare): Promise<void> {
  const cycle = async (count: number) =>
    host.run(
      `for i in $(seq ${count}); do
nvme connect ${transportArguments(share)} -n ${share.nqn} -i 4 >/dev/null
nvme disconnect -n ${share.nqn} >/dev/null
done`,
      forLongRun(60_000, 240_000),
    );
  await cycle(forLongRun(2, 3));
  const { pid } = share.server;
  // The last connection may be on its way out.
  await sleep(500);
  const before = { files: openFileCount(pid), memory: residentBytes(pid) };
  await cycle(CYCLE_COUNT);
  await settles(
    () => openFileCount(pid) <= before.files,
    () => `${openFileCount(pid)} open files instead of ${before.files}`,
  );
  const growth = residentBytes(pid) - before.memory;
  assert.ok(growth < GROWTH_BYTES_MAX, `${growth} bytes more after ${CYCLE_COUNT} cycles`);
  assert.equal(await host.run("ls /dev | grep -c nvme[0-9] || true"), "0");
}
