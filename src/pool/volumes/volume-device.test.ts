/** Volumes pass the conformance suite of devices. */

import { deviceConformance } from "../../block/conformance.ts";
import { openTestVolume } from "../../testing/pool-rig.ts";

const MIB = 2 ** 20;
const sizeBytes = 16 * MIB;

deviceConformance("pool volume on one disk", ({ reactor }) =>
  openTestVolume(reactor, { diskBytes: [96 * MIB], sizeBytes }),
);

deviceConformance("pool volume on two disks, small cache", ({ reactor }) =>
  openTestVolume(reactor, { diskBytes: [64 * MIB, 48 * MIB], sizeBytes, cacheBytes: MIB }),
);

deviceConformance(
  "thick pool volume",
  ({ reactor }) => openTestVolume(reactor, { diskBytes: [96 * MIB], sizeBytes, isThin: false }),
  { levels: ["fake"] },
);
