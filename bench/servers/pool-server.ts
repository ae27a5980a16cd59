/**
 * A server of bench/pool-speed.ts: volumes of a fresh pool on one file, or files, over NBD, in one
 * thread. The exports are v0, v1 and so on; prints `ready URI` with that of the first.
 *
 *   node pool-server.ts pool|unchecked|file PATH DISK_MIB VOLUME_MIB CHUNK_KIB VOLUMES
 *
 * `unchecked` is no way to run a pool (data that a power loss took could not be told from data that
 * is there): its checksums are a constant, all else is as it is, to see what they cost.
 */

import { randomUUID } from "node:crypto";
import type { Device } from "../../src/block/device.ts";
import { FileDevice } from "../../src/devices/file.ts";
import { Pool } from "../../src/pool/pool.ts";
import { blockChecksum, CHECKSUM_KIND_DEFAULT } from "../../src/pool/volumes/block-checksum.ts";
import { chooseLevel, openIo } from "../../src/reactor/open-io.ts";
import { Reactor } from "../../src/reactor/reactor.ts";
import { NbdService } from "../../src/shares/nbd-service.ts";

const MIB = 2 ** 20;

async function serve(): Promise<void> {
  const [kind = "pool", path = "", ...sizes] = process.argv.slice(2);
  const [diskMib = 0, volumeMib = 0, chunkKib = 0, count = 1] = sizes.map(Number);
  const io = await openIo({ level: await chooseLevel("auto") });
  const reactor = new Reactor({ id: 0, io });
  const open = (at: string, mib: number): Promise<Device> =>
    FileDevice.open(reactor, { path: at, sizeBytes: mib * MIB });
  if (kind === "unchecked") {
    Object.assign(blockChecksum(CHECKSUM_KIND_DEFAULT), { ofSegments: () => 1, ofBytes: () => 1 });
  }
  const devices: Device[] = [];
  if (kind === "file") {
    for (let index = 0; index < count; index++)
      devices.push(await open(`${path}-${index}`, diskMib));
  } else {
    const environment = {
      reactor,
      makeUuid: randomUUID,
      nowMs: Date.now,
      onEvent: (event: unknown) => process.stderr.write(`${JSON.stringify(event)}\n`),
      holder: "bench",
      engineUuid: randomUUID(),
    };
    const chunk = chunkKib === 0 ? {} : { chunkBytes: chunkKib * 1024 };
    const disks = [await open(path, diskMib)];
    const pool = await Pool.create(environment, disks, { name: "bench", force: true, ...chunk });
    for (let index = 0; index < count; index++) {
      await pool.createVolume({ name: `v${index}`, sizeBytes: volumeMib * MIB });
      devices.push(await pool.openVolume(`v${index}`, { stageName: `v${index}` }));
    }
  }
  const nbd = new NbdService(reactor, { handOff: () => undefined });
  const address = await nbd.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  for (const [index, device] of devices.entries()) {
    nbd.addExport(address, device, { name: `v${index}` });
  }
  process.on("SIGTERM", () => process.exit(0));
  if (address.kind === "tcp") process.stdout.write(`ready nbd://127.0.0.1:${address.port}/v0\n`);
}

await serve();
