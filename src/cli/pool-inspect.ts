/**
 * `penstock pool inspect`: opens a pool's disks by itself, read-only, and prints what is there.
 *
 * Its JSON is a contract, as that of pipe-view.ts is.
 */

import { randomUUID } from "node:crypto";
import { open } from "node:fs/promises";
import type { Device } from "../block/device.ts";
import { FileDevice } from "../devices/file.ts";
import { inspectPool, type PoolInspection } from "../pool/inspect/inspect-pool.ts";
import type { PoolEnvironment, PoolEvent } from "../pool/pool-environment.ts";
import type { SnapshotInfo, VolumeInfo } from "../pool/pool-info.ts";
import { IoLevel } from "../reactor/io.ts";
import { openIo } from "../reactor/open-io.ts";
import { Reactor } from "../reactor/reactor.ts";
import { PenstockError } from "../util/errors.ts";
import { formatSize } from "../util/size.ts";
import { ExitCode } from "./exit-code.ts";
import { inOneLine } from "./in-one-line.ts";
import { type Column, formatTable, formatValue } from "./output.ts";
import type { InspectArguments } from "./pool-inspect-command.ts";

/** @throws PenstockError as `inspectPool`, and of opening the files */
export async function inspectFiles(
  paths: readonly string[],
  options: InspectArguments,
): Promise<ExitCode> {
  const { volume, export: target } = options;
  if ((volume === undefined) !== (target === undefined)) {
    const message = "--volume and --export go together: which volume, and where to";
    throw new PenstockError({ code: "option-needs-another", message });
  }
  const io = await openIo({ level: IoLevel.portable });
  try {
    const reactor = new Reactor({ id: 0, io });
    const events: PoolEvent[] = [];
    const devices = await openAll(reactor, paths);
    const order =
      volume === undefined || target === undefined
        ? {}
        : { export: { volume, openTarget: (bytes: number) => openTarget(reactor, target, bytes) } };
    const inspection = await inspectPool(environmentOf(reactor, events), devices, {
      check: options.check === true,
      force: options.force === true,
      ...order,
    });
    print(inspection, events, options);
    return isWell(inspection) ? ExitCode.ok : ExitCode.failure;
  } finally {
    await io.close();
  }
}

async function openAll(reactor: Reactor, paths: readonly string[]): Promise<Device[]> {
  const devices: Device[] = [];
  try {
    for (const path of paths) {
      const options = { path, readOnly: true, holder: `penstock pool inspect, pid ${process.pid}` };
      devices.push(await FileDevice.open(reactor, options));
    }
    return devices;
  } catch (thrown) {
    // What went wrong first is what is told.
    for (const device of devices) await device.close().catch(() => undefined);
    throw thrown;
  }
}

/** A file that did not exist before: nothing is overwritten by mistake. */
async function openTarget(reactor: Reactor, path: string, sizeBytes: number): Promise<Device> {
  const file = await open(path, "wx");
  await file.close();
  return await FileDevice.open(reactor, { path, sizeBytes });
}

function environmentOf(reactor: Reactor, events: PoolEvent[]): PoolEnvironment {
  return {
    reactor,
    makeUuid: randomUUID,
    nowMs: () => Date.now(),
    onEvent: (event) => void events.push(event),
    holder: `penstock pool inspect, pid ${process.pid}`,
    engineUuid: randomUUID(),
  };
}

function isWell({ walk, exported }: PoolInspection): boolean {
  return (walk?.problems.length ?? 0) === 0 && (exported?.lostBytes ?? 0) === 0;
}

function print(
  inspection: PoolInspection,
  events: readonly PoolEvent[],
  { output }: InspectArguments,
): void {
  const { info, volumes, snapshots, deletedVersions, findings, walk, exported } = inspection;
  if (output !== "table") {
    const said = events.map(({ level, code, message }) => ({ level, code, message }));
    const value = {
      pool: info,
      volumes,
      snapshots,
      deletedVersions,
      findings,
      events: said,
      check: walk,
      export: exported,
    };
    process.stdout.write(formatValue(value, output));
    return;
  }
  const lines = [
    `pool ${info.name} ${info.uuid}, ${info.disks.length} disks`,
    `capacity ${formatSize(info.capacityBytes)}, used ${formatSize(info.usedBytes)}`,
    ...events.map(({ level, message }) => `${level}: ${message}`),
    ...(walk?.problems ?? []).map((problem) => `problem: ${problem}`),
  ];
  if (deletedVersions > 0) {
    lines.push(`deleted, and not gone yet: ${deletedVersions} volumes and snapshots`);
  }
  if (walk !== null) {
    const { dataBlocks, pageBlocks, heldBlocks, freeBlocks, problems } = walk;
    const found = problems.length === 0 ? "all as it must be" : `${problems.length} problems`;
    const counts = `${dataBlocks} data, ${pageBlocks} page, ${heldBlocks} held, ${freeBlocks} free`;
    lines.push(`check: ${found} (blocks: ${counts})`);
  }
  if (exported !== null) {
    const { copiedBytes, lostBytes, lost } = exported;
    for (const { offset, length } of lost) lines.push(`lost: ${length} bytes at ${offset}`);
    lines.push(`export: ${formatSize(copiedBytes)} copied, ${lostBytes} bytes lost`);
  }
  process.stdout.write(formatTable(volumes, COLUMNS));
  if (snapshots.length > 0) process.stdout.write(formatTable(snapshots, SNAPSHOT_COLUMNS));
  for (const line of lines) process.stdout.write(`${inOneLine(line)}\n`);
}

const COLUMNS: readonly Column<VolumeInfo>[] = [
  { title: "VOLUME", text: ({ name }) => name },
  { title: "UUID", text: ({ uuid }) => uuid },
  { title: "SIZE", align: "right", text: ({ sizeBytes }) => formatSize(sizeBytes) },
  { title: "USED", align: "right", text: ({ usedBytes }) => formatSize(usedBytes) },
  { title: "STATE", text: ({ state }) => state },
];

const SNAPSHOT_COLUMNS: readonly Column<SnapshotInfo>[] = [
  { title: "SNAPSHOT", text: ({ name }) => name },
  { title: "UUID", text: ({ uuid }) => uuid },
  { title: "SIZE", align: "right", text: ({ sizeBytes }) => formatSize(sizeBytes) },
  { title: "USED", align: "right", text: ({ usedBytes }) => formatSize(usedBytes) },
  { title: "CREATED", text: ({ createdMs }) => new Date(createdMs).toISOString() },
  { title: "CLONES", align: "right", text: ({ clones }) => String(clones) },
];
