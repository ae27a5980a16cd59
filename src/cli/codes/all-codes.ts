/**
 * Every code that an error, an event or a failed child carries, with what to do about it. Printed
 * by `penstock explain` and in docs/reference/codes.md. Pure.
 *
 * A test looks for codes in the source and demands an entry for each.
 */

import { getSystemErrorMap } from "node:util";
import type { CodeHelp, CodeList } from "./code-help.ts";
import { COMMAND_CODES } from "./command-codes.ts";
import { ENGINE_CODES } from "./engine-codes.ts";
import { MACHINE_CODES } from "./machine-codes.ts";
import { NETWORK_CODES } from "./network-codes.ts";
import { NVME_CODES } from "./nvme-codes.ts";
import { POOL_CODES } from "./pool-codes.ts";
import { SNAPSHOT_CODES } from "./snapshot-codes.ts";
import { TEXT_CODES } from "./text-codes.ts";

export interface CodeGroup {
  readonly title: string;
  readonly codes: CodeList;
}

/** No code stands in two of them. */
export const CODE_GROUPS: readonly CodeGroup[] = [
  { title: "A pipe's text", codes: TEXT_CODES },
  { title: "The command line, npm start and the library", codes: COMMAND_CODES },
  { title: "Files, sockets, memory, the way to the kernel", codes: MACHINE_CODES },
  { title: "Requests and other servers' exports", codes: NETWORK_CODES },
  { title: "NVMe over Fabrics", codes: NVME_CODES },
  { title: "The engine and its events", codes: ENGINE_CODES },
  { title: "Pools", codes: POOL_CODES },
  { title: "Snapshots, clones and send streams", codes: SNAPSHOT_CODES },
];

const SYSTEM_PREFIX = "system-";

/** Without those of the operating system (`system-enoent`), which are as many as it has. */
export function allCodes(): readonly string[] {
  return CODE_GROUPS.flatMap(({ codes }) => Object.keys(codes)).sort();
}

/** @param code in kebab-case. Undefined: there is none */
export function helpOfCode(code: string): CodeHelp | undefined {
  const group = CODE_GROUPS.find(({ codes }) => Object.hasOwn(codes, code));
  return group?.codes[code] ?? systemCode(code);
}

function systemCode(code: string): CodeHelp | undefined {
  if (!code.startsWith(SYSTEM_PREFIX)) return undefined;
  const name = code.slice(SYSTEM_PREFIX.length).toUpperCase();
  const found = [...getSystemErrorMap().values()].find(([each]) => each === name);
  if (found === undefined) return undefined;
  return {
    means: `The operating system answered ${name}: ${found[1]}.`,
    causes: "What the message names: a file, an address, a limit of the machine.",
    todo: `\`man errno\` tells more of ${name}; \`penstock doctor\` shows this machine's limits.`,
  };
}
