/**
 * All scenarios, by name.
 */

import type { Scenario } from "./run.ts";
import { FILE_SCENARIO } from "./scenarios/file.ts";

export const SCENARIOS: readonly Scenario[] = [FILE_SCENARIO];

export function scenarioNamed(name: string): Scenario | undefined {
  return SCENARIOS.find((scenario) => scenario.name === name);
}
