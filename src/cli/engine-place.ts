/**
 * Where the engine of this machine keeps its state and serves its RPC, unless told otherwise.
 */

import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { type EngineAddress, parseEngineAddress } from "../api/engine-address.ts";

export const DATA_DIR_HELP =
  "where state is kept (PENSTOCK_DATA_DIR, or /var/lib/penstock for root, " +
  "~/.local/state/penstock for others)";
export const ENGINE_HELP = "the engine: unix:PATH or HOST:PORT (its socket in the data directory)";

/** @param asked on the command line */
export function dataDirFor(asked: string | undefined): string {
  const named = asked ?? process.env.PENSTOCK_DATA_DIR;
  if (named !== undefined && named !== "") return resolve(named);
  if (process.getuid?.() === 0) return "/var/lib/penstock";
  const state = process.env.XDG_STATE_HOME ?? "";
  return join(state === "" ? join(homedir(), ".local", "state") : state, "penstock");
}

/** @throws PenstockError `engine-address-invalid`: the path is too long for a socket */
export function socketIn(dataDir: string): EngineAddress {
  return parseEngineAddress(`unix:${join(dataDir, "engine.sock")}`);
}

/** @throws PenstockError `engine-address-invalid` */
export function engineAddressFor(asked: string | undefined): EngineAddress {
  return asked === undefined ? socketIn(dataDirFor(undefined)) : parseEngineAddress(asked);
}
