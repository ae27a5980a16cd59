/**
 * The Linux kernel's own NBD client, in a guest, with a file system on our export.
 *
 * Shows what user-space clients do not: the kernel's request sizes and merging, discards by fstrim,
 * flushes by journal and unmount, several connections on one device.
 */

import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";

import { BACKINGS, type BackingName, type BackingSource } from "../../src/testing/backings.ts";
import { bootGuest, GUEST_HOST } from "../../src/testing/guest/boot-guest.ts";
import { guestSkipReason } from "../../src/testing/guest/guest-kernel.ts";
import { forEachLevel, type Level } from "../../src/testing/levels.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";

const SKIP = guestSkipReason("nbd-client", "mkfs.ext4");
const GUEST_TIMEOUT_MS = 170_000;
/** Small on purpose: the guest's CPU is emulated, and every byte is hashed there. */
const DISK_BYTES = forLongRun(64, 512) * 2 ** 20;
const DROPPED_MIB_PER_FILE = forLongRun(1, 16);
const DROPPED_BYTES = 8 * DROPPED_MIB_PER_FILE * 2 ** 20;

/** Writes a tree, checks it after each of: remount, trim, reconnect. fsck must find nothing. */
function script(port: string, connections: number): string {
  return `
connect() { nbd-client -N vol ${GUEST_HOST} ${port} /dev/nbd0 -b 4096 -C ${connections}; }
check() { (cd /mnt && sha256sum -cs /root/sums); }
connect
test "$(blockdev --getsize64 /dev/nbd0)" = ${DISK_BYTES}
mkfs.ext4 -q -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 /dev/nbd0
mount -t ext4 /dev/nbd0 /mnt
mkdir /mnt/keep /mnt/drop
for i in 1 2 3 4 5 6 7 8; do
  dd if=/dev/urandom of=/mnt/keep/$i bs=64k count=$i 2>/dev/null
  dd if=/dev/urandom of=/mnt/keep/odd$i bs=777 count=$i 2>/dev/null
  dd if=/dev/urandom of=/mnt/drop/$i bs=1M count=${DROPPED_MIB_PER_FILE} 2>/dev/null
done
(cd /mnt && find keep -type f | sort | xargs sha256sum) >/root/sums
sync
echo before-trim
read answer
rm -r /mnt/drop
sync
fstrim -v /mnt
check
echo after-trim
read answer
umount /mnt
fsck.ext4 -fn /dev/nbd0
mount -t ext4 /dev/nbd0 /mnt
check
umount /mnt
nbd-client -d /dev/nbd0
connect
fsck.ext4 -fn /dev/nbd0
mount -t ext4 -o ro /dev/nbd0 /mnt
check
umount /mnt
blkdiscard /dev/nbd0
dd if=/dev/nbd0 bs=64k count=16 iflag=direct 2>/dev/null | cmp -n 1048576 - /dev/zero
nbd-client -d /dev/nbd0
echo done
`;
}

interface Row {
  readonly level: Level["name"];
  readonly backing: BackingName;
  readonly connections: number;
}

/** Every day: what has most in it. A guest is what each costs. */
const EVERYDAY_ROWS: readonly Row[] = [{ level: "uring", backing: "direct", connections: 4 }];
/** Each level, each backing, one connection and several. */
const ROWS: readonly Row[] = [
  ...EVERYDAY_ROWS,
  { level: "uring", backing: "loop", connections: 1 },
  { level: "posix", backing: "buffered", connections: 2 },
  { level: "portable", backing: "buffered", connections: 4 },
  { level: "uring apart", backing: "malloc", connections: 4 },
];

for (const row of forLongRun(EVERYDAY_ROWS, ROWS)) {
  const { connections } = row;
  const title = `ext4 on ${row.backing} by the kernel's client, connections: ${connections}`;
  const options = { skip: SKIP, timeoutMs: GUEST_TIMEOUT_MS + 10_000, levels: [row.level] };
  forEachLevel(title, options, async (t, level) => {
    const backing = BACKINGS.find(({ name }) => name === row.backing);
    assert.ok(backing !== undefined);
    if (backing.skip !== false) {
      t.skip(backing.skip);
      return;
    }
    const source = await backing.make(t, DISK_BYTES);
    const server = await startPenstock(t, `${source.stage} | nbd://127.0.0.1:0/vol`, { level });
    const allocatedBytes: number[] = [];
    const { output } = await bootGuest({
      script: script(new URL(server.uri).port, connections),
      modules: ["nbd nbds_max=1"],
      programs: ["nbd-client", "mkfs.ext4", "fsck.ext4"],
      timeoutMs: GUEST_TIMEOUT_MS,
      onLine: (line, send) => {
        if (line.endsWith("-trim")) {
          allocatedBytes.push(allocated(source));
          send("go\n");
        }
      },
    });
    assert.match(output, /\ndone$/);
    if (level.io === "uring" && row.backing !== "malloc") {
      const [before = 0, after = 0] = allocatedBytes;
      const givenBack = before - after;
      assert.ok(givenBack > DROPPED_BYTES / 2, `fstrim gave back only ${givenBack} bytes`);
    }
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    if (source.path !== undefined) {
      const disk = readFileSync(source.path);
      assert.equal(disk.length, DISK_BYTES);
      assert.ok(disk.equals(Buffer.alloc(DISK_BYTES)), "blkdiscard left something to read");
    }
  });
}

function allocated({ sparseFilePath }: BackingSource): number {
  return sparseFilePath === undefined ? 0 : statSync(sparseFilePath).blocks * 512;
}
