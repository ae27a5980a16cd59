/**
 * What every source on another machine takes: where the server is, and how long to wait for it.
 * Stateless.
 */

import type { SocketAddress } from "../../reactor/io.ts";
import type { UriStage } from "../ast.ts";
import { GrammarError } from "../grammar-error.ts";
import type { StageOptions } from "../stage-options.ts";
import type { OptionHelp } from "../stage-plan.ts";

const TIMEOUT_MS_MIN = 10;
const TIMEOUT_MS_MAX = 3_600_000;
const RIDE_OUT_MS_MAX = 86_400_000;

export const REMOTE_OPTIONS: readonly OptionHelp[] = [
  { key: "timeout", value: "TIME", text: "for one answer; default 30s, under a mirror 5s" },
  { key: "connect-timeout", value: "TIME", text: "for connecting; default 2s" },
  {
    key: "ride-out",
    value: "TIME",
    text: "how long an outage may last before requests fail; default 60s, under a mirror 0s",
  },
  { key: "readonly", value: "BOOLEAN", text: "refuse writes" },
];

/** Those of `REMOTE_OPTIONS`, each undefined where it is not given. */
export function readRemoteOptions(options: StageOptions) {
  const optional = { fallback: undefined };
  const times = { minMs: TIMEOUT_MS_MIN, maxMs: TIMEOUT_MS_MAX, ...optional };
  return {
    timeoutMs: options.duration("timeout", times),
    connectTimeoutMs: options.duration("connect-timeout", times),
    rideOutMs: options.duration("ride-out", { maxMs: RIDE_OUT_MS_MAX, ...optional }),
    readOnly: options.boolean("readonly", optional),
  };
}

/** @throws GrammarError `bad-port` */
export function readServer(
  text: string,
  stage: UriStage,
  fallback: { readonly host: string; readonly port: number },
): SocketAddress {
  const host = stage.host === "" ? fallback.host : stage.host;
  const port = stage.port ?? fallback.port;
  if (port !== 0) return { kind: "tcp", host, port };
  const message = "found port 0, expected the port that the server listens on";
  throw new GrammarError({ code: "bad-port", text, span: stage.authoritySpan, message });
}

export type Given<T> = { readonly [K in keyof T]?: Exclude<T[K], undefined> };

/** Only what is not undefined. */
export function givenOf<T extends object>(values: T): Given<T> {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as Given<T>;
}
