/**
 * What `penstock pipe run --help` says about stages: printed from the registry, so that it cannot
 * fall behind. Pure.
 */

import { CALL_SOURCES, FILTERS, SHARES, SOURCES, type StageHelp } from "../pipe/registry.ts";

export function stageHelp(): string {
  return [
    "Sources (the first stage):",
    ...[...SOURCES, ...CALL_SOURCES].flatMap(describe),
    "Filters (in between):",
    ...FILTERS.flatMap(describe),
    "Shares (the last stage):",
    ...SHARES.flatMap(describe),
  ].join("\n");
}

function describe(stage: StageHelp): string[] {
  const options = stage.options.map(
    ({ key, value, text }) => `      ${`${key}=${value}`.padEnd(22)} ${text}`,
  );
  return [`  ${stage.example}`, `      ${stage.text}`, ...options];
}
