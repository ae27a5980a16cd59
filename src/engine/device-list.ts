/**
 * The disks and partitions of this machine: what is on them, who uses them, which are free.
 *
 * From what the kernel tells (/sys/block, /proc) first: what is mounted, or part of something else,
 * is not touched. The others are opened for reading only, one after the other.
 */

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { toPenstockError } from "../util/errors.ts";

export type DiskUse = "free" | "used" | "unreadable";

export interface ListedDisk {
  /** "/dev/sdb". */
  readonly device: string;
  /** "disk", "partition", "loop", ... */
  readonly kind: string;
  readonly sizeBytes: number;
  readonly use: DiskUse;
  /** In a few words; empty when it is free. */
  readonly content: string;
  readonly readOnly: boolean;
  /** Or "". */
  readonly model: string;
}

export interface DeviceListOptions {
  /** Default: "/sys/block" and "/proc". */
  readonly sysBlock?: string;
  readonly proc?: string;
  /** Which pool of this engine a disk is of, or undefined. */
  poolOf(device: string): string | undefined;
  /** What is on it in a few words, by reading only; empty: nothing. @throws PenstockError */
  probe(device: string): Promise<string>;
}

/** Those that a machine has are far fewer. */
const DISKS_MAX = 4096;
const SECTOR_BYTES = 512;

interface Node {
  /** "sda1". */
  readonly name: string;
  /** Its folder in sysfs. */
  readonly folder: string;
  readonly isPartition: boolean;
  readonly partitions: number;
}

/** In the order of their names. */
export async function listDisks(options: DeviceListOptions): Promise<readonly ListedDisk[]> {
  const { sysBlock = "/sys/block", proc = "/proc" } = options;
  const used = await usesOf(proc);
  const disks: ListedDisk[] = [];
  for (const node of await nodesIn(sysBlock)) {
    const sizeBytes = Number(await textOf(join(node.folder, "size"))) * SECTOR_BYTES;
    // Loop devices without a file, card readers without a card.
    if (!(sizeBytes > 0)) continue;
    disks.push(await describe(node, { sizeBytes, used, options }));
  }
  return disks;
}

async function describe(
  { name, folder, isPartition, partitions }: Node,
  {
    sizeBytes,
    used,
    options,
  }: {
    readonly sizeBytes: number;
    readonly used: ReadonlyMap<string, string>;
    readonly options: DeviceListOptions;
  },
): Promise<ListedDisk> {
  const device = `/dev/${name.replaceAll("!", "/")}`;
  const holders = await namesIn(join(folder, "holders"));
  const pool = options.poolOf(device);
  const number = await textOf(join(folder, "dev"));
  const known =
    used.get(number) ??
    used.get(device) ??
    (pool === undefined ? undefined : `pool ${pool} of this engine`) ??
    (holders.length > 0 ? `part of ${holders.join(", ")}` : undefined) ??
    (partitions > 0 ? `${partitions} partition${partitions === 1 ? "" : "s"}` : undefined);
  const { use, content } =
    known === undefined ? await probed(device, options) : { use: "used" as const, content: known };
  return {
    device,
    kind: isPartition ? "partition" : kindOf(name),
    sizeBytes,
    use,
    content,
    readOnly: (await textOf(join(folder, "ro"))) === "1",
    model: await textOf(join(folder, "device/model")),
  };
}

async function probed(
  device: string,
  { probe }: DeviceListOptions,
): Promise<{ readonly use: DiskUse; readonly content: string }> {
  try {
    const content = await probe(device);
    return { use: content === "" ? "free" : "used", content };
  } catch (thrown) {
    const { code, message, details } = toPenstockError(thrown);
    if (code !== "claimed") return { use: "unreadable", content: `${code}: ${message}` };
    return { use: "used", content: `in use by ${String(details.holder ?? "another process")}` };
  }
}

/** Disks, each before its partitions. */
async function nodesIn(sysBlock: string): Promise<readonly Node[]> {
  const nodes: Node[] = [];
  for (const name of (await namesIn(sysBlock)).sort(byNumber)) {
    const folder = join(sysBlock, name);
    const inner = (await namesIn(folder)).filter((each) => each.startsWith(name)).sort(byNumber);
    nodes.push({ name, folder, isPartition: false, partitions: inner.length });
    for (const each of inner) {
      const part = { name: each, folder: join(folder, each), isPartition: true, partitions: 0 };
      nodes.push(part);
    }
    if (nodes.length >= DISKS_MAX) break;
  }
  return nodes;
}

/** What the kernel uses, by "MAJOR:MINOR" or path. */
async function usesOf(proc: string): Promise<ReadonlyMap<string, string>> {
  const used = new Map<string, string>();
  // spec: proc_pid_mountinfo(5): id, parent, MAJOR:MINOR, root, mount point, ...
  for (const line of (await textOf(join(proc, "self/mountinfo"))).split("\n")) {
    const [, , number = "", , place = ""] = line.split(" ");
    // The shortest place says most.
    const known = used.get(number);
    const text = `mounted at ${unescaped(place)}`;
    if (known === undefined || text.length < known.length) used.set(number, text);
  }
  for (const line of (await textOf(join(proc, "swaps"))).split("\n")) {
    const [path = ""] = line.split(/\s/);
    if (path.startsWith("/dev/")) used.set(unescaped(path), "swap space");
  }
  return used;
}

function kindOf(name: string): string {
  return /^(?:loop|dm|md|zram|ram|nbd|sr|fd)(?=\W?\d)/.exec(name)?.[0] ?? "disk";
}

/** "sd2" before "sd10". */
function byNumber(one: string, other: string): number {
  return one.localeCompare(other, "en", { numeric: true });
}

/** spec: proc_pid_mountinfo(5): blanks and the like stand there as \040 */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** Without what is around it; "" where there is no such file. */
async function textOf(path: string): Promise<string> {
  return (await readFile(path, "utf8").catch(() => "")).trim();
}

async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch(() => []);
}
