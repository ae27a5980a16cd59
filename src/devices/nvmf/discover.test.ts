// Tests of the discovery client, against a service of ours.

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { SubsystemType, TransportType } from "../../proto/nvme/log-discovery.ts";
import { USUAL_LEVELS, withReactor } from "../../reactor/test-reactor.ts";
import { NvmfService } from "../../shares/nvmf-service.ts";
import { openingId } from "../../testing/nbd-pair.ts";
import { uuidOfName } from "../../util/uuid.ts";
import { NullDevice } from "../null.ts";
import { discover } from "./discover.ts";

const SUBSYSTEMS = 11;

for (const level of USUAL_LEVELS) {
  test(`discover tells of all subsystems at ${level}`, () =>
    withReactor(level, async ({ reactor }) => {
      const service = new NvmfService(reactor, { handOff: () => undefined });
      const address = await service.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
      const device = await NullDevice.open(reactor, { name: "null", sizeBytes: 2 ** 20 });
      const nqns = Array.from(
        { length: SUBSYSTEMS },
        (_, index) => `nqn.2026-11.io.penstock:${String.fromCodePoint(97 + index)}`,
      );
      for (const nqn of nqns) {
        service.addNamespace(address, device, {
          nsid: 1,
          uuid: uuidOfName(nqn),
          subsystem: { nqn },
        });
      }
      const { entries } = await discover(reactor, { address, hostId: openingId() });
      const found = entries.filter(({ subsystemType }) => subsystemType === SubsystemType.nvm);
      deepStrictEqual(found.map(({ subsystemNqn }) => subsystemNqn).sort(), nqns);
      for (const entry of found) {
        strictEqual(entry.transportType, TransportType.tcp);
        if (address.kind === "tcp") strictEqual(entry.serviceId, String(address.port));
      }
      await service.close();
      await device.close();
      await rejects(discover(reactor, { address, hostId: openingId() }), {
        code: "connection-refused",
      });
    }));
}
