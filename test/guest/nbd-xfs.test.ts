/**
 * XFS over the Linux kernel's NBD client in a guest: log writes with FUA, discards, a clean log
 * after an unmount, and one crash: the guest is reset without unmounting, then recovers.
 */

import assert from "node:assert/strict";

import { bootGuest, GUEST_HOST } from "../../src/testing/guest/boot-guest.ts";
import { guestSkipReason } from "../../src/testing/guest/guest-kernel.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const SKIP = guestSkipReason("nbd-client", "mkfs.xfs", "xfs_repair");
const GUEST_TIMEOUT_MS = 170_000;

/** Ends without unmounting; the sums go out by the serial line. */
function writeScript(port: string): string {
  return `
nbd-client -N vol ${GUEST_HOST} ${port} /dev/nbd0 -b 512 -C 2 >&2
mkfs.xfs -q /dev/nbd0
mount -t xfs -o discard /dev/nbd0 /mnt
for i in 1 2 3 4 5 6; do
  dd if=/dev/urandom of=/mnt/f$i bs=100k count=$i 2>/dev/null
done
rm /mnt/f6
dd if=/dev/urandom of=/mnt/f1 bs=4k seek=7 count=3 conv=notrunc 2>/dev/null
sync
cd /mnt
sha256sum f1 f2 f3 f4 f5
`;
}

function checkScript(port: string): string {
  return `
nbd-client -N vol ${GUEST_HOST} ${port} /dev/nbd0 -b 512 -C 1
mount -t xfs /dev/nbd0 /mnt
(cd /mnt && sha256sum -cs /sums)
fstrim -v /mnt
umount /mnt
xfs_repair -n /dev/nbd0
nbd-client -d /dev/nbd0
echo done
`;
}

forEachLevel(
  "an XFS file system survives a reset of the guest",
  { skip: SKIP, timeoutMs: 2 * GUEST_TIMEOUT_MS, levels: ["uring"] },
  async (t, level) => {
    const path = `${makeTempDir(t)}/disk.img`;
    const server = await startPenstock(t, `file://${path}?size=320MiB | nbd://127.0.0.1:0/vol`, {
      level,
    });
    const { port } = new URL(server.uri);
    const guest = { modules: ["nbd nbds_max=1", "xfs"], cpus: 1, timeoutMs: GUEST_TIMEOUT_MS };
    const written = await bootGuest({
      ...guest,
      script: writeScript(port),
      programs: ["nbd-client", "mkfs.xfs"],
    });
    assert.equal(written.output.split("\n").length, 5, written.output);
    const read = await bootGuest({
      ...guest,
      script: checkScript(port),
      programs: ["nbd-client", "xfs_repair"],
      files: { "/sums": `${written.output}\n` },
    });
    assert.match(read.output, /\ndone$/);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  },
);
