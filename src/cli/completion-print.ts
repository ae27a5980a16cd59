/**
 * `penstock __complete`: answers a shell's question. It never fails and never waits for long: who
 * types wants words or nothing.
 */

import type { Command } from "commander";
import { askEngine, type EngineClient } from "../api/engine-client.ts";
import { allCodes, helpOfCode } from "./codes/all-codes.ts";
import { type Candidate, complete, type Lookup } from "./completion.ts";
import type { Shell } from "./completion-scripts.ts";
import { engineAddressFor } from "./engine-place.ts";
import { pipeDetailView, timeText } from "./pipe-view.ts";
import { shownSize } from "./pool-view.ts";
import { splitShellLine } from "./shell-words.ts";
import { allStages } from "./stage-walk.ts";

const ANSWER_MS_MAX = 1500;
/** More would only fill the screen. */
const CANDIDATES_MAX = 500;

/** @param typed bash: one line, with the program's name; others: the words, with that name */
export async function printCompletions(
  program: Command,
  shell: Shell,
  typed: readonly string[],
): Promise<void> {
  const { words, cutLength } =
    shell === "bash" ? splitShellLine(typed[0] ?? "") : { words: typed, cutLength: 0 };
  const { candidates, hint } = await complete(program, words.slice(1), ENGINE_LOOKUP);
  const lines = candidates.slice(0, CANDIDATES_MAX).map(({ word, text }) => {
    const shown = word.slice(cutLength);
    return text === "" ? `${shown}\n` : `${shown}\t${text.replace(/\s+/g, " ")}\n`;
  });
  process.stdout.write(lines.join("") + (hint === "none" ? "" : `:${hint}\n`));
}

const ENGINE_LOOKUP: Lookup = {
  pipeNames: (engine) =>
    ask(engine, async ({ pipes }) =>
      (await pipes.listPipes({})).pipes.map(({ name, text }) => ({ word: name, text })),
    ),
  stages: (engine, name) =>
    ask(engine, async ({ pipes }) => {
      const { tree } = await pipes.getPipe({ name });
      if (tree === undefined) return [];
      const stages = [...allStages(pipeDetailView(tree).stages)];
      return stages.map(({ id, text }) => ({ word: id, text }));
    }),
  poolNames: (engine) =>
    ask(engine, async ({ pools }) =>
      (await pools.listPools({})).pools.map(({ name, disks }) => ({
        word: name,
        text: disks.map(({ device }) => device).join(", "),
      })),
    ),
  replicaNames: (engine, pool) =>
    ask(engine, async ({ replicas }) =>
      (await replicas.listReplicas({ pool })).replicas.map(({ name, sizeBytes }) => ({
        word: name,
        text: shownSize(Number(sizeBytes)),
      })),
    ),
  snapshotNames: (engine, pool) =>
    ask(engine, async ({ snapshots }) =>
      (await snapshots.listSnapshots({ pool })).snapshots.map(({ name, createTime }) => ({
        word: name,
        text: timeText(createTime) ?? "",
      })),
    ),
  codes: async () =>
    allCodes().map((code) => ({ word: code, text: helpOfCode(code)?.means ?? "" })),
};

/** Nothing when no engine answers in time. */
async function ask(
  engine: string | undefined,
  call: (client: EngineClient) => Promise<readonly Candidate[]>,
): Promise<readonly Candidate[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<readonly Candidate[]>((resolve) => {
    timer = setTimeout(() => resolve([]), ANSWER_MS_MAX);
  });
  try {
    return await Promise.race([askEngine(engineAddressFor(engine), call), late]);
  } catch {
    return [];
  } finally {
    clearTimeout(timer);
  }
}
