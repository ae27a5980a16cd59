/** Scenario `nbd`: one volume behind an NBD share, used through initiators of ours. */

import { NbdDevice } from "../../devices/nbd.ts";
import { NbdService } from "../../shares/nbd-service.ts";
import type { Scenario } from "../run.ts";
import { type RemoteProtocol, remoteScenario } from "./remote.ts";

const EXPORT = "vol";

export const NBD_PROTOCOL: RemoteProtocol = {
  name: "nbd",
  about: "a file or memory behind NBD: lost connections, killed and restarted ends, power loss",
  comparesAtTarget: false,
  serve: async (reactor, device, address) => {
    const service = new NbdService(reactor, { handOff: () => undefined });
    // Exports first: a client that comes at once finds them.
    service.addExport(address, device, { name: EXPORT });
    await service.listen(address);
  },
  open: (reactor, address, options) =>
    NbdDevice.open(reactor, {
      address,
      exportName: EXPORT,
      name: `nbd://target/${EXPORT}`,
      ...options,
    }),
};

export const NBD_SCENARIO: Scenario = remoteScenario(NBD_PROTOCOL);
