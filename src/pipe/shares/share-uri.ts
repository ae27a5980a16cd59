/**
 * What a client of a share connects to. Pure.
 */

import type { SocketAddress } from "../../reactor/io.ts";
import type { SharePlan } from "../share-plan.ts";
import { nbdUri } from "./nbd-share.ts";
import { nvmfUri } from "./nvmf-share.ts";

/** @param address the real one, where the plan has port 0 */
export function shareUri(share: SharePlan, address: SocketAddress): string {
  switch (share.kind) {
    case "nbd":
      return nbdUri(address, share.exportName);
    case "nvmf":
      return nvmfUri(address, share.nqn, share.nsid);
  }
}
