/** Scenario `nvmf`: one volume behind an NVMe/TCP share, used through initiators of ours. */

import { NvmfDevice } from "../../devices/nvmf.ts";
import { NvmfService } from "../../shares/nvmf-service.ts";
import { uuidOfName } from "../../util/uuid.ts";
import type { Scenario } from "../run.ts";
import { remoteScenario } from "./remote.ts";

const NQN = "nqn.2026-11.io.penstock:sim";
const UUID: string = uuidOfName(NQN);

export const NVMF_SCENARIO: Scenario = remoteScenario({
  name: "nvmf",
  about:
    "a file or memory behind NVMe/TCP: lost connections, killed and restarted ends, power loss",
  comparesAtTarget: true,
  serve: async (reactor, device, address) => {
    const service = new NvmfService(reactor, { handOff: () => undefined });
    service.addNamespace(address, device, { nsid: 1, uuid: UUID, subsystem: { nqn: NQN } });
    await service.listen(address);
  },
  open: (reactor, address, { connections, ...options }) =>
    NvmfDevice.open(reactor, {
      addresses: [address],
      subsystemNqn: NQN,
      name: "nvmf://target/sim",
      queues: connections,
      ...options,
    }),
});
