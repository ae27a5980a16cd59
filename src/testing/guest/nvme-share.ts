/** A pipe with an NVMe/TCP share, served by a process of its own, for guests. */

import type { TestScope } from "../cleanup.ts";
import { freePort } from "../free-port.ts";
import { type PenstockOptions, type PenstockProcess, startPenstock } from "../penstock-process.ts";
import type { NvmeTargetAddress } from "./nvme-host.ts";

export const SHARE_NQN = "nqn.2026-11.io.penstock:test";

export interface NvmeShare extends NvmeTargetAddress {
  readonly port: number;
  readonly server: PenstockProcess;
  /** The same pipe again, on the same port, after the process was killed. */
  restart(): Promise<NvmeShare>;
}

export interface NvmeShareOptions extends PenstockOptions {
  /** Everything before the share. */
  readonly source: string;
  /** What follows the NQN in the share's stage: `?cntlid=1-10`. */
  readonly query?: string;
  readonly port?: number;
}

export async function startNvmeShare(t: TestScope, options: NvmeShareOptions): Promise<NvmeShare> {
  const port = options.port ?? (await freePort());
  const share = `nvmf://127.0.0.1:${port}/${SHARE_NQN}${options.query ?? ""}`;
  const server = await startPenstock(t, `${options.source} | ${share}`, options);
  const restart = () => startNvmeShare(t, { ...options, port });
  return { port, nqn: SHARE_NQN, server, restart };
}
