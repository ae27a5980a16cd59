/**
 * What somebody else's data looks like at the ends of a disk: so that nobody's is overwritten by
 * mistake. Pure. Not complete, nor need it be: what has any byte that is not zero is not empty.
 */

/** The beginning and the end of a device. */
export interface DiskEnds {
  readonly front: Uint8Array;
  readonly back: Uint8Array;
}

interface Signature {
  readonly what: string;
  readonly end: "front" | "back";
  /** From the front's start, or back from the device's end. */
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** Of the front and of the back, bytes that signatures lie in. */
export const SIGNATURE_BYTES = 128 * 1024;

const KIB = 1024;

/**
 * spec: UEFI 2.10 §5.3 (GPT), ext4 and xfs disk layouts, btrfs on-disk format, LVM2 labels,
 * md superblocks, LUKS, Linux swap, bluestore, SPDK blobstore
 */
const SIGNATURES: readonly Signature[] = [
  text("partition table (GPT)", "front", 512, "EFI PART"),
  text("partition table (GPT)", "front", 4096, "EFI PART"),
  text("partition table (GPT)", "back", 512, "EFI PART"),
  text("partition table (GPT)", "back", 4096, "EFI PART"),
  text("xfs file system", "front", 0, "XFSB"),
  text("btrfs file system", "front", 64 * KIB + 64, "_BHRfS_M"),
  text("LVM physical volume", "front", 0, "LABELONE"),
  text("LVM physical volume", "front", 512, "LABELONE"),
  text("LVM physical volume", "front", 1024, "LABELONE"),
  text("LVM physical volume", "front", 1536, "LABELONE"),
  text("LUKS volume", "front", 0, "LUKS"),
  text("swap space", "front", 4096 - 10, "SWAPSPACE2"),
  text("bluestore (Ceph)", "front", 0, "bluestore block device"),
  text("SPDK blobstore", "front", 0, "SPDKBLOB"),
  bytes("software RAID (md)", "front", 0, [0xfc, 0x4e, 0x2b, 0xa9]),
  bytes("software RAID (md)", "front", 4096, [0xfc, 0x4e, 0x2b, 0xa9]),
  bytes("software RAID (md)", "back", 8 * KIB, [0xfc, 0x4e, 0x2b, 0xa9]),
  bytes("software RAID (md)", "back", 64 * KIB, [0xfc, 0x4e, 0x2b, 0xa9]),
  bytes("ext2/3/4 file system", "front", KIB + 56, [0x53, 0xef]),
  // In each uberblock of a label: the first that was written may be any.
  ...Array.from({ length: 128 }, (_, index) =>
    bytes("ZFS", "front", index * KIB, [0x0c, 0xb1, 0xba, 0x00]),
  ),
  // Last, since others have it as well.
  bytes("partition table or boot sector", "front", 510, [0x55, 0xaa]),
];

/** Whose it is, or null when nothing is known there. */
export function foreignSignature({ front, back }: DiskEnds): string | null {
  for (const { what, end, at, bytes: wanted } of SIGNATURES) {
    const from = end === "front" ? front : back;
    const start = end === "front" ? at : back.length - at;
    if (start < 0 || start + wanted.length > from.length) continue;
    if (wanted.every((byte, index) => from[start + index] === byte)) return what;
  }
  return null;
}

function text(what: string, end: "front" | "back", at: number, magic: string): Signature {
  return { what, end, at, bytes: Buffer.from(magic, "latin1") };
}

function bytes(what: string, end: "front" | "back", at: number, magic: number[]): Signature {
  return { what, end, at, bytes: Uint8Array.from(magic) };
}
