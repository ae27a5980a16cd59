/** The protocols that remote devices speak, for tests that are the same for all of them. */

import type { Device } from "../block/device.ts";
import { NbdDevice } from "../devices/nbd.ts";
import { NvmfDevice } from "../devices/nvmf.ts";
import type { SocketAddress } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { NbdService } from "../shares/nbd-service.ts";
import { NvmfService } from "../shares/nvmf-service.ts";
import type { RemotePair, RemoteTestOptions } from "./fault-rig.ts";
import { openingId } from "./nbd-pair.ts";
import { PAIR_NQN, PAIR_UUID } from "./nvmf-pair.ts";

const NO_HAND_OFF = { handOff: () => undefined };

export const NBD_PAIR: RemotePair = {
  name: "NbdDevice",
  unknown: { code: "export-unknown", message: /target:7.*"other"/ },
  serve: async (reactor: Reactor, device: Device, address: SocketAddress) => {
    const service = new NbdService(reactor, NO_HAND_OFF);
    // Exports first: a client that comes at once finds them.
    service.addExport(address, device, { name: "vol" });
    await service.listen(address);
    service.addExport(address, device, { name: "vol2" });
    await service.removeExport(service.addExport(address, device, { name: "vol3" }));
  },
  open: (reactor: Reactor, address: SocketAddress, options: RemoteTestOptions) => {
    const { isSingle, isUnknown, ...rest } = options;
    return NbdDevice.open(reactor, {
      address,
      exportName: isUnknown === true ? "other" : "vol2",
      name: "nbd://target/vol2",
      openingId: openingId(),
      ...(isSingle === true ? { connections: 1 } : {}),
      ...rest,
    });
  },
};

export const NVMF_PAIR: RemotePair = {
  name: "NvmfDevice",
  unknown: { code: "subsystem-unknown", message: /target:7.*other/ },
  serve: async (reactor: Reactor, device: Device, address: SocketAddress) => {
    const service = new NvmfService(reactor, NO_HAND_OFF);
    const subsystem = { nqn: PAIR_NQN };
    service.addNamespace(address, device, { nsid: 1, uuid: PAIR_UUID, subsystem });
    await service.listen(address);
  },
  open: (reactor: Reactor, address: SocketAddress, options: RemoteTestOptions) => {
    const { isSingle, isUnknown, ...rest } = options;
    return NvmfDevice.open(reactor, {
      addresses: [address],
      subsystemNqn: isUnknown === true ? `${PAIR_NQN}-other` : PAIR_NQN,
      name: "nvmf://target/pair",
      openingId: openingId(),
      ...(isSingle === true ? { queues: 1 } : {}),
      ...rest,
    });
  },
};
