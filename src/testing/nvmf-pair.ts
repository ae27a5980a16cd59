/**
 * A device shared over NVMe/TCP and used again through the initiator, on one reactor: for
 * conformance tests. Closing the result closes all of it.
 */

import type { Device } from "../block/device.ts";
import { NvmfDevice, type NvmfOptions } from "../devices/nvmf.ts";
import type { SubsystemOptions } from "../proto/nvme/subsystem-options.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { NvmfService } from "../shares/nvmf-service.ts";
import { uuidOfName } from "../util/uuid.ts";
import { closedWith } from "./closed-with.ts";
import { openingId } from "./nbd-pair.ts";

export const PAIR_NQN = "nqn.2026-11.io.penstock:pair";
export const PAIR_UUID: string = uuidOfName(PAIR_NQN);

export interface NvmfPairOptions {
  readonly shareReadOnly?: boolean;
  readonly initiator?: Partial<NvmfOptions>;
  readonly subsystem?: Partial<SubsystemOptions>;
}

/** Shares `backing`, which is closed with the result, and opens the namespace. */
export async function openThroughNvmf(
  reactor: Reactor,
  backing: Device,
  options: NvmfPairOptions = {},
): Promise<NvmfDevice> {
  const service = new NvmfService(reactor, { handOff: () => undefined });
  const address = await service.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  service.addNamespace(address, backing, {
    nsid: 1,
    uuid: PAIR_UUID,
    readOnly: options.shareReadOnly === true,
    subsystem: { nqn: PAIR_NQN, ...options.subsystem },
  });
  const device = await NvmfDevice.open(reactor, {
    addresses: [address],
    subsystemNqn: PAIR_NQN,
    name: "nvmf://127.0.0.1/pair",
    openingId: openingId(),
    ...options.initiator,
  });
  return closedWith(device, service, backing);
}
