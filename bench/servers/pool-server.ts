/**
 * A server of bench/pool-speed.ts: volumes of a fresh pool on one file, or that file itself, over
 * NBD, in one thread. Prints `ready URI`; a volume is the export of its name.
 *
 *   node pool-server.ts pool|unchecked|file PATH DISK_MIB VOLUME_MIB CHUNK_KIB [CACHE_MIB]
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
  const [diskMib = 0, volumeMib = 0, chunkKib = 0, cacheMib = 64] = sizes.map(Number);
  const io = await openIo({ level: await chooseLevel("auto") });
  const reactor = new Reactor({ id: 0, io });
  let device: Device = await FileDevice.open(reactor, { path, sizeBytes: diskMib * MIB });
  if (kind === "unchecked") {
    Object.assign(blockChecksum(CHECKSUM_KIND_DEFAULT), { ofSegments: () => 1, ofBytes: () => 1 });
  }
  if (kind !== "file") {
    const environment = {
      reactor,
      makeUuid: randomUUID,
      nowMs: Date.now,
      onEvent: (event: unknown) => process.stderr.write(`${JSON.stringify(event)}\n`),
      holder: "bench",
      engineUuid: randomUUID(),
    };
    const options = { name: "bench", force: true, cacheBytes: cacheMib * MIB };
    const chunk = chunkKib === 0 ? {} : { chunkBytes: chunkKib * 1024 };
    const pool = await Pool.create(environment, [device], { ...options, ...chunk });
    await pool.createVolume({ name: "v", sizeBytes: volumeMib * MIB });
    device = await pool.openVolume("v", { stageName: "v" });
  }
  const nbd = new NbdService(reactor, { handOff: () => undefined });
  const address = await nbd.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  nbd.addExport(address, device, { name: "v" });
  process.on("SIGTERM", () => process.exit(0));
  if (address.kind === "tcp") process.stdout.write(`ready nbd://127.0.0.1:${address.port}/v\n`);
}

await serve();
