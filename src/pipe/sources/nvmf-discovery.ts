/**
 * `nvmf://host:port`: where `penstock nvme discover` asks which subsystems there are. Pure.
 */

import type { DiscoverOptions } from "../../devices/nvmf/discover.ts";
import type { Stage } from "../ast.ts";
import { GrammarError } from "../grammar-error.ts";
import { parsePipe } from "../grammar.ts";
import { checkNqn, checkUuid, NVMF_HOST_DEFAULT, NVMF_PORT_DEFAULT } from "../shares/nvmf-share.ts";
import { StageOptions } from "../stage-options.ts";

const TIMEOUT_MS_MIN = 10;
const TIMEOUT_MS_MAX = 3_600_000;

/**
 * The path, where there is one, is the NQN of a discovery subsystem that has one of its own.
 * @param hostId UUID for servers that are given no other
 * @throws GrammarError
 */
export function planDiscovery(text: string, hostId: string): DiscoverOptions {
  const { stages } = parsePipe(text);
  const [stage, second] = stages as [Stage, Stage?]; // the parser gives one at least
  if (second !== undefined || stage.kind !== "uri" || stage.scheme !== "nvmf") {
    const message = `found ${JSON.stringify(text.slice(0, 80))}, expected nvmf://HOST:PORT`;
    throw new GrammarError({ code: "not-one-stage", text, span: stage.span, message });
  }
  const options = new StageOptions(text, stage);
  const optional = { fallback: undefined };
  const times = { minMs: TIMEOUT_MS_MIN, maxMs: TIMEOUT_MS_MAX, ...optional };
  const hostNqn = options.value("hostnqn", checkNqn, optional);
  const connectTimeoutMs = options.duration("connect-timeout", times);
  const plan = {
    address: {
      kind: "tcp",
      host: stage.host === "" ? NVMF_HOST_DEFAULT : stage.host,
      port: stage.port ?? NVMF_PORT_DEFAULT,
    },
    hostId: options.value("hostid", checkUuid, { fallback: hostId }),
    headerDigest: options.boolean("hdgst", { fallback: false }),
    dataDigest: options.boolean("ddgst", { fallback: false }),
    ...(hostNqn === undefined ? {} : { hostNqn }),
    ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
    ...(stage.path.length > 1 ? { subsystemNqn: stage.path.slice(1) } : {}),
  } as const;
  options.finish();
  return plan;
}
