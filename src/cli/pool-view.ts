/**
 * Pools, replicas and disks as the command line shows them: from the RPC's messages to its own
 * JSON and to tables.
 *
 * The schema is a contract; README.md names it. Pure.
 */

import {
  type Disk,
  DiskUse,
  type Pool,
  PoolState,
  type Replica,
  ReplicaState,
  type ScrubPoolResponse,
  ScrubState,
} from "../api/penstock/engine/v1/pool_pb.ts";
import { inOneLine } from "./in-one-line.ts";
import type { Column } from "./output.ts";
import { lowerCase, timeText } from "./pipe-view.ts";

/** One of `pool list -o json`. */
export interface PoolView {
  readonly name: string;
  /**
   * "online", "degraded", "faulted"; "stalled": what follows is old; "opening", "failed",
   * "closing": what is null is not known.
   */
  readonly state: string;
  /** Why it is degraded or faulted, or null. */
  readonly reason: string | null;
  readonly uuid: string | null;
  readonly disks: readonly PoolDiskView[];
  readonly capacityBytes: number | null;
  readonly usedBytes: number | null;
  readonly reservedBytes: number | null;
  readonly committedBytes: number | null;
  readonly freeBytes: number | null;
  /** Freed, and not usable again yet. */
  readonly waitingBytes: number | null;
  /** Of its maps. */
  readonly pageBytes: number | null;
  readonly logBytes: number | null;
  readonly logUsedBytes: number | null;
  readonly warningPercent: number | null;
  readonly criticalPercent: number | null;
  /** The scrub that runs, or the last one since it was opened, or one that is to go on. */
  readonly scrub: ScrubView | null;
  readonly chunkBytes: number | null;
  readonly checksum: string | null;
  readonly createdAt: string | null;
  readonly failure: { readonly code: string; readonly message: string } | null;
  readonly retryAt: string | null;
}

export interface ScrubView {
  /** "running", "paused", "finished", "failed". */
  readonly state: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly damagedBlocks: number;
  readonly badCopies: number;
  readonly trimmedBytes: number;
}

export interface PoolDiskView {
  /** As a pipe's source is written; of a file or block device its path. */
  readonly device: string;
  readonly uuid: string | null;
  readonly sizeBytes: number | null;
  readonly freeBytes: number | null;
}

/** One of `replica list -o json`. */
export interface ReplicaView {
  readonly pool: string;
  readonly name: string;
  readonly uuid: string;
  readonly state: string;
  readonly thin: boolean;
  readonly sizeBytes: number;
  readonly usedBytes: number;
  /** What clients connect to, or null. */
  readonly shareUri: string | null;
  /** Names of the pipes that use it. */
  readonly pipes: readonly string[];
  /** Of a clone: the snapshot that it began with, or null. */
  readonly origin: string | null;
  /** How many it has. */
  readonly snapshots: number;
  readonly createdAt: string | null;
}

/** One of `device list --disks -o json`. */
export interface DiskView {
  readonly device: string;
  readonly kind: string;
  readonly sizeBytes: number;
  /** "free", "used", "unreadable". */
  readonly use: string;
  /** What is on it or who uses it; null when it is free. */
  readonly content: string | null;
  readonly readOnly: boolean;
  readonly model: string | null;
}

export function poolView(pool: Pool): PoolView {
  const { name, uuid, reason, failure, checksum } = pool;
  const isOpen = uuid !== "";
  const known = (value: bigint | number): number | null => (isOpen ? Number(value) : null);
  return {
    name,
    state: lowerCase(PoolState, pool.state),
    reason: textOrNull(reason),
    uuid: textOrNull(uuid),
    disks: pool.disks.map((disk) => ({
      device: shownDevice(disk.device),
      uuid: textOrNull(disk.uuid),
      sizeBytes: known(disk.sizeBytes),
      freeBytes: known(disk.freeBytes),
    })),
    capacityBytes: known(pool.capacityBytes),
    usedBytes: known(pool.usedBytes),
    reservedBytes: known(pool.reservedBytes),
    committedBytes: known(pool.committedBytes),
    freeBytes: known(pool.freeBytes),
    waitingBytes: known(pool.waitingBytes),
    pageBytes: known(pool.pageBytes),
    logBytes: known(pool.logBytes),
    logUsedBytes: known(pool.logUsedBytes),
    warningPercent: known(pool.warningPercent),
    criticalPercent: known(pool.criticalPercent),
    scrub: pool.scrub === undefined ? null : scrubView(pool.scrub),
    chunkBytes: known(pool.chunkBytes),
    checksum: textOrNull(checksum),
    createdAt: timeText(pool.createTime),
    failure: failure === undefined ? null : { code: failure.code, message: failure.message },
    retryAt: timeText(pool.retryTime),
  };
}

function scrubView(progress: ScrubPoolResponse): ScrubView {
  return {
    state: lowerCase(ScrubState, progress.state),
    doneBytes: Number(progress.doneBytes),
    totalBytes: Number(progress.totalBytes),
    damagedBlocks: Number(progress.damagedBlocks),
    badCopies: Number(progress.badCopies),
    trimmedBytes: Number(progress.trimmedBytes),
  };
}

export function replicaView(replica: Replica): ReplicaView {
  const { pool, name, uuid, thin, sizeBytes, usedBytes, shareUri, pipes } = replica;
  return {
    pool,
    name,
    uuid,
    state: lowerCase(ReplicaState, replica.state),
    thin,
    sizeBytes: Number(sizeBytes),
    usedBytes: Number(usedBytes),
    shareUri: textOrNull(shareUri),
    pipes,
    origin: textOrNull(replica.origin),
    snapshots: replica.snapshots,
    createdAt: timeText(replica.createTime),
  };
}

export function diskView(disk: Disk): DiskView {
  const { device, kind, sizeBytes, content, readOnly, model } = disk;
  return {
    device,
    kind,
    sizeBytes: Number(sizeBytes),
    use: lowerCase(DiskUse, disk.use),
    content: textOrNull(content),
    readOnly,
    model: textOrNull(model),
  };
}

/** A file or block device by its path, all else as it is. */
export function shownDevice(device: string): string {
  return device.replace(/^file:\/\/(?=\/)/, "");
}

/** One line. */
export function scrubText(progress: ScrubPoolResponse): string {
  const { doneBytes, totalBytes, badCopies, damagedBlocks, trimmedBytes } = progress;
  const sizes = `${shownSize(Number(doneBytes))} of ${shownSize(Number(totalBytes))}`;
  const found = `damaged blocks ${damagedBlocks}, copies of metadata mended ${badCopies}`;
  const trimmed = trimmedBytes === 0n ? "" : `, trimmed ${shownSize(Number(trimmedBytes))}`;
  return `${lowerCase(ScrubState, progress.state)}: ${sizes}, ${found}${trimmed}`;
}

/** A column of a table that looks the same however long its texts are, up to a point. */
interface WideColumn<T> {
  readonly title: string;
  /** Characters at least; what is longer makes all of the column wider. */
  readonly width: number;
  readonly align?: "right";
  text(row: T): string;
}

export function poolTable(pools: readonly PoolView[]): string {
  return pools.length === 0 ? "No pools have been created\n" : formatWideTable(pools, POOL_COLUMNS);
}

export function replicaTable(replicas: readonly ReplicaView[]): string {
  return replicas.length === 0
    ? "No replicas have been created\n"
    : formatWideTable(replicas, REPLICA_COLUMNS);
}

function formatWideTable<T>(rows: readonly T[], columns: readonly WideColumn<T>[]): string {
  const cells = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ text }) => inOneLine(text(row)))),
  ];
  const widths = columns.map(({ width }, index) =>
    Math.max(width, ...cells.map((line) => line[index]?.length ?? 0)),
  );
  const lines = cells.map((line) => {
    const padded = line.map((cell, index) => {
      const width = widths[index] ?? 0;
      return columns[index]?.align === "right" ? cell.padStart(width) : cell.padEnd(width);
    });
    return `${padded.join(" ").trimEnd()}\n`;
  });
  return lines.join("");
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;
const UNIT = 1024;
/** From here on the next unit is shorter: "1.0 GiB", not "1000.0 MiB". */
const SHOWN_MAX = 1000;

/** "96.0 MiB", "0 B". */
export function shownSize(sizeBytes: number): string {
  let [value, index] = [sizeBytes, 0];
  while (Number(value.toFixed(1)) >= SHOWN_MAX && index < UNITS.length - 1) {
    value /= UNIT;
    index++;
  }
  return `${index === 0 ? value : value.toFixed(1)} ${UNITS[index]}`;
}

function sizeOrDash(sizeBytes: number | null): string {
  return sizeBytes === null ? "-" : shownSize(sizeBytes);
}

function textOrNull(text: string): string | null {
  return text === "" ? null : text;
}

function disksOf({ disks, failure, reason }: PoolView): string {
  const devices = disks.map(({ device }) => device).join(", ");
  const why = failure === null ? reason : `${failure.code}: ${failure.message}`;
  return why === null ? devices : `${devices} (${why})`;
}

/** Those of mayastor-client, whose users know them. */
const POOL_COLUMNS: readonly WideColumn<PoolView>[] = [
  { title: "NAME", width: 20, text: ({ name }) => name },
  { title: "STATE", width: 8, text: ({ state }) => state },
  {
    title: "CAPACITY",
    width: 12,
    align: "right",
    text: ({ capacityBytes }) => sizeOrDash(capacityBytes),
  },
  { title: "USED", width: 12, align: "right", text: ({ usedBytes }) => sizeOrDash(usedBytes) },
  // Nothing but the wider gap before the last column.
  { title: "", width: 1, text: () => "" },
  { title: "DISKS", width: 0, text: disksOf },
];

const REPLICA_COLUMNS: readonly WideColumn<ReplicaView>[] = [
  { title: "POOL", width: 20, text: ({ pool }) => pool },
  { title: "NAME", width: 20, text: ({ name }) => name },
  { title: "THIN", width: 8, text: ({ thin }) => String(thin) },
  { title: "SIZE", width: 11, align: "right", text: ({ sizeBytes }) => shownSize(sizeBytes) },
];

export const DISK_COLUMNS: readonly Column<DiskView>[] = [
  { title: "DEVICE", text: ({ device }) => device },
  { title: "KIND", text: ({ kind }) => kind },
  { title: "SIZE", align: "right", text: ({ sizeBytes }) => shownSize(sizeBytes) },
  { title: "USE", text: ({ use }) => use },
  { title: "CONTENT", text: ({ content }) => content ?? "" },
  { title: "MODEL", text: ({ model }) => model ?? "" },
];
