/**
 * A device shared over NBD and used again through the initiator, on one reactor: for conformance
 * tests. Closing the result closes all of it.
 */

import type { Device } from "../block/device.ts";
import { NbdDevice, type NbdOptions } from "../devices/nbd.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { NbdService } from "../shares/nbd-service.ts";
import { uuidOfName } from "../util/uuid.ts";
import { closedWith } from "./closed-with.ts";

export interface NbdPairOptions {
  readonly shareReadOnly?: boolean;
  readonly initiator?: Partial<NbdOptions>;
}

let openings = 0;

/** A UUID that no opening before had. */
export function openingId(): string {
  return uuidOfName(`test opening ${process.pid} ${openings++}`);
}

/** Shares `backing`, which is closed with the result, and opens the export. */
export async function openThroughNbd(
  reactor: Reactor,
  backing: Device,
  options: NbdPairOptions = {},
): Promise<NbdDevice> {
  const service = new NbdService(reactor, { handOff: () => undefined });
  const address = await service.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const readOnly = options.shareReadOnly === true;
  service.addExport(address, backing, { name: "pair", readOnly });
  const device = await NbdDevice.open(reactor, {
    address,
    exportName: "pair",
    name: "nbd://127.0.0.1/pair",
    openingId: openingId(),
    ...options.initiator,
  });
  return closedWith(device, service, backing);
}
