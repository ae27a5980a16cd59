/**
 * All scenarios, by name.
 */

import type { Scenario } from "./run.ts";
import { FILE_SCENARIO } from "./scenarios/file.ts";
import { MIRROR_SCENARIO } from "./scenarios/mirror.ts";
import { NBD_SCENARIO } from "./scenarios/nbd.ts";
import { NVMF_SCENARIO } from "./scenarios/nvmf.ts";
import { POOL_SCENARIO } from "./scenarios/pool.ts";
import { SNAPSHOT_SCENARIO } from "./scenarios/snapshot.ts";

export const SCENARIOS: readonly Scenario[] = [
  FILE_SCENARIO,
  NBD_SCENARIO,
  NVMF_SCENARIO,
  MIRROR_SCENARIO,
  POOL_SCENARIO,
  SNAPSHOT_SCENARIO,
];

export function scenarioNamed(name: string): Scenario | undefined {
  return SCENARIOS.find((scenario) => scenario.name === name);
}
