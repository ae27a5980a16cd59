/**
 * The commands of pools, replicas and disks: each makes one call and prints what came of it.
 */

import { resolve } from "node:path";
import {
  type Pool,
  type Replica,
  type ScrubPoolResponse,
  ScrubState,
} from "../api/penstock/engine/v1/pool_pb.ts";
import { askEngine, type EngineClient } from "../api/engine-client.ts";
import { withAbsolutePaths } from "./absolute-paths.ts";
import { engineAddressFor } from "./engine-place.ts";
import { formatTable, formatValue } from "./output.ts";
import type { ClientOptions, ListOptions } from "./pipe-client.ts";
import {
  DISK_COLUMNS,
  diskView,
  type PoolView,
  poolTable,
  poolView,
  type ReplicaView,
  replicaTable,
  replicaView,
  scrubText,
  shownDevice,
  shownSize,
} from "./pool-view.ts";

export interface CreatePoolOptions extends ClientOptions {
  readonly checksum?: string;
  /** Percent. */
  readonly overCommit?: number;
  /** Bytes. */
  readonly chunk?: number;
  /** Percent. */
  readonly warnAt?: number;
  /** Percent. */
  readonly criticalAt?: number;
  readonly force: boolean;
}

export interface ForceOptions extends ClientOptions {
  readonly force: boolean;
}

export interface ScrubOptions extends ClientOptions {
  /** MiB per second. */
  readonly rate?: number;
  readonly restart: boolean;
  readonly trim: boolean;
}

export interface CreateReplicaOptions extends ClientOptions {
  /** Bytes. */
  readonly size: number;
  readonly thin: boolean;
  readonly uuid?: string;
}

export interface ListReplicasOptions extends ListOptions {
  readonly pool?: string;
}

const CLEAR_LINE = "\r\u001b[2K";

/** A replica by its names. */
export interface ReplicaName {
  readonly pool: string;
  readonly name: string;
}

export async function createPool(
  name: string,
  devices: readonly string[],
  { checksum, overCommit, chunk, warnAt, criticalAt, force, ...options }: CreatePoolOptions,
): Promise<void> {
  const request = {
    name,
    disks: absolute(devices),
    force,
    ...(checksum === undefined ? {} : { checksum }),
    ...(overCommit === undefined ? {} : { overCommitPercent: overCommit }),
    ...(chunk === undefined ? {} : { chunkBytes: chunk }),
    ...(warnAt === undefined ? {} : { warningPercent: warnAt }),
    ...(criticalAt === undefined ? {} : { criticalPercent: criticalAt }),
  };
  await ask(options, ({ pools }) => pools.createPool(request));
}

export async function importPool(
  devices: readonly string[],
  { force, ...options }: ForceOptions,
): Promise<void> {
  const request = { disks: absolute(devices), force };
  const { pool } = await ask(options, ({ pools }) => pools.importPool(request));
  print(`${pool?.name ?? ""}\n`);
}

export async function addPoolDisk(
  name: string,
  device: string,
  { force, ...options }: ForceOptions,
): Promise<void> {
  const [disk = ""] = absolute([device]);
  await ask(options, ({ pools }) => pools.addPoolDisk({ name, disk, force }));
}

/** Prints which disks have grown. */
export async function growPool(
  name: string,
  device: string | undefined,
  options: ClientOptions,
): Promise<void> {
  const [disk] = device === undefined ? [] : absolute([device]);
  const request = disk === undefined ? { name } : { name, disk };
  const { grown } = await ask(options, ({ pools }) => pools.growPool(request));
  for (const each of grown) {
    const before = shownSize(Number(each.beforeBytes));
    print(`${shownDevice(each.device)}: ${before} -> ${shownSize(Number(each.sizeBytes))}\n`);
  }
  if (grown.length === 0) print("No disk has grown\n");
}

/** @returns whether all that was read is as it was written */
export async function scrubPool(
  name: string,
  { rate, restart, trim, ...options }: ScrubOptions,
): Promise<boolean> {
  const request = { name, restart, trim, ...(rate === undefined ? {} : { mibPerSecond: rate }) };
  return await ask(options, async ({ pools }) => {
    let last: ScrubPoolResponse | undefined;
    for await (const progress of pools.scrubPool(request)) {
      last = progress;
      if (process.stderr.isTTY) process.stderr.write(`${CLEAR_LINE}${scrubText(progress)}`);
    }
    if (process.stderr.isTTY) process.stderr.write(CLEAR_LINE);
    const found = there<ScrubPoolResponse>(last);
    for (const { replica, offset } of found.damaged) {
      print(`damaged ${replica} at ${offset}\n`);
    }
    print(`${scrubText(found)}\n`);
    return found.state === ScrubState.FINISHED && found.damagedBlocks === 0n;
  });
}

export async function listPools({ output, ...options }: ListOptions): Promise<void> {
  const { pools } = await ask(options, ({ pools }) => pools.listPools({}));
  const views = pools.map(poolView);
  print(output === "table" ? poolTable(views) : formatValue(views, output));
}

export async function showPool(name: string, { output, ...options }: ListOptions): Promise<void> {
  const { pool } = await ask(options, ({ pools }) => pools.getPool({ name }));
  const view = poolView(there<Pool>(pool));
  print(output === "table" ? factsOf(poolFacts(view)) : formatValue(view, output));
}

export async function exportPool(name: string, options: ClientOptions): Promise<void> {
  await ask(options, ({ pools }) => pools.exportPool({ name }));
}

export async function destroyPool(
  name: string,
  { force, ...options }: ForceOptions,
): Promise<void> {
  await ask(options, ({ pools }) => pools.destroyPool({ name, force }));
}

export async function createReplica(
  { pool, name }: ReplicaName,
  { size, thin, uuid, ...options }: CreateReplicaOptions,
): Promise<void> {
  const request = { pool, name, sizeBytes: BigInt(size), thin, ...(uuid ? { uuid } : {}) };
  await ask(options, ({ replicas }) => replicas.createReplica(request));
}

export async function listReplicas(listing: ListReplicasOptions): Promise<void> {
  const { output, pool, ...options } = listing;
  const request = pool === undefined ? {} : { pool };
  const { replicas } = await ask(options, ({ replicas }) => replicas.listReplicas(request));
  const views = replicas.map(replicaView);
  print(output === "table" ? replicaTable(views) : formatValue(views, output));
}

export async function showReplica(
  name: ReplicaName,
  { output, ...options }: ListOptions,
): Promise<void> {
  const { replica } = await ask(options, ({ replicas }) => replicas.getReplica(name));
  const view = replicaView(there<Replica>(replica));
  print(output === "table" ? factsOf(replicaFacts(view)) : formatValue(view, output));
}

export async function shareReplica(
  name: ReplicaName,
  share: string,
  options: ClientOptions,
): Promise<void> {
  const request = { ...name, share: absoluteShare(share) };
  const { replica } = await ask(options, ({ replicas }) => replicas.shareReplica(request));
  print(`ready ${replica?.shareUri ?? ""}\n`);
}

export async function unshareReplica(name: ReplicaName, options: ClientOptions): Promise<void> {
  await ask(options, ({ replicas }) => replicas.unshareReplica(name));
}

export async function resizeReplica(
  name: ReplicaName,
  { size, ...options }: ClientOptions & { readonly size: number },
): Promise<void> {
  const request = { ...name, sizeBytes: BigInt(size) };
  await ask(options, ({ replicas }) => replicas.resizeReplica(request));
}

export async function destroyReplica(name: ReplicaName, options: ClientOptions): Promise<void> {
  await ask(options, ({ replicas }) => replicas.destroyReplica(name));
}

export async function listDisks({ output, ...options }: ListOptions): Promise<void> {
  const { disks } = await ask(options, ({ devices }) => devices.listDisks({}));
  const views = disks.map(diskView);
  print(output === "table" ? formatTable(views, DISK_COLUMNS) : formatValue(views, output));
}

/** A name without a slash in it is a file's, too: "disk.img" is where the shell is. */
function absolute(devices: readonly string[]): string[] {
  const folder = process.cwd();
  return devices.map((device) =>
    /^[\w.-]+$/.test(device) ? resolve(folder, device) : withAbsolutePaths(device, folder),
  );
}

/** Only a whole pipe has paths that can be found. */
function absoluteShare(share: string): string {
  const source = "null:///x?size=1MiB | ";
  const text = withAbsolutePaths(source + share, process.cwd());
  return text.startsWith(source) ? text.slice(source.length) : share;
}

function poolFacts(view: PoolView): (readonly [string, string])[] {
  const { name, state, reason, failure, uuid, disks, chunkBytes, checksum } = view;
  const size = (sizeBytes: number | null): string =>
    sizeBytes === null ? "-" : shownSize(sizeBytes);
  return [
    ["name", name],
    ["state", reason === null ? state : `${state}: ${reason}`],
    ...(failure === null ? [] : [["failure", `${failure.code}: ${failure.message}`] as const]),
    ...(view.retryAt === null ? [] : [["next try", view.retryAt] as const]),
    ["uuid", uuid ?? "-"],
    ["capacity", size(view.capacityBytes)],
    ["used", size(view.usedBytes)],
    ["reserved", size(view.reservedBytes)],
    ["promised", size(view.committedBytes)],
    ["free", size(view.freeBytes)],
    ["metadata", size(view.pageBytes)],
    ["chunk", size(chunkBytes)],
    ["checksum", checksum ?? "-"],
    ["events", eventsOf(view)],
    ["scrub", scrubOf(view)],
    ["created", view.createdAt ?? "-"],
    ...disks.map(({ device, freeBytes, sizeBytes }) => {
      const space = `${size(freeBytes)} of ${size(sizeBytes)} free`;
      return ["disk", sizeBytes === null ? device : `${device} (${space})`] as const;
    }),
  ];
}

function eventsOf({ warningPercent, criticalPercent }: PoolView): string {
  if (warningPercent === null || criticalPercent === null) return "-";
  const at = (percent: number): string => (percent === 0 ? "never" : `at ${percent} %`);
  return `warning ${at(warningPercent)}, critical ${at(criticalPercent)}`;
}

function scrubOf({ scrub }: PoolView): string {
  if (scrub === null) return "-";
  const { state, doneBytes, totalBytes, damagedBlocks } = scrub;
  const done = `${shownSize(doneBytes)} of ${shownSize(totalBytes)}`;
  return `${state}, ${done}, damaged blocks ${damagedBlocks}`;
}

function replicaFacts(view: ReplicaView): (readonly [string, string])[] {
  return [
    ["pool", view.pool],
    ["name", view.name],
    ["uuid", view.uuid],
    ["state", view.state],
    ["thin", String(view.thin)],
    ["size", shownSize(view.sizeBytes)],
    ["used", shownSize(view.usedBytes)],
    ["share", view.shareUri ?? "-"],
    ["pipes", view.pipes.length === 0 ? "-" : view.pipes.join(", ")],
    ["origin", view.origin ?? "-"],
    ["snapshots", String(view.snapshots)],
    ["created", view.createdAt ?? "-"],
  ];
}

function factsOf(facts: readonly (readonly [string, string])[]): string {
  return facts.map(([key, value]) => `${key.padEnd(9)}  ${value}\n`).join("");
}

function ask<T>({ engine }: ClientOptions, call: (client: EngineClient) => Promise<T>): Promise<T> {
  return askEngine(engineAddressFor(engine), call);
}

function there<T>(message: T | undefined): T {
  if (message === undefined) throw new TypeError("the engine answered without what was asked for");
  return message;
}

function print(text: string): void {
  process.stdout.write(text);
}
